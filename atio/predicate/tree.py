"""The tree of a condition: immutable data, the same whichever form it was written in (spec/predicate.md).

Names and types mean nothing here yet: :mod:`atio.predicate.binding` checks them against a schema.
"""

from __future__ import annotations

import base64
import binascii
import typing
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from atio.model.decoding import decoder
from atio.predicate.temporal import when

Path = tuple[str, ...]
"""A column: its name, then the fields of structs inside it."""
Comparison = typing.Literal["=", "!=", "<", "<=", ">", ">="]
Kind = typing.Literal[
    "null", "bool", "int", "float", "decimal", "string", "binary", "date", "time", "timestamp", "duration"
]

_FLOATS = ("inf", "-inf", "nan")
_LARGEST_EXPONENT = 1000
"""Of a decimal: more would cost memory and time for a number that no column holds."""


class Node(msgspec.Struct, frozen=True, tag_field="node", omit_defaults=True):
    """A part of a condition."""

    def __str__(self) -> str:
        from atio.predicate.render import sql

        return sql(self)

    def __repr__(self) -> str:
        return f"<{self}>"

    def columns(self) -> tuple[Path, ...]:
        """The columns it names, as they were written, each once."""
        return tuple(dict.fromkeys(node.path for node in walk(self) if isinstance(node, Column)))


class Column(Node, frozen=True, tag="column"):
    """``("a.b",)`` may also mean the field b of the struct a; ``("a", "b")`` means nothing else."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("a column has a name")


class Literal(Node, frozen=True, tag="literal"):
    """A value as JSON can hold it exactly.

    Floats that JSON has not are ``"inf"``, ``"-inf"``, ``"nan"``; binary values base64; dates, times and
    timestamps ISO 8601 with up to nine decimals; durations and decimals the digits (of seconds).
    """

    kind: Kind
    value: bool | int | float | str | None = None

    def __post_init__(self) -> None:
        if not _CHECKS[self.kind](self.value):
            raise ValueError(f"{self.value!r} is no {self.kind}")


class Compare(Node, frozen=True, tag="compare"):
    op: Comparison
    left: AnyNode
    right: AnyNode


class And(Node, frozen=True, tag="and"):
    args: Args


class Or(Node, frozen=True, tag="or"):
    args: Args


class Not(Node, frozen=True, tag="not"):
    arg: AnyNode


class IsNull(Node, frozen=True, tag="is_null"):
    arg: AnyNode


class IsNan(Node, frozen=True, tag="is_nan"):
    arg: AnyNode


class In(Node, frozen=True, tag="in"):
    arg: AnyNode
    options: tuple[Literal, ...]


class Like(Node, frozen=True, tag="like"):
    """``%`` stands for any characters, ``_`` for one; behind ``escape`` both stand for themselves."""

    arg: AnyNode
    pattern: str
    escape: str | None = None
    ignore_case: bool = False

    def __post_init__(self) -> None:
        from atio.predicate.pattern import pieces

        pieces(self.pattern, self.escape)


class Arithmetic(Node, frozen=True, tag="arithmetic"):
    op: typing.Literal["+", "-", "*", "/", "%"]
    left: AnyNode
    right: AnyNode


class Call(Node, frozen=True, tag="call"):
    name: typing.Literal["abs", "lower", "upper", "coalesce"]
    args: Args

    def __post_init__(self) -> None:
        if len(self.args) > 1 and self.name != "coalesce":
            raise ValueError(f"{self.name} does not take {len(self.args)} arguments")


class Cast(Node, frozen=True, tag="cast"):
    """``type`` is the name of an Arrow type, of those in :data:`atio.predicate.types.CASTS`."""

    arg: AnyNode
    type: str


AnyNode = Column | Literal | Compare | And | Or | Not | IsNull | IsNan | In | Like | Arithmetic | Call | Cast
Args = typing.Annotated[tuple[AnyNode, ...], msgspec.Meta(min_length=1)]


def encode(node: Node) -> bytes:
    """JSON, for metadata."""
    return msgspec.json.encode(node)


def decode(data: bytes | str) -> AnyNode:
    """Parse untrusted JSON, strictly; ``ValueError`` says what is wrong and where."""
    try:
        found: AnyNode = decoder(AnyNode).decode(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


# -- building and walking ----------------------------------------------------------------------


def both(*args: AnyNode) -> AnyNode:
    """All of them; nested ones are flattened, so that long chains stay shallow."""
    flat = tuple(part for arg in args for part in (arg.args if isinstance(arg, And) else (arg,)))
    return flat[0] if len(flat) == 1 else And(flat)


def either(*args: AnyNode) -> AnyNode:
    """Any of them."""
    flat = tuple(part for arg in args for part in (arg.args if isinstance(arg, Or) else (arg,)))
    return flat[0] if len(flat) == 1 else Or(flat)


def between(arg: AnyNode, low: AnyNode, high: AnyNode) -> AnyNode:
    return both(Compare(">=", arg, low), Compare("<=", arg, high))


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, in the order of writing."""
    yield node
    for child in _children(node):
        yield from walk(child)


def _children(node: Node) -> Iterator[Node]:
    for name in node.__struct_fields__:
        value = getattr(node, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Node):
                yield part


def with_columns(node: AnyNode, change: Callable[[Path], Path]) -> AnyNode:
    """The same condition on other columns: ``change`` gets each path and returns what it is now."""
    if isinstance(node, Column):
        return Column(change(node.path))
    if isinstance(node, Literal):
        return node
    if isinstance(node, In):  # its options, maybe very many, name no columns
        return In(with_columns(node.arg, change), node.options)
    changed = {name: _moved(getattr(node, name), change) for name in node.__struct_fields__}
    return msgspec.structs.replace(node, **changed)


def _moved(part: Any, change: Callable[[Path], Path]) -> Any:
    if isinstance(part, tuple):
        return tuple(_moved(inner, change) for inner in part)
    return with_columns(part, change) if isinstance(part, Node) else part  # type: ignore[arg-type]


# -- what a literal may hold -------------------------------------------------------------------


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: object) -> bool:
    return value in _FLOATS if isinstance(value, str) else _is_int(value) or isinstance(value, float)


def _is_decimal(value: object) -> bool:
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return False
    return (
        number is not None
        and number.is_finite()
        and abs(number.adjusted()) <= _LARGEST_EXPONENT
        and len(number.as_tuple().digits) <= _LARGEST_EXPONENT
    )


def _is_base64(value: object) -> bool:
    try:
        return isinstance(value, str) and base64.b64decode(value, validate=True) is not None
    except binascii.Error:
        return False


def _is_temporal(*, day: bool, time: bool) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        found = when(value) if isinstance(value, str) else None
        return found is not None and (found.day is not None) >= day and (found.nanos is None or time)

    return check


_CHECKS: dict[str, Callable[[object], bool]] = {
    "null": lambda value: value is None,
    "bool": lambda value: isinstance(value, bool),
    "int": _is_int,
    "float": _is_float,
    "decimal": _is_decimal,
    "string": lambda value: isinstance(value, str),
    "binary": _is_base64,
    "date": _is_temporal(day=True, time=False),
    "time": lambda value: isinstance(value, str) and (found := when(value)) is not None and found.day is None,
    "timestamp": _is_temporal(day=True, time=True),
    "duration": _is_decimal,
}
