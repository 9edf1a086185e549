"""Filters as pandas and pyarrow take them: ``[("x", ">", 1), …]``, all of them, or a list of such lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from atio.errors import InputError, meant
from atio.predicate.expr import Expr, col
from atio.predicate.tree import AnyNode, both, either

_OPERATORS: dict[str, Callable[[Expr, Any], Expr]] = {
    "=": Expr.__eq__,
    "==": Expr.__eq__,
    "!=": Expr.__ne__,
    "<>": Expr.__ne__,
    "<": Expr.__lt__,
    "<=": Expr.__le__,
    ">": Expr.__gt__,
    ">=": Expr.__ge__,
    "in": Expr.is_in,
    "not in": lambda column, values: ~column.is_in(values),
    "like": Expr.like,
    "not like": lambda column, pattern: ~column.like(pattern),
}


def from_tuples(filters: Sequence[Any]) -> AnyNode:
    """A list of tuples holds where all do; a list of lists of tuples where all of any one list do."""
    if _is_term(filters):
        return _term(filters)
    if not filters:
        raise InputError("an empty list of filters says nothing", hint="leave where= out to take every row")
    if all(isinstance(part, list) for part in filters):
        return either(*map(_all, filters))
    return _all(filters)


def _all(terms: Sequence[Any]) -> AnyNode:
    if not terms:
        raise InputError("an empty list of filters says nothing", hint="leave it out")
    return both(*map(_term, terms))


def _is_term(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(isinstance(part, str) for part in value[:2])


def _term(term: Any) -> AnyNode:
    if isinstance(term, Expr):
        return term.node
    if not _is_term(term):
        raise InputError(
            f"{term!r} is no filter",
            hint='a filter is (column, operator, value): ("price", ">", 10); lists of lists mean OR',
        )
    name, operator, value = term
    make = _OPERATORS.get(operator.lower())
    if make is None:
        raise InputError(
            f"{operator!r} is no operator of a filter",
            column=name,
            hint=meant(operator, _OPERATORS) or f"operators are {', '.join(_OPERATORS)}",
        )
    if "in" in operator.lower().split() and not isinstance(value, (list, tuple, set, frozenset)):
        value = _values(name, value)
    try:
        return make(col(name), value).node
    except InputError as error:
        raise error.at(column=name) from None


def _values(name: str, value: Any) -> list[Any]:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise InputError(f"in takes a list of values, not {value!r}", column=name)
    return list(value)
