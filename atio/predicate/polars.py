"""Conditions as Polars expressions, for frames as :func:`atio.frames.to_polars` makes them.

Polars orders NaN as this package does: equal to itself, above all other numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow import types as pt

from atio.errors import UnsupportedError
from atio.predicate.bound import Const, Field, Op, Value
from atio.predicate.pattern import exactly
from atio.predicate.types import UNITS, family, plain

_NUMBERS = {
    pa.bool_(): pl.Boolean,
    pa.int8(): pl.Int8, pa.int16(): pl.Int16, pa.int32(): pl.Int32, pa.int64(): pl.Int64,
    pa.uint8(): pl.UInt8, pa.uint16(): pl.UInt16, pa.uint32(): pl.UInt32, pa.uint64(): pl.UInt64,
    pa.float32(): pl.Float32, pa.float64(): pl.Float64,
    pa.date32(): pl.Date,
}  # fmt: skip
_NAMED = {"text": pl.String, "binary": pl.Binary, "time": pl.Time, "null": pl.Null}


def expression(value: Value) -> pl.Expr:
    """Raises ``UnsupportedError`` for types and casts that Polars has not, or rounds in its own way."""
    if isinstance(value, Field):
        return _column(value)
    if isinstance(value, Const):
        return _constant(value.value)
    args = [expression(arg) for arg in value.args]
    if value.name in _COMPARISONS:
        return _COMPARISONS[value.name](*args)
    if value.name in _ARITHMETIC:
        return _compute(value, *args)
    return _operation(value, args)


def _operation(op: Op, args: list[pl.Expr]) -> pl.Expr:
    first = args[0]
    match op.name:
        case "and":
            return reduce(lambda left, right: left & right, args)
        case "or":
            return reduce(lambda left, right: left | right, args)
        case "not":
            return ~first
        case "is_null":
            return first.is_null()
        case "is_nan":
            return first.is_nan()
        case "known":
            return pl.when(first.is_not_null()).then(pl.lit(op.option))
        case "in":
            return first.is_in(_series(op.option).implode())
        case "like":
            return _like(first, op)
        case "coalesce":
            return pl.coalesce(args)
        case "lower" | "upper" as name:
            return _case(first, name)
        case "abs":
            return _exact(op.type, lambda arg: arg.abs(), first)
    return _cast(first, op.args[0].type, op.type)


# -- columns and constants ---------------------------------------------------------------------


def _column(field: Field) -> pl.Expr:
    name = field.path[0]
    # pl.col takes some names for patterns: then a pattern of nothing but the name.
    found = pl.col(f"^{exactly(name)}$" if name == "*" or name.startswith("^") else name)
    for inner in field.path[1:]:
        found = found.struct.field(inner)
    if pt.is_float16(plain(field.kind)):
        return found.cast(pl.Float32)
    return found.cast(pl.String) if _is_categorical(field.kind) else found


def _is_categorical(kind: pa.DataType) -> bool:
    return pt.is_dictionary(kind) and family(plain(kind)) == "text"


def dtype(kind: pa.DataType) -> Any:
    """The Polars type of values of a type that conditions compare as."""
    name = family(kind)
    if kind in _NUMBERS:
        return _NUMBERS[kind]
    if name in _NAMED:
        return _NAMED[name]
    if name == "timestamp":
        zone = "UTC" if kind.tz and kind.tz[0] in "+-" else kind.tz
        return pl.Datetime("ms" if kind.unit == "s" else kind.unit, zone)
    if name == "duration":
        return pl.Duration("ms" if kind.unit == "s" else kind.unit)
    if name == "decimal" and kind.precision <= 38:
        return pl.Decimal(kind.precision, kind.scale)
    raise UnsupportedError(f"Polars has no type for {kind}")


def _constant(scalar: pa.Scalar) -> pl.Expr:
    kind = scalar.type
    if not scalar.is_valid:
        return pl.lit(None, dtype(kind))
    if family(kind) in ("date", "time", "timestamp", "duration"):
        # Counts, not Python's values: those end with microseconds.
        return pl.lit(_count(scalar), pl.Int64).cast(dtype(kind))
    if family(kind) == "decimal":
        return pl.lit(scalar.as_py()).cast(dtype(kind))
    return pl.lit(scalar.as_py(), dtype(kind))


def _count(scalar: pa.Scalar) -> int:
    """In the unit that Polars has."""
    unit = getattr(scalar.type, "unit", None)
    if pt.is_time(scalar.type):
        return int(scalar.value) * (UNITS["ns"] // UNITS[str(unit)])
    return int(scalar.value) * (1000 if unit == "s" else 1)


def _series(values: pa.Array) -> pl.Series:
    return pl.Series(pl.from_arrow(values)).cast(dtype(values.type))


# -- comparisons -------------------------------------------------------------------------------

_COMPARISONS: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
}


def _like(text: pl.Expr, op: Op) -> pl.Expr:
    shape, part = op.option.shape
    match shape:
        case "starts":
            return text.str.starts_with(part)
        case "ends":
            return text.str.ends_with(part)
        case "contains":
            return text.str.contains(part, literal=True)
    return text.str.contains(op.option.regex)


def _case(text: pl.Expr, name: str) -> pl.Expr:
    """By Arrow: in Polars one character may become several, and a sigma depends on its place."""
    import pyarrow.compute as pc

    change = pc.utf8_lower if name == "lower" else pc.utf8_upper

    def changed(series: pl.Series) -> pl.Series:
        return pl.Series(pl.from_arrow(change(series.to_arrow(compat_level=pl.CompatLevel.oldest()))))

    return text.map_batches(changed, return_dtype=pl.String, is_elementwise=True)


# -- numbers -----------------------------------------------------------------------------------


def _remainder(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """With the sign of the dividend; Polars' has that of the divisor."""
    positive = left.abs() % right.abs()
    return pl.when(left < 0).then(0 - positive).otherwise(positive)


_ARITHMETIC: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "add": lambda left, right: left + right,
    "subtract": lambda left, right: left - right,
    "multiply": lambda left, right: left * right,
    "divide": lambda left, right: left / right,
    "modulo": _remainder,
}


def _compute(op: Op, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    return _exact(op.type, _ARITHMETIC[op.name], left, right)


def _exact(kind: pa.DataType, compute: Callable[..., pl.Expr], *args: pl.Expr) -> pl.Expr:
    """Compute; integers in 128 bits, because Polars' overflow in silence: the cast back does not."""
    if not pt.is_integer(kind):
        return compute(*args)
    wide = pl.Int128 if pt.is_signed_integer(kind) or not hasattr(pl, "UInt128") else pl.UInt128
    return compute(*(arg.cast(wide) for arg in args)).cast(dtype(kind))


def _cast(values: pl.Expr, source: pa.DataType, target: pa.DataType) -> pl.Expr:
    families = (family(source), family(target))
    shrinks = families == ("decimal", "decimal") and target.scale < source.scale
    if shrinks or families in (("float", "decimal"), ("decimal", "int")):
        raise UnsupportedError(f"Polars rounds {source} to {target} in its own way", hint="use to_arrow()")
    if families == ("float", "int"):
        values = values.round(0, mode="half_to_even")
    if families == ("timestamp", "timestamp") and target.tz and source.tz != target.tz:
        values = values.dt.convert_time_zone(target.tz)
    return values.cast(dtype(target))
