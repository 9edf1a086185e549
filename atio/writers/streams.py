"""Streams that only go forward, between libraries that write and whatever takes the bytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol, cast

_BUFFER = 1 << 18


class Taker(Protocol):
    """Takes bytes, all of them or an error."""

    def write(self, data: Any, /) -> object: ...


def buffered(raw: io.RawIOBase) -> BinaryIO:
    """Return the stream with a buffer, for libraries that write in small pieces."""
    return cast("BinaryIO", io.BufferedWriter(raw, _BUFFER))


class Forward(io.RawIOBase):
    """Something that takes bytes, as a stream: some claim that they can seek, or close what is not theirs.

    Attributes
    ----------
    size
        Bytes that went through.
    error
        What went wrong first: libraries may say something else.
    """

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self.size = 0
        self.error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        try:
            self._taker.write(data)
        except BaseException as error:
            self.error = self.error or error
            raise
        count = memoryview(data).nbytes
        self.size += count
        return count


class Hashing:
    """Passes bytes on and hashes them, where what was written cannot be read before it is there."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: Any, /) -> None:
        view = memoryview(data).cast("B")
        self._taker.write(view)
        self._digest.update(view)
        self.size += view.nbytes

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class Pieces(io.RawIOBase):
    """Pieces of bytes as a file to read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
