"""Arithmetic, COALESCE and casts bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
from pyarrow import types as pt

from atio.columns import scalar
from atio.errors import InputError
from atio.predicate import tree
from atio.predicate.bound import Const, Name, Value
from atio.predicate.fit import fit
from atio.predicate.literals import from_scalar
from atio.predicate.tree import AnyNode, Literal
from atio.predicate.types import WIDEST, as_decimal, common, family
from atio.predicate.values import Pending, cast, mismatch, operation, settled

_ARITHMETIC: dict[str, Name] = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo"}
_CASTS: dict[str, frozenset[str]] = {
    "null": frozenset({"bool", "int", "float", "decimal", "text", "date", "timestamp"}),
    "bool": frozenset({"bool", "int"}),
    "int": frozenset({"int", "float", "decimal", "text"}),
    "float": frozenset({"int", "float", "decimal"}),
    "decimal": frozenset({"int", "float", "decimal"}),
    "text": frozenset({"text"}),
    "date": frozenset({"date", "timestamp"}),
    "timestamp": frozenset({"date", "timestamp"}),
}


def arithmetic(op: str, left: Pending, right: Pending, node: AnyNode) -> Pending:
    constant = isinstance(left, Literal) and isinstance(right, Literal)
    first, second = _operand(left, right), _operand(right, left)
    if pt.is_null(first.type) or pt.is_null(second.type):
        other = second.type if pt.is_null(first.type) else first.type
        return Const(scalar(None, other))
    families = {family(first.type), family(second.type)}
    if not families <= {"int", "float", "decimal"}:
        raise InputError(f"{op} needs numbers, not {first.type} and {second.type}: {node}")
    made = _computed(op, first, second, families, node)
    # A number computed from literals is a literal too: 10 * 1.5 compares with an integer column.
    return from_scalar(made.value) if constant and isinstance(made, Const) else made


def _operand(value: Pending, other: Pending) -> Value:
    """A number beside a column takes the column's type where it can."""
    if not isinstance(value, Literal) or isinstance(other, Literal) or value.kind == "null":
        return settled(value)
    if pt.is_floating(other.type) or (other.type == pa.uint64() and value.kind == "int"):
        place = fit(value, other.type)
        if place is not None and place.exact:
            return Const(scalar(place.floor, other.type))
    return settled(value)


def _computed(op: str, left: Value, right: Value, families: set[Any], node: AnyNode) -> Value:
    name = _ARITHMETIC[op]
    if op == "%" and families != {"int"}:
        raise InputError(f"% needs integers, not {left.type} and {right.type}: {node}")
    if op == "/" or "float" in families:
        single = left.type == right.type == pa.float32()
        kind = pa.float32() if single else pa.float64()
    elif "decimal" in families:
        kind = _decimal_result(op, as_decimal(left.type), as_decimal(right.type), node)
        left, right = cast(left, as_decimal(left.type)), cast(right, as_decimal(right.type))
        return operation(name, [left, right], kind)
    else:
        unsigned = all(pt.is_unsigned_integer(arg.type) for arg in (left, right))
        kind = pa.uint64() if unsigned and pa.uint64() in (left.type, right.type) else pa.int64()
    return operation(name, [cast(left, kind), cast(right, kind)], kind)


def _decimal_result(op: str, left: pa.DataType, right: pa.DataType, node: AnyNode) -> pa.DataType:
    if op == "*":
        scale, precision = left.scale + right.scale, left.precision + right.precision
    else:
        scale = max(left.scale, right.scale)
        precision = scale + max(left.precision - left.scale, right.precision - right.scale) + 1
    if scale > WIDEST or max(left.precision, right.precision) > WIDEST:
        raise InputError(f"{node} needs more than {WIDEST} digits", hint="cast the columns to double first")
    return pa.decimal128(min(precision, WIDEST), scale)


def coalesce(args: Sequence[Pending], node: AnyNode) -> Value:
    values = [arg for arg in args if not isinstance(arg, Literal)]
    literals = [arg for arg in args if isinstance(arg, Literal) and arg.kind != "null"]
    kind = reduce(_shared(node), (value.type for value in values), pa.null())
    for literal in literals:
        place = None if pt.is_null(kind) else fit(literal, kind)
        if place is None or not place.exact:
            kind = _shared(node)(kind, settled(literal).type)
    return operation("coalesce", [_as(arg, kind) for arg in args], kind)


def _shared(node: AnyNode) -> Callable[[pa.DataType, pa.DataType], pa.DataType]:
    def shared(left: pa.DataType, right: pa.DataType) -> pa.DataType:
        kind = common(left, right)
        if kind is None or family(kind) is None:
            raise mismatch(left, str(right), node)
        return kind

    return shared


def _as(value: Pending, kind: pa.DataType) -> Value:
    if isinstance(value, Literal):
        if value.kind == "null":
            return Const(scalar(None, kind))
        place = None if pt.is_null(kind) else fit(value, kind)
        if place is not None and place.exact:
            return Const(scalar(place.floor, kind))
    return cast(settled(value), kind)


def explicit_cast(value: Pending, kind: pa.DataType, node: tree.Cast) -> Value:
    if isinstance(value, Literal) and value.kind == "string":
        place = fit(value, kind)
        if place is not None and place.exact:
            return Const(scalar(place.floor, kind))
    found = settled(value)
    allowed = family(kind) in _CASTS.get(family(found.type) or "", ())
    if allowed and pt.is_timestamp(found.type):
        coarser = pt.is_timestamp(kind) and common(found.type, kind) != kind
        allowed = found.type.tz is None and not coarser
    if not allowed:
        raise InputError(f"{found.type} cannot be cast to {kind} in a condition: {node}")
    return cast(found, kind)
