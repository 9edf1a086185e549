"""Where a file's bytes come from."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from atio.storage.pages import in_large_pages

_GAP = 2**20
"""Bytes between two ranges that cost less than another request."""

# Windows knows no flags.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


class Sparse:
    """A file that is elsewhere: ranges of it are fetched into memory when they are asked for.

    Every byte has its address from the start; memory is taken by what was fetched.

    Parameters
    ----------
    fetch
        Fills pieces of memory with what stands at these places, all at once.
    """

    def __init__(self, size: int, fetch: Callable[[list[tuple[int, memoryview]]], None]) -> None:
        self.size = size
        memory = mmap.mmap(-1, size, **_PRIVATE)
        self.buffer: pa.Buffer = pa.py_buffer(memory)
        self._view = memoryview(memory)
        in_large_pages(self._view)
        self._fetch = fetch

    def put(self, start: int, data: bytes) -> None:
        """Put in what was fetched already."""
        self._view[start : start + len(data)] = data

    def fetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch these (start, end), which are in order."""
        self._fetch([(start, self._view[start:end]) for start, end in _joined(ranges)])


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in ranges:
        if found and start - found[-1][1] <= _GAP:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


@contextmanager
def opened(source: pa.Buffer | str | Sparse) -> Iterator[pa.NativeFile]:
    """The bytes in memory, or the local file, as a file that is closed at the end.

    Local files are not mapped into memory: a disk's error would kill the process instead of
    raising, and reading is as fast.
    """
    if isinstance(source, str):
        file = pa.OSFile(source)
    else:
        file = pa.BufferReader(source.buffer if isinstance(source, Sparse) else source)
    try:
        yield file
    finally:
        file.close()
