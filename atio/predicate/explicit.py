"""A bound condition as a tree again, every conversion written out: what SQL is made of."""

from __future__ import annotations

import pyarrow as pa

from atio.errors import UnsupportedError
from atio.predicate import tree
from atio.predicate.bound import Const, Field, Op, Value
from atio.predicate.literals import from_scalar
from atio.predicate.tree import AnyNode
from atio.predicate.types import CASTS, family

_COMPARISONS: dict[str, tree.Comparison] = {
    "eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip
_ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "modulo": "%"}


def tree_of(value: Value) -> AnyNode:
    """Raises ``UnsupportedError`` for a cast that SQL rounds in its own way."""
    if isinstance(value, Field):
        return tree.Column(value.path)
    if isinstance(value, Const):
        literal = _literal(value.value)
        return tree.Cast(literal, "float") if pa.types.is_float32(value.type) else literal
    return _operation(value, tuple(tree_of(arg) for arg in value.args))


def _literal(scalar: pa.Scalar) -> tree.Literal:
    kind = scalar.type
    micro = not (pa.types.is_temporal(kind) and getattr(kind, "unit", "s") == "ns" and scalar.is_valid)
    if not (micro or (pa.types.is_timestamp(kind) and kind.tz is None)) and scalar.value % 1000:
        raise UnsupportedError(f"DuckDB has no nanoseconds in values like {from_scalar(scalar)}")
    return from_scalar(scalar)


def _operation(op: Op, args: tuple[AnyNode, ...]) -> AnyNode:
    first, *rest = args
    if op.name in _COMPARISONS:
        return tree.Compare(_COMPARISONS[op.name], first, *rest)
    if op.name in _ARITHMETIC:
        return tree.Arithmetic(_ARITHMETIC[op.name], first, *rest)  # type: ignore[arg-type]
    match op.name:
        case "and":
            return tree.both(*args)
        case "or":
            return tree.either(*args)
        case "not":
            return tree.Not(first)
        case "is_null":
            return tree.IsNull(first)
        case "is_nan":
            return tree.IsNan(first)
        case "known":
            return tree.Compare("=" if op.option else "!=", first, first)
        case "in":
            return tree.In(first, tuple(map(_literal, op.option)))
        case "like":
            return tree.Like(first, op.option.like, "\\")
        case "abs" | "lower" | "upper" | "coalesce" as name:
            return tree.Call(name, args)
    return _cast(op, first)


def _cast(op: Op, arg: AnyNode) -> AnyNode:
    source, target = op.args[0].type, op.type
    if family(source) == "float" and family(target) == "decimal":
        raise UnsupportedError(f"the rounding of {source} to {target} differs between engines: {arg}")
    name = str(target)
    # Engines compare the widths of text and binary, units of time and zones without a cast.
    castable = name in CASTS or (pa.types.is_decimal(target) and target.precision <= 38)
    return tree.Cast(arg, name) if castable else arg
