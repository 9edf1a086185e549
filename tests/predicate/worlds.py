"""Random tables and conditions, each condition in every form that says it.

The SQL is written here, not by atio: DuckDB runs it as it stands and is what all else is compared with.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from atio import col
from atio.predicate import Expr

ZONE = "Europe/Berlin"
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Literal:
    """A value as Python and as SQL write it."""

    python: Any
    sql: str


def sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def number(value: float | Decimal) -> Literal:
    if isinstance(value, float) and (value != value or value in (INF, -INF)):
        return Literal(value, f"'{value}'::DOUBLE")
    text = str(value)
    return Literal(value, f"({text})" if text.startswith("-") else text)


def text(value: str) -> Literal:
    return Literal(value, sql_text(value))


def blob(value: bytes) -> Literal:
    return Literal(value, "'" + "".join(f"\\x{byte:02x}" for byte in value) + "'::BLOB")


def moment(value: dt.datetime) -> Literal:
    name = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
    return Literal(value, f"{name} '{value.isoformat(sep=' ')}'")


def day(value: dt.date) -> Literal:
    return Literal(value, f"DATE '{value.isoformat()}'")


def clock(value: dt.time) -> Literal:
    return Literal(value, f"TIME '{value.isoformat()}'")


def span(value: dt.timedelta) -> Literal:
    return Literal(value, f"INTERVAL '{value // dt.timedelta(microseconds=1)}' MICROSECOND")


# -- values ------------------------------------------------------------------------------------

WHOLE = [0, 1, 2, 3, 7, -1, -2, 100, 127, -128, 255]
FRACTIONS = [Decimal("1.5"), Decimal("0.1"), Decimal("-0.01"), Decimal("2.00"), Decimal("1.005")]
FLOATS = [0.0, -0.0, 1.0, 1.5, 0.1, -2.5, NAN, INF, -INF, 100.0]
TEXTS = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "A",
    "a%b",
    "a_b",
    "a\\b",
    "it's",
    "ß",
    "ẞ",
    "İ",
    "ΑΣ",
    "ας",
    "日本",
    "😀",
    "a\nb",
    "z" * 70,
]
BLOBS = [b"", b"a", b"ab", b"\x00", b"\xff\xff", b"\xff" * 70]
DAYS = [
    dt.date(1970, 1, 1),
    dt.date(2024, 2, 29),
    dt.date(1969, 12, 31),
    dt.date(2024, 3, 1),
    dt.date(1, 1, 1),
]
MOMENTS = [
    dt.datetime(1970, 1, 1), dt.datetime(2024, 2, 29, 12), dt.datetime(2024, 2, 29),
    dt.datetime(1969, 12, 31, 23, 59, 59),
    dt.datetime(2024, 3, 1, 0, 0, 0, 1), dt.datetime(2024, 7, 1, 10, 30, 0, 500000),
]  # fmt: skip
CLOCKS = [dt.time(0), dt.time(12), dt.time(12, 0, 1), dt.time(23, 59, 59, 999999)]
SPANS = [
    dt.timedelta(0),
    dt.timedelta(seconds=1),
    dt.timedelta(days=-1, microseconds=1),
    dt.timedelta(days=40),
]


def single(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def limits(kind: pa.DataType) -> list[int]:
    signed = pa.types.is_signed_integer(kind)
    low = -(1 << (kind.bit_width - 1)) if signed else 0
    return [low, low + (1 << kind.bit_width) - 1]


def zoned(value: dt.datetime) -> dt.datetime:
    return value.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Column:
    """A column, what is in it, and what it is compared with."""

    name: str
    type: pa.DataType
    family: str
    values: list[Any]
    literals: list[Literal]
    duckdb: bool = True

    @property
    def sql(self) -> str:
        return f'"{self.name}"'


def integers(name: str, kind: pa.DataType) -> Column:
    low, high = limits(kind)
    values = [v for v in WHOLE if low <= v <= high] + [low, high]
    others = [
        low - 1,
        high + 1,
        2**70,
        Decimal("1.5"),
        Decimal("-0.5"),
        Decimal("2.0"),
        Decimal("1e-9"),
        2.5,
        1e300,
        -1e300,
        INF,
        NAN,
    ]
    return Column(name, kind, "int", values, [number(v) for v in values + others])


FLOATING = [number(v) for v in [*FLOATS, *FRACTIONS, 3, 2**53 + 1, 1e300, -1e300, 1e39]]

COLUMNS = [
    integers("i8", pa.int8()),
    integers("i32", pa.int32()),
    integers("i64", pa.int64()),
    integers("u8", pa.uint8()),
    integers("u64", pa.uint64()),
    Column("f64", pa.float64(), "float", [*FLOATS, 1e300, 2.0**53], FLOATING),
    Column("f32", pa.float32(), "float", [single(v) for v in FLOATS] + [single(3e38)], FLOATING),
    Column("f16", pa.float16(), "float", [0.0, -0.0, 1.5, NAN, INF, 0.5], FLOATING, duckdb=False),
    Column(
        "dec", pa.decimal128(10, 2), "decimal",
        [Decimal(v) for v in ("0.00", "1.50", "0.10", "-0.01", "2.00", "99999999.99", "1.01")],
        [number(v) for v in [*WHOLE, *FRACTIONS, Decimal("1e12"), Decimal("-1e-9"), 0.1, 1.5, 1e300]]
        + [number(NAN), number(-INF)],
    ),
    Column(
        "wide", pa.decimal128(38, 10), "decimal",
        [Decimal(v) for v in ("0", "1.5", "0.1", "-0.01", "9999999999999999999999999999.9999999999")],
        [number(v) for v in [*WHOLE, *FRACTIONS, Decimal("1e20")]],
    ),
    Column(
        "dec32", pa.decimal32(5, 2), "decimal",
        [Decimal("1.50"), Decimal("-0.01")], [number(v) for v in FRACTIONS],
    ),
    *(
        Column(name, kind, "text", TEXTS, [text(v) for v in TEXTS])
        for name, kind in [
            ("s", pa.string()), ("large", pa.large_string()), ("view", pa.string_view()),
            ("cat", pa.dictionary(pa.int8(), pa.string())),
            ("runs", pa.run_end_encoded(pa.int32(), pa.string())),
        ]
    ),
    Column("b", pa.binary(), "binary", BLOBS, [blob(v) for v in BLOBS]),
    Column("fsb", pa.binary(2), "binary", [b"ab", b"\xff\xff", b"\x00\x00"], [blob(v) for v in BLOBS]),
    Column("flag", pa.bool_(), "bool", [True, False], [Literal(True, "TRUE"), Literal(False, "FALSE")]),
    *(
        Column(
            name, kind, "date", DAYS,
            [day(v) for v in DAYS] + [moment(v) for v in MOMENTS] + [text("2024-02-29")],
        )
        for name, kind in [("d", pa.date32()), ("d64", pa.date64())]
    ),
    *(
        Column(
            name, kind, "timestamp", [v.replace(microsecond=0) if kind.unit == "s" else v for v in MOMENTS],
            [moment(v) for v in MOMENTS] + [day(v) for v in DAYS[:4]]
            + [text("2024-02-29"), text("2024-02-29 12:00:00")],
        )
        for name, kind in [("us", pa.timestamp("us")), ("sec", pa.timestamp("s")), ("ns", pa.timestamp("ns"))]
    ),
    Column(
        "tz", pa.timestamp("us", ZONE), "zoned", [zoned(v) for v in MOMENTS],
        [moment(zoned(v)) for v in MOMENTS] + [moment(v) for v in MOMENTS]
        + [text("2024-02-29"), text("2024-02-29T12:00:00Z")],
    ),
    Column("t", pa.time64("us"), "time", CLOCKS, [clock(v) for v in CLOCKS] + [text("12:00:00")]),
    Column(
        "t32", pa.time32("s"), "time",
        [v.replace(microsecond=0) for v in CLOCKS], [clock(v) for v in CLOCKS],
    ),
    Column("span", pa.duration("us"), "span", SPANS, [span(v) for v in SPANS]),
    Column("none", pa.null(), "null", [None], [number(1), number(2)]),
]  # fmt: skip
BY_NAME = {column.name: column for column in COLUMNS}
STRUCT = pa.struct([("x", pa.int64()), ("y", pa.string()), ("in", pa.struct([("w", pa.float64())]))])
"""The column ``st`` of every table: the inner fields have the values of i64, s and f64."""


@dataclass(frozen=True)
class Operand:
    """A column or a field, as each form names it."""

    expr: Expr
    sql: str
    column: Column
    tuple_name: str


def operand(column: Column) -> Operand:
    return Operand(col(column.name), column.sql, column, column.name)


INNER = [
    Operand(col("st", "x"), '"st"."x"', BY_NAME["i64"], "st.x"),
    Operand(col("st.y"), "st['y']", BY_NAME["s"], "st.y"),
    Operand(col("st.in.w"), '"st"."in"."w"', BY_NAME["f64"], "st.in.w"),
]


# -- tables ------------------------------------------------------------------------------------


@st.composite
def tables(draw: Callable[..., Any], duckdb_only: bool = True) -> pa.Table:
    """A few columns of up to 30 rows, and the struct."""
    usable = [c for c in COLUMNS if c.duckdb or not duckdb_only]
    chosen = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=5, unique_by=lambda c: c.name))
    rows = draw(st.integers(0, 30))
    arrays = {c.name: build(c.type, draw(rows_of(c.values, rows))) for c in chosen}
    arrays["st"] = pa.array(draw(rows_of(_structs(draw, rows), rows)), STRUCT)
    return pa.table(arrays)


def rows_of(values: list[Any], rows: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from([*values, None]), min_size=rows, max_size=rows)


def _structs(draw: Callable[..., Any], rows: int) -> list[Any]:
    parts = [BY_NAME[name].values for name in ("i64", "s", "f64")]
    drawn = [draw(rows_of(values, 6)) for values in parts]
    return [{"x": x, "y": y, "in": None if w is None else {"w": w}} for x, y, w in zip(*drawn, strict=True)]


def build(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    if pa.types.is_run_end_encoded(kind):
        import pyarrow.compute as pc

        return pc.run_end_encode(pa.array(values, kind.value_type), run_end_type=kind.run_end_type)
    if pa.types.is_float16(kind):
        return pa.array(values, pa.float32()).cast(kind)
    return pa.array(values, kind)


# -- conditions --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Condition:
    expr: Expr
    sql: str
    term: tuple[str, str, Any] | None = None


OPERATORS: dict[str, Callable[[Any, Any], Expr]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
PATTERNS = [
    "%",
    "a%",
    "%b",
    "%a%",
    "a_b",
    "_",
    "a\\%b",
    "%\\_%",
    "",
    "A%",
    "%ß%",
    "i%",
    "%σ",
    "日_",
    "a%b%",
    "__%",
    "%.%",
    "(a|b)",
]


def operands(table: pa.Table) -> list[Operand]:
    return [operand(BY_NAME[name]) for name in table.column_names if name != "st"] + INNER


@st.composite
def conditions(draw: Callable[..., Any], table: pa.Table, depth: int = 2) -> Condition:
    """A condition on the columns of the table."""
    shape = draw(st.sampled_from(["atom", "atom", "and", "or", "not"])) if depth else "atom"
    if shape == "atom":
        return draw(atoms(operands(table)))
    if shape == "not":
        inner = draw(conditions(table, depth - 1))
        return Condition(~inner.expr, f"NOT ({inner.sql})")
    left, right = draw(conditions(table, depth - 1)), draw(conditions(table, depth - 1))
    expr = left.expr & right.expr if shape == "and" else left.expr | right.expr
    return Condition(expr, f"({left.sql}) {shape.upper()} ({right.sql})")


@st.composite
def atoms(draw: Callable[..., Any], known: list[Operand]) -> Condition:
    subject = draw(st.sampled_from(known))
    kinds = ["compare", "compare", "between", "in", "null", "coalesce"]
    family = subject.column.family
    if family == "text":
        kinds += ["like", "like", "case"]
    if family == "float":
        kinds += ["nan"]
    if family in ("int", "float", "decimal"):
        kinds += ["arithmetic", "arithmetic"]
    if family == "bool":
        kinds += ["itself", "is"]
    partners = [other for other in known if comparable(subject, other)]
    if partners:
        kinds += ["columns", "columns"]
    return _ATOMS[draw(st.sampled_from(kinds))](draw, subject, partners)


def comparable(left: Operand, right: Operand) -> bool:
    families = {left.column.family, right.column.family}
    names = {left.column.name, right.column.name}
    if "f32" in names or "f16" in names:
        return families == {"float"}  # DuckDB compares integers with a REAL as REAL
    if "ns" in names and families != {"timestamp"}:
        return False  # the year 1 has no nanoseconds
    if "wide" in names:
        return families == {"decimal"} or names == {"wide", "f64"}
    return len(families) == 1 or families <= {"int", "float", "decimal"} or families == {"date", "timestamp"}


def literal(draw: Callable[..., Any], subject: Operand) -> Literal:
    return draw(st.sampled_from(subject.column.literals))


def _compare(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    op, value = draw(st.sampled_from(list(OPERATORS))), literal(draw, subject)
    if draw(st.integers(0, 4)) == 0:
        flipped = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)
        return Condition(OPERATORS[op](subject.expr, value.python), f"{value.sql} {flipped} {subject.sql}")
    return Condition(
        OPERATORS[op](subject.expr, value.python),
        f"{subject.sql} {op} {value.sql}",
        (subject.tuple_name, op, value.python),
    )


def _between(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    low, high = literal(draw, subject), literal(draw, subject)
    # Not BETWEEN: in DuckDB that brings all three to one type first.
    return Condition(
        subject.expr.between(low.python, high.python),
        f"{subject.sql} >= {low.sql} AND {subject.sql} <= {high.sql}",
    )


def _in(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    values = draw(st.lists(st.sampled_from(subject.column.literals), min_size=1, max_size=5))
    negated = draw(st.booleans())
    expr = subject.expr.is_in([value.python for value in values])
    # One by one: an IN of DuckDB brings its list to one type first.
    sql = " OR ".join(f"{subject.sql} = {value.sql}" for value in values)
    term = (subject.tuple_name, "not in" if negated else "in", [value.python for value in values])
    return Condition(~expr if negated else expr, f"NOT ({sql})" if negated else f"({sql})", term)


def _null(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    if draw(st.booleans()):
        return Condition(subject.expr.is_null(), f"{subject.sql} IS NULL")
    return Condition(subject.expr.is_not_null(), f"{subject.sql} IS NOT NULL")


def _nan(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    return Condition(subject.expr.is_nan(), f"isnan({subject.sql})")


def _itself(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    return Condition(subject.expr, subject.sql)


def _is(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    value = draw(st.booleans())
    test = subject.expr if value else ~subject.expr
    return Condition(test.coalesce(False), f"{subject.sql} IS {str(value).upper()}")


def _coalesce(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    column = subject.column
    if column.family in ("null", "zoned", "span", "time", "timestamp", "date"):
        return _null(draw, subject, _)
    inside = Literal(*next((v.python, v.sql) for v in column.literals if v.python in column.values))
    op, value = draw(st.sampled_from(list(OPERATORS))), literal(draw, subject)
    return Condition(
        OPERATORS[op](subject.expr.coalesce(inside.python), value.python),
        f"coalesce({subject.sql}, {inside.sql}) {op} {value.sql}",
    )


def _like(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    pattern = draw(st.sampled_from(PATTERNS))
    way = draw(st.sampled_from(["like", "ilike", "not like", "escape", "starts", "ends", "contains"]))
    quoted = sql_text(pattern)
    if way == "starts":
        return Condition(subject.expr.starts_with(pattern), f"starts_with({subject.sql}, {quoted})")
    if way == "ends":
        return Condition(subject.expr.ends_with(pattern), f"ends_with({subject.sql}, {quoted})")
    if way == "contains":
        return Condition(subject.expr.contains(pattern), f"contains({subject.sql}, {quoted})")
    if way == "escape":
        return Condition(subject.expr.like(pattern, escape="\\"), f"{subject.sql} LIKE {quoted} ESCAPE '\\'")
    expr = subject.expr.ilike(pattern) if way == "ilike" else subject.expr.like(pattern)
    return Condition(~expr if way == "not like" else expr, f"{subject.sql} {way.upper()} {quoted}")


def _case(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    value = draw(st.sampled_from(["a", "A", "ab", "ß", "ẞ", "i", "ασ", "ΑΣ", "日本"]))
    if draw(st.booleans()):
        return Condition(subject.expr.lower() == value, f"lower({subject.sql}) = {sql_text(value)}")
    return Condition(subject.expr.upper() == value, f"upper({subject.sql}) = {sql_text(value)}")


def _columns(draw: Callable[..., Any], subject: Operand, partners: list[Operand]) -> Condition:
    other, op = draw(st.sampled_from(partners)), draw(st.sampled_from(list(OPERATORS)))
    return Condition(OPERATORS[op](subject.expr, other.expr), f"{subject.sql} {op} {other.sql}")


def _arithmetic(draw: Callable[..., Any], subject: Operand, _: list[Operand]) -> Condition:
    """On values that do not overflow: the others are nulled first."""
    op, right = draw(st.sampled_from("+-*/")), draw(st.sampled_from([1, 2, 3, -2]))
    compare, limit = draw(st.sampled_from(list(OPERATORS))), draw(st.sampled_from([0, 1, 4, -3]))
    expr, sql = subject.expr, subject.sql
    if subject.column.family == "int":
        op = draw(st.sampled_from("+-*/%")) if subject.column.name in ("i8", "i32", "u8") else "/"
        expr, sql = expr.cast("int64"), f"CAST({sql} AS BIGINT)"
        if subject.column.name in ("i64", "u64"):
            expr, sql = subject.expr.cast("double"), f"CAST({subject.sql} AS DOUBLE)"
    if subject.column.name == "wide":
        return _compare(draw, subject, [])
    if subject.column.name in ("f32", "f16"):
        expr, sql = expr.cast("double"), f"CAST({sql} AS DOUBLE)"
    made = {"+": lambda: expr + right, "-": lambda: expr - right, "*": lambda: expr * right}
    made |= {"/": lambda: expr / right, "%": lambda: expr % right}
    return Condition(OPERATORS[compare](made[op](), limit), f"{sql} {op} ({right}) {compare} ({limit})")


_ATOMS: dict[str, Callable[[Any, Operand, list[Operand]], Condition]] = {
    "compare": _compare,
    "between": _between,
    "in": _in,
    "null": _null,
    "nan": _nan,
    "itself": _itself,
    "is": _is,
    "coalesce": _coalesce,
    "like": _like,
    "case": _case,
    "columns": _columns,
    "arithmetic": _arithmetic,
}


# -- the reference -----------------------------------------------------------------------------


class Reference:
    """DuckDB with one table ``t`` of its own: nothing is pushed down into Arrow."""

    def __init__(self) -> None:
        self._duckdb = duckdb.connect()
        self._duckdb.execute(f"SET TimeZone = '{ZONE}'")
        with suppress(duckdb.CatalogException):  # the default before there was the setting
            self._duckdb.execute("SET error_on_division_by_zero = false")

    def load(self, table: pa.Table) -> None:
        self._duckdb.register("given", table)
        self._duckdb.execute("CREATE OR REPLACE TABLE t AS SELECT * FROM given")
        self._duckdb.unregister("given")

    def answers(self, sql: str) -> list[bool | None]:
        return [row[0] for row in self._duckdb.execute(f"SELECT ({sql}) FROM t ORDER BY rowid").fetchall()]

    def close(self) -> None:
        self._duckdb.close()
