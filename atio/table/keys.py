"""Rows by their keys: the values of one column, or of several together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from atio.columns import scalar
from atio.errors import ConflictError, InputError
from atio.predicate.bound import Bound, Field, Op, Value
from atio.predicate.load import load
from atio.predicate.tree import Column, IsNull, Not, both
from atio.predicate.types import family, loaded, plain
from atio.schema.bound import BoundSchema

_SHOWN = 5
_CLOSE = 8
"""Numbers between the least and the greatest, for each value, up to which a table of them is worth it."""
_SPARSE = 8
"""Ascending numbers, for each one that is sought, from which on it is worth to search for it."""


def check_key(names: Sequence[str], schema: pa.Schema) -> None:
    """Raise unless these columns can tell rows apart.

    Raises
    ------
    InputError
        One is not there, is named twice, or has values that are not simply equal or not.
    """
    if not names or len(set(names)) < len(names):
        raise InputError(f"{list(names)!r} is no key", hint="name one column, or several, each once")
    for name in names:
        if name not in schema.names:
            raise InputError(
                f"there is no column {name!r}",
                column=name,
                hint=f"columns are {', '.join(schema.names[:20])}",
            )
        kind = schema.field(name).type
        if family(plain(kind)) in (None, "null", "float"):
            raise InputError(
                f"column {name!r} is {kind}, which cannot be a key",
                column=name,
                hint="integers, decimals, text, binary values, dates, times and booleans can",
            )


class Keys:
    """The keys of new rows: unique, and without nulls.

    Parameters
    ----------
    rows
        The key's columns, of the table's types.

    Raises
    ------
    InputError
        Showing keys that two rows have, or rows without one.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.names = rows.column_names
        self._rows = rows
        self._check_nulls()
        columns = [_plain(column) for column in rows.columns]
        self.values = [_distinct(column) for column in columns]
        """By column, its distinct values, sorted."""
        self._codes: list[pa.Array] = []
        """By column but the first, distinct codes of the columns so far."""
        if len(columns) == 1 and len(self.values[0]) == rows.num_rows:
            return
        codes = None
        for column, distinct in zip(columns, self.values, strict=True):
            places = _place(column, distinct)
            if codes is not None:
                places = _paired(codes, places, len(distinct))
                self._codes.append(places.unique())
                places = _place(places, self._codes[-1])
            codes = places
        assert codes is not None
        self._check_unique(codes)

    @property
    def rows(self) -> pa.Table:
        """The key's columns."""
        return self._rows

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    def places(self, table: pa.Table) -> pa.Array:
        """For each row a number that its key alone has among these; null for a key that is none of them."""
        codes = None
        for number, (name, distinct) in enumerate(zip(self.names, self.values, strict=True)):
            places = _place(_plain(table.column(name)), distinct)
            if codes is not None:
                places = _place(_paired(codes, places, len(distinct)), self._codes[number - 1])
            codes = places
        return codes

    def matches(self, table: pa.Table) -> pa.BooleanArray:
        """Which rows have one of these keys."""
        import pyarrow.compute as pc

        if len(self.names) > 1:
            return self.places(table).is_valid()
        found = _plain(table.column(self.names[0]))
        distinct = self.values[0]
        if len(distinct) == 1:
            return pc.fill_null(pc.equal(found, distinct[0]), scalar(False, pa.bool_()))
        if pa.types.is_integer(found.type):
            return _dense(found, distinct)
        return pc.is_in(found, value_set=distinct)

    def condition(self, bound: BoundSchema) -> Bound:
        """The condition that a row has one of these keys."""
        for name in self.names:
            if name not in bound.public.names:
                raise ConflictError(f"another commit took the column {name!r} away meanwhile", column=name)
        parts: list[Value] = []
        for name, distinct in zip(self.names, self.values, strict=True):
            kind = bound.public.field(name).type
            if loaded(kind) != distinct.type:
                raise ConflictError(f"another commit changed the column {name!r} meanwhile", column=name)
            field = Field((name,), (), kind, loaded(kind))
            parts.append(Op("in", (field,), pa.bool_(), distinct))
        root = parts[0] if len(parts) == 1 else Op("and", tuple(parts), pa.bool_())
        tree = both(*(Not(IsNull(Column((name,)))) for name in self.names))
        return _HasKey(tree, root, self)

    def shown(self, rows: pa.Table) -> str:
        """Some keys, for messages."""
        return ", ".join(_shown(row) for row in rows.select(self.names).slice(0, _SHOWN).to_pylist())

    def _check_nulls(self) -> None:
        for name, column in zip(self.names, self._rows.columns, strict=True):
            if column.null_count:
                row = column.is_null().index(True).as_py()
                raise InputError(
                    f"row {row} has no key: {name!r} is null there",
                    column=name,
                    hint="fill or drop the rows without a key",
                )

    def _check_unique(self, codes: pa.Array) -> None:
        import pyarrow.compute as pc

        if len(codes.unique()) == len(codes):
            return
        counts = codes.value_counts()
        often = counts.field(0).filter(pc.greater(counts.field(1), 1))
        first = pc.index_in(often.slice(0, _SHOWN), value_set=codes)
        shown = self.shown(self._rows.take(first))
        many = f"{len(often)} keys are" if len(often) > 1 else "1 key is"
        raise InputError(
            f"{many} there more than once in the data, such as {shown}",
            column=self.names[0],
            hint="keep one row of each key",
        )


class WithoutKey(Bound, frozen=True, eq=False, dict=True):
    """The condition that a row has none of these keys; nothing can be skipped."""

    keys: Keys

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.keys.names)

    def evaluate(self, table: pa.Table | pa.RecordBatch) -> pa.BooleanArray:
        import pyarrow.compute as pc

        return pc.invert(self.keys.matches(table))


class _HasKey(Bound, frozen=True, eq=False, dict=True):
    """Decided by a look-up; what it may skip is decided column by column."""

    keys: Keys

    def __repr__(self) -> str:
        return f"key in {len(self.keys)} rows"

    def evaluate(self, table: pa.Table | pa.RecordBatch) -> pa.BooleanArray:
        return self.keys.matches(table)


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    return load(whole)


def _distinct(values: pa.Array) -> pa.Array:
    """Each value once, in order."""
    import pyarrow.compute as pc

    found = values.take(pc.array_sort_indices(values))
    new = pc.not_equal(found[:-1], found[1:])
    return found if new.true_count == len(new) else pa.concat_arrays([found[:1], found[1:].filter(new)])


def _place(values: pa.Array, distinct: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.index_in(values, value_set=distinct, skip_nulls=True).cast(pa.int64())


def _dense(values: pa.Array, distinct: pa.Array) -> pa.BooleanArray:
    """``pc.is_in`` of integers: where they lie close together, by a table of all numbers in between."""
    import pyarrow.compute as pc

    if not pa.types.is_unsigned_integer(values.type):
        values, distinct = values.cast(pa.int64()), distinct.cast(pa.int64())
    if _is_ascending(values):
        start, end = pc.search_sorted(distinct, pa.concat_arrays([values[:1], values[-1:]])).to_pylist()
        if _SPARSE * (end - start) < len(values):
            return _found(values, distinct[start : end + 1])
    bounds = pc.min_max(values)
    lower, upper = bounds["min"], bounds["max"]
    if not lower.is_valid or upper.as_py() - lower.as_py() >= _CLOSE * len(values):
        return pc.is_in(values, value_set=distinct)
    inside = distinct.filter(pc.and_(pc.greater_equal(distinct, lower), pc.less_equal(distinct, upper)))
    if not len(inside):
        return pa.repeat(False, len(values))
    last = upper.as_py() - lower.as_py()
    places = pc.subtract(inside, lower).cast(pa.int64())
    there = pc.inverse_permutation(places, max_index=last).is_valid()
    hits = there.take(pc.subtract(values, lower))
    return pc.fill_null(hits, False) if hits.null_count else hits


def _is_ascending(values: pa.Array) -> bool:
    """Whether each is greater than the one before, and Arrow (from 26 on) can make use of that."""
    import pyarrow.compute as pc

    if values.null_count or not hasattr(pc, "search_sorted"):
        return False
    return bool(pc.all(pc.less(values[:-1], values[1:])).as_py())


def _found(values: pa.Array, sought: pa.Array) -> pa.BooleanArray:
    """Which of the ascending values are among the ascending ones sought; only their last may be greater."""
    import pyarrow.compute as pc

    places = pc.search_sorted(values, sought).cast(pa.int64())
    last = len(values) - 1
    if len(sought) and places[-1].as_py() > last:
        places, sought = places[:-1], sought[:-1]
    hits = places.filter(pc.equal(values.take(places), sought))
    return pc.inverse_permutation(hits, max_index=last).is_valid()


def _paired(first: pa.Array, second: pa.Array, many: int) -> pa.Array:
    """One number for two: both are below 2³¹, as rows of one frame are."""
    import pyarrow.compute as pc

    return pc.add(pc.multiply(first, many), second)


def _shown(row: dict[str, Any]) -> str:
    if len(row) == 1:
        return repr(next(iter(row.values())))
    return "(" + ", ".join(f"{name}={value!r}" for name, value in row.items()) + ")"
