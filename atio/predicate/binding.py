"""Names and types: a tree and a schema make a :class:`~atio.predicate.bound.Bound`."""

from __future__ import annotations

import msgspec
import pyarrow as pa
from pyarrow import types as pt

from atio.columns import scalar
from atio.errors import InputError, meant
from atio.predicate import tree
from atio.predicate.bound import Bound, Const, Field, Value
from atio.predicate.compare import compare, member
from atio.predicate.compute import arithmetic, coalesce, explicit_cast
from atio.predicate.expr import as_node
from atio.predicate.pattern import Pattern, pieces
from atio.predicate.tree import AnyNode, Literal, Path
from atio.predicate.types import cast_type, family, loaded
from atio.predicate.values import BOOL, Pending, cast, lower, operation, settled
from atio.predicate.where import Where, parse


def bind(where: Where, schema: pa.Schema) -> Bound:
    """Parse a condition and bind it.

    Raises
    ------
    InputError
        It is no condition, a column is not there, or two types do not compare.
    """
    node = parse(where)
    bound = bind_value(node, schema)
    if pt.is_null(bound.type):
        return msgspec.structs.replace(bound, root=Const(scalar(None, BOOL)))
    if bound.type != BOOL:
        raise InputError(
            f"{node} is {bound.type}, not a condition", hint="compare it with something: … > 0, … = 'x'"
        )
    return bound


def bind_value(value: object, schema: pa.Schema) -> Bound:
    """Bind an expression of any type, or a plain value: what an update sets a column to."""
    node = as_node(value)
    binder = _Binder(schema)
    try:
        root = settled(binder.value(node))
        exact = tree.with_columns(node, binder.path)
    except RecursionError:
        raise InputError("the condition is nested too deeply") from None
    return Bound(exact, root)


class _Binder:
    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def path(self, path: Path) -> Path:
        return self._field(path).path

    def value(self, node: AnyNode) -> Pending:
        try:
            return self._value(node)
        except InputError as error:
            if error.column is None:
                error.column = _dotted(node)
            raise

    def _value(self, node: AnyNode) -> Pending:  # noqa: C901, PLR0912 one case a node
        match node:
            case Literal():
                return node
            case tree.Column(path):
                return self._field(path)
            case tree.And(args):
                return operation("and", [self._condition(arg) for arg in args], BOOL)
            case tree.Or(args):
                return operation("or", [self._condition(arg) for arg in args], BOOL)
            case tree.Not(arg):
                return operation("not", [self._condition(arg)], BOOL)
            case tree.IsNull(arg):
                return operation("is_null", [settled(self.value(arg))], BOOL)
            case tree.IsNan(arg):
                return self._is_nan(arg)
            case tree.Compare(op, left, right):
                return compare(op, self.value(left), self.value(right), node)
            case tree.In(arg, options):
                return member(settled(self.value(arg)), options, node)
            case tree.Like():
                return self._like(node)
            case tree.Arithmetic(op, left, right):
                return arithmetic(op, self.value(left), self.value(right), node)
            case tree.Call("coalesce", args):
                return coalesce([self.value(arg) for arg in args], node)
            case tree.Call("abs", (arg,)):
                return self._abs(arg)
            case tree.Call(name, (arg,)):
                text = self._typed(arg, "text", f"{name}()")
                return operation("lower" if name == "lower" else "upper", [text], text.type)
            case tree.Cast(arg, name):
                return explicit_cast(self.value(arg), cast_type(name), node)
        raise InputError(f"{node} cannot be evaluated")

    def _condition(self, node: AnyNode) -> Value:
        return self._typed(node, "bool", "and, or, not")

    def _typed(self, node: AnyNode, wanted: str, user: str) -> Value:
        found = settled(self.value(node))
        if pt.is_null(found.type):
            return Const(scalar(None, BOOL if wanted == "bool" else pa.string()))
        if family(found.type) != wanted:
            raise InputError(f"{node} is {found.type}; {user} need {wanted}")
        return found

    def _is_nan(self, arg: AnyNode) -> Value:
        found = settled(self.value(arg))
        if pt.is_null(found.type):
            return Const(scalar(None, BOOL))
        if not pt.is_floating(found.type):
            raise InputError(f"{arg} is {found.type}, which has no NaN", hint="is_null() tests for nulls")
        return operation("is_nan", [found], BOOL)

    def _like(self, node: tree.Like) -> Value:
        text = self._typed(node.arg, "text", "LIKE")
        pattern = node.pattern
        parts = pieces(pattern, node.escape)
        if node.ignore_case:
            text = operation("lower", [text], text.type)
            parts = tuple(lower(part) if isinstance(part, str) else part for part in parts)
        made = Pattern(parts)
        if made.shape[0] == "equals":
            return operation("eq", [text, Const(scalar(made.shape[1], text.type))], BOOL)
        return operation("like", [text], BOOL, made)

    def _abs(self, arg: AnyNode) -> Value:
        found = settled(self.value(arg))
        name = family(found.type)
        if name == "null":
            return found
        if name not in ("int", "float", "decimal"):
            raise InputError(f"{arg} is {found.type}; abs() needs a number")
        if name == "int" and found.type != pa.uint64():
            found = cast(found, pa.int64())
        return operation("abs", [found], found.type)

    # -- columns -----------------------------------------------------------------------------

    def _field(self, path: Path) -> Field:
        if len(path) == 1 and path[0] not in self._schema.names and "." in path[0]:
            parts = tuple(path[0].split("."))
            if parts[0] in self._schema.names:
                path = parts
        kind, places = self._descend(path)
        return Field(path, places, kind, loaded(kind))

    def _descend(self, path: Path) -> tuple[pa.DataType, tuple[int, ...]]:
        place = _find(path[0], self._schema.names, "column")
        kind = self._schema.field(place).type
        places = []
        for depth, name in enumerate(path[1:], 1):
            if not pt.is_struct(kind):
                raise InputError(f"{'.'.join(path[:depth])} is {kind}: it has no field {name!r}")
            place = _find(name, [field.name for field in kind.fields], "field")
            places.append(place)
            kind = kind.field(place).type
        return kind, tuple(places)


def _find(name: str, known: list[str], what: str) -> int:
    if known.count(name) == 1:
        return known.index(name)
    if name in known:
        raise InputError(f"there are several {what}s {name!r}", hint="rename them apart")
    alike = next((other for other in known if other.casefold() == name.casefold()), None)
    hint = f"did you mean {alike!r}?" if alike else meant(name, known)
    raise InputError(
        f"there is no {what} {name!r}", hint=hint or f"{what}s are {', '.join(known[:20])}", column=name
    )


def _dotted(node: AnyNode) -> str | None:
    """The column to name in an error, if the node has exactly one."""
    found = None
    for part in tree.walk(node):
        if isinstance(part, tree.Column):
            if found not in (None, part.path):
                return None
            found = part.path
    return ".".join(found) if found else None
