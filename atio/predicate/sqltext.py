"""SQL conditions as text, read with sqlglot in DuckDB's dialect.

Only what is listed here is accepted: a node, or a part of a node, that this module does not know is an
error, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

from atio.errors import InputError, MissingDependencyError
from atio.predicate import literals, tree
from atio.predicate.pattern import literal as like_literal
from atio.predicate.temporal import when
from atio.predicate.tree import AnyNode, Literal
from atio.predicate.types import CASTS, UNITS


def from_sql(text: str) -> AnyNode:
    """Read a condition: what stands behind WHERE.

    Raises ``InputError`` with the place of what is wrong or not supported.
    """
    if not text.strip():
        raise InputError("the condition is empty", hint="leave where= out to take every row")
    try:
        import sqlglot
        from sqlglot import errors
    except ImportError as error:
        raise MissingDependencyError("conditions in SQL need sqlglot", hint="pip install sqlglot") from error
    try:
        parts = [part for part in sqlglot.parse(text, dialect="duckdb") if part]
        if len(parts) != 1:
            raise InputError(f"{len(parts)} statements are not supported as a condition: {text}")
        return _Reader(text).node(parts[0])
    except errors.ParseError as error:
        found = error.errors[0] if error.errors else {}
        place = f" at line {found['line']}, column {found['col']}" if found.get("line") else ""
        raise InputError(
            f"the condition is no SQL: {found.get('description', error)}{place}: {text}"
        ) from None
    except errors.SqlglotError as error:
        raise InputError(f"the condition is no SQL: {error}: {text}") from None
    except RecursionError:
        raise InputError("the condition is nested too deeply") from None


class _Reader:
    """Turns the nodes of one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def node(self, found: Any) -> AnyNode:
        rule = _RULES.get(type(found).__name__)
        if rule is None:
            self.refuse(found)
        try:
            return rule(self, found)
        except InputError:
            raise
        except ValueError as error:
            self.refuse(found, str(error))

    def operand(self, found: Any) -> AnyNode:
        """What stands beside an operator: where grammars differ in what binds closer, parentheses decide."""
        if type(found).__name__ in _LOOSE:
            self.refuse(found, "needs parentheses around it there")
        return self.node(found)

    def parts(self, found: Any, *known: str) -> list[Any]:
        """The arguments of those names; any other that is set is something unknown."""
        if any(value for name, value in found.args.items() if name not in known):
            self.refuse(found)
        return [found.args.get(name) for name in known]

    def refuse(self, found: Any, reason: str = "is not supported in a condition") -> NoReturn:
        places = [part.meta["start"] for part in found.walk() if "start" in part.meta]
        where = ""
        if places:
            before = self._text[: min(places)]
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            where = f" (near line {line}, column {column})"
        raise InputError(
            f"{found.sql(dialect='duckdb')!r} {reason}{where}",
            hint="comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL, + - * / %, abs, lower, upper, "
            "coalesce and CAST are supported",
        )

    def text(self, found: Any, whole: Any) -> str:
        """A literal text where nothing else is allowed."""
        value = self.node(found)
        if not isinstance(value, Literal) or value.kind != "string":
            self.refuse(whole, "needs a text between quotes there")
        return str(value.value)


Rule = Callable[[_Reader, Any], AnyNode]


# -- columns and literals ----------------------------------------------------------------------


def _column(reader: _Reader, found: Any) -> AnyNode:
    reader.parts(found, "this", "table", "db", "catalog")
    if not all(type(part).__name__ == "Identifier" for part in found.parts):
        reader.refuse(found)
    return tree.Column(tuple(part.name for part in found.parts))


def _field(reader: _Reader, found: Any) -> AnyNode:
    outer, name = reader.parts(found, "this", "expression")
    inner = reader.node(outer)
    named = type(name).__name__ == "Identifier" or name.is_string
    if not isinstance(inner, tree.Column) or not named:
        reader.refuse(found)
    return tree.Column((*inner.path, name.name))


def _subscript(reader: _Reader, found: Any) -> AnyNode:
    outer, names = reader.parts(found, "this", "expressions")
    inner = reader.node(outer)
    if not isinstance(inner, tree.Column) or len(names) != 1 or not names[0].is_string:
        reader.refuse(found)
    return tree.Column((*inner.path, names[0].name))


_WHOLE = re.compile(r"\d+", re.ASCII)


def _number_or_text(_: _Reader, found: Any) -> AnyNode:
    text, is_text = str(found.this), found.is_string
    if is_text:
        return literals.literal(text)
    if _WHOLE.fullmatch(text):
        return Literal("int", int(text))
    # As in SQL: a number with an exponent is a double, one with decimals a decimal.
    return literals.literal(float(text) if "e" in text.lower() else Decimal(text))


def _negative(reader: _Reader, found: Any) -> AnyNode:
    value = reader.node(*reader.parts(found, "this"))
    if isinstance(value, Literal) and value.kind == "int":
        return Literal("int", -int(value.value or 0))
    if isinstance(value, Literal) and value.kind == "float":
        return literals.literal(-float(value.value or 0))
    if isinstance(value, Literal) and value.kind == "decimal":
        text = str(value.value)
        return Literal("decimal", text[1:] if text.startswith("-") else f"-{text}")
    return tree.Arithmetic("-", Literal("int", 0), value)


def _interval(reader: _Reader, found: Any) -> AnyNode:
    value, unit = reader.parts(found, "this", "unit")
    seconds = _SECONDS.get(str(unit).lower().removesuffix("s")) if unit is not None else None
    number = reader.node(value)
    if seconds is None or not isinstance(number, Literal):
        reader.refuse(found, "is no interval of days, hours, minutes or seconds")
    count = Fraction(str(number.value)) * seconds * UNITS["ns"]
    if count.denominator > 1:
        reader.refuse(found, "is no whole number of nanoseconds")
    return literals.duration(int(count))


_SECONDS = {
    "week": Fraction(604_800),
    "day": Fraction(86_400),
    "hour": Fraction(3600),
    "minute": Fraction(60),
    "second": Fraction(1),
    "millisecond": Fraction(1, UNITS["ms"]),
    "microsecond": Fraction(1, UNITS["us"]),
}


# -- logic and comparisons ---------------------------------------------------------------------


def _chain(kind: str, combine: Callable[..., AnyNode]) -> Rule:
    """A chain of one operator, which hangs deep to the left, without recursion."""

    def rule(reader: _Reader, found: Any) -> AnyNode:
        args: list[Any] = []
        while type(found).__name__ == kind:
            found, right = reader.parts(found, "this", "expression")
            args.append(right)
        return combine(*(reader.node(arg) for arg in (found, *reversed(args))))

    return rule


def _binary(make: Callable[..., AnyNode], op: str) -> Rule:
    def rule(reader: _Reader, found: Any) -> AnyNode:
        flags = ("typed", "safe") if op == "/" else ()  # sqlglot's notes on the dialect
        left, right, *_ = reader.parts(found, "this", "expression", *flags)
        if op == "%":
            right = _not_null_if_zero(right)
        return make(op, reader.operand(left), reader.operand(right))

    return rule


def _not_null_if_zero(divisor: Any) -> Any:
    """A remainder by zero is null anyway: ``x % nullif(y, 0)`` is ``x % y``."""
    inner = divisor.unnest()
    guarded = type(inner).__name__ == "Nullif" and str(inner.args.get("expression")) == "0"
    return inner.this if guarded else divisor


def _is(reader: _Reader, found: Any) -> AnyNode:
    left, right = reader.parts(found, "this", "expression")
    arg, wanted = reader.operand(left), reader.node(right)
    if wanted == literals.NULL:
        return tree.IsNull(arg)
    if not isinstance(wanted, Literal) or wanted.kind != "bool":
        reader.refuse(found)
    test = arg if wanted.value else tree.Not(arg)
    return tree.Call("coalesce", (test, Literal("bool", False)))


def _same(reader: _Reader, found: Any) -> AnyNode:
    left, right = map(reader.operand, reader.parts(found, "this", "expression"))
    nulls = tree.both(tree.IsNull(left), tree.IsNull(right))
    return tree.Call("coalesce", (tree.Compare("=", left, right), nulls))


def _between(reader: _Reader, found: Any) -> AnyNode:
    arg, low, high = map(reader.operand, reader.parts(found, "this", "low", "high"))
    return tree.between(arg, low, high)


def _in(reader: _Reader, found: Any) -> AnyNode:
    arg, values = reader.parts(found, "this", "expressions")
    if not values:
        reader.refuse(found)
    left, options = reader.operand(arg), [reader.node(value) for value in values]
    if all(isinstance(option, Literal) for option in options):
        return tree.In(left, tuple(options))  # type: ignore[arg-type]
    return tree.either(*(tree.Compare("=", left, option) for option in options))


def _like(reader: _Reader, found: Any, escape: str | None = None) -> AnyNode:
    arg, pattern, negated = reader.parts(found, "this", "expression", "negate")
    ignore_case = type(found).__name__ == "ILike"
    made = tree.Like(reader.operand(arg), reader.text(pattern, found), escape, ignore_case)
    return tree.Not(made) if negated else made


def _escaped(reader: _Reader, found: Any) -> AnyNode:
    inner, escape = reader.parts(found, "this", "expression")
    if type(inner).__name__ not in ("Like", "ILike"):
        reader.refuse(found)
    return _like(reader, inner, reader.text(escape, found))


def _affix(shape: str) -> Rule:
    def rule(reader: _Reader, found: Any) -> AnyNode:
        arg, text = reader.parts(found, "this", "expression")
        return tree.Like(reader.node(arg), shape.format(like_literal(reader.text(text, found))), "\\")

    return rule


# -- functions ---------------------------------------------------------------------------------


def _function(reader: _Reader, found: Any) -> AnyNode:
    """DuckDB's other names for what has one."""
    shape = {"prefix": "{}%", "suffix": "%{}", "ends_with": "%{}", "contains": "%{}%"}.get(found.name.lower())
    if shape is None or len(found.expressions) != 2:
        reader.refuse(found)
    arg, text = found.expressions
    return tree.Like(reader.node(arg), shape.format(like_literal(reader.text(text, found))), "\\")


def _call(name: Any) -> Rule:
    return lambda reader, found: tree.Call(name, (reader.node(*reader.parts(found, "this")),))


def _coalesce(reader: _Reader, found: Any) -> AnyNode:
    first, others = reader.parts(found, "this", "expressions")
    return tree.Call("coalesce", tuple(map(reader.node, (first, *others))))


_TYPES = {sql: name for name, sql in CASTS.items()} | {"INT": "int32", "TEXT": "string", "FLOAT": "float"}
_DECIMAL = re.compile(r"DECIMAL\((\d+), (\d+)\)")
_BYTES = re.compile(r"(?:[^\\]|\\x[0-9A-Fa-f]{2})*", re.ASCII)
_BYTE = re.compile(r"\\x(..)")


def _cast(reader: _Reader, found: Any) -> AnyNode:
    arg, to = reader.parts(found, "this", "to")
    name, value = to.sql(dialect="duckdb"), reader.node(arg)
    if isinstance(value, Literal) and value.kind == "string":
        made = _typed(str(value.value), name)
        if made is not None:
            return made
    if match := _DECIMAL.fullmatch(name):
        return tree.Cast(value, f"decimal128({match[1]}, {match[2]})")
    if name not in _TYPES:
        reader.refuse(found)
    return tree.Cast(value, _TYPES[name])


def _typed(text: str, name: str) -> Literal | None:
    """A text with a type, ``DATE '2024-12-31'``, is a literal of it."""
    if name in ("DATE", "TIME"):
        return Literal("date" if name == "DATE" else "time", text)
    if name in ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ"):
        found = when(text)
        if found is not None and (found.offset is not None) != (name == "TIMESTAMPTZ"):
            raise ValueError("needs an offset from UTC if it is a TIMESTAMPTZ, and none if it is not")
        return Literal("timestamp", text)
    if name == "BLOB":
        if not text.isascii() or not _BYTES.fullmatch(text):
            raise ValueError(r"is no BLOB: bytes are written as ASCII characters or \xAA")
        return literals.literal(_BYTE.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1"))
    if name == "DOUBLE":
        return literals.literal(float(text))
    return None


_LOOSE = frozenset({
    "And", "Or", "Not", "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "NullSafeEQ", "NullSafeNEQ",
    "Is", "In", "Between", "Like", "ILike", "Escape",
})  # fmt: skip

# By name: sqlglot has had some of these classes for longer than others.
_RULES: dict[str, Rule] = {
    "Paren": lambda reader, found: reader.node(*reader.parts(found, "this")),
    "Column": _column,
    "Dot": _field,
    "Bracket": _subscript,
    "StructExtract": _field,
    "Literal": _number_or_text,
    "Boolean": lambda _, found: Literal("bool", bool(found.this)),
    "Null": lambda *_: literals.NULL,
    "Neg": _negative,
    "And": _chain("And", tree.both),
    "Or": _chain("Or", tree.either),
    "Not": lambda reader, found: tree.Not(reader.node(*reader.parts(found, "this"))),
    "Is": _is,
    "NullSafeEQ": _same,
    "NullSafeNEQ": lambda reader, found: tree.Not(_same(reader, found)),
    "Between": _between,
    "In": _in,
    "Like": _like,
    "ILike": _like,
    "Escape": _escaped,
    "StartsWith": _affix("{}%"),
    "EndsWith": _affix("%{}"),
    "Contains": _affix("%{}%"),
    "Anonymous": _function,
    "IsNan": lambda reader, found: tree.IsNan(reader.node(*reader.parts(found, "this"))),
    "Abs": _call("abs"),
    "Lower": _call("lower"),
    "Upper": _call("upper"),
    "Coalesce": _coalesce,
    "Cast": _cast,
    "Interval": _interval,
    "EQ": _binary(tree.Compare, "="),
    "NEQ": _binary(tree.Compare, "!="),
    "LT": _binary(tree.Compare, "<"),
    "LTE": _binary(tree.Compare, "<="),
    "GT": _binary(tree.Compare, ">"),
    "GTE": _binary(tree.Compare, ">="),
    "Add": _binary(tree.Arithmetic, "+"),
    "Sub": _binary(tree.Arithmetic, "-"),
    "Mul": _binary(tree.Arithmetic, "*"),
    "Div": _binary(tree.Arithmetic, "/"),
    "Mod": _binary(tree.Arithmetic, "%"),
}
