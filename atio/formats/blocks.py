"""Hashes of a file's blocks, kept in the file's own footer: what vouches for a part of it.

Parquet's page checksums are over the pages' bytes and not over their headers: a flipped bit in a header can
take rows away, or end a list early, and no checksum tells. So whoever reads some columns verifies the blocks
that they lie in. The footer has its hash in the table's metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import xxhash

from atio.errors import DamagedError
from atio.formats.base import Out

KEY = b"atio.blocks"
"""Of the footer's metadata; the value is ``<bytes of a block> <bytes covered> <hash> <hash> …``."""
_SIZE = 2**18


class HashingOut:
    """Passes on what is written, and hashes every block of it."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._hash = xxhash.xxh3_64()
        self._size = 0
        self._hashes: list[str] = []

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        start = 0
        while start < len(view):
            piece = view[start : start + _SIZE - self._size % _SIZE]
            self._hash.update(piece)
            start += len(piece)
            self._size += len(piece)
            if self._size % _SIZE == 0:
                self._hashes.append(self._hash.hexdigest())
                self._hash.reset()
        return self._out.write(data)

    def listed(self) -> bytes:
        """The hashes of what was written so far, for the footer."""
        last = [self._hash.hexdigest()] if self._size % _SIZE else []
        return " ".join([str(_SIZE), str(self._size), *self._hashes, *last]).encode()


class Blocks:
    """The blocks of an open file. Each is verified once.

    Parameters
    ----------
    fetch
        Called with the ranges of blocks before they are read.
    """

    def __init__(
        self,
        file: pa.NativeFile,
        listed: bytes,
        fetch: Callable[[Iterable[tuple[int, int]]], None] = lambda _: None,
    ) -> None:
        self._file = file
        self._fetch = fetch
        try:
            size, covered, *hashes = listed.decode("ascii").split(" ")
            self._size, self._covered = int(size), int(covered)
        except ValueError:
            raise _unreadable() from None
        if self._size < 1 or self._covered > file.size() or len(hashes) != -(-self._covered // self._size):
            raise _unreadable()
        self._unseen = dict(enumerate(hashes))
        self._count = len(hashes)

    def check(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Raise ``DamagedError`` unless these bytes (start, end) are what was written."""
        wanted = sorted({number for span in ranges for number in self._numbers(*span)})
        self._fetch(self._place(number) for number in wanted)
        for number in wanted:
            if self._unseen.pop(number) != self._hash(number):
                block = f"block {number + 1} of {self._count}"
                raise DamagedError(
                    f"it is not what was written: the checksum of {block} differs",
                    hint="run verify() to see the extent, repair() to return to the last intact version",
                )

    def _numbers(self, start: int, end: int) -> Iterable[int]:
        """Of the blocks that these bytes lie in, those that were not verified yet."""
        if not 0 <= start <= end <= self._covered:
            raise _unreadable()
        return (n for n in range(start // self._size, -(-end // self._size)) if n in self._unseen)

    def _place(self, number: int) -> tuple[int, int]:
        return number * self._size, min((number + 1) * self._size, self._covered)

    def _hash(self, number: int) -> str:
        start, end = self._place(number)
        return xxhash.xxh3_64_hexdigest(self._file.read_at(end - start, start))


def chunks(metadata: Any, leaves: Iterable[int], groups: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Where the column chunks of a Parquet file lie: start and end of each."""
    chosen = list(leaves)
    for number in groups:
        group = metadata.row_group(number)
        for leaf in chosen:
            column = group.column(leaf)
            starts = (column.data_page_offset, column.dictionary_page_offset)
            start = min(offset for offset in starts if offset is not None)
            yield start, start + column.total_compressed_size


def _unreadable() -> DamagedError:
    return DamagedError("its list of blocks does not fit the file")
