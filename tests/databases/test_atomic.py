"""All or nothing: whatever goes wrong, and wherever, the table is as it was and nothing else is there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from atio.errors import (
    AtioError,
    InputError,
    OutcomeUnknownError,
    RetryError,
    SchemaError,
    StorageError,
    UnsupportedError,
)
from atio.writers.sql import write_table
from tests.databases.places import MariadbPlace, Place, ServerPlace

MODES = ["replace", "append", "delete_rows", "upsert"]
OLD = pa.table({"id": [1, 2, 3], "name": ["one", "two", "three"]})
NEW = [(2, "TWO"), (7, "seven"), (8, "eight")]


def table(rows: list[tuple[int | None, str]]) -> pa.Table:
    return pa.table({"id": [row[0] for row in rows], "name": pa.array([row[1] for row in rows], pa.string())})


def start(place: Place) -> Any:
    """An old table with a key and an index, and what is to be seen of it."""
    place.sql("CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(20))")
    place.sql("CREATE INDEX by_name ON t (name)")
    write_table(OLD, "t", place.con, if_exists="append")
    return place.state("t")


def after(mode: str, rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
    old = {"replace": {}, "delete_rows": {}}.get(mode, dict(zip(*OLD.to_pydict().values(), strict=True)))
    return sorted({**old, **dict(rows)}.items(), key=repr)


# -- the rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*MODES, "fail"])
def test_a_source_that_fails(place: Place, mode: str) -> None:
    before = start(place)
    name = "new" if mode == "fail" else "t"

    def source() -> Iterator[pa.Table]:
        yield table([(7, "seven")])
        yield table([(8, "eight")])
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_table(source(), name, place.con, if_exists=mode, key="id", chunksize=1)
    assert place.state("t") == before


@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c(place: Place, mode: str) -> None:
    before = start(place)

    def source() -> Iterator[pa.Table]:
        yield table([(7, "seven")])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(source(), "t", place.con, if_exists=mode, key="id")
    assert place.state("t") == before


@pytest.mark.parametrize("mode", ["append", "delete_rows", "upsert"])
def test_a_constraint_on_the_last_row(place: Place, mode: str) -> None:
    before = start(place)
    rows = [(i, "x") for i in range(10, 500)]
    last: tuple[Any, str] = (None, "null") if mode == "upsert" else (10, "twice")
    with pytest.raises((SchemaError, InputError)):
        write_table(table([*rows, last]), "t", place.con, if_exists=mode, key="id", chunksize=100)
    assert place.state("t") == before


def test_a_constraint_on_the_last_row_of_a_replacement(place: Place) -> None:
    before = start(place)
    with pytest.raises(SchemaError):
        write_table(table([(1, "x"), (1, "y")]), "t", place.con, if_exists="replace", key="id", chunksize=1)
    assert place.state("t") == before


@pytest.mark.parametrize("mode", MODES)
def test_a_constraint_of_the_database(place: Place, mode: str) -> None:
    """Only the database knows of it, and only the last row breaks it."""
    if mode == "replace":
        pytest.skip("a new table has no such constraint")
    place.sql("CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(20), CHECK (id < 1000))")
    write_table(OLD, "t", place.con, if_exists="append")
    before = place.state("t")
    rows = [*((i, "x") for i in range(500)), (1000, "too large")]
    with pytest.raises(SchemaError):
        write_table(table(rows[4:]), "t", place.con, if_exists=mode, key="id", chunksize=200)
    assert place.state("t") == before


@pytest.mark.parametrize("mode", MODES)
def test_a_later_part_of_other_columns(place: Place, mode: str) -> None:
    before = start(place)
    parts = [table([(7, "seven")]), pa.table({"id": [8], "nom": ["huit"]})]
    with pytest.raises(SchemaError, match="no column 'nom'"):
        write_table(iter(parts), "t", place.con, if_exists=mode, key="id")
    assert place.state("t") == before


# -- the connection ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*MODES, "fail"])
@pytest.mark.parametrize("moment", ["in the middle", "at the end"])
def test_a_killed_session(server: ServerPlace, mode: str, moment: str) -> None:
    """``pg_terminate_backend``, or ``KILL``, while rows are sent or after the last one."""
    before = start(server)
    name = "new" if mode == "fail" else "t"

    def source() -> Iterator[pa.Table]:
        yield table([(7, "seven")])
        assert server.writers()
        if moment == "in the middle":
            server.kill()
        yield table([(8, "eight")])
        if moment == "at the end":
            server.kill()

    with pytest.raises(StorageError) as caught:
        write_table(source(), name, server.con, if_exists=mode, key="id")
    assert isinstance(caught.value, RetryError)
    assert server.state("t") == before
    assert write_table(table(NEW), "t", server.con, if_exists="replace") == 3  # the way is free
    assert server.rows("t") == sorted(NEW, key=repr)


@pytest.mark.parametrize(
    "mode",
    [
        "replace",
        "append",
        pytest.param("delete_rows", marks=pytest.mark.slow),
        pytest.param("upsert", marks=pytest.mark.slow),
    ],
)
def test_a_session_killed_before_each_statement(server: ServerPlace, mode: str) -> None:
    """Every statement of a write in turn: an error and the old table, or no error and the new one."""
    failures = 0
    before = start(server)
    rows = NEW[1:] if mode == "append" else NEW
    for victim in range(1, 100):
        engine = sa.create_engine(server.url, poolclass=sa.NullPool)
        reached = kill_before(server, engine, victim)
        try:
            write_table(table(rows), "t", engine, if_exists=mode, key="id")
        except StorageError:
            failures += 1
            assert server.state("t") == before, reached
        except OutcomeUnknownError:
            assert (server.kind, reached) == ("mariadb", ["COMMIT"])  # it cannot tell
            assert server.state("t") == before, reached
        else:
            assert server.rows("t") == after(mode, rows), reached
            if not reached:
                break
            for name in server.tables():  # an old table may be left for the next write to remove
                assert name == "t" or name.endswith("_old")
                server.sql(f"DROP TABLE {name}")
            before = start(server)
    assert failures >= 3
    assert write_table(table(NEW), "t", server.con, if_exists="replace") == 3
    assert server.tables() == {"t"}


def kill_before(server: ServerPlace, engine: sa.Engine, victim: int) -> list[str]:
    """End the session before the n-th statement or commit; the list returned then holds what it was."""
    reached: list[str] = []
    seen = 0

    def count(what: str) -> None:
        nonlocal seen
        seen += 1
        if seen == victim:
            reached.append(what)
            server.kill()

    sa.event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_: count(statement))
    sa.event.listen(engine, "commit", lambda _c: count("COMMIT"))
    return reached


def test_kinds_of_the_commonest_errors(place: Place) -> None:
    """Nothing but errors of atio comes out, without the driver's own behind them."""
    start(place)
    for call in (
        lambda: write_table(table([(1, "x")]), "t", place.con, if_exists="append"),
        lambda: write_table(OLD, "t", place.con),
        lambda: write_table(OLD, "t", place.con, if_exists="append", schema="nowhere"),
    ):
        with pytest.raises(AtioError) as caught:
            call()
        assert caught.value.table in ("t", "nowhere.t")
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


# -- MariaDB, whose tables cannot be made in a transaction -------------------------------------


def test_leftovers_are_removed_but_not_those_of_living_writers(mariadb: MariadbPlace) -> None:
    dead, living = "_atio_0123456789abcdef_new", "_atio_fedcba9876543210_new"
    others = ("_atio_0123456789abcdef_old", "_atio_mine", "xatio_0123456789abcdef_new")
    for name in (dead, living, *others):
        mariadb.sql(f"CREATE TABLE {name} (x INT)")
    with mariadb.con.connect() as connection:
        connection.exec_driver_sql(f"SELECT GET_LOCK('{living}', 0)")
        write_table(OLD, "t", mariadb.con)
        assert mariadb.tables() == {"t", living, "_atio_mine", "xatio_0123456789abcdef_new"}
    write_table(OLD, "t", mariadb.con, if_exists="replace")
    assert mariadb.tables() == {"t", "_atio_mine", "xatio_0123456789abcdef_new"}


def test_engines_without_transactions_are_refused(mariadb: MariadbPlace) -> None:
    for mode in ("append", "delete_rows", "upsert"):
        mariadb.sql("CREATE OR REPLACE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(20)) ENGINE=MyISAM")
        mariadb.sql("INSERT INTO t VALUES (1, 'one')")
        with pytest.raises(UnsupportedError, match="MyISAM"):
            write_table(table(NEW), "t", mariadb.con, if_exists=mode, key="id")
        assert mariadb.rows("t") == [(1, "one")]
    write_table(table(NEW), "t", mariadb.con, if_exists="replace")
    assert "InnoDB" in str(mariadb.definition("t"))


def test_foreign_keys_to_a_table_are_not_lost(place: Place) -> None:
    """MariaDB's would follow the old table to its death."""
    if place.kind == "sqlite":
        pytest.skip("SQLite does not look at them unless asked to")
    before = start(place)
    place.sql("CREATE TABLE child (id BIGINT, FOREIGN KEY (id) REFERENCES t (id))")
    place.sql("INSERT INTO child VALUES (1)")
    with pytest.raises(InputError):
        write_table(table(NEW), "t", place.con, if_exists="replace", key="id")
    assert place.state("t")[1:] == before[1:]
    assert place.rows("child") == [(1,)]
    write_table(table(NEW), "t", place.con, if_exists="upsert", key="id")


def test_values_are_never_cut_in_a_lax_session(mariadb: MariadbPlace) -> None:
    """Outside strict mode MariaDB cuts text and clips numbers with a warning."""
    mariadb.sql("CREATE TABLE t (s VARCHAR(3))")
    engine = sa.create_engine(mariadb.url, poolclass=sa.NullPool)
    lax = "ANSI_QUOTES"
    sa.event.listen(
        engine, "connect", lambda c, _: c.cursor().execute(f"SET sql_mode = '{lax}', time_zone = '+05:00'")
    )
    with engine.connect() as connection:
        with pytest.raises(SchemaError, match="too long"):
            write_table({"s": ["abc", "abcd"]}, "t", connection, if_exists="append")
        assert mariadb.rows("t") == []
        write_table({"s": ["abc"]}, "t", connection, if_exists="append")
        assert connection.exec_driver_sql("SELECT @@sql_mode, @@time_zone").all() == [(lax, "+05:00")]


# -- several writers ---------------------------------------------------------------------------


def test_a_table_made_meanwhile(server: ServerPlace) -> None:
    """Between the look and the swap somebody else makes the table: theirs stays."""

    def source() -> Iterator[pa.Table]:
        yield table([(7, "seven")])
        server.sql("CREATE TABLE t (theirs INT)")

    with pytest.raises(AtioError, match="exists"):
        write_table(source(), "t", server.con)
    assert server.sql("SELECT theirs FROM t") == []
    assert server.tables() == {"t"}


def test_readers_see_the_old_table_until_the_end(server: ServerPlace) -> None:
    before = start(server)

    def source() -> Iterator[pa.Table]:
        yield table([(7, "seven")])
        assert server.rows("t") == before[2]
        yield table([(8, "eight")])
        assert server.rows("t") == before[2]

    for mode in MODES:
        server.sql("DROP TABLE t")
        start(server)
        write_table(source(), "t", server.con, if_exists=mode, key="id")
        assert (7, "seven") in server.rows("t")


def test_a_locked_sqlite_file(tmp_path: Any) -> None:
    path = tmp_path / "a.db"
    write_table(OLD, "t", path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    writer = sqlite3.connect(path, timeout=0)
    with pytest.raises(RetryError, match="locked"):
        write_table(OLD, "t", writer, if_exists="append")
    holder.execute("ROLLBACK")
    write_table(OLD, "t", writer, if_exists="append")
    assert writer.execute("SELECT COUNT(*) FROM t").fetchall() == [(6,)]
    holder.close()
    writer.close()
