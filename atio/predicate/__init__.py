"""One filter tree: parse it, bind it to a schema, prune files with it, hand it to any engine.

``parse`` takes a condition in any form and gives a tree, which is data: metadata can hold it as JSON.
``bind`` checks names and types against an Arrow schema; what it gives evaluates Arrow tables, becomes a
Polars expression or SQL, and with ``may_match`` and ``matches`` decides which files need reading.
The meaning is that of ``spec/predicate.md``, the same everywhere.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atio.predicate.binding import bind, bind_value
    from atio.predicate.bound import Bound
    from atio.predicate.expr import Expr, col
    from atio.predicate.prune import ColumnBounds, Statistics, matches, may_match
    from atio.predicate.tree import AnyNode, Node, Path, decode, encode, with_columns
    from atio.predicate.where import Where, parse

# Whoever writes a condition down needs none of what evaluates it.
_HOMES = {
    "AnyNode": "tree",
    "Bound": "bound",
    "ColumnBounds": "prune",
    "Expr": "expr",
    "Node": "tree",
    "Path": "tree",
    "Statistics": "prune",
    "Where": "where",
    "matches": "prune",
    "bind": "binding",
    "bind_value": "binding",
    "col": "expr",
    "decode": "tree",
    "encode": "tree",
    "may_match": "prune",
    "parse": "where",
    "with_columns": "tree",
}

__all__ = [
    "AnyNode",
    "Bound",
    "ColumnBounds",
    "Expr",
    "Node",
    "Path",
    "Statistics",
    "Where",
    "bind",
    "bind_value",
    "col",
    "decode",
    "encode",
    "matches",
    "may_match",
    "parse",
    "with_columns",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"atio.predicate.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'atio.predicate' has no attribute {name!r}")
