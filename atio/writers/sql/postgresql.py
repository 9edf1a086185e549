"""PostgreSQL: rows go in by COPY; a new table is filled unseen and takes its place at the end."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, ClassVar

import pyarrow as pa

from atio.errors import InputError, UnsupportedError
from atio.writers.sql.alchemy import AlchemyDatabase, with_digits
from atio.writers.sql.base import Column, Name, Query
from atio.writers.sql.fit import check_json, plain

t = pa.types

_NAME_BYTES = 63  # NAMEDATALEN - 1: longer names are cut without a word

#: Plain Arrow types and their columns. Unsigned integers take the next wider signed one.
_DECLARED: dict[pa.DataType, str] = {
    pa.null(): "TEXT",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "SMALLINT",
    pa.uint8(): "SMALLINT",
    pa.int16(): "SMALLINT",
    pa.uint16(): "INTEGER",
    pa.int32(): "INTEGER",
    pa.uint32(): "BIGINT",
    pa.int64(): "BIGINT",
    pa.uint64(): "NUMERIC(20, 0)",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE PRECISION",
    pa.string(): "TEXT",
    pa.binary(): "BYTEA",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.time64("ns"): "TIME",
}
#: The types of columns that exist, as ``format_type`` names them, and their object ids.
_TYPES: dict[str, tuple[int, pa.DataType]] = {
    "boolean": (16, pa.bool_()),
    "bytea": (17, pa.binary()),
    "bigint": (20, pa.int64()),
    "smallint": (21, pa.int16()),
    "integer": (23, pa.int32()),
    "text": (25, pa.string()),
    "json": (114, pa.string()),
    "real": (700, pa.float32()),
    "double precision": (701, pa.float64()),
    "character": (1042, pa.string()),
    "character varying": (1043, pa.string()),
    "date": (1082, pa.date32()),
    "time without time zone": (1083, pa.time64("us")),
    "timestamp without time zone": (1114, pa.timestamp("us")),
    "timestamp with time zone": (1184, pa.timestamp("us", "UTC")),
    "interval": (1186, pa.duration("us")),
    "jsonb": (3802, pa.string()),
}
_BY_ID = dict(_TYPES.values())
_ARRAYS = {
    1000: pa.bool_(),
    1001: pa.binary(),
    1005: pa.int16(),
    1007: pa.int32(),
    1009: pa.string(),
    1015: pa.string(),
    1016: pa.int64(),
    1021: pa.float32(),
    1022: pa.float64(),
    1115: pa.timestamp("us"),
    1182: pa.date32(),
    1185: pa.timestamp("us", "UTC"),
}
_NUMERIC = 1700

_COLUMNS = """
SELECT c.relkind, n.nspname, a.attname,
       CASE WHEN y.typtype = 'd' THEN format_type(y.typbasetype, y.typtypmod)
            ELSE format_type(a.atttypid, a.atttypmod) END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
LEFT JOIN pg_type y ON y.oid = a.atttypid
WHERE c.oid = to_regclass(%s)
ORDER BY a.attnum
"""


class PostgreSQL(AlchemyDatabase):
    title = "PostgreSQL"
    folds_names: ClassVar[bool] = False

    def quote(self, name: Name | str) -> str:
        if isinstance(name, str) and len(name.encode()) > _NAME_BYTES:
            raise InputError(
                f"the name {name!r} has more than {_NAME_BYTES} bytes, and PostgreSQL would cut it",
                hint="choose a shorter one",
            )
        return super().quote(name)

    # -- transactions ------------------------------------------------------------------------

    def mark(self) -> Any:
        return self.execute("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")[0][0]

    def landed(self, mark: Any) -> bool | None:
        try:
            with self.another() as connection:
                status = connection.exec_driver_sql(
                    "SELECT pg_xact_status(CAST(%s AS xid8))", (mark,)
                ).scalar()
        except Exception:  # noqa: BLE001 - whatever it is, the answer is not known
            return None
        return {"committed": True, "aborted": False}.get(str(status))

    # -- tables ------------------------------------------------------------------------------

    def columns(self, table: Name) -> tuple[Column, ...] | None:
        found = self.execute(_COLUMNS, (self.quote(table),))
        if not found:
            return None
        if found[0][0] not in ("r", "p"):
            raise InputError(f"{table} is no table but a view or something like it", hint="name a table")
        return tuple(_column(name, kind) for _, _, name, kind in found if name is not None)

    def declared(self, schema: pa.Schema, key: Sequence[str]) -> dict[str, str]:
        del key
        return {field.name: _declared(field) for field in schema}

    def build(self, table: Name, body: str, fill: Callable[[Name], int], *, replace: bool) -> int:
        # Readers go on with the old table while the new one is filled; the lock is taken for the swap only.
        with self.transaction():
            home = self._home(table)
            stage = home.beside()
            self.execute(f"CREATE TABLE {self.quote(stage)} {body}")
            rows = fill(stage)
            if replace:
                self.execute(f"DROP TABLE IF EXISTS {self.quote(home)}")
            self.execute(f"ALTER TABLE {self.quote(stage)} RENAME TO {self.quote(table.table)}")
            self._name_constraints(stage, home)
        return rows

    def _home(self, table: Name) -> Name:
        """Name the schema that a table is in, or would be made in."""
        if table.schema is not None:
            return table
        found = self.execute(_COLUMNS, (self.quote(table),))
        schema = found[0][1] if found else self.execute("SELECT current_schema()")[0][0]
        return Name(table.table, schema)

    def _name_constraints(self, stage: Name, home: Name) -> None:
        """Constraints were named after the stage: give them the names they would have had."""
        found = self.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND starts_with(conname, %s)",
            (self.quote(home), stage.table),
        )
        for (name,) in found:
            wanted = home.table.encode()[: _NAME_BYTES - len(name) + len(stage.table)].decode(errors="ignore")
            wanted += name.removeprefix(stage.table)
            self.execute(
                f"ALTER TABLE {self.quote(home)} RENAME CONSTRAINT {self.quote(name)} TO {self.quote(wanted)}"
            )

    def insert(self, table: Name, rows: pa.Table) -> None:
        from pyarrow import csv

        sink = io.BytesIO()
        columns = [_copied(column) for column in rows.columns]
        texts = pa.Table.from_arrays(columns, names=rows.column_names)
        # Arrow quotes every text, so an empty one is not taken for null.
        csv.write_csv(texts, sink, csv.WriteOptions(include_header=False, quoting_style="needed"))
        copy = (
            f"COPY {self.quote(table)} ({self.listed(rows.column_names)}) "
            "FROM STDIN (FORMAT csv, ENCODING 'UTF8')"
        )
        self._copy(copy, sink)

    def _copy(self, copy: str, data: io.BytesIO) -> None:
        with closing(self.driver.cursor()) as cursor:
            if hasattr(cursor, "copy_expert"):  # psycopg2
                data.seek(0)
                cursor.copy_expert(copy, data)
            elif hasattr(cursor, "copy"):  # psycopg
                with cursor.copy(copy) as stream:
                    stream.write(data.getbuffer())
            else:
                raise UnsupportedError(
                    f"the driver {self.connection.dialect.driver} cannot COPY",
                    hint='use psycopg: pip install "atio[postgresql]"',
                )

    # -- queries -----------------------------------------------------------------------------

    def query(self, question: Query, opened: ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        self.check_transactional("its rows cannot be fetched one part after the other")
        return super().query(question, opened)

    def typed(self, description: Sequence[Sequence[Any]]) -> list[pa.DataType | None]:
        return [_described(*column[1:6]) for column in description]


def _declared(field: pa.Field) -> str:
    kind = plain(field.type)
    if isinstance(field.type, pa.UuidType):
        return "UUID"
    if t.is_decimal(kind):
        return f"NUMERIC({kind.precision}, {kind.scale})"
    if t.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz is None else "TIMESTAMPTZ"
    if t.is_duration(kind):
        return "INTERVAL"
    if t.is_nested(kind):
        check_json(kind, field.name)
        return "JSONB"
    if kind not in _DECLARED:
        raise UnsupportedError(f"PostgreSQL has no type for {field.type}", column=field.name)
    return _DECLARED[kind]


_WORDS = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(-?\d+))?\))?( with(?:out)? time zone)?")


def _column(name: str, words: str) -> Column:
    match = _WORDS.fullmatch(words)
    base = match[1] + (match[4] or "") if match else ""
    kind = _TYPES[base][1] if base in _TYPES else None
    if match and base == "numeric":
        kind = _numeric(match[2], match[3])
    if match is None or kind is None:
        return Column(name, pa.string(), opaque=True)
    return Column(name, with_digits(kind, match[2] or "6"))


def _described(id_: int, _: Any, __: Any, precision: Any, scale: Any) -> pa.DataType | None:
    if id_ == _NUMERIC:
        return _numeric(precision, scale)
    if id_ in _ARRAYS:
        return pa.list_(_ARRAYS[id_])
    return _BY_ID.get(id_, pa.string())


def _numeric(precision: Any, scale: Any) -> pa.DataType | None:
    """None for a column without a declared precision, or with one beyond Arrow."""
    if precision is None:
        return None
    digits, scale = int(precision), int(scale or 0)
    if not 0 < digits <= 76 or not 0 <= scale <= digits:
        return None
    return (pa.decimal128 if digits <= 38 else pa.decimal256)(digits, scale)


def _copied(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What COPY reads, where that is not what Arrow writes."""
    kind = column.type
    if t.is_binary(kind):
        texts = [[None if v is None else "\\x" + v.hex() for v in c.to_pylist()] for c in column.chunks]
        return pa.chunked_array(texts, pa.string())
    if t.is_duration(kind):
        counts = [
            [None if v is None else f"{v} microseconds" for v in c.cast(pa.int64()).to_pylist()]
            for c in column.chunks
        ]
        return pa.chunked_array(counts, pa.string())
    if t.is_timestamp(kind) and kind.tz is not None:
        return column.cast(pa.timestamp("us", "UTC"))
    return column
