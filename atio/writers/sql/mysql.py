"""MariaDB and MySQL: a new table is filled under another name and swapped in by one atomic RENAME TABLE.

Statements that make or change tables commit by themselves there, so nothing of them can be rolled back. Until
the swap the old table is not touched. Who is filling a table holds a lock of its name on the server, which
dies with the connection: tables of such names without a lock are leftovers, and the next write removes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ClassVar

import pyarrow as pa

from atio.errors import InputError, OutcomeUnknownError, StorageError, UnsupportedError
from atio.writers.sql.alchemy import AlchemyDatabase, with_digits
from atio.writers.sql.base import Column, Name, Query, new_name
from atio.writers.sql.fit import check_json, plain

t = pa.types

_ROWS = 5_000
"""Rows of one INSERT; drivers split further where a packet would become too large."""
_OURS = re.compile(r"_atio_[0-9a-f]{16}_(new|old)")
_OPTIONS = " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_NO_SUCH_TABLE = 1051

_DECLARED: dict[pa.DataType, str] = {
    pa.null(): "LONGTEXT",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.uint8(): "TINYINT UNSIGNED",
    pa.int16(): "SMALLINT",
    pa.uint16(): "SMALLINT UNSIGNED",
    pa.int32(): "INT",
    pa.uint32(): "INT UNSIGNED",
    pa.int64(): "BIGINT",
    pa.uint64(): "BIGINT UNSIGNED",
    pa.float32(): "DOUBLE",  # the server shows no more than six digits of a FLOAT
    pa.float64(): "DOUBLE",
    pa.string(): "LONGTEXT",
    pa.binary(): "LONGBLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME(6)",
    pa.time64("ns"): "TIME(6)",
}
_TYPES: dict[str, pa.DataType] = {
    "tinyint(1)": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "mediumint": pa.int32(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "tinyint unsigned": pa.uint8(),
    "smallint unsigned": pa.uint16(),
    "mediumint unsigned": pa.uint32(),
    "int unsigned": pa.uint32(),
    "bigint unsigned": pa.uint64(),
    "year": pa.int16(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us", "UTC"),
    "json": pa.string(),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), pa.string()),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), pa.binary()),
}

_COLUMNS = """
SELECT t.table_type, c.column_name, c.column_type
FROM information_schema.tables t JOIN information_schema.columns c USING (table_schema, table_name)
WHERE t.table_schema = COALESCE(%s, DATABASE()) AND t.table_name = %s
  AND COALESCE(c.generation_expression, '') = ''
ORDER BY c.ordinal_position
"""


class MySQL(AlchemyDatabase):
    title = "MariaDB"
    holds_nan: ClassVar[bool] = False
    holds_infinity: ClassVar[bool] = False
    quoting: ClassVar[str] = "`"
    drop_stage: ClassVar[str] = "DROP TEMPORARY TABLE"  # without the word it would commit

    # -- transactions ------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._session("CONCAT_WS(',', @@SESSION.sql_mode, 'STRICT_ALL_TABLES')"), super().transaction():
            yield

    @contextmanager
    def _session(self, mode: str = "@@SESSION.sql_mode") -> Iterator[None]:
        """Instants in UTC, and errors instead of values cut to size; afterwards the session is as it was."""
        [before] = self.execute("SELECT @@SESSION.sql_mode, @@SESSION.time_zone")
        self.execute(f"SET SESSION sql_mode = {mode}, SESSION time_zone = '+00:00'")
        try:
            yield
        finally:
            with suppress(Exception):  # a lost connection has no session any more
                self.execute("SET SESSION sql_mode = %s, SESSION time_zone = %s", before)

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        if parameters is not None and self.connection.dialect.paramstyle == "qmark":
            sql = sql.replace("%s", "?")
        return super().execute(sql, parameters)

    def mark(self) -> Any:
        """Nothing tells later: but whoever answers now was not lost before the commit."""
        return self.execute("SELECT CONNECTION_ID()")

    # -- tables ------------------------------------------------------------------------------

    def columns(self, table: Name) -> tuple[Column, ...] | None:
        found = self.execute(_COLUMNS, (table.schema, table.table))
        if not found:
            return None
        if found[0][0] not in ("BASE TABLE", "SYSTEM VERSIONED"):
            raise InputError(f"{table} is no table but a view or something like it", hint="name a table")
        return tuple(_column(name, kind) for _, name, kind in found)

    def declared(self, schema: pa.Schema, key: Sequence[str]) -> dict[str, str]:
        return {field.name: _declared(field, indexed=field.name in key) for field in schema}

    def build(self, table: Name, body: str, fill: Callable[[Name], int], *, replace: bool) -> int:
        if self.joined:
            raise InputError(
                f"making a table would commit your open transaction: {self.title} does so by itself",
                hint="hand over the engine, or write into a table that is there: append, upsert, delete_rows",
            )
        if replace:
            self._check_unreferenced(table)
        new = table.beside("_new")
        with self._claimed(new):
            self._sweep(table)
            try:
                self.execute(f"CREATE TABLE {self.quote(new)} {body}{_OPTIONS}")
                rows = self._filled(new, fill)
                self._swap(new, table, replace=replace)
            except OutcomeUnknownError:
                raise  # it may be the table by now
            except BaseException:
                self._discard(new)
                raise
        return rows

    def _filled(self, new: Name, fill: Callable[[Name], int]) -> int:
        try:
            with self.transaction():
                return fill(new)
        except OutcomeUnknownError:
            # Nobody sees these rows before the swap, so what did not take effect is known.
            raise StorageError(f"{self.title}: the connection broke", hint="write again") from None

    def _swap(self, new: Name, table: Name, *, replace: bool) -> None:
        old = Name(new.table.replace("_new", "_old"), new.schema)
        renames = f"{self.quote(new)} TO {self.quote(table)}"
        gives_way = replace and self.columns(table) is not None
        if gives_way:
            renames = f"{self.quote(table)} TO {self.quote(old)}, {renames}"
        try:
            self.execute(f"RENAME TABLE {renames}")
            lost = False
        except Exception as error:
            if not getattr(error, "connection_invalidated", False):
                raise
            lost = True
        if lost:
            self.connection.rollback()
            self.settle(landed=self._swapped(new))
        if gives_way:
            with suppress(Exception):  # the new table is there; the next write removes the old one
                self.execute(f"DROP TABLE {self.quote(old)}")

    def _swapped(self, new: Name) -> bool | None:
        """After a lost answer: if the new table can be dropped under its first name, it was not swapped."""
        try:
            with self.another() as connection:
                connection.exec_driver_sql("SET SESSION lock_wait_timeout = 5")
                connection.exec_driver_sql(f"DROP TABLE {self.quote(new)}")
        except Exception as error:  # noqa: BLE001 - whatever else it is, the answer is not known
            return True if _number(error) == _NO_SUCH_TABLE else None
        return False

    def _discard(self, new: Name) -> None:
        with suppress(Exception), self.another() as connection:  # else the next write does it
            connection.exec_driver_sql("SET SESSION lock_wait_timeout = 5")
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {self.quote(new)}")

    @contextmanager
    def _claimed(self, new: Name) -> Iterator[None]:
        self.execute("SELECT GET_LOCK(%s, 0)", (new.table,))
        try:
            yield
        finally:
            with suppress(Exception):  # a lost connection has lost its locks
                self.execute("SELECT RELEASE_LOCK(%s)", (new.table,))

    def _sweep(self, table: Name) -> None:
        """Drop what writers that died have left in this schema."""
        found = self.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name LIKE %s",
            (table.schema, r"\_atio\_%"),
        )
        for (name,) in found:
            if _OURS.fullmatch(name):
                self._drop_left(Name(name, table.schema))

    def _drop_left(self, left: Name) -> None:
        lock = left.table.replace("_old", "_new")
        if self.execute("SELECT GET_LOCK(%s, 0)", (lock,)) != [(1,)]:
            return  # its writer is alive
        with suppress(Exception):
            self.execute(f"DROP TABLE IF EXISTS {self.quote(left)}")
        self.execute("SELECT RELEASE_LOCK(%s)", (lock,))

    def _check_unreferenced(self, table: Name) -> None:
        found = self.execute(
            "SELECT table_name FROM information_schema.referential_constraints "
            "WHERE unique_constraint_schema = COALESCE(%s, DATABASE()) "
            "AND referenced_table_name = %s AND table_name <> referenced_table_name LIMIT 1",
            (table.schema, table.table),
        )
        if found:
            raise InputError(
                f"table {found[0][0]!r} has a foreign key to {table}, which would go with the old table",
                hint='use if_exists="delete_rows" or "upsert", which keep the table',
            )

    # -- rows --------------------------------------------------------------------------------

    def append(
        self, table: Name, names: Sequence[str], fill: Callable[[Name], int], *, clear: bool = False
    ) -> int:
        self._check_engine(table)
        return super().append(table, names, fill, clear=clear)

    def upsert(
        self, table: Name, names: Sequence[str], key: Sequence[str], fill: Callable[[Name], int]
    ) -> int:
        self._check_engine(table)
        return super().upsert(table, names, key, fill)

    def _check_engine(self, table: Name) -> None:
        found = self.execute(
            "SELECT t.engine, e.transactions FROM information_schema.tables t "
            "LEFT JOIN information_schema.engines e ON e.engine = t.engine "
            "WHERE t.table_schema = COALESCE(%s, DATABASE()) AND t.table_name = %s",
            (table.schema, table.table),
        )
        if found and found[0][1] != "YES":
            raise UnsupportedError(
                f"table {table} is of engine {found[0][0]}, which cannot take back half a write",
                hint=f"ALTER TABLE {self.quote(table)} ENGINE=InnoDB, or if_exists='replace'",
            )

    def merge(self, table: Name, stage: Name, names: Sequence[str], key: Sequence[str]) -> None:
        whole, columns = self.quote(table), self.listed(names)
        changes = [self.listed([name], "{0} = VALUES({0})") for name in names if name not in key]
        changes.insert(0, self._guard(table, key))
        self.execute(
            f"INSERT INTO {whole} ({columns}) SELECT {columns} FROM {self.quote(stage)} "
            f"ON DUPLICATE KEY UPDATE {', '.join(changes)}"
        )

    def _guard(self, table: Name, key: Sequence[str]) -> str:
        """An assignment that fails when a row was found by another unique index than that of ``key``.

        ON DUPLICATE KEY UPDATE does not say which index it means, and would change somebody else's row.
        """
        found = self.execute(
            "SELECT index_name, column_name, nullable FROM information_schema.statistics "
            "WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s AND non_unique = 0",
            (table.schema, table.table),
        )
        indexes: dict[str, set[str]] = {}
        for index, column, _ in found:
            indexes.setdefault(index, set()).add(column)
        if set(key) not in indexes.values():
            raise InputError(
                f"table {table} has no unique index on exactly {', '.join(key)}",
                hint="an upsert needs a primary key or a unique index on the columns of key=",
            )
        firm = [column for index, column, nullable in found if column in key and nullable != "YES"]
        if not firm and len(indexes) > 1:
            raise InputError(
                f"the key {', '.join(key)} may be null and table {table} has other unique indexes",
                hint="declare the key's columns NOT NULL, so that a conflict with another index can be told",
            )
        guarded = self.quote(firm[0] if firm else key[0])
        same = " AND ".join(f"{self.quote(table)}.{self.quote(k)} <=> VALUES({self.quote(k)})" for k in key)
        return f"{guarded} = IF({same}, {self.quote(table)}.{guarded}, NULL)"

    def insert(self, table: Name, rows: pa.Table) -> None:
        style = self.connection.dialect.paramstyle
        percent = "%" if style == "qmark" else "%%"
        names = f"{self.quote(table)} ({self.listed(rows.column_names)})".replace("%", percent)
        marks = ", ".join(["?" if style == "qmark" else "%s"] * rows.num_columns)
        for start in range(0, rows.num_rows, _ROWS):
            part = rows.slice(start, _ROWS)
            values = list(zip(*map(_values, part.columns), strict=True))
            self.connection.exec_driver_sql(f"INSERT INTO {names} VALUES ({marks})", values)

    # -- queries -----------------------------------------------------------------------------

    def query(self, question: Query, opened: ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        opened.enter_context(self._session())
        return super().query(question, opened)

    def described(self, question: Query) -> list[pa.DataType | None] | None:
        """Ask by way of an empty temporary table: cursors do not tell text from bytes, nor signs."""
        if not isinstance(question.text, str):
            return None
        probe = self.quote(new_name())
        inner = question.text.rstrip("; \t\r\n")
        make = f"CREATE TEMPORARY TABLE {probe} SELECT * FROM ({inner}\n) AS q LIMIT 0"
        try:
            self.run(make, question.parameters, {}).close()
            found = self.execute(f"SHOW COLUMNS FROM {probe}")
            self.execute(f"DROP TEMPORARY TABLE {probe}")
        except Exception:  # noqa: BLE001 - then the values tell; a bad query fails again by itself
            return None
        columns = [_column(name, kind) for name, kind, *_ in found]
        return [column.type for column in columns]


def _declared(field: pa.Field, *, indexed: bool) -> str:
    kind = plain(field.type)
    if indexed and (t.is_string(kind) or t.is_binary(kind)):
        return "VARCHAR(255)" if t.is_string(kind) else "VARBINARY(255)"
    if t.is_decimal(kind) and kind.precision <= 65 and kind.scale <= 30:
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if t.is_timestamp(kind):
        return "DATETIME(6)" if kind.tz is None else "TIMESTAMP(6)"
    if t.is_duration(kind):
        return "BIGINT"
    if t.is_nested(kind):
        check_json(kind, field.name)
        return "JSON"
    if kind not in _DECLARED:
        raise UnsupportedError(f"MariaDB has no type for {field.type}", column=field.name)
    return _DECLARED[kind]


_WORDS = re.compile(r"([a-z0-9]+)(?:\(([^)]*)\))?( unsigned)?.*", re.DOTALL)


def _column(name: str, words: str | bytes) -> Column:
    match = _WORDS.fullmatch((words if isinstance(words, str) else words.decode()).lower())
    assert match is not None
    base, arguments, sign = match[1], match[2], match[3] or ""
    if base == "decimal":
        digits, _, scale = arguments.partition(",")
        make = pa.decimal128 if int(digits) <= 38 else pa.decimal256
        return Column(name, make(int(digits), int(scale or 0)))
    kind = _TYPES.get(f"{base}({arguments})") or _TYPES.get(base + sign) or _TYPES.get(base)
    if kind is None:
        return Column(name, pa.string(), opaque=True)
    return Column(name, with_digits(kind, arguments or "0"))


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values; instants as the clock in UTC shows them, since drivers leave the zone out."""
    if t.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    values: list[Any] = column.to_pylist()
    return values


def _number(error: Any) -> Any:
    arguments = getattr(getattr(error, "orig", None), "args", ())
    return arguments[0] if arguments else None
