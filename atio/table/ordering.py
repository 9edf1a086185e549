"""What rows are sorted by: columns, or a curve through several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import pyarrow as pa
from pyarrow import types as pt

from atio.errors import InputError, meant
from atio.schema.bound import BoundSchema
from atio.schema.read import plain

SortBy = str | Sequence[str | tuple[str, str]]

_DIRECTIONS = ("ascending", "descending")
_SAMPLE = 2**16
"""Rows whose values tell the ranks of all."""
_BITS = 63
_COLUMN_BITS = 16

Keys = Callable[[pa.Table], list[pa.ChunkedArray]]


class Ordering(msgspec.Struct, frozen=True):
    """Columns to sort by, with directions; ``curve``: by the Z-order curve through all of them."""

    columns: tuple[str, ...]
    directions: tuple[str, ...]
    curve: bool = False

    def keys(self, schema: BoundSchema, rows: int, read: Callable[[], Iterable[pa.Table]]) -> Keys:
        """What makes the keys of a table.

        Parameters
        ----------
        rows, read
            How many rows there are, and what reads the columns of all of them (for a curve).
        """
        if not self.curve:
            return lambda table: self.sortables(table, schema)
        columns = (_sortables(table, self.columns, schema) for table in read())
        curve = _Curve(self.columns, schema, _sampled(columns, rows))
        return lambda table: [curve.places(table)]

    def sortables(self, table: pa.Table, schema: BoundSchema) -> list[pa.ChunkedArray]:
        """The columns, of types that Arrow sorts as their values are ordered."""
        return [_sortable(table.column(name), name, schema) for name in self.columns]

    @property
    def key_directions(self) -> tuple[str, ...]:
        return ("ascending",) if self.curve else self.directions


def ordering(
    sort_by: SortBy | None, zorder_by: str | Sequence[str] | None, schema: BoundSchema
) -> Ordering | None:
    """The order that was asked for, checked; None for that of the rows."""
    if sort_by is not None and zorder_by is not None:
        raise InputError("sort_by and zorder_by are two orders", hint="give one of them")
    name, asked = ("sort_by", sort_by) if zorder_by is None else ("zorder_by", zorder_by)
    if asked is None:
        return None
    pairs = list(_pairs(name, asked))
    if not pairs:
        raise InputError(f"{name} has no columns")
    known = schema.arrow.names
    for column, direction in pairs:
        if column not in known:
            raise InputError(
                f"{name}: there is no column {column!r}", hint=meant(column, known), column=column
            )
        if direction not in _DIRECTIONS or (name == "zorder_by" and direction != "ascending"):
            raise InputError(f"{name}: {direction!r} is no direction", hint="'ascending' or 'descending'")
        empty = pa.chunked_array([], schema.public.field(column).type)
        _sortable(empty, column, schema)
    columns = tuple(column for column, _ in pairs)
    if len(set(columns)) < len(columns):
        raise InputError(f"{name} has a column twice")
    if name == "zorder_by" and len(columns) > _BITS:
        raise InputError(f"zorder_by has {len(columns)} columns; it can have {_BITS}")
    return Ordering(columns, tuple(direction for _, direction in pairs), curve=name == "zorder_by")


def _pairs(name: str, asked: object) -> Iterator[tuple[str, str]]:
    if isinstance(asked, str):
        asked = [asked]
    if not isinstance(asked, Sequence):
        raise InputError(f"{name} is {asked!r}; it is a list of columns")
    for one in asked:
        if isinstance(one, str):
            yield one, "ascending"
        elif isinstance(one, tuple | list) and len(one) == 2 and all(isinstance(part, str) for part in one):
            yield one[0], one[1]
        else:
            raise InputError(f"{name}: {one!r} is no column", hint='write "a" or ("a", "descending")')


def _sortable(column: pa.ChunkedArray, name: str, schema: BoundSchema) -> pa.ChunkedArray:
    """The column as a type that Arrow sorts as its values are ordered."""
    import pyarrow.compute as pc

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        chunks = [chunk.storage for chunk in column.chunks]
        return _sortable(pa.chunked_array(chunks, kind.storage_type), name, schema)
    if pt.is_run_end_encoded(kind):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        return _sortable(pa.chunked_array(chunks, kind.value_type), name, schema)
    if pt.is_dictionary(kind):
        if kind.ordered and name in schema.categories:  # Ordered categories say what comes first.
            return pa.chunked_array([chunk.indices for chunk in column.chunks], kind.index_type)
        values = _sortable(pa.chunked_array([], kind.value_type), name, schema)
        chunks = [_decoded(chunk, name, schema) for chunk in column.chunks]
        return pa.chunked_array(chunks, values.type)
    if pt.is_float16(kind):
        return column.cast(pa.float32())
    if pt.is_decimal(kind) and kind.bit_width < 128:
        return column.cast(pa.decimal128(kind.precision, kind.scale))
    if pt.is_string_view(kind) or pt.is_binary_view(kind):
        return pa.chunked_array([plain(chunk) for chunk in column.chunks], plain(pa.array([], kind)).type)
    if pt.is_nested(kind) or pt.is_interval(kind):
        raise InputError(f"column {name!r} is {kind}, which has no order", column=name)
    return column


def _sortables(table: pa.Table, names: Sequence[str], schema: BoundSchema) -> pa.Table:
    columns = [_sortable(table.column(name), name, schema) for name in names]
    return pa.Table.from_arrays(columns, names=list(names))


def _decoded(chunk: pa.DictionaryArray, name: str, schema: BoundSchema) -> pa.Array:
    values = _sortable(pa.chunked_array([chunk.dictionary]), name, schema)
    return values.combine_chunks().take(chunk.indices)


def _sampled(tables: Iterable[pa.Table], rows: int) -> pa.Table:
    """Every so-manyth row."""
    step = max(1, -(-rows // _SAMPLE))
    found: list[pa.Table] = []
    at = 0
    for table in tables:
        first = -at % step
        places = pa.array(range(first, table.num_rows, step), pa.int64())
        found.append(table.take(places))
        at += table.num_rows
    return pa.concat_tables(found)


class _Curve:
    """Z-order: the bits of the columns' ranks, interleaved. Ranks are those among a sample."""

    def __init__(self, columns: Sequence[str], schema: BoundSchema, sample: pa.Table) -> None:
        self._columns = columns
        self._schema = schema
        self._sample = sample.columns
        self._bits = min(_COLUMN_BITS, _BITS // len(columns))

    def places(self, table: pa.Table) -> pa.ChunkedArray:
        """Where on the curve each row is."""
        import pyarrow.compute as pc

        columns = _sortables(table, self._columns, self._schema).columns
        ranks = [self._rank(*pair) for pair in zip(self._sample, columns, strict=True)]
        place = pa.repeat(pa.scalar(0, pa.int64()), table.num_rows)
        one = pa.scalar(1, pa.int64())
        for bit in reversed(range(self._bits)):
            for rank in ranks:
                found = pc.bit_wise_and(pc.shift_right(rank, pa.scalar(bit, pa.int64())), one)
                place = pc.bit_wise_or(pc.shift_left(place, one), found)
        return pa.chunked_array([place])

    def _rank(self, sample: pa.ChunkedArray, column: pa.ChunkedArray) -> pa.Array:
        """How much of the sample is not above each value, in as many steps as there are bits for."""
        import pyarrow.compute as pc

        whole = pa.chunked_array([*sample.chunks, *column.chunks], sample.type)
        both = pa.Table.from_arrays([whole], names=["x"])
        order = pc.sort_indices(both.combine_chunks(), sort_keys=[("x", "ascending")])
        # The sort is stable: a value comes behind its equals of the sample.
        counts = pc.cumulative_sum(pc.less(order, pa.scalar(len(sample), order.type)).cast(pa.int64()))
        back = pc.sort_indices(order)
        ranks = counts.take(back.slice(len(sample)))
        return pc.divide(pc.multiply(ranks, 2**self._bits - 1), pa.scalar(len(sample), pa.int64()))
