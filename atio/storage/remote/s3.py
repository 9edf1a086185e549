"""Amazon S3 and servers that speak its language."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, unquote_plus

from atio.errors import AtioError, InputError, StorageError
from atio.storage.backoff import Backoff
from atio.storage.base import Buffer, Entry
from atio.storage.remote import xml
from atio.storage.remote.answers import AnsweringBucket, span, understood
from atio.storage.remote.aws import Anonymous, Keys, SignatureV4, find_endpoint, find_keys
from atio.storage.remote.bucket import Condition, ContendedError, Facts, Part, TakenError, Upload
from atio.storage.remote.client import Client, settled, told
from atio.storage.remote.connections import connections
from atio.storage.remote.failures import harmless, refusal
from atio.storage.remote.messages import Endpoint, Line, Request, Response
from atio.storage.remote.options import Options, endpoint, line

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MARK = "x-amz-meta-atio-write"
_BULK = 1000
_ROUNDS = 5
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_EXTRAS = {
    "ACL": "x-amz-acl",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "CacheControl": "Cache-Control",
    "ContentType": "Content-Type",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
}
"""What s3fs calls ``s3_additional_kwargs``."""


class S3Bucket(AnsweringBucket):
    """One bucket.

    Parameters
    ----------
    keys
        Asked before every request; None signs nothing.
    server
        Of a compatible store; None is Amazon.
    extras
        Headers of requests that make objects.
    always
        Headers of all requests.
    virtual
        Whether the bucket's name is part of the host's.
    """

    def __init__(
        self,
        name: str,
        keys: Callable[[], Keys] | None,
        *,
        region: str | None = None,
        server: Endpoint | None = None,
        line: Line | None = None,
        backoff: Backoff | None = None,
        extras: Mapping[str, str] | None = None,
        always: Mapping[str, str] | None = None,
        virtual: bool | None = None,
    ) -> None:
        if not _BUCKET.fullmatch(name):
            raise InputError("the URL names no bucket", hint="write s3://bucket/path")
        if not _REGION.fullmatch(region or "us-east-1"):
            raise InputError(f"{region!r} is no region")
        self._name = name
        self._keys = keys
        self._server = server
        self._line = line or Line()
        self._backoff = backoff or Backoff()
        self._extras = dict(extras or {})
        self._always = dict(always or {})
        # A dot would be another level of names, which the certificate does not cover.
        self._virtual = (server is None and "." not in name) if virtual is None else virtual
        self._connect(region or "us-east-1")

    @classmethod
    def open(cls, name: str, options: Options, backoff: Backoff | None = None) -> S3Bucket:
        """From ``storage_options`` as s3fs takes them, and AWS_* variables."""
        url = options.text(
            "endpoint_url", "endpoint", "aws_endpoint_url", "aws_endpoint", "aws_endpoint_url_s3"
        )
        url = url or options.environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") or find_endpoint(options)
        keys, region = find_keys(options)
        extras = {}
        for word, value in options.mapping("s3_additional_kwargs").items():
            if word not in _EXTRAS:
                raise InputError(f"s3_additional_kwargs may not say {word!r}")
            extras[_EXTRAS[word]] = str(value).lower() if isinstance(value, bool) else str(value)
        payer = options.flag("requester_pays", "request_payer")
        style = options.mapping("s3").get("addressing_style")
        virtual = options.flag("virtual_hosted_style_request", "aws_virtual_hosted_style_request")
        return cls(
            name,
            keys,
            region=region,
            server=endpoint(url, options) if url else None,
            line=line(options),
            backoff=backoff,
            extras=extras,
            always={"x-amz-request-payer": "requester"} if payer else {},
            virtual={"path": False, "virtual": True}.get(str(style), virtual),
        )

    @property
    def proven(self) -> bool:
        return self._server is None

    @property
    def url(self) -> str:
        return f"s3://{self._name}"

    def _connect(self, region: str) -> None:
        place = self._server or Endpoint("https", f"s3.{region}.amazonaws.com", 443, "")
        if self._virtual and self._server is None:
            place = Endpoint("https", f"{self._name}.{place.host}", 443, "")
        self._region = region
        self._path = place.path if self._virtual else f"{place.path}/{self._name}"
        signer = SignatureV4(self._keys, region) if self._keys else Anonymous()
        self._client = Client(connections(place, self._line), signer, self._backoff)

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
        again: Callable[[Response], bool] = lambda _: False,
    ) -> Response:
        """Send; if the bucket turns out to be in another region, once more to there."""
        for _ in range(2):
            path = f"{self._path}/{quote(key, safe='/-_.~')}" if key is not None else self._path or "/"
            request = Request(method, path, query, {**self._always, **(headers or {})}, body)
            client = self._client
            if once:
                answer = client.send_once(request)
            else:
                answer = client.send(request, into=into, limit=limit, again=again)
            region = answer.headers.get("x-amz-bucket-region", "")
            if self._server is not None or answer.status not in (301, 307, 400):
                break
            if region == self._region or not _REGION.fullmatch(region):
                break
            self._connect(region)
        return answer

    def refusal(self, answer: Response, key: str) -> AtioError:
        return refusal(answer, f"{self.url}/{key}", xml.said(answer.body), self._client.redact)

    def lacks(self, answer: Response) -> bool:
        return answer.status == 404 and xml.said(answer.body)[0] != "NoSuchBucket"

    # -- objects -----------------------------------------------------------------------------

    def get(self, key: str, start: int, stop: int, *, into: memoryview | None = None) -> Part | None:
        answer = self.send("GET", key, headers=span(start, stop), into=into, limit=stop - start)
        return self.part(answer, key, start, "etag")

    def head(self, key: str) -> Facts | None:
        return self.facts(self.send("HEAD", key), key, _MARK)

    def put(self, key: str, data: Buffer, condition: Condition | None, mark: str) -> str:
        headers = {**self._extras, **_conditions(condition), _MARK: mark}
        return self._written(self.send("PUT", key, (), headers, data, again=_contended), key, condition)

    def swap(self, key: str, data: Buffer, condition: Condition | None) -> str:
        headers = {**self._extras, **_conditions(condition)}
        answer = settled(self.send("PUT", key, (), headers, data, once=True))
        return told(self._written(answer, key, condition))

    def _written(self, answer: Response, key: str, condition: Condition | None) -> str:
        if answer.status == 200:
            return answer.headers.get("etag", "")
        if condition is not None and (answer.status == 412 or (condition.token and self.lacks(answer))):
            raise TakenError
        if answer.status == 409:
            raise ContendedError
        raise self.refusal(answer, key)

    def delete(self, keys: Sequence[str]) -> None:
        """In thousands; what the store could not just now is asked for again."""
        spellable = [key for key in keys if key.isprintable()]
        for key in set(keys).difference(spellable):  # XML cannot say every name
            answer = self.send("DELETE", key)
            if answer.status not in (200, 204, 404):
                raise self.refusal(answer, key)
        for start in range(0, len(spellable), _BULK):
            left = spellable[start : start + _BULK]
            for _ in range(_ROUNDS):
                left = self._delete_some(left)
                if not left:
                    break
            else:
                raise StorageError("the store keeps failing to delete", file=f"{self.url}/{left[0]}")

    def _delete_some(self, keys: list[str]) -> list[str]:
        objects = "".join(f"<Object><Key>{xml.escaped(key)}</Key></Object>" for key in keys)
        body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
        digest = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        answer = self.send("POST", None, (("delete", ""),), {"Content-MD5": digest}, body)
        if answer.status != 200:
            raise self.refusal(answer, keys[0])
        again = []
        for error in xml.children(xml.parsed(answer.body), "Error"):
            key, code = xml.text(error, "Key"), xml.text(error, "Code")
            if code in ("InternalError", "SlowDown", "ServiceUnavailable"):
                again.append(key)
            elif code == "AccessDenied":
                raise refusal(Response(403, {}, b""), f"{self.url}/{key}", (code, ""))
            elif code != "NoSuchKey":
                raise StorageError(f"the store did not delete it: {code:.100}", file=f"{self.url}/{key}")
        return again

    def list(self, prefix: str) -> Iterator[Entry]:
        query = (("encoding-type", "url"), ("list-type", "2"), ("prefix", prefix))
        following = ""
        while True:
            more = (("continuation-token", following),) if following else ()
            answer = self.send("GET", None, query + more)
            if answer.status != 200:
                raise self.refusal(answer, prefix)
            root = xml.parsed(answer.body)
            with understood(f"{self.url}/{prefix}"):
                found = [_entry(item) for item in xml.children(root, "Contents")]
            yield from found
            following = xml.text(root, "NextContinuationToken")
            if not following:
                return

    def upload(self, key: str, mark: str, *, replace: bool = False) -> S3Upload:
        answer = self.send("POST", key, (("uploads", ""),), {**self._extras, _MARK: mark})
        if answer.status != 200:
            raise self.refusal(answer, key)
        identity = xml.text(xml.parsed(answer.body), "UploadId")
        if not identity:
            raise StorageError("the store gave the upload no id", file=f"{self.url}/{key}")
        return S3Upload(self, key, identity, {} if replace else _conditions(Condition(None)))


class S3Upload(Upload):
    """A multipart upload. Its parts are billed until it is finished or aborted."""

    parallel: ClassVar[bool] = True

    def __init__(self, bucket: S3Bucket, key: str, identity: str, conditions: Mapping[str, str]) -> None:
        self._bucket = bucket
        self._key = key
        self._conditions = conditions
        self._identity = ("uploadId", identity)
        self._tags: dict[int, str] = {}

    def part(self, number: int, data: Buffer) -> None:
        query = (("partNumber", str(number + 1)), self._identity)
        with harmless():
            answer = self._bucket.send("PUT", self._key, query, {}, data)
            if answer.status != 200:
                raise self._bucket.refusal(answer, self._key)
        self._tags[number] = answer.headers.get("etag", "")

    def finish(self, number: int, last: Buffer) -> None:
        self.part(number, last)
        parts = "".join(
            f"<Part><PartNumber>{number + 1}</PartNumber><ETag>{xml.escaped(tag)}</ETag></Part>"
            for number, tag in sorted(self._tags.items())
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self._bucket.send(
            "POST", self._key, (self._identity,), self._conditions, body, again=_failed_late
        )
        if answer.status == 200 and not _failed_late(answer):
            return
        if answer.status == 412 or xml.said(answer.body)[0] == "NoSuchUpload":
            raise TakenError
        raise self._bucket.refusal(answer, self._key)

    def abort(self) -> None:
        answer = self._bucket.send("DELETE", self._key, (self._identity,))
        if answer.status not in (200, 204, 404):
            raise self._bucket.refusal(answer, self._key)


def _conditions(condition: Condition | None) -> dict[str, str]:
    if condition is None:
        return {}
    return {"If-None-Match": "*"} if condition.token is None else {"If-Match": condition.token}


def _entry(item: Element) -> Entry:
    return Entry(
        unquote_plus(xml.text(item, "Key")),
        int(xml.text(item, "Size")),
        datetime.fromisoformat(xml.text(item, "LastModified")).timestamp(),
    )


def _contended(answer: Response) -> bool:
    return answer.status == 409


def _failed_late(answer: Response) -> bool:
    """Success by status, failure by content: it was said before the parts were put together."""
    return answer.status == 200 and xml.said(answer.body)[0] != ""
