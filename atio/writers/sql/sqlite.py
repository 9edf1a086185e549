"""SQLite: rows are bound by the driver, a chunk at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from atio.errors import InputError, UnsupportedError
from atio.writers.sql import decode
from atio.writers.sql.base import Column, Database, Name, Query, new_name
from atio.writers.sql.fit import check_json, plain

if TYPE_CHECKING:
    import sqlite3

t = pa.types

_EXACT_DIGITS = 15
"""Decimals of so many digits survive as SQLite's floats; longer ones are kept as text."""

#: Plain Arrow types and the words their columns are declared with; integers and floats have one size.
_DECLARED: dict[pa.DataType, str] = {
    pa.null(): "TEXT",
    pa.bool_(): "BOOLEAN",
    pa.uint64(): "DECIMAL_TEXT(20, 0)",
    pa.string(): "TEXT",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.time64("ns"): "TIME(9)",
}
_TYPES: dict[str, pa.DataType] = {
    "BOOLEAN": pa.bool_(),
    "BOOL": pa.bool_(),
    **dict.fromkeys(
        ("INTEGER", "INT", "BIGINT", "SMALLINT", "TINYINT", "MEDIUMINT", "INT2", "INT4", "INT8"), pa.int64()
    ),
    **dict.fromkeys(("REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT"), pa.float64()),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "NVARCHAR", "NCHAR", "CLOB", "JSON"), pa.string()),
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIME(9)": pa.time64("ns"),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP(9)": pa.timestamp("ns"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "TIMESTAMPTZ(9)": pa.timestamp("ns", "UTC"),
    "INTERVAL": pa.duration("us"),  # declared so, a column is one of integers
}


class SQLite(Database):
    title = "SQLite"
    holds_nan: ClassVar[bool] = False

    def __init__(
        self, connection: sqlite3.Connection, *, joined: bool = False, private: bool = False
    ) -> None:
        self.connection = connection
        self.joined = joined or connection.in_transaction
        self._private = private

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with closing(self.connection.cursor()) as cursor:
            cursor.row_factory = None
            return cursor.execute(sql, () if parameters is None else tuple(parameters)).fetchall()

    # -- transactions ------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        # The driver begins transactions for some statements only: making a table would not be part of one.
        if not self.connection.in_transaction:
            self.execute("BEGIN" if self.joined else "BEGIN IMMEDIATE")
        begin, end, back = _SAVEPOINT if self.joined else _WHOLE
        for statement in begin:
            self.execute(statement)
        try:
            yield
            for statement in end:
                self.execute(statement)
        except BaseException:
            with suppress(Exception):  # after a full disk SQLite has rolled back by itself
                for statement in back:
                    self.execute(statement)
            raise

    # -- tables ------------------------------------------------------------------------------

    def columns(self, table: Name) -> tuple[Column, ...] | None:
        schema = self.quote(table.schema) if table.schema else None
        # Without a schema SQLite looks among temporary tables first, as every statement does.
        places = [schema] if schema else ["temp", "main"]
        kinds = [
            kind
            for place in places
            for (kind,) in self.execute(
                f"SELECT type FROM {place}.sqlite_master "
                "WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')",
                (table.table,),
            )
        ]
        if not kinds:
            return None
        if kinds[0] != "table":
            raise InputError(f"{table} is a view", hint="name a table")
        prefix = f"{schema}." if schema else ""
        found = self.execute(f"PRAGMA {prefix}table_xinfo({self.quote(table.table)})")
        return tuple(_column(name, kind) for _, name, kind, _, _, _, hidden in found if not hidden)

    def declared(self, schema: pa.Schema, key: Sequence[str]) -> dict[str, str]:
        del key
        return {field.name: _declared(field) for field in schema}

    def dialect(self) -> Any:
        from sqlalchemy.dialects import sqlite

        return sqlite.dialect()

    def build(self, table: Name, body: str, fill: Callable[[Name], int], *, replace: bool) -> int:
        # Nobody sees the transaction before its end. (Filling another table and renaming it would not do: a
        # rename is refused while a view refers to the table that is missing for a moment.)
        with self.transaction():
            if replace:
                self.execute(f"DROP TABLE IF EXISTS {self.quote(table)}")
            self.execute(f"CREATE TABLE {self.quote(table)} {body}")
            return fill(table)

    def insert(self, table: Name, rows: pa.Table) -> None:
        marks = ", ".join("?" * rows.num_columns)
        names = self.listed(rows.column_names)
        values = zip(*map(_values, rows.columns), strict=True)
        with closing(self.connection.cursor()) as cursor:
            sql = f"INSERT INTO {self.quote(table)} ({names}) VALUES ({marks})"
            cursor.executemany(sql, values)

    # -- queries -----------------------------------------------------------------------------

    def query(self, question: Query, opened: ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        query, parameters = question.text, question.parameters
        if not isinstance(query, str):
            query, parameters = _compiled(query, parameters)
        known = None if parameters else self._described(query)
        if self._private:
            self.execute("BEGIN")  # one state of the database, and nothing of it changed
        cursor = self.connection.cursor()
        opened.callback(cursor.close)
        cursor.row_factory = None
        cursor.execute(query, parameters or ())
        if cursor.description is None:
            raise InputError("the query returns no rows", hint="hand over a SELECT")
        names = [column[0] for column in cursor.description]
        chunks = iter(lambda: cursor.fetchmany(question.rows), [])
        return decode.streamed(names, known or [None] * len(names), question.types, chunks)

    def _described(self, query: str) -> list[pa.DataType | None] | None:
        """What the columns were declared as; the driver does not tell, but a view of the query does."""
        probe = self.quote(new_name())
        try:
            self.execute(f"CREATE TEMPORARY VIEW {probe} AS {query}")
            found = self.execute(f"PRAGMA temp.table_info({probe})")
            self.execute(f"DROP VIEW temp.{probe}")
        except Exception:  # noqa: BLE001 - then the values tell; a bad query fails again by itself
            return None
        return [_type(kind) for _, _, kind, *_ in found]


_WHOLE = ((), ("COMMIT",), ("ROLLBACK",))
_SAVEPOINT = (("SAVEPOINT atio",), ("RELEASE atio",), ("ROLLBACK TO atio", "RELEASE atio"))


def _compiled(query: Any, parameters: Any) -> tuple[str, Any]:
    """A construct of SQLAlchemy as text with named parameters."""
    from sqlalchemy.dialects import sqlite as dialects

    compiled = query.compile(dialect=dialects.dialect(paramstyle="named"))
    return str(compiled), compiled.construct_params(parameters or {})


def _declared(field: pa.Field) -> str:
    kind = plain(field.type)
    if kind in _DECLARED:
        return _DECLARED[kind]
    if t.is_integer(kind):
        return "INTEGER"
    if t.is_floating(kind):
        return "REAL"
    if t.is_decimal(kind):
        word = "DECIMAL" if kind.precision <= _EXACT_DIGITS else "DECIMAL_TEXT"
        return f"{word}({kind.precision}, {kind.scale})"
    if t.is_timestamp(kind):
        return ("TIMESTAMP" if kind.tz is None else "TIMESTAMPTZ") + ("(9)" if kind.unit == "ns" else "")
    if t.is_duration(kind):
        return "INTERVAL"
    if t.is_nested(kind):
        check_json(kind, field.name)
        return "JSON"
    raise UnsupportedError(f"SQLite has no type for {field.type}", column=field.name)


_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DECIMAL_TEXT)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")


def _type(words: str) -> pa.DataType | None:
    """The type that a declaration promises; None where it promises nothing."""
    words = words.upper().strip()
    if match := _DECIMAL.fullmatch(words):
        digits, scale = int(match[1]), int(match[2] or 0)
        if 0 < digits <= 76 and scale <= digits:
            return (pa.decimal128 if digits <= 38 else pa.decimal256)(digits, scale)
        return None
    return _TYPES.get(words) or _TYPES.get(words.partition("(")[0].strip())


def _column(name: str, words: str) -> Column:
    kind = _type(words)
    return Column(name, pa.string(), opaque=True) if kind is None else Column(name, kind)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values that SQLite has: integers, floats, text and bytes."""
    kind = column.type
    if t.is_timestamp(kind):
        # Six digits are what everybody reads: nine only where there are as many.
        unit = "us" if kind.unit == "ns" and _whole(column) else kind.unit
        column = column.cast(pa.timestamp(unit, kind.tz and "UTC")).cast(pa.string())
    elif t.is_date(kind) or t.is_time(kind) or t.is_decimal(kind):
        column = column.cast(pa.string())
    elif t.is_duration(kind):
        column = column.cast(pa.int64())
    if column.null_count == 0 and column.type in _CODES:
        return _numbers(column, _CODES[column.type])
    values: list[Any] = column.to_pylist()
    return values


_CODES = {pa.int64(): "q", pa.float64(): "d"}


def _numbers(column: pa.ChunkedArray, code: str) -> list[Any]:
    """Numbers straight from memory, which is several times faster."""
    values: list[Any] = []
    for chunk in column.chunks:
        memory: Any = memoryview(chunk.buffers()[1])
        values += memory.cast(code)[chunk.offset : chunk.offset + len(chunk)].tolist()
    return values


def _whole(column: pa.ChunkedArray) -> bool:
    """Whether nanoseconds are whole microseconds."""
    try:
        column.cast(pa.timestamp("us", column.type.tz))
    except pa.ArrowInvalid:
        return False
    return True
