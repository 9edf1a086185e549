"""Which files can have matching rows, and which match whole, from statistics alone.

Vectorised over the files: every step is one kernel call for all of them. What is not known counts as
possible, so a wrong answer can only be one file too many, never one too few.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as pt

from atio.columns import column, scalar
from atio.predicate.arrow import cast
from atio.predicate.bound import Bound, Const, Field, Op, Value
from atio.predicate.load import load
from atio.predicate.tree import Path
from atio.predicate.types import family, loaded, plain

Mask = Any
"""A boolean Arrow array without nulls, one element a file, or a scalar for all files."""
_FEW = 64
"""Needles up to which looking one by one is faster."""
_YES, _NO = scalar(True, pa.bool_()), scalar(False, pa.bool_())
_ZERO, _ONE = scalar(0, pa.int64()), scalar(1, pa.int64())


class ColumnBounds(msgspec.Struct, frozen=True, eq=False):
    """Statistics of one leaf column, an array a kind, one element a file; None or null where unknown.

    Attributes
    ----------
    lower, upper
        ``lower`` ≤ every value ≤ ``upper``, of the values that are neither null nor NaN: of the column's
        type, or as ``spec/manifest.md`` stores bounds of it.
    nulls, nans
        Counts. A field of a null struct counts as null.
    """

    lower: pa.Array | None = None
    upper: pa.Array | None = None
    nulls: pa.Array | None = None
    nans: pa.Array | None = None


class Transform(Protocol):
    """What makes partitions of values, equal and ordered where these are."""

    def apply(self, column: pa.ChunkedArray) -> pa.Array: ...


class Statistics(Protocol):
    """Of files, of row groups, or of anything else that has rows."""

    @property
    def rows(self) -> pa.Array:
        """How many rows each has (int64, no nulls)."""

    def column(self, path: Path) -> ColumnBounds | None:
        """What is known of a leaf column by its path; asked only for columns of the condition."""


def may_match(condition: Bound, statistics: Statistics) -> pa.BooleanArray:
    """The files that may have a row for which the condition is true: False means surely none."""
    return _may(_Pruner(statistics).outcomes(condition.root), statistics)


def matches(condition: Bound, statistics: Statistics) -> tuple[pa.BooleanArray, pa.BooleanArray]:
    """``may_match``, and the files of which every row surely matches (so those without rows, too)."""
    found = _Pruner(statistics).outcomes(condition.root)
    possible = _any(found.false, found.null)
    surely = _whole(_any(pc.invert(possible), pc.equal(statistics.rows, _ZERO)), statistics)
    return _may(found, statistics), surely


def _may(found: Outcomes, statistics: Statistics) -> pa.BooleanArray:
    return _whole(_all(found.true, pc.greater(statistics.rows, _ZERO)), statistics)


def _whole(mask: Mask, statistics: Statistics) -> pa.BooleanArray:
    if isinstance(mask, pa.Scalar):
        return pa.repeat(mask, len(statistics.rows))
    return mask.combine_chunks() if isinstance(mask, pa.ChunkedArray) else mask


# -- what may be -------------------------------------------------------------------------------


class Outcomes(msgspec.Struct, frozen=True, eq=False):
    """Whether a condition may come out true, false, or null, of some row."""

    true: Mask
    false: Mask
    null: Mask


class Range(msgspec.Struct, frozen=True, eq=False):
    """Where the values of an expression may be.

    ``low`` and ``high`` (None: unknown) bound those that are neither null nor NaN; ``some``: there may be
    such values; ``nan``, ``null``: there may be those.
    """

    low: Any
    high: Any
    some: Mask
    nan: Mask
    null: Mask


# What is decided for all files at once costs no kernel: most columns have no NaN, and most bounds are known.


def _all(*masks: Mask) -> Mask:
    if any(mask is _NO for mask in masks):
        return _NO
    return reduce(pc.and_, [mask for mask in masks if mask is not _YES] or [_YES])


def _any(*masks: Mask) -> Mask:
    if any(mask is _YES for mask in masks):
        return _YES
    return reduce(pc.or_, [mask for mask in masks if mask is not _NO] or [_NO])


def _known(values: Any, otherwise: pa.Scalar) -> Any:
    has_nulls = not values.is_valid if isinstance(values, pa.Scalar) else values.null_count
    return pc.fill_null(values, otherwise) if has_nulls else values


def _surely(test: Callable[[Any, Any], Mask], left: Any, right: Any) -> Mask:
    """Whether a comparison of bounds holds; what is not known does not."""
    if left is None or right is None:
        return _NO
    return _known(test(left, right), _NO)


class _Pruner:
    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._ranges: dict[Path, Range] = {}

    # -- conditions --------------------------------------------------------------------------

    def outcomes(self, value: Value) -> Outcomes:
        if not isinstance(value, Op) or value.name not in _RULES:
            return _boolean(self.range(value))
        return _RULES[value.name](self, value)

    def logic(self, op: Op) -> Outcomes:
        parts = [self.outcomes(arg) for arg in op.args]
        if op.name == "not":
            (part,) = parts
            return Outcomes(part.false, part.true, part.null)
        trues, falses = [part.true for part in parts], [part.false for part in parts]
        if op.name == "and":
            true, false, through = _all(*trues), _any(*falses), trues
        else:
            true, false, through = _any(*trues), _all(*falses), falses
        # Null comes out where one is null, and no other decides.
        rest = [_any(part.null, other) for part, other in zip(parts, through, strict=True)]
        return Outcomes(true, false, _all(_any(*(part.null for part in parts)), *rest))

    def compare(self, op: Op) -> Outcomes:
        left, right = (self.range(arg) for arg in op.args)
        if op.name in ("eq", "ne"):
            found = _equal(left, right)
        elif op.name in ("lt", "ge"):
            found = _less(left, right)
        else:
            found = _less(right, left)
        if op.name in ("ne", "ge", "le"):
            return Outcomes(found.false, found.true, found.null)
        return found

    def is_null(self, op: Op) -> Outcomes:
        (arg,) = op.args
        if isinstance(arg, Op) and arg.name in _RULES:
            found = self.outcomes(arg)
            return Outcomes(found.null, _any(found.true, found.false), _NO)
        where = self.range(arg)
        return Outcomes(where.null, _any(where.some, where.nan), _NO)

    def is_nan(self, op: Op) -> Outcomes:
        where = self.range(op.args[0])
        return Outcomes(where.nan, where.some, where.null)

    def known(self, op: Op) -> Outcomes:
        where = self.range(op.args[0])
        present = _any(where.some, where.nan)
        return Outcomes(present, _NO, where.null) if op.option else Outcomes(_NO, present, where.null)

    def member(self, op: Op) -> Outcomes:
        where = self.range(op.args[0])
        if not len(op.option):
            return Outcomes(_NO, _any(where.some, where.nan), where.null)
        if where.low is None or where.high is None or isinstance(where.low, pa.Scalar):
            return Outcomes(where.some, _any(where.some, where.nan), where.null)
        if len(op.option) == 1 and not pt.is_floating(op.option.type):
            return _equal(where, _constant(op.option[0]))
        values = _ascending(_comparable(op.option))
        # The least value not below the lower bound: only if it is not above the upper one is any inside.
        place = _lower_bound(values, where.low)
        least = values.take(pc.if_else(pc.less(place, _count(values)), place, scalar(None, pa.int64())))
        outside = _any(pc.is_null(least), _surely(pc.greater, least, where.high))
        only = _all(_surely(pc.equal, where.low, where.high), _surely(pc.equal, where.low, least))
        true = _all(where.some, pc.invert(outside))
        return Outcomes(true, _any(where.nan, _all(where.some, pc.invert(only))), where.null)

    def like(self, op: Op) -> Outcomes:
        """Of a pattern's beginning: cut to its length, bounds keep their order."""
        where = self.range(op.args[0])
        prefix = op.option.prefix
        if not prefix or where.low is None or where.high is None or isinstance(where.low, pa.Scalar):
            return Outcomes(where.some, where.some, where.null)
        low, high = (pc.utf8_slice_codeunits(bound, 0, len(prefix)) for bound in (where.low, where.high))
        sought = scalar(prefix, low.type)
        none = _any(_surely(pc.greater, low, sought), _surely(pc.less, high, sought))
        every = _NO
        if op.option.shape[0] == "starts":
            every = _all(_surely(pc.equal, low, sought), _surely(pc.equal, high, sought))
        return Outcomes(_all(where.some, pc.invert(none)), _all(where.some, pc.invert(every)), where.null)

    # -- values ------------------------------------------------------------------------------

    def range(self, value: Value) -> Range:
        if isinstance(value, Const):
            return _constant(value.value)
        if isinstance(value, Field):
            if value.path not in self._ranges:
                self._ranges[value.path] = self._column(value)
            return self._ranges[value.path]
        if value.name in _RULES:
            return _truth(self.outcomes(value))
        if value.name == "cast":
            return _converted(self.range(value.args[0]), value.args[0].type, value.type)
        if value.name == "part":
            return _parted(self.range(value.args[0]), value.option)
        nan = _YES if pt.is_floating(value.type) else _NO
        return Range(None, None, _YES, nan, _YES)

    def _column(self, field: Field) -> Range:
        rows = self._statistics.rows
        leaf = not pt.is_nested(plain(field.kind))
        stats = (self._statistics.column(field.path) if leaf else None) or ColumnBounds()
        low, high = (_bounds(bound, field) for bound in (stats.lower, stats.upper))
        nulls, nans = stats.nulls, stats.nans
        null = _YES if nulls is None else _known(pc.greater(nulls, _ZERO), _YES)
        if not pt.is_floating(field.type):
            nan, counted = _NO, _ZERO
        elif nans is None:
            nan, counted = _YES, _ZERO
        else:
            nan, counted = _known(pc.greater(nans, _ZERO), _YES), _known(nans, _ZERO)
        if nulls is None:
            return Range(low, high, _YES, nan, null)
        filled = pc.subtract(rows, _known(nulls, _ZERO))
        return Range(low, high, pc.greater(filled, counted), _all(nan, pc.greater(filled, _ZERO)), null)


_RULES: dict[str, Callable[[_Pruner, Op], Outcomes]] = {
    "and": _Pruner.logic,
    "or": _Pruner.logic,
    "not": _Pruner.logic,
    "is_null": _Pruner.is_null,
    "is_nan": _Pruner.is_nan,
    "known": _Pruner.known,
    "in": _Pruner.member,
    "like": _Pruner.like,
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), _Pruner.compare),
}


# -- comparing ranges --------------------------------------------------------------------------


def _less(left: Range, right: Range) -> Outcomes:
    both = _all(left.some, right.some)
    true = _all(both, pc.invert(_surely(pc.greater_equal, left.low, right.high)))
    false = _all(both, pc.invert(_surely(pc.less, left.high, right.low)))
    # NaN is above everything else, and not above itself.
    return Outcomes(
        _any(true, _all(left.some, right.nan)),
        _any(false, _all(left.nan, _any(right.some, right.nan))),
        _any(left.null, right.null),
    )


def _equal(left: Range, right: Range) -> Outcomes:
    both = _all(left.some, right.some)
    apart = _any(_surely(pc.less, left.high, right.low), _surely(pc.less, right.high, left.low))
    one = _all(
        _surely(pc.equal, left.low, left.high),
        _surely(pc.equal, right.low, right.high),
        _surely(pc.equal, left.low, right.low),
    )
    return Outcomes(
        _any(_all(both, pc.invert(apart)), _all(left.nan, right.nan)),
        _any(_all(both, pc.invert(one)), _all(left.nan, right.some), _all(left.some, right.nan)),
        _any(left.null, right.null),
    )


def _boolean(where: Range) -> Outcomes:
    """A boolean column as a condition."""
    true = _all(where.some, pc.invert(_surely(pc.equal, where.high, scalar(0, pa.uint8()))))
    false = _all(where.some, pc.invert(_surely(pc.equal, where.low, scalar(1, pa.uint8()))))
    return Outcomes(true, false, where.null)


def _truth(found: Outcomes) -> Range:
    """A condition as a boolean value."""
    low, high = pc.invert(found.false).cast(pa.uint8()), found.true.cast(pa.uint8())
    return Range(low, high, _any(found.true, found.false), _NO, found.null)


def _ascending(values: pa.Array) -> pa.Array:
    """The values sorted, which they may be already; there are no nulls among them."""
    in_order = pc.all(pc.less_equal(values[:-1], values[1:])).as_py()
    return values if in_order is not False else values.take(pc.sort_indices(values))


def _lower_bound(values: pa.Array, needles: pa.Array) -> pa.Array:
    """How many of the sorted values are below each needle, none for null: a binary search of all at once."""
    if len(needles) <= _FEW and not pt.is_temporal(values.type):
        return column([_below(values, needle.as_py()) for needle in needles], pa.int64())
    place, count = pa.repeat(_ZERO, len(needles)), _count(values)
    step = 1 << (len(values).bit_length() - 1)
    while step:
        further = pc.add(place, scalar(step, pa.int64()))
        inside = pc.less_equal(further, count)
        probe = values.take(pc.subtract(pc.min_element_wise(further, count), _ONE))
        place = pc.if_else(_all(inside, _surely(pc.less, probe, needles)), further, place)
        step //= 2
    return place


def _count(values: pa.Array) -> pa.Scalar:
    return scalar(len(values), pa.int64())


def _below(values: pa.Array, needle: Any) -> int:
    return 0 if needle is None else bisect_left(_Plain(values), needle)  # What is unknown excludes nothing.


class _Plain(Sequence[Any]):
    """An array as Python values, each made when it is looked at."""

    def __init__(self, values: pa.Array) -> None:
        self._values = values

    def __getitem__(self, place: Any) -> Any:
        return self._values[place].as_py()

    def __len__(self) -> int:
        return len(self._values)


# -- bounds ------------------------------------------------------------------------------------


def _constant(scalar: pa.Scalar) -> Range:
    if not scalar.is_valid:
        return Range(None, None, _NO, _NO, _YES)
    bound = _comparable(scalar)
    if pt.is_floating(scalar.type) and bound.as_py() != bound.as_py():
        return Range(None, None, _NO, _YES, _NO)
    return Range(bound, bound, _YES, _NO, _NO)


def _bounds(found: pa.Array | None, field: Field) -> Any:
    """Bounds of a column as its values are compared; None if they are of no use."""
    if found is None or family(field.type) in (None, "null"):
        return None
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    try:
        return _comparable(_restored(found, plain(field.kind)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return None


def _restored(found: pa.Array, kind: pa.DataType) -> pa.Array:
    """Bounds as manifests keep them are of the column's type again; then as values of it are loaded."""
    if pt.is_temporal(kind) and pt.is_integer(found.type):
        found = found.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    found = load(found)
    return found if pt.is_floating(kind) or found.type == loaded(kind) else found.cast(loaded(kind))


def _comparable(bound: Any) -> Any:
    """Of one type for one family, where kernels want it; NaN bounds nothing."""
    kind = bound.type
    if pt.is_floating(kind):
        bound = bound.cast(pa.float64())
        if isinstance(bound, pa.Scalar):
            return bound
        return pc.if_else(pc.is_nan(bound), scalar(None, pa.float64()), bound)
    if family(kind) in ("text", "binary"):
        return bound.cast(pa.large_string() if family(kind) == "text" else pa.large_binary())
    return bound.cast(pa.uint8()) if pt.is_boolean(kind) else bound


def _converted(where: Range, source: pa.DataType, target: pa.DataType) -> Range:
    """Of a cast: all casts of numbers and dates keep the order, so the bounds can be cast too."""
    if pt.is_boolean(source) or family(target) == "text" != family(source):
        return Range(None, None, where.some, _NO, where.null)
    nan = where.nan if pt.is_floating(target) else _NO
    try:
        low, high = (
            None if bound is None else _comparable(cast(bound, target)) for bound in (where.low, where.high)
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        low = high = None
    return Range(low, high, where.some, nan, where.null)


def _parted(where: Range, transform: Transform) -> Range:
    """Of partitions: equal and ordered where values are, but for the least numbers, which may wrap."""
    if where.low is None or where.high is None:
        return Range(None, None, where.some, _NO, where.null)
    low, high = (transform.apply(pa.chunked_array([bound])) for bound in (where.low, where.high))
    wrapped = pc.greater(low, high)
    low, high = (pc.if_else(wrapped, pa.scalar(None, bound.type), bound) for bound in (low, high))
    return Range(_comparable(low), _comparable(high), where.some, _NO, where.null)
