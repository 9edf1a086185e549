"""Azure Blob Storage: block blobs, whose tokens are ETags."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, unquote

from atio.errors import AtioError, InputError
from atio.storage.backoff import Backoff
from atio.storage.base import Buffer, Entry
from atio.storage.files import flat
from atio.storage.parallel import each
from atio.storage.remote import xml
from atio.storage.remote.answers import AnsweringBucket, span, understood
from atio.storage.remote.bucket import Condition, ContendedError, Facts, Part, TakenError, Upload
from atio.storage.remote.client import Client, Signer, settled, told
from atio.storage.remote.connections import connections
from atio.storage.remote.failures import harmless, refusal
from atio.storage.remote.messages import Endpoint, Line, Request, Response
from atio.storage.remote.microsoft import find_account
from atio.storage.remote.options import Options, endpoint, line

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MARK = "x-ms-meta-atiowrite"
_NEW = {"If-None-Match": "*"}
_CONTAINER = re.compile(r"\$?[a-z0-9][a-z0-9-]{1,62}")
_FORBIDDEN = ("Lease", "BlobImmutable", "InvalidBlobType", "ContainerBeingDeleted")
"""How errors begin that share the status of a condition, and stay whatever others write."""
_OFFICIAL = (".blob.core.windows.net", ".blob.core.chinacloudapi.cn", ".blob.core.usgovcloudapi.net")


class AzureBucket(AnsweringBucket):
    """One container of an account."""

    def __init__(
        self,
        name: str,
        signer: Signer,
        server: Endpoint,
        *,
        line: Line | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        if not _CONTAINER.fullmatch(name):
            raise InputError("the URL names no container", hint="write az://container/path")
        self._name = name
        self._server = server
        self._client = Client(connections(server, line or Line()), signer, backoff or Backoff())

    @classmethod
    def open(cls, name: str, options: Options, backoff: Backoff | None = None) -> AzureBucket:
        """From ``storage_options`` as adlfs takes them, and AZURE_STORAGE_* variables.

        ``name`` may be ``container@account.blob.core.windows.net`` (or ``.dfs.``), as in abfs URLs.
        """
        container, _, host = name.partition("@")
        account = find_account(options, host.replace(".dfs.", ".blob.", 1))
        place = endpoint(account.url, options)
        return cls(container, account.signer, place, line=line(options), backoff=backoff)

    @property
    def proven(self) -> bool:
        return self._server.host.endswith(_OFFICIAL)

    @property
    def url(self) -> str:
        return f"az://{self._name}"

    # -- requests ----------------------------------------------------------------------------

    def send(
        self,
        method: str,
        key: str | None,
        query: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
        body: Buffer = b"",
        *,
        once: bool = False,
        into: memoryview | None = None,
        limit: int | None = None,
    ) -> Response:
        path = f"{self._server.path}/{self._name}"
        if key is not None:
            path += "/" + quote(key, safe="/-_.~")
        request = Request(method, path, query, headers or {}, body)
        if once:
            return self._client.send_once(request)
        return self._client.send(request, into=into, limit=limit)

    def refusal(self, answer: Response, key: str) -> AtioError:
        code, message = xml.said(answer.body)
        code = code or answer.headers.get("x-ms-error-code", "")
        return refusal(answer, f"{self.url}/{key}", (code, message.partition("\n")[0]), self._client.redact)

    def lacks(self, answer: Response) -> bool:
        code = answer.headers.get("x-ms-error-code", "") or xml.said(answer.body)[0]
        return answer.status == 404 and code in ("BlobNotFound", "")

    # -- objects -----------------------------------------------------------------------------

    def get(self, key: str, start: int, stop: int, *, into: memoryview | None = None) -> Part | None:
        answer = self.send("GET", key, headers=span(start, stop), into=into, limit=stop - start)
        return self.part(answer, key, start, "etag")

    def head(self, key: str) -> Facts | None:
        return self.facts(self.send("HEAD", key), key, _MARK)

    def put(self, key: str, data: Buffer, condition: Condition | None, mark: str) -> str:
        headers = _new_blob(data, condition) | {_MARK: mark}
        return self._written(self.send("PUT", key, (), headers, data), key)

    def swap(self, key: str, data: Buffer, condition: Condition | None) -> str:
        answer = settled(self.send("PUT", key, (), _new_blob(data, condition), data, once=True))
        return told(self._written(answer, key))

    def _written(self, answer: Response, key: str) -> str:
        if answer.status == 201:
            return answer.headers.get("etag", "")
        self.refuse_taken(answer)
        raise self.refusal(answer, key)

    def refuse_taken(self, answer: Response) -> None:
        """Raise the exceptions that stand for a condition that does not hold."""
        code = answer.headers.get("x-ms-error-code", "") or xml.said(answer.body)[0]
        if code.startswith(_FORBIDDEN):
            return
        if (
            answer.status == 412
            or code == "BlobAlreadyExists"
            or (answer.status == 404 and code == "BlobNotFound")
        ):
            raise TakenError
        if answer.status == 409:
            raise ContendedError

    def delete(self, keys: Sequence[str]) -> None:
        each(self._delete, keys)

    def _delete(self, key: str) -> None:
        answer = self.send("DELETE", key)
        if answer.status != 202 and not self.lacks(answer):
            raise self.refusal(answer, key)

    def list(self, prefix: str) -> Iterator[Entry]:
        query = (("comp", "list"), ("prefix", prefix), ("restype", "container"))
        following = ""
        while True:
            more = (("marker", following),) if following else ()
            answer = self.send("GET", None, query + more)
            if answer.status != 200:
                raise self.refusal(answer, prefix)
            root = xml.parsed(answer.body)
            with understood(f"{self.url}/{prefix}"):
                # Accounts that have folders list them, too.
                blobs = (b for b in xml.children(root, "Blob") if xml.text(b, "ResourceType") != "directory")
                found = [_entry(blob) for blob in blobs]
            yield from found
            following = xml.text(root, "NextMarker")
            if not following:
                return

    def upload(self, key: str, mark: str, *, replace: bool = False) -> AzureUpload:
        return AzureUpload(self, key, mark, {} if replace else _NEW)


class AzureUpload(Upload):
    """Blocks that become a blob when they are listed."""

    parallel: ClassVar[bool] = True

    def __init__(self, bucket: AzureBucket, key: str, mark: str, conditions: Mapping[str, str]) -> None:
        self._bucket = bucket
        self._key = key
        self._mark = mark
        self._conditions = conditions

    def part(self, number: int, data: Buffer) -> None:
        query = (("blockid", self._block(number)), ("comp", "block"))
        with harmless():
            answer = self._bucket.send("PUT", self._key, query, {"Content-MD5": _md5(data)}, data)
            if answer.status != 201:
                raise self._bucket.refusal(answer, self._key)

    def _block(self, number: int) -> str:
        # With the mark: another writer's blocks of the same name are not ours.
        return b64encode(f"{self._mark}{number:06}".encode()).decode()

    def finish(self, number: int, last: Buffer) -> None:
        self.part(number, last)
        self._list_blocks(number + 1, self._conditions)

    def _list_blocks(self, count: int, conditions: Mapping[str, str]) -> str:
        """Make the blob of the first blocks; all others of its name are dropped. Returns the token."""
        blocks = "".join(f"<Latest>{self._block(number)}</Latest>" for number in range(count))
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()
        headers = {**conditions, _MARK: self._mark, "Content-Type": "application/xml"}
        answer = self._bucket.send("PUT", self._key, (("comp", "blocklist"),), headers, body)
        if answer.status != 201:
            self._bucket.refuse_taken(answer)
            raise self._bucket.refusal(answer, self._key)
        return answer.headers.get("etag", "")

    def abort(self) -> None:
        """A blob of no blocks drops them; then it goes, too."""
        try:
            token = self._list_blocks(0, _NEW)
        except TakenError:
            return  # An object is there: blocks that nobody lists go with its next write, or in a week.
        answer = self._bucket.send("DELETE", self._key, (), {"If-Match": token})
        if answer.status not in (202, 404, 412):
            raise self._bucket.refusal(answer, self._key)


def _entry(blob: Element) -> Entry:
    name = next(xml.children(blob, "Name"))
    key = name.text or ""
    return Entry(
        unquote(key) if name.get("Encoded") == "true" else key,
        int(xml.text(blob, "Content-Length")),
        parsedate_to_datetime(xml.text(blob, "Last-Modified")).timestamp(),
    )


def _new_blob(data: Buffer, condition: Condition | None) -> dict[str, str]:
    headers = {
        "Content-MD5": _md5(data),
        "Content-Type": "application/octet-stream",
        "x-ms-blob-type": "BlockBlob",
    }
    if condition is not None:
        headers["If-None-Match" if condition.token is None else "If-Match"] = condition.token or "*"
    return headers


def _md5(data: Buffer) -> str:
    return b64encode(hashlib.md5(flat(data), usedforsecurity=False).digest()).decode()
