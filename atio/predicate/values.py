"""Values on their way into a bound condition: operations on constants done, literals given a type."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
from pyarrow import types as pt

from atio.columns import scalar
from atio.errors import InputError
from atio.predicate.bound import Const, Field, Name, Op, Value
from atio.predicate.fit import Place, fit
from atio.predicate.temporal import when
from atio.predicate.tree import AnyNode, Literal
from atio.predicate.types import WIDEST, family, plain

BOOL = pa.bool_()
Pending = Value | Literal
"""A literal waits for what it is compared with to learn its type."""


def operation(name: Name, args: Sequence[Value], kind: pa.DataType, option: object = None) -> Value:
    """An operation; on constants alone, what it gives."""
    if len(args) == 1 and name in ("and", "or"):
        return args[0]
    op = Op(name, tuple(args), kind, option)
    if not all(isinstance(arg, Const) for arg in args):
        return op
    from atio.predicate.arrow import constant

    return Const(constant(op))


def known(value: Value, answer: bool) -> Value:
    """``answer`` for everything but null."""
    return operation("known", [value], BOOL, answer)


def cast(value: Value, kind: pa.DataType) -> Value:
    return value if value.type == kind else operation("cast", [value], kind)


def lower(text: str) -> str:
    from atio.predicate.arrow import constant

    return str(constant(Op("lower", (Const(scalar(text, pa.string())),), pa.string())).as_py())


# -- literals ----------------------------------------------------------------------------------


def settled(value: Pending) -> Value:
    """A literal that nothing gives a type gets its own."""
    if not isinstance(value, Literal):
        return value
    if value.kind == "null":
        return Const(scalar(None, pa.null()))
    for kind in natural(value):
        place = fit(value, kind)
        if place is not None and place.exact:
            return Const(scalar(place.floor, kind))
    raise InputError(f"{value} is outside of what can be computed with")


def natural(literal: Literal) -> tuple[pa.DataType, ...]:
    """Types for a literal on its own, the best first."""
    text = str(literal.value)
    match literal.kind:
        case "int":
            return pa.int64(), pa.uint64(), _digits(Decimal(text))
        case "decimal":
            return (_digits(Decimal(text)),)
        case "timestamp":
            found = when(text)
            zone = None if found is None or found.offset is None else "UTC"
            return pa.timestamp("us", zone), pa.timestamp("ns", zone)
    return _NATURAL[literal.kind]


_NATURAL: dict[str, tuple[pa.DataType, ...]] = {
    "bool": (BOOL,),
    "float": (pa.float64(),),
    "string": (pa.string(),),
    "binary": (pa.binary(),),
    "date": (pa.date32(),),
    "time": (pa.time64("ns"),),
    "duration": (pa.duration("us"), pa.duration("ns")),
}


def _digits(value: Decimal) -> pa.DataType:
    _, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    precision = max(len(digits) + max(int(exponent), 0), scale, 1)
    if precision > WIDEST:
        raise InputError(f"{value} has {precision} digits; {WIDEST} can be computed with")
    return pa.decimal128(precision, scale)


def _target(value: Value) -> pa.DataType:
    """The type whose values a literal is placed among."""
    half = isinstance(value, Field) and pt.is_float16(plain(value.kind))
    return pa.float16() if half else value.type


def placed(literal: Literal, value: Value, node: AnyNode) -> Place:
    place = fit(literal, _target(value))
    if place is None:
        raise mismatch(value.type, _described(literal), node)
    return place


def _described(literal: Literal) -> str:
    return f"the {literal.kind if literal.kind != 'string' else 'text'} {literal}"


def mismatch(kind: pa.DataType, other: str, node: AnyNode) -> InputError:
    if family(kind) is None:
        return InputError(f"{kind} values cannot be compared; they can only be tested for null: {node}")
    hint = None
    if family(kind) == "bool":
        hint = "a boolean column is a condition itself: col('flag'), ~col('flag')"
    elif family(kind) == "binary":
        hint = "binary values are written b'…', in SQL '…'::BLOB"
    return InputError(f"{kind} does not compare with {other}: {node}", hint=hint)
