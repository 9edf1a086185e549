"""Small pieces of rows together, until they are worth encoding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import pyarrow as pa

T = TypeVar("T", pa.Table, pa.RecordBatch)


def gathered(pieces: Iterable[T], rows: int, size: int) -> Iterator[list[T]]:
    """Yield the pieces in order, as many at once as make ``rows`` rows or ``size`` bytes, or the rest.

    Nothing of what was yielded is held while more is gathered.
    """
    held: list[T] = []
    have_rows = have_bytes = 0
    for piece in pieces:
        held.append(piece)
        have_rows += piece.num_rows
        have_bytes += piece.nbytes
        if have_rows >= rows or have_bytes >= size:
            yield held
            held, have_rows, have_bytes = [], 0, 0
    if held:
        yield held
