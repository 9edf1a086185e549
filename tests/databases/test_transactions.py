"""A transaction of the caller's stays the caller's: what is written belongs to it, and only they end it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa

from atio.errors import AtioError, InputError
from atio.writers.sql import read_sql, write_table
from tests.databases.places import Place, ServerPlace

OLD = pa.table({"id": [1, 2], "name": ["one", "two"]})
NEW = pa.table({"id": [3], "name": ["three"]})
MODES = ["fail", "replace", "append", "delete_rows", "upsert"]
AFTER = {
    "fail": [(1, "one"), (2, "two")],
    "replace": [(3, "three")],
    "append": [(1, "one"), (2, "two"), (3, "three")],
    "delete_rows": [(3, "three")],
    "upsert": [(1, "one"), (2, "two"), (3, "three")],
}


@contextmanager
def alchemy(place: Place) -> Iterator[sa.Connection]:
    prefix = {"sqlite": "sqlite", "duckdb": "duckdb"}.get(place.kind)
    engine = place.con
    if prefix is not None:
        engine = sa.create_engine(f"{prefix}:///{place.con}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


def makes_tables(mode: str) -> bool:
    return mode in ("fail", "replace")


@pytest.fixture
def there(place: Place) -> Place:
    write_table(OLD, "t", place.con, key="id")
    write_table({"x": [0]}, "mine", place.con)
    return place


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_caller_ends_it(there: Place, mode: str, end: str) -> None:
    if there.kind == "mariadb" and makes_tables(mode):
        pytest.skip("MariaDB would commit")
    name = "new" if mode == "fail" else "t"
    with alchemy(there) as connection:
        connection.exec_driver_sql("UPDATE mine SET x = 1")
        write_table(NEW, name, connection, if_exists=mode, key="id")
        assert connection.in_transaction()
        assert read_sql("SELECT x FROM mine", connection).read_all().to_pylist() == [{"x": 1}]
        getattr(connection, end)()
    done = end == "commit"
    assert there.rows("mine") == [(int(done),)]
    assert there.rows("t") == (AFTER[mode] if done else AFTER["fail"])
    assert there.tables() == {"t", "mine"} | ({"new"} if done and mode == "fail" else set())


@pytest.mark.parametrize("mode", ["replace", "append", "delete_rows", "upsert"])
def test_a_failure_is_taken_back_alone(there: Place, mode: str) -> None:
    if there.kind == "mariadb" and makes_tables(mode):
        pytest.skip("MariaDB would commit")

    def source() -> Iterator[pa.Table]:
        yield NEW
        raise RuntimeError("the source broke")

    with alchemy(there) as connection:
        connection.exec_driver_sql("UPDATE mine SET x = 1")
        with pytest.raises(RuntimeError, match="the source broke"):
            write_table(source(), "t", connection, if_exists=mode, key="id")
        connection.commit()
    assert there.rows("mine") == [(1,)]
    assert there.rows("t") == AFTER["fail"]
    assert there.tables() == {"t", "mine"}


def test_a_constraint_is_taken_back_alone(there: Place) -> None:
    with alchemy(there) as connection:
        connection.exec_driver_sql("UPDATE mine SET x = 1")
        with pytest.raises(InputError):
            write_table(pa.concat_tables([NEW, OLD]), "t", connection, if_exists="append", chunksize=1)
        if there.kind == "duckdb":  # has no savepoints: it aborts the transaction, as it says
            with pytest.raises(sa.exc.DBAPIError):
                connection.exec_driver_sql("SELECT 1")
            connection.rollback()
        connection.commit()
    assert there.rows("mine") == [(int(there.kind != "duckdb"),)]
    assert there.rows("t") == AFTER["fail"]


def test_mariadb_does_not_commit_behind_your_back(mariadb: Any) -> None:
    write_table({"x": [0]}, "mine", mariadb.con)
    with alchemy(mariadb) as connection:
        connection.exec_driver_sql("UPDATE mine SET x = 1")
        for mode in MODES:
            with pytest.raises(InputError, match="would commit your open transaction"):
                write_table(NEW, "t", connection, if_exists=mode, key="id")
        connection.rollback()
    assert mariadb.rows("mine") == [(0,)]


def test_a_connection_without_a_transaction(there: Place) -> None:
    with alchemy(there) as connection:
        for mode in MODES[1:]:
            write_table(NEW, "t", connection, if_exists=mode if mode != "append" else "delete_rows", key="id")
            assert not connection.in_transaction()
    assert there.rows("t") == AFTER["replace"]


def test_autocommit_is_refused(server: ServerPlace) -> None:
    engine = sa.create_engine(server.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with pytest.raises(InputError, match="commits every statement by itself"):
        write_table(NEW, "t", engine)
    with server.con.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(InputError, match="commits every statement by itself"):
            write_table(NEW, "t", connection)
        if server.kind == "postgresql":  # whose cursors live as long as a transaction
            with pytest.raises(InputError, match="one part after the other"):
                read_sql("SELECT 1 AS x", connection)
        else:
            assert read_sql("SELECT 1 AS x", connection).read_all().to_pylist() == [{"x": 1}]
    assert server.tables() == set()


# -- connections of drivers --------------------------------------------------------------------


@pytest.mark.parametrize("isolation", [None, "", "IMMEDIATE"])
def test_sqlite3(tmp_path: Path, isolation: str | None) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=isolation)) as connection:
        connection.row_factory = sqlite3.Row
        write_table(OLD, "t", connection)
        assert not connection.in_transaction
        write_table(NEW, "t", connection, if_exists="replace")
        if isolation is None:
            connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (9, 'nine')")
        write_table(OLD, "t", connection, if_exists="append")
        write_table(OLD, "u", connection)
        with pytest.raises(AtioError):
            write_table(OLD, "u", connection)
        assert connection.in_transaction
        connection.rollback()
        assert [tuple(row) for row in connection.execute("SELECT * FROM t")] == [(3, "three")]
        assert read_sql("SELECT * FROM t", connection).read_all().to_pylist() == NEW.to_pylist()


def test_duckdb(tmp_path: Path) -> None:
    with closing(duckdb.connect(str(tmp_path / "a.duckdb"))) as connection:
        write_table(OLD, "t", connection, key="id")
        connection.begin()
        connection.execute("INSERT INTO t VALUES (9, 'nine')")
        write_table(NEW, "t", connection, if_exists="append")
        write_table(NEW, "u", connection)
        with pytest.raises(AtioError):
            write_table(NEW, "u", connection)
        connection.rollback()
        assert connection.execute("SELECT COUNT(*) FROM t").fetchall() == [(2,)]
        connection.begin()
        write_table(NEW, "t", connection, if_exists="replace")
        connection.commit()
        assert connection.execute("FROM t").fetchall() == [(3, "three")]


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for con in (
        "a.db",
        Path("b.db"),
        "sqlite:///c.db",
        f"sqlite:////{tmp_path}/d.db",
        "sqlite:///e.db?timeout=5",
        "sqlite+pysqlite:///f.db",
        "duckdb:///g.duckdb",
        Path("h.duckdb"),
        sa.make_url("sqlite:///i.db"),
        sa.create_engine("sqlite:///j.db", poolclass=sa.NullPool),
        sa.create_engine("duckdb:///k.duckdb", poolclass=sa.NullPool),
    ):
        write_table(OLD, "t", con)
        assert read_sql("SELECT * FROM t ORDER BY id", con).read_all().to_pylist() == OLD.to_pylist(), con
    assert len(list(tmp_path.iterdir())) == 11


def test_psycopg2(postgresql: Any) -> None:
    url = postgresql.url.set(drivername="postgresql+psycopg2")
    write_table(OLD, "t", url, key="id")
    write_table(NEW, "t", url, if_exists="upsert", key="id")
    assert read_sql("SELECT * FROM t ORDER BY id", url).read_all().num_rows == 3
    with pytest.raises(InputError, match="duplicate key"):
        write_table(NEW, "t", url, if_exists="append")


def test_urls_without_a_driver(server: ServerPlace) -> None:
    scheme = "postgres" if server.kind == "postgresql" else "mariadb"
    url = server.url.render_as_string(hide_password=False)
    write_table(OLD, "t", scheme + url[url.index("://") :])
    assert server.rows("t") == AFTER["fail"]


@pytest.mark.parametrize("con", [3, None, object(), {"host": "x"}, b"a.db"])
def test_what_is_no_database(con: Any) -> None:
    with pytest.raises(InputError, match="is no database"):
        write_table(OLD, "t", con)
