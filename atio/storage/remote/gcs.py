"""Google Cloud Storage, by its JSON interface: tokens are generation numbers."""

from __future__ import annotations

import hashlib
import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlsplit

from atio.errors import AtioError, InputError, StorageError
from atio.storage.backoff import Backoff
from atio.storage.base import Buffer, Entry
from atio.storage.files import flat
from atio.storage.parallel import each
from atio.storage.remote.answers import AnsweringBucket, span, understood
from atio.storage.remote.bucket import Condition, ContendedError, Facts, Part, TakenError, Upload
from atio.storage.remote.client import Client, Signer, settled, told
from atio.storage.remote.connections import connections
from atio.storage.remote.failures import UnsettledError, harmless, refusal
from atio.storage.remote.google import find_signer
from atio.storage.remote.messages import Endpoint, Line, LostError, Request, Response
from atio.storage.remote.options import Options, endpoint, line

_OFFICIAL = Endpoint("https", "storage.googleapis.com", 443, "")
_MARK = "atio-write"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}")
_FACTS = ("fields", "generation,size,metadata")
_Query = tuple[tuple[str, str], ...]


class GCSBucket(AnsweringBucket):
    """One bucket.

    Parameters
    ----------
    always
        Parameters of all requests.
    """

    def __init__(
        self,
        name: str,
        signer: Signer,
        *,
        server: Endpoint = _OFFICIAL,
        line: Line | None = None,
        backoff: Backoff | None = None,
        always: _Query = (),
    ) -> None:
        if not _BUCKET.fullmatch(name):
            raise InputError("the URL names no bucket", hint="write gs://bucket/path")
        self._name = name
        self._server = server
        self._always = always
        self._backoff = backoff or Backoff()
        self._client = Client(connections(server, line or Line()), signer, self._backoff)

    @classmethod
    def open(cls, name: str, options: Options, backoff: Backoff | None = None) -> GCSBucket:
        """From ``storage_options`` as gcsfs takes them, and the environment."""
        url = options.text("endpoint_url", "endpoint", "google_base_url")
        emulator = None if url else options.environment("STORAGE_EMULATOR_HOST")
        if emulator:
            url = emulator if "://" in emulator else f"http://{emulator}"
        project = options.text("project", "project_id") or options.environment(
            "GCSFS_DEFAULT_PROJECT", "GOOGLE_CLOUD_PROJECT"
        )
        payer = options.value("requester_pays")
        always = (("userProject", payer if isinstance(payer, str) else project or ""),) if payer else ()
        signer = find_signer(options, emulator=emulator is not None)
        server = endpoint(url, options) if url else _OFFICIAL
        return cls(name, signer, server=server, line=line(options), backoff=backoff, always=always)

    @property
    def proven(self) -> bool:
        return self._server == _OFFICIAL

    @property
    def url(self) -> str:
        return f"gs://{self._name}"

    # -- requests ----------------------------------------------------------------------------

    def objects(self, key: str | None = None, *, upload: bool = False) -> str:
        kind = "/upload" if upload else ""
        path = f"{self._server.path}{kind}/storage/v1/b/{self._name}/o"
        return path if key is None else f"{path}/{quote(key, safe='')}"

    def send(
        self,
        method: str,
        path: str,
        query: _Query = (),
        headers: Mapping[str, str] | None = None,
        body: Buffer = b"",
        *,
        once: bool = False,
        into: memoryview | None = None,
        limit: int | None = None,
        again: Callable[[Response], bool] = lambda _: False,
    ) -> Response:
        request = Request(method, path, query + self._always, headers or {}, body)
        if once:
            return self._client.send_once(request)
        return self._client.send(request, into=into, limit=limit, again=again)

    def refusal(self, answer: Response, key: str) -> AtioError:
        return refusal(answer, f"{self.url}/{key}", _said(answer.body), self._client.redact)

    def lacks(self, answer: Response) -> bool:
        return answer.status == 404 and b"bucket does not exist" not in answer.body

    # -- objects -----------------------------------------------------------------------------

    def get(self, key: str, start: int, stop: int, *, into: memoryview | None = None) -> Part | None:
        media = (("alt", "media"),)
        answer = self.send("GET", self.objects(key), media, span(start, stop), into=into, limit=stop - start)
        return self.part(answer, key, start, "x-goog-generation")

    def head(self, key: str) -> Facts | None:
        answer = self.send("GET", self.objects(key), (_FACTS,))
        if self.lacks(answer):
            return None
        if answer.status != 200:
            raise self.refusal(answer, key)
        with understood(f"{self.url}/{key}"):
            found = _parsed(answer.body)
            mark = (found.get("metadata") or {}).get(_MARK, "")
            return Facts(int(found["size"]), str(found["generation"]), str(mark))

    def put(self, key: str, data: Buffer, condition: Condition | None, mark: str) -> str:
        return self._written(self.send(*_whole(self, key, data, condition, mark), again=_contended), key)

    def swap(self, key: str, data: Buffer, condition: Condition | None) -> str:
        answer = settled(self.send(*_whole(self, key, data, condition, ""), once=True))
        return told(self._written(answer, key))

    def _written(self, answer: Response, key: str) -> str:
        if answer.status == 200:
            return _generation(answer)
        if answer.status == 412:
            raise TakenError
        if answer.status == 409:
            raise ContendedError
        raise self.refusal(answer, key)

    def delete(self, keys: Sequence[str]) -> None:
        each(self._delete, keys)

    def _delete(self, key: str) -> None:
        answer = self.send("DELETE", self.objects(key))
        if answer.status not in (200, 204) and not self.lacks(answer):
            raise self.refusal(answer, key)

    def list(self, prefix: str) -> Iterator[Entry]:
        query = (("prefix", prefix), ("fields", "items(name,size,updated),nextPageToken"))
        following = ""
        while True:
            more = (("pageToken", following),) if following else ()
            answer = self.send("GET", self.objects(), query + more)
            if answer.status != 200:
                raise self.refusal(answer, prefix)
            page = _parsed(answer.body)
            with understood(f"{self.url}/{prefix}"):
                found = [_entry(item) for item in page.get("items") or ()]
            yield from found
            following = str(page.get("nextPageToken") or "")
            if not following:
                return

    def upload(self, key: str, mark: str, *, replace: bool = False) -> GCSUpload:
        about = json.dumps({"name": key, "metadata": {_MARK: mark}}).encode()
        query: _Query = (("uploadType", "resumable"), ("name", key))
        query += () if replace else (("ifGenerationMatch", "0"),)
        answer = self.send(
            "POST", self.objects(upload=True), query, {"Content-Type": "application/json"}, about
        )
        if answer.status == 412:
            raise TakenError
        with understood(f"{self.url}/{key}"):
            location = urlsplit(answer.headers.get("location", ""))
        if answer.status not in (200, 201) or not location.path:
            raise self.refusal(answer, key)
        # Its path only: credentials go to our own server, whatever the header says.
        session = tuple(parse_qsl(location.query, keep_blank_values=True))
        return GCSUpload(self, key, mark, (location.path, session))

    def tries(self) -> Iterator[int]:
        return self._backoff.tries()


class GCSUpload(Upload):
    """A resumable upload: parts go one after the other, and nothing is billed until it is finished."""

    parallel: ClassVar[bool] = False

    def __init__(self, bucket: GCSBucket, key: str, mark: str, session: tuple[str, _Query]) -> None:
        self._bucket = bucket
        self._key = key
        self._mark = mark
        self._path, self._query = session
        self._at = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def part(self, number: int, data: Buffer) -> None:
        del number
        with harmless():
            self._send(flat(data), "*")

    def finish(self, number: int, last: Buffer) -> None:
        del number
        view = flat(last)
        self._send(view, str(self._at + view.nbytes))

    def _send(self, data: memoryview, total: str) -> None:
        """Send; after a broken connection go on from what the server has got."""
        self._md5.update(data)
        start, end = self._at, self._at + data.nbytes
        for _ in self._bucket.tries():
            rest = data[self._at - start :]
            span = f"bytes {self._at}-{end - 1}/{total}" if rest.nbytes else f"bytes */{total}"
            try:
                answer = self._put(span, rest, once=True)
            except LostError:
                answer = self._put(f"bytes */{total}", b"", once=False)
            if answer.status == 412:
                raise TakenError
            if answer.status in (200, 201):
                self._check(answer)
            elif answer.status in (404, 410):
                if total != "*" and self._made(end):
                    return
                raise StorageError("the store ended the upload", file=f"{self._bucket.url}/{self._key}")
            elif answer.status != 308:
                raise self._bucket.refusal(answer, self._key)
            self._at = end if answer.status != 308 else _received(answer)
            if not start <= self._at <= end:
                break
            if self._at == end and (total == "*" or answer.status != 308):
                return
        raise UnsettledError("the store did not take a part", file=f"{self._bucket.url}/{self._key}")

    def _put(self, span: str, data: Buffer, *, once: bool) -> Response:
        return self._bucket.send("PUT", self._path, self._query, {"Content-Range": span}, data, once=once)

    def _made(self, size: int) -> bool:
        """Whether the object is there, for when the session ended and its last answer was lost."""
        found = self._bucket.head(self._key)
        return found is not None and (found.mark, found.size) == (self._mark, size)

    def _check(self, answer: Response) -> None:
        """Compare what the store says that it has with what was sent."""
        found = _parsed(answer.body).get("md5Hash")
        if found is not None and found != b64encode(self._md5.digest()).decode():
            raise StorageError(
                "the store has other bytes than were sent", file=f"{self._bucket.url}/{self._key}"
            )

    def abort(self) -> None:
        answer = self._bucket.send("DELETE", self._path, self._query)
        if answer.status not in (200, 204, 404, 410, 499):  # 499 is how GCS says "cancelled"
            raise self._bucket.refusal(answer, self._key)


def _whole(
    bucket: GCSBucket, key: str, data: Buffer, condition: Condition | None, mark: str
) -> tuple[str, str, _Query, dict[str, str], bytes]:
    """The request that makes an object at once: what it is about and its content, in one body."""
    content = flat(data)
    md5 = b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    about = {"name": key, "md5Hash": md5, "metadata": {_MARK: mark}}
    border = os.urandom(16).hex()
    body = b"".join(
        [
            f"--{border}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode(),
            json.dumps(about).encode(),
            f"\r\n--{border}\r\nContent-Type: application/octet-stream\r\n\r\n".encode(),
            content,
            f"\r\n--{border}--\r\n".encode(),
        ]
    )
    query: _Query = (("uploadType", "multipart"),)
    if condition is not None:
        query += (("ifGenerationMatch", condition.token or "0"),)
    return (
        "POST",
        bucket.objects(upload=True),
        query,
        {"Content-Type": f"multipart/related; boundary={border}"},
        body,
    )


def _entry(item: dict[str, Any]) -> Entry:
    modified = datetime.fromisoformat(item["updated"]).timestamp()
    return Entry(str(item["name"]), int(item["size"]), modified)


def _contended(answer: Response) -> bool:
    return answer.status == 409


def _received(answer: Response) -> int:
    """How many bytes the server has: ``Range: bytes=0-N`` or no header at all."""
    found = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("range", ""))
    return int(found[1]) + 1 if found else 0


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise StorageError("the store's answer is not the JSON that was expected")
    return found


def _generation(answer: Response) -> str:
    try:
        return str(_parsed(answer.body).get("generation", ""))
    except StorageError:
        return ""


def _said(body: bytes) -> tuple[str, str]:
    try:
        error = _parsed(body).get("error")
    except StorageError:
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    errors = error.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    reason = first.get("reason", "") if isinstance(first, dict) else ""
    return str(reason), str(error.get("message", ""))
