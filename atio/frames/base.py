"""What every kind of input becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import pyarrow as pa

from atio.errors import InputError


class RangeIndex(msgspec.Struct, frozen=True):
    """A pandas ``RangeIndex``: row labels that follow from arithmetic and are never stored as a column.

    ``name`` is the name as text; a name that is no string is restored from the schema's metadata.
    """

    start: int
    stop: int
    step: int
    name: str | None = None

    def __len__(self) -> int:
        return len(range(self.start, self.stop, self.step))


class Incoming(msgspec.Struct, frozen=True):
    """Data on their way into a table.

    Attributes
    ----------
    schema
        Types, field metadata, the user's schema metadata and normalised pandas metadata.
    tables
        The rows, once. Each table has exactly ``schema``, except from iterators: there the first item fixes
        ``schema``, later items are brought to it where only the encoding differs (an all-null column, string
        and large string) and come unchanged otherwise, for the table to conform or refuse. May yield nothing
        when there are no rows.
    rows
        How many rows will come, when known beforehand.
    index
        A pandas ``RangeIndex`` other than 0, 1, 2, …; None for streams, whose end is not known.
    streamed
        The source is consumed lazily; memory stays bounded as long as the consumer keeps it so.
    """

    schema: pa.Schema
    tables: Iterator[pa.Table]
    rows: int | None
    index: RangeIndex | None = None
    streamed: bool = False

    @classmethod
    def of(cls, table: pa.Table, index: RangeIndex | None = None) -> Incoming:
        """Wrap one table that is in memory."""
        return cls(table.schema, iter((table,)), table.num_rows, index)


def merge_index(a: RangeIndex | None, rows_a: int, b: RangeIndex | None, rows_b: int) -> RangeIndex | None:
    """Return the row labels of ``a``'s rows followed by ``b``'s.

    Contiguous ranges of one step and name are joined; no rows change nothing; otherwise the labels cannot be
    said by arithmetic and the result is None, the default 0, 1, 2, ….
    """
    if rows_a == 0 or rows_b == 0:
        return b if rows_a == 0 else a
    left = RangeIndex(0, rows_a, 1) if a is None else a
    right = RangeIndex(0, rows_b, 1) if b is None else b
    if (left.step, left.name) != (right.step, right.name) or right.start != left.start + rows_a * left.step:
        return None
    joined = RangeIndex(left.start, right.stop, left.step, left.name)
    return None if joined == RangeIndex(0, rows_a + rows_b, 1) else joined


def check_names(names: list[str]) -> None:
    """Refuse names that occur twice."""
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise InputError(
            f"duplicate column names: {', '.join(map(repr, twice[:10]))}",
            column=twice[0],
            hint="rename the columns so that each name occurs once",
        )


def with_metadata(table: pa.Table, metadata: dict[bytes, bytes] | None) -> pa.Table:
    """Replace the schema's metadata; pyarrow's own way forgets the rows of a table without columns."""
    if table.num_columns:
        return table.replace_schema_metadata(metadata)
    return pa.Table.from_batches(table.to_batches(), schema=pa.schema([], metadata=metadata))


def empty_columns(rows: int) -> pa.Table:
    """Build a table of ``rows`` rows and no columns, which ``pa.table`` cannot say."""
    struct = pa.StructArray.from_arrays([], fields=[], mask=pa.repeat(False, rows))
    return pa.Table.from_batches([pa.RecordBatch.from_struct_array(struct)])
