"""SQL on tables that DuckDB sees for as long as the query runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from atio import frames
from atio.errors import AccessError, AtioError, InputError, Located, StorageError
from atio.table.doors import sandbox
from atio.table.doors.duckdb import Files, identifier, library, source
from atio.table.doors.face import Doors

if TYPE_CHECKING:
    from atio.table.scan import Scan

Params = Sequence[object] | Mapping[str, object]
Source = Any
"""What DuckDB reads: ``Files``, or an Arrow table or dataset (``Rows``)."""


class Query(msgspec.Struct, frozen=True):
    """A statement that only reads, and the tables it may read, by name."""

    text: str
    params: Params | None
    tables: Mapping[str, Scan | pa.Table]
    located: Located

    @classmethod
    def of(
        cls, scan: Scan, text: str, params: Params | None, name: str, others: Mapping[str, object]
    ) -> Query:
        names = [name, *others]
        if len({one.lower() for one in names}) < len(names):
            raise InputError(
                f"two tables have one name: {', '.join(names)}", hint="name=… gives this one another"
            )
        located = Located(table=scan.table_url, version=scan.snapshot.version)
        tables = {name: scan} | {other: _table(given) for other, given in others.items()}
        return cls(text, params, tables, located)

    def start(self) -> Run:
        """Bind the query; nothing is computed before its relation is read."""
        sources = {
            name: table if isinstance(table, pa.Table) else source(table)
            for name, table in self.tables.items()
        }
        files = [found for found in sources.values() if isinstance(found, Files)]
        connection = sandbox.connect(tuple(dict.fromkeys(path for found in files for path in found.paths)))
        run = Run(connection, tuple(sources.values()), self.located)
        with run.guarded():
            for name, found in sources.items():
                if isinstance(found, Files):
                    connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS {found.query}")
                else:
                    connection.register(name, found)
            _check(connection.extract_statements(self.text))
            params = list(self.params) if isinstance(self.params, tuple) else self.params
            run.relation = connection.sql(self.text, params=params)
        return run


class Run:
    """A query on a connection of its own.

    Attributes
    ----------
    relation
        DuckDB's; computed when it is read.
    """

    relation: Any = None

    def __init__(self, connection: Any, sources: Sequence[Source], located: Located) -> None:
        self._connection = connection  # lives as long as the relation is read
        self._sources = sources
        self._located = located

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Say in atio's errors what goes wrong in DuckDB."""
        with self._located:
            try:
                yield
            except (library().Error, pa.ArrowException, OSError) as error:
                if isinstance(error, AtioError):
                    raise
                raise self._translated(error) from error

    def _translated(self, error: Exception) -> AtioError:
        # DuckDB passes on the words of an error in a stream, not the error.
        for found in self._sources:
            failure = getattr(found, "failure", None)
            if failure is not None:
                return failure  # type: ignore[no-any-return]
        duckdb = library()
        if isinstance(error, duckdb.PermissionException):
            hint = "hand other data over by name: sql(query, other=frame); to_duckdb() has no such limits"
            return AccessError(f"a query reads the tables it is given, and nothing else: {error}", hint=hint)
        if isinstance(error, duckdb.IOException):
            return StorageError(f"DuckDB could not read: {error}", hint="run verify() to see what is damaged")
        return InputError(f"DuckDB cannot run the query: {error}")


def _check(statements: Sequence[Any]) -> None:
    kinds = [statement.type for statement in statements]
    if kinds != [library().StatementType.SELECT]:
        found = ", ".join(str(kind).rpartition(".")[2] for kind in kinds) or "none"
        raise InputError(
            f"sql() runs one statement that only reads, not these: {found}",
            hint="write to the table with append(), overwrite() …; to_duckdb() allows what DuckDB does",
        )


def _table(given: object) -> Scan | pa.Table:
    """The newest version of a table, now; a frame as Arrow, also if it can be read but once."""
    if isinstance(given, Doors):
        return given._scan()  # noqa: SLF001
    from atio.table.doors.rows import readable, readable_schema

    found = frames.incoming(given)
    schema = readable_schema(found.schema)
    parts = [readable(part, schema) for part in found.tables]
    return pa.concat_tables(parts) if parts else schema.empty_table()
