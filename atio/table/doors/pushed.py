"""A predicate that Polars pushes into a scan: what of it atio can decide, to read less.

Polars hands over an expression whose types are settled. Its public face names no parts, but serialises them:
of the parts known here a condition is made, which is true wherever the predicate is; the others make it
weaker. Polars' own expression is applied to the rows that are left, so that it alone decides.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from atio.errors import InputError
from atio.predicate import tree
from atio.predicate.literals import from_scalar
from atio.predicate.tree import AnyNode

Json = Any
Dtypes = Mapping[str, Any]
_COMPARISONS: dict[str, tree.Comparison] = {
    "Eq": "=", "EqValidity": "=", "NotEq": "!=", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">=",
}  # fmt: skip
_MIRRORED: dict[tree.Comparison, tree.Comparison] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_BETWEEN: dict[str, tuple[tree.Comparison, tree.Comparison]] = {
    "Both": (">=", "<="), "Left": (">=", "<"), "Right": (">", "<="), "None": (">", "<"),
}  # fmt: skip


class _UnknownError(Exception):
    """A part that means nothing here."""


def conjuncts(predicate: pl.Expr) -> list[pl.Expr]:
    """What must all be true, for a frame's ``filter``.

    Without the hints that some versions of Polars put among them ("dynamic predicates", of a sort's best
    rows so far): they are no expressions that a frame can evaluate, and need not be.
    """
    return [part for part, node in _parts(predicate) if "Display" not in node]


def condition(predicate: pl.Expr, dtypes: Dtypes) -> AnyNode | None:
    """A condition that holds wherever the predicate does; None if nothing of it is known here."""
    found = []
    for _, node in _parts(predicate):
        try:
            found.append(_condition(node, dtypes))
        except _UnknownError:
            continue
    return tree.both(*found) if found else None


def _parts(predicate: pl.Expr) -> Iterator[tuple[pl.Expr, Json]]:
    try:
        node = json.loads(predicate.meta.serialize(format="json"))
    except Exception:  # noqa: BLE001 what cannot be written as JSON is not known here
        node = {}
    kind, body = _split(node)
    if kind == "BinaryExpr" and body["op"] in ("And", "LogicalAnd"):
        for part in predicate.meta.pop():
            yield from _parts(part)
    else:
        yield predicate, node


def _split(node: Json) -> tuple[str, Json]:
    """The one entry of ``{"kind": body}``."""
    if isinstance(node, dict) and len(node) == 1:
        return next(iter(node.items()))
    return "", None


def _condition(node: Json, dtypes: Dtypes) -> AnyNode:
    kind, body = _split(node)
    if kind == "Column" and dtypes.get(body) == pl.Boolean:
        return tree.Column((body,))
    if kind == "BinaryExpr":
        return _binary(body["op"], body["left"], body["right"], dtypes)
    if kind == "Function":
        family, function = _split(body["function"])
        if family == "Boolean":
            return _boolean(function, body["input"], dtypes)
    raise _UnknownError


def _binary(op: str, left: Json, right: Json, dtypes: Dtypes) -> AnyNode:
    if op in ("Or", "LogicalOr"):
        return tree.either(_condition(left, dtypes), _condition(right, dtypes))
    if op in ("And", "LogicalAnd"):
        return tree.both(_condition(left, dtypes), _condition(right, dtypes))
    if op not in _COMPARISONS:
        raise _UnknownError
    sign = _COMPARISONS[op]
    if _split(left)[0] != "Column":
        left, right, sign = right, left, _MIRRORED.get(sign, sign)
    column, dtype = _column(left, dtypes)
    return tree.Compare(sign, column, _literal(right, dtype))


def _boolean(function: Json, inputs: list[Json], dtypes: Dtypes) -> AnyNode:
    column, dtype = _column(inputs[0], dtypes)
    name, options = (function, {}) if isinstance(function, str) else _split(function)
    match name, inputs[1:]:
        case "IsNull", []:
            return tree.IsNull(column)
        case "IsNotNull", []:
            return tree.Not(tree.IsNull(column))
        case "Not", [] if dtype == pl.Boolean:
            return tree.Not(column)
        case "IsBetween", [low, high] if options.get("closed") in _BETWEEN:
            above, below = _BETWEEN[options["closed"]]
            return tree.both(
                tree.Compare(above, column, _literal(low, dtype)),
                tree.Compare(below, column, _literal(high, dtype)),
            )
        case "IsIn", [values] if not dtype.is_float():
            return tree.In(column, _options(values, dtype))
    raise _UnknownError


# -- columns and values --------------------------------------------------------------------------


def _column(node: Json, dtypes: Dtypes) -> tuple[tree.Column, Any]:
    kind, name = _split(node)
    if kind != "Column" or name not in dtypes:
        raise _UnknownError
    return tree.Column((name,)), dtypes[name]


def _literal(node: Json, dtype: Any) -> tree.Literal:
    """A value that is not null and of the column's own type, so that it is compared as it is."""
    found = _evaluated(node)
    if found.dtype != dtype:
        raise _UnknownError
    return _known(found.to_arrow()[0])


def _options(node: Json, dtype: Any) -> tuple[tree.Literal, ...]:
    found = _evaluated(node)
    if found.dtype != pl.List(dtype):
        raise _UnknownError
    return tuple(_known(value) for value in found.explode().to_arrow())


def _known(scalar: pa.Scalar) -> tree.Literal:
    try:
        literal = from_scalar(scalar)
    except (InputError, ValueError):
        raise _UnknownError from None
    # A NaN is written as null, too.
    if literal.kind == "null":
        raise _UnknownError
    return literal


def _evaluated(node: Json) -> pl.Series:
    """Let Polars say what its literal is."""
    if _split(node)[0] != "Literal":
        raise _UnknownError
    try:
        value = pl.Expr.deserialize(io.BytesIO(json.dumps(node).encode()), format="json")
        found = pl.select(value).to_series()
    except Exception:  # noqa: BLE001 whatever it cannot read is not known here
        raise _UnknownError from None
    if len(found) != 1:
        raise _UnknownError
    return found
