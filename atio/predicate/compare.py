"""Comparisons bound: what a literal is among a column's values decides how it compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import types as pt

from atio.columns import column, scalar
from atio.predicate import tree
from atio.predicate.bound import Const, Name, Value
from atio.predicate.fit import Place
from atio.predicate.tree import AnyNode, Literal
from atio.predicate.types import common, family
from atio.predicate.values import BOOL, Pending, cast, known, mismatch, operation, placed, settled

_NAMES: dict[str, Name] = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_FLIPPED: dict[str, tree.Comparison] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def compare(op: tree.Comparison, left: Pending, right: Pending, node: AnyNode) -> Value:
    if isinstance(left, Literal) and isinstance(right, Literal) and left.kind != "string":
        left = settled(left)
    if isinstance(left, Literal):
        if isinstance(right, Literal):
            right = settled(right)
        return compare(_FLIPPED.get(op, op), right, left, node)
    if not isinstance(right, Literal):
        return _compare_values(op, left, right, node)
    if family(left.type) is None:
        raise mismatch(left.type, "anything", node)
    if right.kind == "null" or pt.is_null(left.type):
        return Const(scalar(None, BOOL))
    place = placed(right, left, node)
    if not place.exact:
        return _between_points(op, left, place)
    if isinstance(place.floor, float) and place.floor != place.floor:
        return _against_nan(op, left)
    return operation(_NAMES[op], [left, Const(scalar(place.floor, left.type))], BOOL)


def _between_points(op: tree.Comparison, left: Value, place: Place) -> Value:
    """Compare with a number that is no value of the type: above ``place.floor``, below the next one."""
    if place.last:
        return known(left, op in ("!=", "<", "<="))
    if op in ("=", "!=") or place.floor is None:
        return known(left, op in ("!=", ">", ">="))
    below: Name = "le" if op in ("<", "<=") else "gt"
    return operation(below, [left, Const(scalar(place.floor, left.type))], BOOL)


def _against_nan(op: tree.Comparison, left: Value) -> Value:
    """NaN equals itself and is above everything else."""
    if op in ("<=", ">"):
        return known(left, op == "<=")
    test = operation("is_nan", [left], BOOL)
    return test if op in ("=", ">=") else operation("not", [test], BOOL)


def _compare_values(op: tree.Comparison, left: Value, right: Value, node: AnyNode) -> Value:
    kind = common(left.type, right.type)
    if kind is None or family(kind) is None:
        raise mismatch(left.type, str(right.type), node)
    if pt.is_null(kind):
        return Const(scalar(None, BOOL))
    return operation(_NAMES[op], [cast(left, kind), cast(right, kind)], BOOL)


def member(value: Value, options: Sequence[Literal], node: AnyNode) -> Value:
    """IN: a set of values of the type, NaN and null apart."""
    if family(value.type) is None:
        raise mismatch(value.type, "anything", node)
    if not options:
        return Const(scalar(False, BOOL))
    if pt.is_null(value.type):
        return Const(scalar(None, BOOL))
    found: list[Any] = _of_type(options, value.type)
    others: list[Value] = []
    for option in options[len(found) :]:
        if option.kind == "null":
            others.append(Const(scalar(None, BOOL)))
        elif (place := placed(option, value, node)).exact:
            if place.floor != place.floor:
                others.append(_against_nan("=", value))
            else:
                found.append(place.floor)
    found = list(dict.fromkeys(found))
    if not found:
        others.insert(0, known(value, answer=False))
    elif len(found) == 1:
        others.insert(0, operation("eq", [value, Const(scalar(found[0], value.type))], BOOL))
    else:
        # Both zeros are equal; Arrow's and Polars' sets tell them apart.
        zero = [-0.0] if pt.is_floating(value.type) and 0.0 in found else []
        others.insert(0, operation("in", [value], BOOL, _options(found + zero, value.type)))
    return operation("or", others, BOOL)


def _options(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pt.is_temporal(kind) or pt.is_large_string(kind) or pt.is_large_binary(kind):
        return pa.array(values, kind)
    return column(values, kind)


def _of_type(options: Sequence[Literal], kind: pa.DataType) -> list[Any]:
    """All values if they are of the type as they stand, or none: a long list needs no look at each."""
    wanted = {"int": "int", "text": "string"}.get(family(kind) or "")
    values: list[Any] = [option.value for option in options]
    if any(option.kind != wanted for option in options):
        return []
    ends = [Literal("int", min(values)), Literal("int", max(values))] if wanted == "int" else []
    return values if all(placed(end, Const(scalar(None, kind)), end).exact for end in ends) else []
