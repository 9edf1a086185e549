"""Evaluation over Arrow tables, a kernel at a time.

Three-valued throughout: null is unknown. Arrow's comparisons follow IEEE 754; here NaN equals itself and
is above everything else, which costs at most an inversion where a column meets a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as pt

from atio.columns import scalar
from atio.errors import InputError
from atio.predicate import load
from atio.predicate.bound import Const, Field, Op, Value, fields
from atio.predicate.types import as_decimal

Datum = Any
"""An Arrow array, chunked array or scalar."""


def evaluate(value: Value, table: pa.Table | pa.RecordBatch) -> pa.ChunkedArray | pa.Array:
    """The value of each row.

    Raises ``InputError`` if the arithmetic overflows or a cast fails.
    """
    try:
        found = _Rows(table).of(value)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"the condition cannot be evaluated: {error}") from error
    return pa.repeat(found, table.num_rows) if isinstance(found, pa.Scalar) else found


def constant(op: Op) -> pa.Scalar:
    """What an operation on constants gives."""
    try:
        return apply(op, [arg.value for arg in op.args if isinstance(arg, Const)])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"the condition cannot be evaluated: {error}") from error


class _Rows:
    """The rows of one table; a column is decoded once, however often it is mentioned."""

    def __init__(self, table: pa.Table | pa.RecordBatch) -> None:
        self._table = table
        self._columns: dict[tuple[str, ...], Datum] = {}

    def of(self, value: Value) -> Datum:
        if isinstance(value, Const):
            return value.value
        if isinstance(value, Field):
            if value.path not in self._columns:
                self._columns[value.path] = load.column(self._table, value)
            return self._columns[value.path]
        coded = self._dictionary(value)
        return apply(value, [self.of(arg) for arg in value.args]) if coded is None else coded

    def _dictionary(self, op: Op) -> Datum | None:
        """Asked once a distinct value: a condition on one dictionary column alone."""
        mentioned = {field.path: field for field in fields(op)}
        if len(mentioned) != 1 or not pt.is_boolean(op.type) or not _is_total(op):
            return None
        (field,) = mentioned.values()
        if not pt.is_dictionary(field.kind):
            return None
        found = load.raw(self._table, field)
        chunks = found.chunks if isinstance(found, pa.ChunkedArray) else [found]
        if sum(len(chunk.dictionary) for chunk in chunks) > len(found):
            return None
        return pa.chunked_array([self._coded(op, field, chunk) for chunk in chunks], pa.bool_())

    def _coded(self, op: Op, field: Field, chunk: pa.DictionaryArray) -> pa.Array:
        distinct = load.load(chunk.dictionary)
        known = _Rows(self._table)
        known._columns[field.path] = pa.concat_arrays([distinct, pa.nulls(1, field.type)])
        answers = _plain(known._undecoded(op), len(distinct) + 1)
        of_values, of_null = answers.slice(0, len(distinct)), answers[len(distinct)]
        hits = pc.indices_nonzero(of_values)
        if 0 < len(hits) <= _FEW and not of_values.null_count and not of_null.is_valid:
            return _member(chunk.indices, hits.cast(chunk.indices.type))
        found = of_values.take(chunk.indices)
        return pc.if_else(pc.is_null(chunk.indices), of_null, found) if of_null.is_valid else found

    def _undecoded(self, value: Value) -> Datum:
        """As ``of``, of a column that is there already."""
        if not isinstance(value, Op):
            return self.of(value)
        return apply(value, [self._undecoded(arg) for arg in value.args])


def _plain(found: Datum, rows: int) -> pa.Array:
    return pa.repeat(found, rows) if isinstance(found, pa.Scalar) else found


_PARTIAL = frozenset({"add", "subtract", "multiply", "divide", "modulo", "abs", "cast"})


def _is_total(value: Value) -> bool:
    """Whether it has an answer for every value, also for those that no row has."""
    if not isinstance(value, Op):
        return True
    return value.name not in _PARTIAL and all(map(_is_total, value.args))


# -- operations --------------------------------------------------------------------------------


def apply(op: Op, args: list[Datum]) -> Datum:
    """One operation on values that are there."""
    if op.name in _COMPARISONS:
        return _COMPARISONS[op.name](*args)
    if op.name in _ARITHMETIC:
        return _compute(op, *args)
    match op.name:
        case "and":
            return reduce(pc.and_kleene, args)
        case "or":
            return reduce(pc.or_kleene, args)
        case "known":
            return _unless_null(args[0], scalar(op.option, pa.bool_()))
        case "in":
            return _member(args[0], op.option)
        case "like":
            return _like(args[0], op)
        case "coalesce":
            return pc.coalesce(*args)
        case "cast":
            return cast(args[0], op.type)
        case "abs":
            return pc.abs(args[0]) if pt.is_decimal(op.type) else pc.abs_checked(args[0])
    return _UNARY[op.name](args[0])


_FEW = 8
"""Values that are compared one by one faster than they are looked up."""


def _member(values: Datum, options: pa.Array) -> Datum:
    if len(options) <= _FEW:
        return reduce(pc.or_, (pc.equal(values, option) for option in options))
    return _unless_null(values, pc.is_in(values, value_set=options))


def _unless_null(values: Datum, found: Datum) -> Datum:
    return pc.if_else(pc.is_valid(values), found, scalar(None, pa.bool_()))


_UNARY: dict[str, Callable[[Datum], Datum]] = {
    "not": pc.invert,
    "is_null": pc.is_null,
    "is_nan": pc.is_nan,
    "lower": pc.utf8_lower,
    "upper": pc.utf8_upper,
}


def _like(text: Datum, op: Op) -> Datum:
    shape, part = op.option.shape
    match shape:
        case "starts":
            return pc.starts_with(text, part)
        case "ends":
            return pc.ends_with(text, part)
        case "contains":
            return pc.match_substring(text, part)
    return pc.match_substring_regex(text, op.option.regex)


# -- comparisons -------------------------------------------------------------------------------


def _eq(left: Datum, right: Datum) -> Datum:
    found = pc.equal(left, right)
    if _may_be_nan(left) and _may_be_nan(right):
        found = pc.or_kleene(found, pc.and_kleene(pc.is_nan(left), pc.is_nan(right)))
    return found


def _lt(left: Datum, right: Datum) -> Datum:
    """NaN is above all others."""
    found = pc.less(left, right)
    if _may_be_nan(right):
        above = pc.is_nan(right)
        if _may_be_nan(left):
            above = pc.and_kleene(above, pc.invert(pc.is_nan(left)))
        found = pc.or_kleene(found, above)
    return found


def _le(left: Datum, right: Datum) -> Datum:
    # With a number on the right IEEE agrees: NaN is not below it. Otherwise: not above.
    return pc.invert(_lt(right, left)) if _may_be_nan(right) else pc.less_equal(left, right)


_COMPARISONS: dict[str, Callable[[Datum, Datum], Datum]] = {
    "eq": _eq,
    "ne": lambda left, right: pc.invert(_eq(left, right)),
    "lt": _lt,
    "le": _le,
    "gt": lambda left, right: pc.invert(_le(left, right)),
    "ge": lambda left, right: pc.invert(_lt(left, right)),
}


def _may_be_nan(datum: Datum) -> bool:
    if not pt.is_floating(datum.type):
        return False
    return not isinstance(datum, pa.Scalar) or datum.as_py() != datum.as_py()


# -- numbers -----------------------------------------------------------------------------------


def _remainder(left: Datum, right: Datum) -> Datum:
    """With the sign of the dividend; null for a divisor of zero."""
    zero, one = scalar(0, right.type), scalar(1, right.type)
    divisor = pc.if_else(pc.equal(right, zero), scalar(None, right.type), right)
    if pt.is_signed_integer(right.type):
        # The least integer has no quotient by -1; the remainder by 1 is the same.
        divisor = pc.if_else(pc.equal(divisor, scalar(-1, right.type)), one, divisor)
    return pc.subtract(left, pc.multiply(pc.divide(left, divisor), divisor))


_ARITHMETIC: dict[str, Callable[[Datum, Datum], Datum]] = {
    "add": pc.add_checked,
    "subtract": pc.subtract_checked,
    "multiply": pc.multiply_checked,
    "divide": pc.divide,
    "modulo": _remainder,
}


def _compute(op: Op, left: Datum, right: Datum) -> Datum:
    if pt.is_decimal(op.type):
        # Wide enough for any result; the cast back refuses what has too many digits.
        left = left.cast(pa.decimal256(left.type.precision, left.type.scale))
        precision = min(right.type.precision, _WIDE - left.type.precision)
        right = right.cast(pa.decimal256(precision, right.type.scale))
        return _ARITHMETIC[op.name](left, right).cast(op.type)
    return _ARITHMETIC[op.name](left, right)


_WIDE = 75
"""Digits that two factors may have together: Arrow gives their product one more, and has 76."""


def cast(values: Datum, kind: pa.DataType) -> Datum:
    """Convert; floats to integers round half to even, decimals half away from zero.

    Raises ``ArrowInvalid`` where a value has no counterpart.
    """
    source = values.type
    if pt.is_decimal(kind) and pt.is_integer(source):
        return values.cast(as_decimal(source)).cast(kind)
    if pt.is_integer(kind) and pt.is_floating(source):
        return pc.round(values, ndigits=0, round_mode="half_to_even").cast(kind)
    if pt.is_decimal(source) and (pt.is_integer(kind) or pt.is_decimal(kind)):
        digits = 0 if pt.is_integer(kind) else kind.scale
        if source.scale > digits:
            values = pc.round(values, ndigits=digits, round_mode="half_towards_infinity")
        return values.cast(kind)
    # To floating numbers and to dates values are rounded, and meant to be.
    return values.cast(kind, safe=not (pt.is_floating(kind) or pt.is_date(kind)))
