"""Write a frame into a table of a database: whole, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import pyarrow as pa

from atio.errors import ExistsError, InputError, SchemaError, meant
from atio.frames import Incoming, incoming
from atio.writers.base import Progress, Silent
from atio.writers.sql.base import Column, Database, Name
from atio.writers.sql.connect import connected
from atio.writers.sql.fit import Floats, fit, matched
from atio.writers.sql.labels import labelled, means_missing

IfExists = Literal["fail", "replace", "append", "delete_rows", "upsert"]

_CHUNK = 65_536
"""Rows converted and sent at a time."""
_SQL_TYPE = re.compile(r"[A-Za-z][\w ]*(\(\s*\w+(\s*,\s*\w+)*\s*\))?[\w ]*(\[\])*")


def write_table(
    obj: object,
    name: str,
    con: Any,
    *,
    if_exists: IfExists = "fail",
    schema: str | None = None,
    dtype: Any = None,
    index: bool | None = None,
    index_label: str | Sequence[str] | None = None,
    key: str | Sequence[str] | None = None,
    chunksize: int | None = None,
    method: str | None = None,
    nan_to_null: bool | None = None,
    progress: Progress | None = None,
) -> int:
    """Write rows into a table of a database; if anything fails, the database is as it was.

    Parameters
    ----------
    obj
        Anything :func:`atio.frames.incoming` takes. Iterators and lazy frames are streamed in bounded memory.
    name, schema
        The table, and the schema it is in (the connection's first one by default).
    con
        The path of a SQLite or DuckDB file; a URL; a SQLAlchemy engine, connection or URL; a connection of
        ``sqlite3`` or ``duckdb``. On a connection with an open transaction everything happens inside that
        transaction, which is neither committed nor rolled back.
    if_exists
        ``"fail"``; ``"replace"`` the table and its columns; ``"append"``; ``"delete_rows"``: replace the rows
        and keep the table; ``"upsert"``: update the rows whose ``key`` is there, insert the others. Without a
        table, all of them make one.
    dtype
        SQL types for new columns: one for all, or a dict by column; text, or types of SQLAlchemy.
    index, index_label
        Whether the labels of a pandas frame's rows become columns, and what these are called. By default they
        do if they say more than 0, 1, 2, ….
    key
        The columns that identify a row; they become the primary key of a table that is made.
    chunksize
        Rows sent at a time.
    method
        Taken for pandas' sake; the fastest way is always chosen.
    nan_to_null
        Whether NaN becomes NULL. By default it does from pandas, where NaN says "missing", and not otherwise.

    Returns
    -------
    int
        The number of rows written.

    Raises
    ------
    ExistsError
        The table is there, and ``if_exists`` is ``"fail"``.
    SchemaError
        A column is not in the table or a value would not come back as it is; a constraint is violated.
    UnsupportedError
        The database has no type for a column, or ``con`` is of an unknown kind.
    RetryError
        The connection was lost, or another session was in the way: nothing took effect.
    OutcomeUnknownError
        The connection was lost during the commit.
    """
    _check_options(if_exists, chunksize, method)
    for word in (name, schema or name):
        if not isinstance(word, str):
            raise InputError(f"{word!r} is no name of a table", hint="name= and schema= are texts")
    keys = [key] if isinstance(key, str) else list(key or ())
    if if_exists == "upsert" and not keys:
        raise InputError("an upsert needs key=", hint='name the columns that identify a row: key=["id"]')
    nan = means_missing(obj) if nan_to_null is None else nan_to_null
    source = incoming(labelled(obj, index, index_label))
    names = source.schema.names
    if not names:
        raise InputError("a table without columns cannot be in a database")
    for column in keys:
        if column not in names:
            raise SchemaError(f"the data have no column {column!r}", column=column, hint=meant(column, names))
    table = Name(name, schema)
    with connected(con, str(table)) as link:
        load = _Load(link.database, source, link.failing.sparing(source.tables), keys, nan)
        load.chunk = chunksize or _CHUNK
        load.progress = progress or Silent()
        return _write(link.database, table, load, if_exists, _sql_types(dtype, link.database, names))


def _check_options(if_exists: str, chunksize: Any, method: Any) -> None:
    known = get_args(IfExists)
    if if_exists not in known:
        raise InputError(
            f"if_exists={if_exists!r} is not known",
            hint=meant(str(if_exists), known) or f"one of {', '.join(known)}",
        )
    if chunksize is not None and (
        not isinstance(chunksize, int) or isinstance(chunksize, bool) or chunksize < 1
    ):
        raise InputError(f"chunksize must be a positive number of rows, not {chunksize!r}")
    if method not in (None, "multi"):
        raise InputError("method= takes None or 'multi' only", hint="leave it out: the fastest way is chosen")


def _write(database: Database, table: Name, load: _Load, if_exists: str, dtype: Mapping[str, str]) -> int:
    names = load.source.schema.names
    columns = database.columns(table)
    if columns is not None and if_exists == "fail":
        raise ExistsError(
            f"table {str(table)!r} is there already",
            hint='pass if_exists="replace", "append", "delete_rows" or "upsert"',
        )
    if columns is None or if_exists == "replace":
        load.asked = frozenset(dtype)
        load.progress.step(f"making table {table} in {database.title}")
        body = _body(database, load.source.schema, load.key, dtype)
        return database.build(table, body, load, replace=if_exists == "replace")
    # Before anything is sent: that a column is missing must not show after a million rows.
    matched(columns, names, str(table))
    load.columns = columns
    load.progress.step(f"{if_exists} into table {table} in {database.title}")
    if if_exists == "upsert":
        return database.upsert(table, names, load.key, load)
    return database.append(table, names, load, clear=if_exists == "delete_rows")


def _body(database: Database, schema: pa.Schema, key: Sequence[str], dtype: Mapping[str, str]) -> str:
    if database.folds_names:
        _check_case(schema.names, database.title)
    open_ = pa.schema([field for field in schema if field.name not in dtype])
    types = database.declared(open_, key)
    parts = []
    for field in schema:
        null = " NOT NULL" if not field.nullable or field.name in key else " NULL"
        given = dtype.get(field.name)
        parts.append(f"{database.quote(field.name)} {given or types[field.name] + null}")
    if key:
        parts.append(f"PRIMARY KEY ({database.listed(key)})")
    return f"({', '.join(parts)})"


def _check_case(names: Sequence[str], title: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(
                f"columns {other!r} and {name!r} have one name in {title}",
                column=name,
                hint="rename one of them",
            )


def _sql_types(dtype: Any, database: Database, names: Sequence[str]) -> dict[str, str]:
    if dtype is None:
        return {}
    chosen = dtype if isinstance(dtype, Mapping) else dict.fromkeys(names, dtype)
    for name in chosen:
        if name not in names:
            raise InputError(
                f"dtype names {name!r}, which is no column", column=name, hint=meant(name, names)
            )
    return {name: _sql_type(kind, database, name) for name, kind in chosen.items()}


def _sql_type(kind: Any, database: Database, column: str) -> str:
    if isinstance(kind, str):
        if _SQL_TYPE.fullmatch(kind):
            return kind
    elif hasattr(kind, "__visit_name__"):  # a type of SQLAlchemy, class or instance
        return database.compiled(kind)
    raise InputError(
        f"dtype {kind!r} is no SQL type",
        column=column,
        hint='for example "VARCHAR(20)", or sqlalchemy.String(20)',
    )


class _Load:
    """Brings the rows into a table, once.

    Attributes
    ----------
    columns
        Those of the target; None until it is made.
    asked
        Columns whose type the user chose: if it is text, everything becomes text.
    """

    columns: Sequence[Column] | None = None
    asked: frozenset[str] = frozenset()
    chunk = _CHUNK
    progress: Progress = Silent()

    def __init__(
        self,
        database: Database,
        source: Incoming,
        tables: Iterator[pa.Table],
        key: Sequence[str],
        nan_to_null: bool,
    ) -> None:
        self.source = source
        self.key = key
        self._database = database
        self._tables = tables
        self._floats = Floats(nan_to_null, database.holds_nan, database.holds_infinity)

    def __call__(self, table: Name) -> int:
        columns = [self._as_asked(c) for c in self.columns or self._database.columns(table) or ()]
        self.progress.expect(self.source.rows)
        rows = 0
        for part in self._tables:
            wanted = matched(columns, part.column_names, table.table)
            for start in range(0, part.num_rows, self.chunk):
                chunk = fit(part.slice(start, self.chunk), wanted, rows, self._floats)
                self._check_key(chunk, rows)
                self._database.insert(table, chunk)
                rows += chunk.num_rows
                self.progress.advance(chunk.num_rows)
        return rows

    def _as_asked(self, column: Column) -> Column:
        text = column.name in self.asked and column.type == pa.string()
        return Column(column.name, column.type, opaque=True) if text else column

    def _check_key(self, chunk: pa.Table, first: int) -> None:
        for name in self.key:
            values = chunk.column(name)
            if values.null_count:
                row = first + values.is_null().index(True).as_py()
                raise SchemaError(
                    f"column {name!r} is part of the key and null in row {row}",
                    column=name,
                    hint="a row without a key cannot be found again: fill or drop it",
                )
