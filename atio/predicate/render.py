"""A tree as SQL that DuckDB understands, and that ``parse`` reads back as the same tree."""

from __future__ import annotations

import base64

import pyarrow as pa

from atio.predicate import tree
from atio.predicate.temporal import when
from atio.predicate.tree import AnyNode, Literal, Node
from atio.predicate.types import CASTS, cast_type


def sql(node: Node) -> str:  # noqa: C901, PLR0912 one case a node
    """The condition as SQL, every name quoted, every nested operation in parentheses."""
    match node:
        case tree.Column(path):
            return _column(path)
        case Literal():
            return literal(node)
        case tree.Compare(op, left, right):
            return f"{_part(left)} {'<>' if op == '!=' else op} {_part(right)}"
        case tree.And(args):
            return " AND ".join(map(_part, args))
        case tree.Or(args):
            return " OR ".join(map(_part, args))
        case tree.IsNull(arg):
            return f"{_part(arg)} IS NULL"
        case tree.IsNan(arg):
            return f"isnan({sql(arg)})"
        case tree.In() | tree.Like():
            return _match(node, "")
        case tree.Not(tree.IsNull(arg)):
            return f"{_part(arg)} IS NOT NULL"
        case tree.Not(tree.In() | tree.Like() as arg):
            return _match(arg, "NOT ")
        case tree.Not(arg):
            return f"NOT {_part(arg)}"
        case tree.Arithmetic("%", left, right):
            # Zero gives null; DuckDB may be set to refuse it.
            return f"{_part(left)} % {_part(right) if _is_number(right) else f'nullif({sql(right)}, 0)'}"
        case tree.Arithmetic(op, left, right):
            return f"{_part(left)} {op} {_part(right)}"
        case tree.Call(name, args):
            return f"{name}({', '.join(map(sql, args))})"
        case tree.Cast(arg, name):
            return f"CAST({sql(arg)} AS {_type(name)})"
    raise TypeError(f"no SQL for {type(node).__name__}")


def _part(node: AnyNode) -> str:
    text = sql(node)
    bare = isinstance(node, (tree.Column, Literal, tree.Call, tree.Cast, tree.IsNan))
    return text if bare and not text.startswith("-") else f"({text})"


def _is_number(node: AnyNode) -> bool:
    return isinstance(node, Literal) and node.kind == "int" and node.value != 0


def _match(node: tree.In | tree.Like, negation: str) -> str:
    if isinstance(node, tree.Like):
        name = "ILIKE" if node.ignore_case else "LIKE"
        escape = "" if node.escape is None else f" ESCAPE {quoted(node.escape)}"
        return f"{_part(node.arg)} {negation}{name} {quoted(node.pattern)}{escape}"
    if not node.options:
        return "TRUE" if negation else "FALSE"
    return f"{_part(node.arg)} {negation}IN ({', '.join(map(literal, node.options))})"


def _column(path: tree.Path) -> str:
    # Not "a"."b": that may also be the column b of a table a.
    text = f'"{path[0].replace(chr(34), chr(34) * 2)}"'
    for name in path[1:]:
        text = f"struct_extract({text}, {quoted(name)})"
    return text


def _type(name: str) -> str:
    kind = cast_type(name)
    return f"DECIMAL({kind.precision}, {kind.scale})" if pa.types.is_decimal(kind) else CASTS[name]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def literal(value: Literal) -> str:
    text = str(value.value)
    match value.kind:
        case "null":
            return "NULL"
        case "bool":
            return text.upper()
        case "int":
            return text
        case "float":
            number = repr(float(value.value or 0))
            return f"CAST('{number}' AS DOUBLE)" if "n" in number else _with_exponent(number)
        case "decimal":
            return text if "." in text else f"{text}."
        case "binary":
            data = base64.b64decode(text)
            return f"CAST('{''.join(f'{chr(92)}x{byte:02X}' for byte in data)}' AS BLOB)"
        case "date" | "time":
            return f"{value.kind.upper()} {quoted(text)}"
        case "timestamp":
            return f"{_stamp(text)} {quoted(text)}"
        case "duration":
            return _interval(text)
    return quoted(text)


def _with_exponent(number: str) -> str:
    """Without one, a number with decimals is a DECIMAL."""
    return number if "e" in number else f"{number}e0"


def _stamp(text: str) -> str:
    found = when(text)
    if found is not None and found.offset is not None:
        return "TIMESTAMPTZ"
    return "TIMESTAMP_NS" if found is not None and (found.nanos or 0) % 1000 else "TIMESTAMP"


def _interval(seconds: str) -> str:
    whole, _, fraction = seconds.partition(".")
    if len(fraction) > 6:  # DuckDB's intervals end with microseconds
        return f"INTERVAL {quoted(seconds)} SECOND"
    return f"INTERVAL '{int(whole + fraction.ljust(6, '0'))}' MICROSECOND"
