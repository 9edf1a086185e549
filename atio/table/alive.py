"""Rows of a data file without those that are deleted."""

from __future__ import annotations

import pyarrow as pa

from atio.formats.plan import rows_only
from atio.metadata import vectors
from atio.metadata.objects import Objects
from atio.metadata.vectors import Vector
from atio.model.snapshot import DataFile


def living(objects: Objects, file: DataFile, table: pa.Table) -> pa.Table:
    """The rows of a whole file that are not deleted."""
    vector = vectors.load(objects, file)
    return table if vector is None else without(table, vector, 0)


def without(table: pa.Table, vector: Vector, start: int) -> pa.Table:
    """The rows of a part of a file, which begins at ``start``, that are not deleted."""
    return picked(table, vector.alive(start, table.num_rows))


def picked(table: pa.Table, mask: pa.BooleanArray) -> pa.Table:
    """The rows where ``mask`` is true, of a table that may have no columns."""
    from atio.predicate.keep import kept

    if not table.num_columns:
        return rows_only(mask.true_count)
    return table if mask.true_count == len(mask) else kept(table, mask)
