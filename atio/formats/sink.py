"""The caller's :class:`~atio.formats.base.Out` as the file object pyarrow writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from atio.formats.base import Out
from atio.formats.errors import encoding


class Sink:
    """Forwards writes; keeps the owner's error, and the last bytes (Parquet's footer length).

    pyarrow's writers finish their file when they are collected. A file given up on must not reach
    the owner's handle again, so ``detach`` turns later writes into nothing. A ``silent`` sink keeps the
    owner's error to itself until the end of :func:`writing`, for encoders that abort the process on it.
    """

    closed = False

    def __init__(self, out: Out, *, silent: bool = False) -> None:
        self._out: Out | None = out
        self._silent = silent
        self.error: BaseException | None = None
        self.size = 0
        self.tail = b""

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self._out is None:
            return size
        try:
            self._out.write(data)
        except BaseException as error:
            # pyarrow keeps the type but not always the object: the owner gets its own back.
            self.error = error
            self._out = None
            if self._silent:
                return size
            raise
        self.size += size
        self.tail = (self.tail + bytes(memoryview(data)[-8:]))[-8:]
        return size

    def detach(self) -> None:
        self._out = None

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """The owner flushes."""

    def close(self) -> None:
        """The owner closes."""


@contextmanager
def writing(name: str, sink: Sink) -> Iterator[None]:
    """A file that failed is not finished, and the owner's own error is the one to see."""
    try:
        with encoding(name):
            yield
    except BaseException:
        sink.detach()
        if sink.error is None:
            raise
    if sink.error is not None:
        raise sink.error
