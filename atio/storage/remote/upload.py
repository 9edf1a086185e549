"""A new object in a bucket, written piece by piece in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from atio.errors import (
    AtioError,
    ExistsError,
    InputError,
    OutcomeUnknownError,
    StorageError,
    UnsupportedError,
)
from atio.storage.base import Buffer
from atio.storage.files import flat
from atio.storage.remote.bucket import Bucket, Condition, ContendedError, Facts, TakenError, Upload
from atio.storage.remote.failures import UnsettledError

if TYPE_CHECKING:
    from concurrent.futures import Future

PART = 8 << 20
_GROWS = 1000
"""Parts after which they double: 10,000 is the most that S3 takes, and 8 MiB each would end at 80 GB."""
_UNDER_WAY = 4
_ROUNDS = 5
"""How often an object is looked at that others keep replacing, before it is replaced all the same."""


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
    """A new object. Parts are sent while more is written: at most six of them are in memory."""

    _replaces: ClassVar[bool] = False

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
        self._parts = _Parts(self._bucket.upload(self._key, self._mark, replace=self._replaces))

    def close(self) -> None:
        if self._state == "closed":
            return
        if self._state != "open":
            raise StorageError("was given up: nothing was written", file=self._file)
        try:
            self._finish()
        except BaseException:
            self.abort()
            raise
        self._state = "closed"
        self._gathered = bytearray()

    def _finish(self) -> None:
        make_new(self._bucket, self._key, self._mark, lambda: self._send(Condition(None)))

    def _send(self, condition: Condition | None) -> None:
        if self._parts is None:
            self._bucket.put(self._key, self._gathered, condition, self._mark)
        else:
            self._parts.finish(self._gathered)

    def abort(self) -> None:
        if self._state == "open":
            self._state = "given up"
            self._gathered = bytearray()
            if self._parts is not None:
                self._parts.abort()


class ReplacingSink(BucketSink):
    """The new content of an object, whether there is an old one or not; the last to close wins.

    A request that comes late must not undo what came after it. One that completes parts cannot, since it
    does so once; one that is the whole object is conditional on what it replaces.
    """

    _replaces = True

    def _finish(self) -> None:
        for _ in range(_ROUNDS if self._parts is None else 0):
            found = self._bucket.head(self._key)
            if self._is_mine(found):
                return
            condition = Condition(None if found is None else found.token)
            try:
                self._settled(condition)
            except (TakenError, ContendedError):
                continue  # Another's is there now; or ours, from an attempt whose answer was lost.
            except UnsupportedError:
                break
            return
        self._settled(None)

    def _settled(self, condition: Condition | None) -> None:
        """Send, and look what is there if no answer tells."""
        try:
            self._send(condition)
        except UnsettledError as error:
            self._look(error.message)
        except (TakenError, ContendedError):
            if condition is not None:
                raise
            self._look("the upload is gone")

    def _look(self, why: str) -> None:
        with suppress(AtioError):
            if self._is_mine(self._bucket.head(self._key)):
                return
        raise OutcomeUnknownError(
            f"it may or may not have been replaced: {why}",
            file=self._file,
            hint="read it before writing again",
        )

    def _is_mine(self, found: Facts | None) -> bool:
        return found is not None and found.mark == self._mark


class _Parts:
    """The parts of one upload, a few of them under way."""

    def __init__(self, upload: Upload) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._upload = upload
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
