"""A new object in a bucket, written piece by piece in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from atio.errors import AtioError, ExistsError, InputError, StorageError
from atio.storage.base import Buffer
from atio.storage.files import flat
from atio.storage.remote.bucket import Bucket, Condition, ContendedError, TakenError

if TYPE_CHECKING:
    from concurrent.futures import Future

PART = 8 << 20
_GROWS = 1000
"""Parts after which they double: 10,000 is the most that S3 takes, and 8 MiB each would end at 80 GB."""
_UNDER_WAY = 4


def make_new(bucket: Bucket, key: str, mark: str, make: Callable[[], object]) -> None:
    """Make an object that is not there yet, whatever happens to the answers on the way.

    A repeated request can meet the object that its first attempt made: the mark tells it from another's.

    Raises
    ------
    ExistsError
        Another's is there.
    """
    try:
        make()
    except TakenError:
        found = bucket.head(key)
        if found is None:
            raise StorageError("what was sent is gone", file=f"{bucket.url}/{key}") from None
        if found.mark != mark:
            raise ExistsError(
                "is there already",
                file=f"{bucket.url}/{key}",
                hint="files are written once: choose a new name",
            ) from None
    except ContendedError:
        raise StorageError(
            "another writer is making it", file=f"{bucket.url}/{key}", hint="choose a new name"
        ) from None


class BucketSink:
    """Parts are sent while more is written: at most six of them are in memory."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._file = f"{bucket.url}/{key}"
        self._mark = os.urandom(8).hex()
        self._gathered = bytearray()
        self._parts: _Parts | None = None
        self._state = "open"

    def write(self, data: Buffer, /) -> int:
        if self._state != "open":
            raise InputError(f"cannot write: the sink is {self._state}", file=self._file)
        view = flat(data)
        try:
            for start in range(0, view.nbytes, PART):
                self._take(view[start : start + PART])
        except BaseException:
            self.abort()
            raise
        return view.nbytes

    def _take(self, piece: memoryview) -> None:
        # A full part waits until there is more, since the last one is sent in another way.
        room = (self._parts.size if self._parts else PART) - len(self._gathered)
        self._gathered += piece[:room]
        if piece.nbytes > room:
            full, self._gathered = self._gathered, bytearray(piece[room:])
            if self._parts is None:
                make_new(self._bucket, self._key, self._mark, self._begin)
            assert self._parts is not None
            self._parts.send(full)

    def _begin(self) -> None:
        self._parts = _Parts(self._bucket, self._key, self._mark)

    def close(self) -> None:
        if self._state == "closed":
            return
        if self._state != "open":
            raise StorageError("was given up: nothing was written", file=self._file)
        try:
            make_new(self._bucket, self._key, self._mark, self._finish)
        except BaseException:
            self.abort()
            raise
        self._state = "closed"
        self._gathered = bytearray()

    def _finish(self) -> None:
        if self._parts is None:
            self._bucket.put(self._key, self._gathered, Condition(None), self._mark)
        else:
            self._parts.finish(self._gathered)

    def abort(self) -> None:
        if self._state == "open":
            self._state = "given up"
            self._gathered = bytearray()
            if self._parts is not None:
                self._parts.abort()


class _Parts:
    """The parts of one upload, a few of them under way."""

    def __init__(self, bucket: Bucket, key: str, mark: str) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._upload = bucket.upload(key, mark)
        self._pool = ThreadPoolExecutor(_UNDER_WAY if self._upload.parallel else 1)
        self._under_way: deque[Future[None]] = deque()
        self._sent = 0

    @property
    def size(self) -> int:
        """Of the part that is gathered now, in bytes."""
        return PART << (self._sent // _GROWS)

    def send(self, data: bytearray) -> None:
        if len(self._under_way) >= _UNDER_WAY:
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._upload.part, self._sent, data))
        self._sent += 1

    def finish(self, last: bytearray) -> None:
        while self._under_way:
            self._under_way.popleft().result()
        self._pool.shutdown()
        self._upload.finish(self._sent, last)

    def abort(self) -> None:
        # Only when no part is under way any more does an abort find them all.
        self._pool.shutdown(cancel_futures=True)
        with suppress(AtioError, TakenError, ContendedError):
            self._upload.abort()
