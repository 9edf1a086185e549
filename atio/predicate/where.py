"""The one entry: whatever form a condition has, a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atio.errors import InputError
from atio.predicate.expr import Expr
from atio.predicate.tree import AnyNode, Node
from atio.predicate.tuples import from_tuples

Where = Expr | Node | str | Sequence[Any]
"""``col("x") > 1``, SQL text, ``[("x", ">", 1)]``, ``[[…], […]]``, or a tree."""


def parse(where: Where) -> AnyNode:
    """Turn a condition into a tree; :func:`atio.predicate.binding.bind` then checks it against a schema.

    Raises
    ------
    InputError
        It is no condition, or has something in it that is not supported.
    MissingDependencyError
        SQL text, and sqlglot is not installed.
    """
    if isinstance(where, Expr):
        return where.node
    if isinstance(where, Node):
        return where  # type: ignore[return-value]
    if isinstance(where, str):
        from atio.predicate.sqltext import from_sql

        return from_sql(where)
    if isinstance(where, (list, tuple)):
        return from_tuples(where)
    raise InputError(
        f"a {type(where).__module__}.{type(where).__qualname__} is no condition",
        hint='write atio.col("x") > 1, SQL text "x > 1", or filters [("x", ">", 1)]',
    )
