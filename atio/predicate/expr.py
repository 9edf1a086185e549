"""Conditions in Python: ``col("price") > 10``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import pyarrow as pa

from atio.errors import InputError
from atio.predicate import tree
from atio.predicate.literals import literal, options
from atio.predicate.pattern import literal as like_literal
from atio.predicate.tree import AnyNode
from atio.predicate.types import cast_name


def col(*path: str) -> Expr:
    r"""A column, or with further names (or ``"a.b"``) a field of the structs in it.

    >>> (col("price") > 10) & col("name").starts_with("a")
    ("price" > 10) AND ("name" LIKE 'a%' ESCAPE '\')
    """
    if not path or not all(isinstance(name, str) for name in path):
        raise InputError(f"col() takes names of columns, not {path!r}")
    return Expr(tree.Column(path))


class Expr:
    """A column, or what is computed from columns; comparisons make a condition of it.

    Conditions are combined with ``&``, ``|`` and ``~``. Values that are null compare as unknown, as in SQL;
    NaN equals itself and is greater than every other number.
    """

    __slots__ = ("node",)
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy's scalars leave 1 < col("x") to this class

    def __init__(self, node: AnyNode) -> None:
        self.node = node

    def __repr__(self) -> str:
        return str(self.node)

    def __bool__(self) -> NoReturn:
        raise InputError(
            "a condition is neither true nor false before it meets rows",
            hint="combine conditions with &, | and ~ (in parentheses) instead of and, or and not; "
            "write 1 < x < 5 as col('x').between(…) or (col('x') > 1) & (col('x') < 5); "
            "test membership with col('x').is_in([…])",
        )

    def __iter__(self) -> NoReturn:
        raise InputError("a column expression has no values to iterate over before it meets rows")

    # -- comparisons -----------------------------------------------------------------------------

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        return self._compare("=", other)

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        return self._compare("!=", other)

    def __lt__(self, other: object) -> Expr:
        return self._compare("<", other)

    def __le__(self, other: object) -> Expr:
        return self._compare("<=", other)

    def __gt__(self, other: object) -> Expr:
        return self._compare(">", other)

    def __ge__(self, other: object) -> Expr:
        return self._compare(">=", other)

    def _compare(self, op: tree.Comparison, other: object) -> Expr:
        right = as_node(other)
        if isinstance(right, tree.Literal) and right.kind == "null":
            raise InputError(
                "comparing with None gives no rows: null is neither equal nor unequal to anything",
                hint=".is_null() and .is_not_null() test for it",
            )
        return Expr(tree.Compare(op, self.node, right))

    def between(self, low: object, high: object) -> Expr:
        """Whether it lies between the two, both included."""
        return (self >= low) & (self <= high)

    def is_in(self, values: Iterable[Any]) -> Expr:
        """Whether it is one of the values."""
        if isinstance(values, (str, bytes, Expr)):
            raise InputError("is_in() takes a list of values", hint="is_in([…])")
        return Expr(tree.In(self.node, options(values)))

    def is_null(self) -> Expr:
        return Expr(tree.IsNull(self.node))

    def is_not_null(self) -> Expr:
        return ~self.is_null()

    def is_nan(self) -> Expr:
        return Expr(tree.IsNan(self.node))

    # -- text ------------------------------------------------------------------------------------

    def like(self, pattern: str, *, escape: str | None = None) -> Expr:
        """SQL's LIKE: ``%`` stands for any characters, ``_`` for one; ``escape`` makes them plain."""
        return self._like(pattern, escape, ignore_case=False)

    def ilike(self, pattern: str, *, escape: str | None = None) -> Expr:
        """LIKE on text and pattern in lower case."""
        return self._like(pattern, escape, ignore_case=True)

    def starts_with(self, text: str) -> Expr:
        return self._like(f"{_plain(text)}%", "\\", ignore_case=False)

    def ends_with(self, text: str) -> Expr:
        return self._like(f"%{_plain(text)}", "\\", ignore_case=False)

    def contains(self, text: str) -> Expr:
        return self._like(f"%{_plain(text)}%", "\\", ignore_case=False)

    def _like(self, pattern: str, escape: str | None, *, ignore_case: bool) -> Expr:
        _plain(pattern)
        try:
            return Expr(tree.Like(self.node, pattern, escape, ignore_case))
        except ValueError as error:
            raise InputError(str(error)) from error

    def lower(self) -> Expr:
        return Expr(tree.Call("lower", (self.node,)))

    def upper(self) -> Expr:
        return Expr(tree.Call("upper", (self.node,)))

    # -- logic -----------------------------------------------------------------------------------

    def __and__(self, other: object) -> Expr:
        return Expr(tree.both(self.node, as_node(other)))

    def __rand__(self, other: object) -> Expr:
        return Expr(tree.both(as_node(other), self.node))

    def __or__(self, other: object) -> Expr:
        return Expr(tree.either(self.node, as_node(other)))

    def __ror__(self, other: object) -> Expr:
        return Expr(tree.either(as_node(other), self.node))

    def __invert__(self) -> Expr:
        return Expr(tree.Not(self.node))

    # -- values ----------------------------------------------------------------------------------

    def __add__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("+", self.node, as_node(other)))

    def __radd__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("+", as_node(other), self.node))

    def __sub__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("-", self.node, as_node(other)))

    def __rsub__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("-", as_node(other), self.node))

    def __mul__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("*", self.node, as_node(other)))

    def __rmul__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("*", as_node(other), self.node))

    def __truediv__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("/", self.node, as_node(other)))

    def __rtruediv__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("/", as_node(other), self.node))

    def __mod__(self, other: object) -> Expr:
        """The remainder, with the sign of the dividend as in SQL; null for a divisor of zero."""
        return Expr(tree.Arithmetic("%", self.node, as_node(other)))

    def __rmod__(self, other: object) -> Expr:
        return Expr(tree.Arithmetic("%", as_node(other), self.node))

    def __neg__(self) -> Expr:
        return 0 - self

    def __abs__(self) -> Expr:
        return Expr(tree.Call("abs", (self.node,)))

    def abs(self) -> Expr:
        return self.__abs__()

    def coalesce(self, *others: object) -> Expr:
        """It, or where it is null the first of the others that is not."""
        return Expr(tree.Call("coalesce", (self.node, *map(as_node, others))))

    def cast(self, type: pa.DataType | str) -> Expr:
        """It as another type: an Arrow type or its name, e.g. ``"int64"``, ``"decimal(10, 2)"``."""
        return Expr(tree.Cast(self.node, cast_name(type)))


def as_node(value: object) -> AnyNode:
    """What stands in an expression: another expression, or a value."""
    if isinstance(value, Expr):
        return value.node
    return value if isinstance(value, tree.Node) else literal(value)  # type: ignore[return-value]


def _plain(text: object) -> str:
    found = literal(text)
    if found.kind != "string":
        raise InputError(f"{text!r} is no text to compare with")
    return like_literal(str(found.value))
