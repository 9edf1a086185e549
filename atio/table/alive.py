"""Rows of a data file without those that are deleted."""

from __future__ import annotations

import os

import pyarrow as pa

from atio.formats.plan import rows_only
from atio.metadata.vectors import Vector

_PIECE = 2**18
"""Rows that one thread picks at once."""


def without(table: pa.Table, vector: Vector, start: int) -> pa.Table:
    """The rows of a part of a file, which begins at ``start``, that are not deleted."""
    return picked(table, vector.alive(start, table.num_rows))


def picked(table: pa.Table, mask: pa.BooleanArray) -> pa.Table:
    """The rows where ``mask`` is true, of a table that may have no columns."""
    from atio.predicate.keep import kept

    if not table.num_columns:
        return rows_only(mask.true_count)
    if len(mask) <= _PIECE or mask.true_count == len(mask):
        return kept(table, mask)
    from concurrent.futures import ThreadPoolExecutor

    starts = range(0, len(mask), _PIECE)
    with ThreadPoolExecutor(min(len(starts), os.cpu_count() or 1)) as pool:
        parts = pool.map(lambda at: kept(table.slice(at, _PIECE), mask.slice(at, _PIECE)), starts)
        return pa.concat_tables(list(parts))
