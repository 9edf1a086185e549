"""Where tests write: one namespace of its own for every test, on every kind of database."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

Rows = list[tuple[Any, ...]]


class Place(ABC):
    """A database seen by itself, without atio."""

    kind: str
    con: Any
    """What is handed to atio."""
    quoting = '"'

    @abstractmethod
    def sql(self, statement: str) -> Rows:
        """Run a statement in a transaction and a connection of its own."""

    def close(self) -> None:  # noqa: B027 - most have nothing open
        """Leave nothing open."""

    @abstractmethod
    def tables(self) -> set[str]: ...

    @abstractmethod
    def definition(self, table: str) -> Any:
        """Everything the database says of a table: columns, keys, indexes."""

    def q(self, name: str) -> str:
        return self.quoting + name.replace(self.quoting, self.quoting * 2) + self.quoting

    def rows(self, table: str) -> Rows:
        return sorted(self.sql(f"SELECT * FROM {self.q(table)}"), key=repr)

    def state(self, table: str) -> Any:
        """What must be as it was: the table, its rows, and that there are no others."""
        return self.tables(), self.definition(table), self.rows(table)


class SqlitePlace(Place):
    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.con: Any = folder / "test.db"

    def sql(self, statement: str) -> Rows:
        with closing(sqlite3.connect(self.con)) as connection, connection:
            return connection.execute(statement).fetchall()

    def tables(self) -> set[str]:
        return {name for (name,) in self.sql("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def definition(self, table: str) -> Any:
        return self.sql(f"SELECT sql FROM sqlite_master WHERE tbl_name = '{table}' ORDER BY name")


class DuckdbPlace(Place):
    kind = "duckdb"

    _connection: duckdb.DuckDBPyConnection | None = None  # keeps the database open, which is faster

    def __init__(self, folder: Path) -> None:
        self.con: Any = folder / "test.duckdb"

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def sql(self, statement: str) -> Rows:
        self._connection = self._connection or duckdb.connect(str(self.con))
        return self._connection.execute(statement).fetchall()

    def tables(self) -> set[str]:
        return {name for (name,) in self.sql("SELECT table_name FROM duckdb_tables()")}

    def definition(self, table: str) -> Any:
        return self.sql(f"SELECT sql FROM duckdb_tables() WHERE table_name = '{table}'"), self.sql(
            f"SELECT sql FROM duckdb_indexes() WHERE table_name = '{table}' ORDER BY index_name"
        )


class ServerPlace(Place):
    def __init__(self, url: sa.URL, **options: Any) -> None:
        self.url = url
        self.con: Any = sa.create_engine(url, poolclass=sa.NullPool)
        self._mine = sa.create_engine(url, pool_size=1, max_overflow=0, connect_args=options)

    def close(self) -> None:
        self._mine.dispose()

    def sql(self, statement: str) -> Rows:
        with self._mine.begin() as connection:
            result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            return [tuple(row) for row in result] if result.returns_rows else []

    def writers(self) -> list[int]:
        """The server's ids of the sessions that are open besides the one that asks."""
        raise NotImplementedError

    def kill(self) -> None:
        """End all of them, from the server's side."""
        raise NotImplementedError


class PostgresqlPlace(ServerPlace):
    kind = "postgresql"

    def __init__(self, server: sa.URL, name: str) -> None:
        with sa.create_engine(server, poolclass=sa.NullPool).begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        options = f"-csearch_path={name} -capplication_name={name}"
        # Tables of one name come and go: prepared statements would not notice.
        super().__init__(server.update_query_dict({"options": options}), prepare_threshold=None)
        self.name = name

    def tables(self) -> set[str]:
        found = self.sql(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND (relnamespace = "
            f"'{self.name}'::regnamespace OR relname LIKE '\\_atio%')"
        )
        return {name for (name,) in found}

    def definition(self, table: str) -> Any:
        oid = f"'{self.q(table)}'::regclass".replace("%", "%")
        return (
            self.sql(
                "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
                f"WHERE attrelid = {oid} AND attnum > 0 ORDER BY attnum"
            ),
            self.sql(f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = {oid} ORDER BY 1"),
            self.sql(f"SELECT oid, relacl::text FROM pg_class WHERE oid = {oid}"),
        )

    def writers(self) -> list[int]:
        found = self.sql(
            f"SELECT pid FROM pg_stat_activity WHERE application_name = '{self.name}' "
            "AND pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in found]

    def kill(self) -> None:
        for pid in self.writers():
            self.sql(f"SELECT pg_terminate_backend({pid}, 5000)")


class MariadbPlace(ServerPlace):
    kind = "mariadb"
    quoting = "`"

    def __init__(self, server: sa.URL, name: str) -> None:
        with sa.create_engine(server, poolclass=sa.NullPool).begin() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        super().__init__(server.set(database=name))
        self.name = name

    def tables(self) -> set[str]:
        found = self.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
        return {name for (name,) in found}

    def definition(self, table: str) -> Any:
        return self.sql(f"SHOW CREATE TABLE {self.q(table)}")

    def writers(self) -> list[int]:
        found = self.sql(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        return [number for (number,) in found]

    def kill(self) -> None:
        for number in self.writers():
            self.sql(f"KILL {number}")
        while self.writers():  # it ends on its own thread
            pass
