"""DuckDB: reads Arrow where it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pyarrow as pa

from atio.errors import InputError, SchemaError, UnsupportedError
from atio.writers.sql import decode
from atio.writers.sql.base import Column, Database, Name, Query, new_name
from atio.writers.sql.fit import Floats, fit, plain

t = pa.types


class DuckDB(Database):
    title = "DuckDB"

    def __init__(self, connection: Any, *, joined: bool = False, private: bool = False) -> None:
        self.connection = connection
        self._private = private
        self.joined = joined or self._in_transaction()

    def _in_transaction(self) -> bool:
        """Two statements by themselves have two transactions. (To try BEGIN would abort the caller's.)"""
        first, second = (self.execute("SELECT txid_current()") for _ in range(2))
        return first == second

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.connection.execute(sql, parameters).fetchall()
        return rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        # DuckDB has no savepoints: a statement that fails aborts the caller's transaction as a whole.
        if self.joined:
            yield
            return
        self.execute("BEGIN TRANSACTION")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(Exception):
                self.execute("ROLLBACK")
            raise

    # -- tables ------------------------------------------------------------------------------

    def columns(self, table: Name) -> tuple[Column, ...] | None:
        found = self.execute(
            "SELECT table_type FROM information_schema.tables WHERE lower(table_name) = lower(?) AND "
            "lower(table_schema) = lower(COALESCE(?, current_schema())) "
            "AND table_catalog IN (current_database(), 'temp')",
            (table.table, table.schema),
        )
        if not found:
            return None
        if found[0][0] == "VIEW":
            raise InputError(f"{table} is a view", hint="name a table")
        return tuple(map(_column, self._schema(f"SELECT * FROM {self.quote(table)} LIMIT 0")))

    def _schema(self, query: str) -> pa.Schema:
        return self.connection.sql(query).to_arrow_table().schema

    def declared(self, schema: pa.Schema, key: Sequence[str]) -> dict[str, str]:
        del key
        if not schema.names:
            return {}
        empty = pa.schema([(field.name, _stored(field)) for field in schema]).empty_table()
        with self._seen(empty) as name:
            found = self.execute(f"DESCRIBE SELECT * FROM {name}")
        return {name: kind for name, kind, *_ in found}

    def dialect(self) -> Any:
        from sqlalchemy.dialects import postgresql

        return postgresql.dialect()  # type: ignore[no-untyped-call]  # whose types DuckDB understands

    def build(self, table: Name, body: str, fill: Callable[[Name], int], *, replace: bool) -> int:
        make = f"CREATE {'OR REPLACE ' if replace else ''}TABLE {self.quote(table)} {body}"
        return self._filled(table, body, fill, make)

    def append(
        self, table: Name, names: Sequence[str], fill: Callable[[Name], int], *, clear: bool = False
    ) -> int:
        before = f"DELETE FROM {self.quote(table)}" if clear else None
        return self._filled(table, self.like(table, names), fill, before)

    def _filled(self, table: Name, definition: str, fill: Callable[[Name], int], before: str | None) -> int:
        """Run a statement and fill the table; in a transaction of the caller not before all rows are there.

        Rows that cannot be had after all must not stay in a transaction that the caller may still commit.
        """
        with self.transaction():
            if not self.joined:
                if before:
                    self.execute(before)
                return fill(table)
            with self.staged(definition) as stage:
                rows = fill(stage)
                if before:
                    self.execute(before)
                names = self.listed([column.name for column in self.columns(stage) or ()])
                self.execute(
                    f"INSERT INTO {self.quote(table)} ({names}) SELECT {names} FROM {self.quote(stage)}"
                )
            return rows

    @contextmanager
    def _seen(self, rows: pa.Table) -> Iterator[str]:
        """Rows under a name that statements can use."""
        name = new_name()
        self.connection.register(name, rows)
        try:
            yield self.quote(name)
        finally:
            with suppress(Exception):  # in an aborted transaction
                self.connection.unregister(name)

    def insert(self, table: Name, rows: pa.Table) -> None:
        names = self.listed(rows.column_names)
        with self._seen(rows) as seen:
            self.execute(f"INSERT INTO {self.quote(table)} ({names}) SELECT {names} FROM {seen}")

    # -- queries -----------------------------------------------------------------------------

    def query(self, question: Query, opened: ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        if self._private:
            self.execute("BEGIN")  # one state of the database, and nothing of it changed
        result = self.connection.sql(str(question.text), params=question.parameters)
        if result is None:
            raise InputError("the query returns no rows", hint="hand over a SELECT")
        reader = result.to_arrow_reader(question.rows)
        opened.callback(reader.close)
        decode.check(reader.schema.names, question.types)
        columns = [Column(f.name, question.types.get(f.name) or _read_as(f.type)) for f in reader.schema]
        return pa.schema([(column.name, column.type) for column in columns]), _batches(reader, columns)


def _read_as(kind: pa.DataType) -> pa.DataType:
    """The type to hand out: intervals as durations, instants in UTC, the rest as it is."""
    if t.is_interval(kind):
        return pa.duration("us")
    if t.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return plain(kind)


def _column(field: pa.Field) -> Column:
    return Column(field.name, _read_as(field.type))


def _stored(field: pa.Field) -> pa.DataType:
    """The type whose column DuckDB is asked for."""
    kind = plain(field.type)
    if t.is_decimal(kind) and kind.precision > 38:
        raise UnsupportedError(f"DuckDB's decimals have no more than 38 digits: {kind}", column=field.name)
    if t.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp("us", "UTC")
    return pa.string() if t.is_null(kind) else kind


def _batches(reader: pa.RecordBatchReader, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    row = 0
    for batch in reader:
        found = [_durations(array, column, row) for array, column in zip(batch.columns, columns, strict=True)]
        whole = fit(pa.table(found, names=[column.name for column in columns]), columns, row, Floats())
        yield from whole.combine_chunks().to_batches()
        row += batch.num_rows


def _durations(array: pa.Array, column: Column, row: int) -> pa.Array:
    """Intervals of days and less as durations; months have no length."""
    if not t.is_interval(array.type):
        return array
    values = array.to_pylist()
    for i, value in enumerate(values):
        if value is not None and value.months:
            raise SchemaError(
                f"column {column.name!r} has an interval of {value.months} months in row {row + i}",
                column=column.name,
                hint="cast it to text in the query",
            )
    counts = [None if v is None else v.days * _DAY + v.nanoseconds // 1_000 for v in values]
    return pa.array(counts, pa.duration("us"))


_DAY = 86_400_000_000
