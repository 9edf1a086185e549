"""``read_sql``: streams, types, parameters, and into a table of atio's."""

from __future__ import annotations

import gc
import logging
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
import sqlalchemy as sa

import atio
from atio import Table
from atio.errors import InputError, NotFoundError, RetryError, SchemaError
from atio.writers.sql import read_sql, write_table
from tests.databases.places import Place, ServerPlace

ROWS = pa.table({"id": range(1000), "name": [f"n{i}" for i in range(1000)]})


def test_chunks(place: Place) -> None:
    write_table(ROWS, "t", place.con)
    reader = atio.read_sql("SELECT * FROM t ORDER BY id", place.con, chunk_rows=300)
    assert isinstance(reader, pa.RecordBatchReader)
    batches = list(reader)
    assert max(batch.num_rows for batch in batches) <= (2048 if place.kind == "duckdb" else 300)
    assert pa.Table.from_batches(batches).to_pydict() == ROWS.to_pydict()


def test_into_a_table(place: Place, tmp_path: Path) -> None:
    write_table(ROWS, "t", place.con)
    table = Table.open(tmp_path / "table")
    table.append(read_sql("SELECT * FROM t", place.con, chunk_rows=100))
    table.append(read_sql("SELECT id FROM t WHERE id < 10", place.con))
    assert table.snapshot().rows == 1010


def test_from_one_table_into_another(place: Place) -> None:
    """Also into the very table that is read: it is read to the end before it is replaced."""
    write_table(ROWS, "t", place.con)
    if place.kind == "duckdb":
        pytest.skip("one connection to a DuckDB file at a time")
    write_table(read_sql("SELECT id FROM t WHERE id < 5", place.con), "t", place.con, if_exists="replace")
    assert place.rows("t") == [(i,) for i in range(5)]


def test_no_rows(place: Place) -> None:
    write_table(ROWS.slice(0, 0), "t", place.con)
    found = read_sql("SELECT * FROM t", place.con).read_all()
    assert found.num_rows == 0
    assert found.schema.names == ["id", "name"]
    if place.kind != "duckdb":
        assert found.schema == ROWS.schema


@pytest.mark.parametrize("query", ["SELECT * FROM nowhere", "SELECT", "SELECT 1 AS a, 2 AS a", "nonsense"])
def test_bad_queries(place: Place, query: str) -> None:
    write_table({"x": [1]}, "t", place.con)
    with pytest.raises(InputError):
        read_sql(query, place.con).read_all()
    assert place.rows("t") == [(1,)]


@pytest.mark.parametrize(
    "con", ["typo.db", "sqlite:///typo.db", "typo.duckdb", "duckdb:///typo.db", Path("typo.db")]
)
def test_a_read_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, con: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match=r"typo\.d"):
        read_sql("SELECT 1 AS x", con)
    assert list(tmp_path.iterdir()) == []
    assert read_sql("SELECT 1 AS x", "sqlite://").read_all().to_pylist() == [{"x": 1}]


def test_a_read_changes_nothing(place: Place) -> None:
    write_table({"x": [1]}, "t", place.con)
    for statement in ("UPDATE t SET x = 2", "DELETE FROM t", "INSERT INTO t VALUES (3)"):
        with suppress(InputError):  # DuckDB says how many rows it would have been
            read_sql(statement, place.con).read_all()
        assert place.rows("t") == [(1,)]


def test_parameters(place: Place) -> None:
    write_table(ROWS, "t", place.con)
    marks = {"sqlite": "?", "duckdb": "?"}
    mark = marks.get(place.kind, "%s")
    found = read_sql(f"SELECT id FROM t WHERE name = {mark}", place.con, params=["n7"]).read_all()
    assert found.to_pydict() == {"id": [7]}
    name = "$name" if place.kind == "duckdb" else ":name"
    found = read_sql(f"SELECT id FROM t WHERE name = {name}", place.con, params={"name": "n8"}).read_all()
    assert found.to_pydict() == {"id": [8]}
    found = read_sql("SELECT name FROM t WHERE name LIKE 'n1%' AND id < 11 ORDER BY 1", place.con).read_all()
    assert found.to_pydict() == {"name": ["n1", "n10"]}


def test_selectables(server: ServerPlace, tmp_path: Path) -> None:
    write_table(ROWS, "t", server.con)
    write_table(ROWS, "t", tmp_path / "a.db")
    table = sa.table("t", sa.column("id"), sa.column("name"))
    query = sa.select(table.c.id).where(table.c.name == "n7")
    for con in (server.con, tmp_path / "a.db"):
        assert read_sql(query, con).read_all().to_pydict() == {"id": [7]}
        assert (
            read_sql(sa.text("SELECT id FROM t WHERE id = :i"), con, params={"i": 3}).read_all().num_rows == 1
        )


def test_types_are_asked_for(place: Place) -> None:
    write_table({"x": [1, 2], "s": ["1.5", "2.5"]}, "t", place.con)
    found = read_sql("SELECT x, s FROM t", place.con, types={"x": pa.float32(), "s": pa.decimal128(5, 2)})
    assert found.schema.types == [pa.float32(), pa.decimal128(5, 2)]
    assert found.read_all().to_pydict() == {"x": [1.0, 2.0], "s": [Decimal("1.50"), Decimal("2.50")]}
    with pytest.raises(InputError, match="no column 'y'"):
        read_sql("SELECT x FROM t", place.con, types={"y": pa.int8()})


def test_a_value_that_does_not_fit(place: Place) -> None:
    write_table({"x": [1, 300]}, "t", place.con)
    with pytest.raises(SchemaError, match="300") as caught:
        read_sql("SELECT x FROM t ORDER BY x", place.con, types={"x": pa.int8()}).read_all()
    assert caught.value.column == "x"


def test_sqlite_says_what_it_likes(tmp_path: Path) -> None:
    """Its columns hold anything: what was declared is checked, what was not is told by the first chunk."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (day DATE, i INTEGER, n, b BOOLEAN)")
        connection.execute("INSERT INTO t VALUES ('2024-02-29', 1, NULL, 1), (1700000000, 'x', 2.5, 7)")
    assert read_sql("SELECT n, i * 2 AS d FROM t WHERE i = 1", path).read_all().to_pydict() == {
        "n": [None],
        "d": [2],
    }
    for column in ("day", "i", "b"):
        with pytest.raises(SchemaError, match=f"column '{column}' is read as .* in row 1"):
            read_sql(f"SELECT {column} FROM t", path).read_all()
    with pytest.raises(SchemaError, match="types="):
        read_sql("SELECT n FROM t", path, chunk_rows=1).read_all()
    assert read_sql("SELECT n FROM t", path).read_all()["n"].to_pylist() == [None, 2.5]
    wanted = {"day": pa.string(), "n": pa.float64()}
    found = read_sql("SELECT day, n FROM t", path, chunk_rows=1, types=wanted).read_all()
    assert found.to_pydict() == {"day": ["2024-02-29", "1700000000"], "n": [None, 2.5]}


def test_postgresql_types_of_its_own(postgresql: Any) -> None:
    postgresql.sql("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    postgresql.sql("CREATE DOMAIN small AS integer CHECK (VALUE < 10)")
    postgresql.sql(
        "CREATE TABLE t (m mood, n numeric, a integer[], s small, c char(3), u uuid, i inet, "
        "g integer GENERATED ALWAYS AS (1) STORED)"
    )
    rows = {
        "m": ["happy", None],
        "n": [Decimal("1.50"), Decimal("-20.125")],
        "s": [3, 4],
        "c": ["abc", None],
        "u": ["00000000-0000-0000-0000-000000000001", None],
        "i": ["10.0.0.1", None],
    }
    write_table(rows, "t", postgresql.con, if_exists="append")
    postgresql.sql("UPDATE t SET a = '{1,NULL,3}' WHERE s = 3")
    found = read_sql("SELECT * FROM t ORDER BY s", postgresql.con).read_all()
    assert found.drop_columns(["a", "g"]).to_pydict() == rows
    assert found["a"].to_pylist() == [[1, None, 3], None]
    with pytest.raises(SchemaError, match="mood"):
        write_table({"m": ["angry"]}, "t", postgresql.con, if_exists="append")
    assert read_sql("SELECT AVG(s) AS a, SUM(s) AS s FROM t", postgresql.con).read_all().to_pydict() == {
        "a": [Decimal("3.5000000000000000")],
        "s": [7],
    }


def test_mariadb_types_of_its_own(mariadb: Any) -> None:
    mariadb.sql(
        "CREATE TABLE t (e ENUM('a', 'b'), y YEAR, m MEDIUMINT UNSIGNED, d DATETIME, t TIME, i TINYINT(1), "
        "c CHAR(3), j JSON, v INT AS (1))"
    )
    mariadb.sql(
        "INSERT INTO t VALUES ('a', 2024, 5, '2024-02-29 12:00:00', '12:00:00', 1, 'abc', '[1]', DEFAULT)"
    )
    before = read_sql("SELECT e, y, m, d, t, i, c, j FROM t", mariadb.con).read_all()
    types = ["string", "int16", "uint32", "timestamp[s]", "time32[s]", "bool", "string", "string"]
    assert list(map(str, before.schema.types)) == types
    write_table(before, "t", mariadb.con, if_exists="append")
    after = read_sql("SELECT e, y, m, d, t, i, c, j FROM t", mariadb.con).read_all()
    assert after.to_pylist() == before.to_pylist() * 2
    with pytest.raises(SchemaError, match="would not come back"):
        write_table({"d": ["2024-02-29 12:00:00.5"]}, "t", mariadb.con, if_exists="append")
    found = read_sql(
        "SELECT COUNT(*) AS n, SUM(m) AS s, AVG(m) AS a, 'x' AS x, NULL AS z FROM t", mariadb.con
    )
    assert found.read_all().to_pylist()[0]["n"] == 2
    mariadb.sql("UPDATE t SET i = 5, t = '-30:00:00'")
    with pytest.raises(SchemaError, match="5 in row 0"):
        read_sql("SELECT i FROM t", mariadb.con).read_all()
    found = read_sql(
        "SELECT i, t FROM t", mariadb.con, types={"i": pa.int8(), "t": pa.duration("us")}
    ).read_all()
    assert found["i"].to_pylist() == [5, 5]


# -- connections -------------------------------------------------------------------------------


def test_connections_are_closed(server: ServerPlace) -> None:
    write_table(ROWS, "t", server.con)
    for use in (lambda r: r.read_all(), lambda r: r.read_next_batch(), lambda r: None):
        reader = read_sql("SELECT * FROM t", server.con, chunk_rows=10)
        assert server.writers()
        use(reader)
        del reader
        gc.collect()
        while server.writers():
            pass  # the server is about to notice


def test_a_sqlite_file_is_closed(tmp_path: Path) -> None:
    write_table(ROWS, "t", tmp_path / "a.db")
    for _ in range(3):
        reader = read_sql("SELECT * FROM t", tmp_path / "a.db", chunk_rows=10)
        reader.read_next_batch()
        del reader
        gc.collect()
    assert not any("a.db" in file.path for file in psutil.Process().open_files())


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyMySQL reads the rest of the rows when a cursor is thrown away, from a connection that is lost."""
    logging.disable(logging.CRITICAL)  # also so that no record keeps the cursor for longer
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    yield
    gc.collect()
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
def test_a_session_killed_while_reading(server: ServerPlace) -> None:
    write_table(pa.table({"x": ["x" * 1000] * 20_000}), "t", server.con)
    reader = read_sql("SELECT * FROM t", server.con, chunk_rows=100)
    reader.read_next_batch()
    server.kill()
    with pytest.raises(RetryError):
        reader.read_all()


@pytest.mark.usefixtures("quiet")
def test_a_broken_read_is_no_append(server: ServerPlace, tmp_path: Path) -> None:
    write_table(pa.table({"x": ["x" * 1000] * 20_000}), "t", server.con)
    table = Table.open(tmp_path / "table")
    table.append({"x": ["old"]})
    reader = read_sql("SELECT * FROM t", server.con, chunk_rows=100)
    reader.read_next_batch()
    server.kill()
    with pytest.raises(RetryError):
        table.append(reader)
    assert (table.version, table.snapshot().rows) == (1, 1)


@pytest.mark.slow
def test_memory_is_bounded(server: ServerPlace) -> None:
    """60 MB go through."""

    def source() -> Iterator[pa.Table]:
        text = "x" * 10_000
        for start in range(0, 6_000, 200):
            yield pa.table({"id": range(start, start + 200), "x": [text] * 200})

    process = psutil.Process()
    write_table(source(), "warm", server.con)
    before = process.memory_info().rss
    write_table(source(), "t", server.con)
    rows = 0
    for batch in read_sql("SELECT * FROM t", server.con, chunk_rows=200):
        rows += batch.num_rows
        assert process.memory_info().rss < before + 25 * 2**20
    assert rows == 6_000
