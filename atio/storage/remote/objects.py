"""A folder in a bucket as a storage: what to make of lost answers, conditions and ranges."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from atio.errors import AtioError, InputError, NotFoundError, ResponseLostError, StorageError
from atio.model.paths import check_path
from atio.storage.base import Buffer, Cache, Capabilities, Entry, Storage, Value
from atio.storage.failures import conflict
from atio.storage.files import flat
from atio.storage.pages import in_large_pages
from atio.storage.parallel import each
from atio.storage.remote.bucket import Bucket, Condition, ContendedError, Part, TakenError
from atio.storage.remote.messages import LostError
from atio.storage.remote.probe import probe
from atio.storage.remote.upload import BucketSink, ReplacingSink, make_new

T = TypeVar("T")

_LARGE = 32 << 20
"""Bytes: up to here one request reads or writes an object; beyond, several at once."""
_RANGE = 8 << 20
_READERS = 4
_MAX_VALUE = 64 << 20


class ObjectStorage(Storage):
    """A folder in a bucket.

    Parameters
    ----------
    bucket
        Who speaks to the store.
    folder
        In the bucket; "" is the bucket itself.
    single_writer
        Promise that nobody else writes, for a server that heeds no conditions.
    cache
        Where to keep metadata on this machine.
    """

    def __init__(
        self, bucket: Bucket, folder: str = "", *, single_writer: bool = False, cache: Cache | None = None
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{_checked(folder)}/" if folder else ""
        self._single = single_writer
        self._proven = bucket.proven
        self._cache = cache

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    def url(self) -> str:
        return f"{self._bucket.url}/{self._prefix}".rstrip("/")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(swap=not self._single, durable=True, lock=False, leases=False, parallel=True)

    @property
    def cache(self) -> Cache | None:
        return self._cache

    @property
    def identity(self) -> str:
        return f"{self._bucket.server} {self.url}"

    def _key(self, path: str) -> str:
        return self._prefix + _checked(path)

    def _file(self, key: str) -> str:
        return f"{self._bucket.url}/{key}"

    # -- objects that are written once -----------------------------------------------------

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if offset < 0 or (length is not None and length < 0):
            raise InputError(f"cannot read {length} bytes at {offset}", file=path)
        key = self._key(path)
        if length == 0:
            self.size(path)  # Of nothing there is nothing.
            return b""
        wanted = _LARGE if length is None else length
        stop = offset + (wanted if wanted <= _LARGE else _RANGE)
        first = self._found(key, self._bucket.get(key, offset, stop))
        end = first.size if length is None else min(first.size, offset + length)
        return first.data if end <= stop else self._read_on(key, first, offset, end)

    def _read_on(self, key: str, first: Part, offset: int, end: int) -> bytes:
        """The rest of a long range, in pieces at once, each written to its place."""
        # BytesIO hands its buffer out as bytes without another copy.
        whole = io.BytesIO(bytes(end - offset))
        with whole.getbuffer() as view:
            in_large_pages(view)
            view[: len(first.data)] = first.data

            def fetch(start: int) -> None:
                stop = min(start + _RANGE, end)
                with view[start - offset : stop - offset] as into:
                    found = self._found(key, self._bucket.get(key, start, stop, into=into))
                if found.token != first.token:
                    raise StorageError("it was replaced while it was read", file=self._file(key))

            each(fetch, range(offset + len(first.data), end, _RANGE), _READERS)
        return whole.getvalue()

    def read_into(self, path: str, offset: int, into: memoryview) -> None:
        key = self._key(path)
        found = self._found(key, self._bucket.get(key, offset, offset + len(into), into=into))
        if not found.token:
            raise StorageError("it ends early", file=self._file(key))

    def pieces(self, path: str) -> Iterator[bytes]:
        key = self._key(path)
        part = first = self._found(key, self._bucket.get(key, 0, _RANGE))
        start = 0
        while part.data:
            yield part.data
            start += len(part.data)
            if start >= first.size:
                return
            part = self._found(key, self._bucket.get(key, start, start + _RANGE))
            if part.token != first.token:
                raise StorageError("it was replaced while it was read", file=self._file(key))

    def size(self, path: str) -> int:
        key = self._key(path)
        return self._found(key, self._bucket.head(key)).size

    def _found(self, key: str, found: T | None) -> T:
        if found is None:
            raise NotFoundError(
                "no such object",
                file=self._file(key),
                hint="if it was cleaned up meanwhile, open the table again",
            )
        return found

    def create(self, path: str, data: Buffer) -> None:
        key, view = self._key(path), flat(data)
        if view.nbytes > _LARGE:
            sink = self.sink(path)
            try:
                sink.write(view)
                sink.close()
            finally:
                sink.abort()
            return
        mark = os.urandom(8).hex()
        make_new(self._bucket, key, mark, lambda: self._bucket.put(key, view, Condition(None), mark))

    def create_all(self, objects: Mapping[str, Buffer]) -> None:
        each(lambda item: self.create(*item), list(objects.items()))

    def sink(self, path: str) -> BucketSink:
        return BucketSink(self._bucket, self._key(path))

    def replacement(self, path: str) -> ReplacingSink:
        """Write the new content of an object, or a new one, piece by piece; the last to close wins."""
        return ReplacingSink(self._bucket, self._key(path))

    def delete(self, paths: Iterable[str]) -> None:
        if keys := [self._key(path) for path in paths]:
            self._bucket.delete(list(dict.fromkeys(keys)))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """List all objects but for those that consoles make to show empty folders."""
        folder = prefix.removesuffix("/")
        return self._entries(f"{self._key(folder)}/" if folder else self._prefix)

    def _entries(self, prefix: str) -> Iterator[Entry]:
        for entry in self._bucket.list(prefix):
            if not entry.path.endswith("/"):
                yield Entry(entry.path.removeprefix(self._prefix), entry.size, entry.modified)

    # -- the one object that is replaced ---------------------------------------------------

    def load(self, path: str) -> Value | None:
        key = self._key(path)
        found = self._bucket.get(key, 0, _MAX_VALUE)
        if found is not None and not found.token:
            found = self._empty(key)  # Of nothing no range can be sent, and so no token.
        if found is None:
            return None
        if found.size != len(found.data):
            raise StorageError(f"has {found.size} bytes, too many to be swapped", file=self._file(key))
        return Value(found.data, found.token)

    def _empty(self, key: str) -> Part | None:
        facts = self._bucket.head(key)
        if facts is not None and facts.size:
            return self._bucket.get(key, 0, _MAX_VALUE)  # It was replaced meanwhile.
        return None if facts is None else Part(b"", facts.token, 0)

    def swap(self, path: str, data: Buffer, expected: str | None) -> str:
        """See :meth:`Storage.swap`; the first one tries out whether the server heeds conditions."""
        key, view = self._key(path), flat(data)
        condition = None if self._single else Condition(expected)
        if self._single:
            self._compare(path, key, expected)
        elif expected is None and not self._proven:
            probe(self._bucket, self._prefix)
            self._proven = True
        try:
            return self._bucket.swap(key, view, condition)
        except LostError as error:
            raise self._lost(key, str(error)) from None
        except (TakenError, ContendedError):
            return self._mine(path, key, view, expected)

    def _mine(self, path: str, key: str, data: memoryview, expected: str | None) -> str:
        """After a refusal: the token, if what is there is what we wrote; else ``ConflictError``.

        A proxy may send a request twice (nginx does after a time-out), and pass on the second answer.
        """
        try:
            now = self.load(path)
        except AtioError as error:
            raise self._lost(key, f"it was refused, and looking why failed: {error.message}") from None
        if now is not None and now.data == data:
            return now.token
        if (None if now is None else now.token) == expected:
            raise self._lost(key, "it was refused, and what it was to replace is there")
        raise conflict(self._file(key), expected=expected, found=now is not None)

    def _lost(self, key: str, why: str) -> ResponseLostError:
        return ResponseLostError(
            f"the write may or may not have taken effect: {why}",
            file=self._file(key),
            hint="read it and look for your own commit before writing again; remove nothing until then",
        )

    def _compare(self, path: str, key: str, expected: str | None) -> None:
        """What a server that heeds no conditions cannot do; enough for who is alone."""
        now = self.load(path)
        if (None if now is None else now.token) != expected:
            raise conflict(self._file(key), expected=expected, found=now is not None)

    def probe(self) -> None:
        """Try out whether the server heeds conditions; done by itself before a table is created.

        Raises
        ------
        UnsupportedError
            It does not: concurrent writers would overwrite each other's commits.
        """
        probe(self._bucket, self._prefix)


def _checked(path: str) -> str:
    try:
        return check_path(path)
    except ValueError as error:
        raise InputError(str(error)) from None
