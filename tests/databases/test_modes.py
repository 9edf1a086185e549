"""What each ``if_exists`` does, on every database and with every kind of frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from atio.errors import ExistsError, InputError, SchemaError
from atio.writers.sql import read_sql, write_table
from tests.databases.places import Place

OLD = pa.table({"id": [1, 2], "name": ["one", "two"]})
NEW = pa.table({"id": [2, 3], "name": ["TWO", "three"]})
MODES = ["fail", "replace", "append", "delete_rows", "upsert"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_makes_a_table(place: Place, mode: str) -> None:
    key = "id" if mode == "upsert" else None
    assert write_table(OLD, "t", place.con, if_exists=mode, key=key) == 2
    assert place.rows("t") == [(1, "one"), (2, "two")]
    assert place.tables() == {"t"}


def test_rows_may_begin_with_an_empty_piece(place: Place) -> None:
    assert write_table(pa.concat_tables([OLD.slice(0, 0), OLD]), "t", place.con) == 2
    assert place.rows("t") == [(1, "one"), (2, "two")]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("replace", [(2, "TWO"), (3, "three")]),
        ("append", [(1, "one"), (2, "TWO"), (2, "two"), (3, "three")]),
        ("delete_rows", [(2, "TWO"), (3, "three")]),
    ],
)
def test_a_table_that_is_there(place: Place, mode: str, expected: Any) -> None:
    write_table(OLD, "t", place.con)
    assert write_table(NEW, "t", place.con, if_exists=mode) == 2
    assert place.rows("t") == expected
    assert place.tables() == {"t"}


def test_fail_leaves_the_table(place: Place) -> None:
    write_table(OLD, "t", place.con)
    before = place.state("t")
    with pytest.raises(ExistsError, match="'t' is there already"):
        write_table(NEW, "t", place.con)
    assert place.state("t") == before


def test_replace_changes_the_columns(place: Place) -> None:
    write_table(OLD, "t", place.con, key="id")
    write_table(pa.table({"x": [1.5]}), "t", place.con, if_exists="replace")
    assert place.rows("t") == [(1.5,)]


def test_delete_rows_keeps_the_table(place: Place) -> None:
    write_table(OLD, "t", place.con, key="id")
    definition = place.definition("t")
    write_table(NEW, "t", place.con, if_exists="delete_rows")
    assert place.definition("t") == definition


# -- upsert ------------------------------------------------------------------------------------


def test_upsert(place: Place) -> None:
    write_table(OLD, "t", place.con, if_exists="upsert", key="id")
    assert write_table(NEW, "t", place.con, if_exists="upsert", key=["id"]) == 2
    assert place.rows("t") == [(1, "one"), (2, "TWO"), (3, "three")]
    assert place.tables() == {"t"}


def test_upsert_leaves_other_columns(place: Place) -> None:
    write_table(OLD.append_column("n", [[10, 20]]), "t", place.con, key="id")
    write_table(NEW, "t", place.con, if_exists="upsert", key="id")
    assert place.rows("t") == [(1, "one", 10), (2, "TWO", 20), (3, "three", None)]


def test_upsert_by_several_columns(place: Place) -> None:
    old = pa.table({"a": ["x", "x", "y"], "b": [1, 2, 1], "v": [0.5, 1.5, 2.5]})
    write_table(old, "t", place.con, key=["a", "b"])
    write_table(
        pa.table({"v": [9.5, 8.5], "b": [2, 2], "a": ["x", "y"]}),
        "t",
        place.con,
        if_exists="upsert",
        key=["b", "a"],
    )
    assert place.rows("t") == [("x", 1, 0.5), ("x", 2, 9.5), ("y", 1, 2.5), ("y", 2, 8.5)]


def test_upsert_of_keys_alone(place: Place) -> None:
    write_table(OLD, "t", place.con, key="id")
    write_table(pa.table({"id": [2, 5]}), "t", place.con, if_exists="upsert", key="id")
    assert place.rows("t") == [(1, "one"), (2, "two"), (5, None)]


def test_upsert_needs_a_key_that_the_table_has(place: Place) -> None:
    write_table(OLD, "t", place.con)
    before = place.state("t")
    with pytest.raises(InputError, match="unique index"):
        write_table(NEW, "t", place.con, if_exists="upsert", key="id")
    assert place.state("t") == before


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"id": [3, 3], "name": ["a", "b"]}, "several rows have the key id=3"),
        ({"id": [3, None], "name": ["a", "b"]}, "null in row 1"),
    ],
)
def test_upsert_refuses_keys_that_name_no_row(place: Place, rows: dict[str, Any], words: str) -> None:
    write_table(OLD, "t", place.con, key="id")
    before = place.state("t")
    with pytest.raises(InputError, match=words):
        write_table(pa.table(rows), "t", place.con, if_exists="upsert", key="id")
    assert place.state("t") == before


def test_upsert_never_changes_a_row_by_another_index(place: Place) -> None:
    """Of MariaDB's own ON DUPLICATE KEY UPDATE the second row would become the third."""
    place.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(20) UNIQUE)")
    write_table(OLD, "t", place.con, if_exists="append")
    before = place.state("t")
    with pytest.raises(InputError):
        write_table([{"id": 3, "name": "two"}], "t", place.con, if_exists="upsert", key="id")
    assert place.state("t") == before
    write_table([{"id": 2, "name": "2"}], "t", place.con, if_exists="upsert", key="id")
    assert place.rows("t") == [(1, "one"), (2, "2")]


# -- frames ------------------------------------------------------------------------------------


def iterator() -> Iterator[Any]:
    yield pd.DataFrame({"id": [1], "name": ["one"]})
    yield pl.DataFrame({"id": [2], "name": ["two"]})


FRAMES = {
    "pandas": OLD.to_pandas,
    "polars": lambda: pl.DataFrame(OLD),
    "lazy": lambda: pl.DataFrame(OLD).lazy(),
    "numpy": lambda: np.array([(1, "one"), (2, "two")], dtype=[("id", "i8"), ("name", "U5")]),
    "columns": lambda: {"id": [1, 2], "name": np.array(["one", "two"])},
    "records": lambda: [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
    "reader": lambda: OLD.to_reader(max_chunksize=1),
    "iterator": iterator,
}


def test_frames(place: Place) -> None:
    for name, frame in FRAMES.items():
        assert write_table(frame(), "t", place.con, if_exists="replace") == 2
        assert place.rows("t") == [(1, "one"), (2, "two")], name


def test_no_rows(place: Place) -> None:
    assert write_table(OLD.schema.empty_table(), "t", place.con) == 0
    assert write_table(OLD.slice(0, 0), "t", place.con, if_exists="append") == 0
    assert place.rows("t") == []


def test_many_chunks(place: Place) -> None:
    parts = (pa.table({"i": range(start, start + 500)}) for start in range(0, 3000, 500))
    assert write_table(parts, "t", place.con, chunksize=300) == 3000
    assert place.rows("t") == sorted(((i,) for i in range(3000)), key=repr)


NAMES = ['q"u', "b`t", "%c %s", "a;b -- c", "ünï 表", "select", "a.b", "q?:x", "it's"]


def test_names_are_quoted(place: Place) -> None:
    rows = {name: [i] for i, name in enumerate(NAMES)}
    table = " ".join(NAMES)
    write_table(rows, table, place.con, key=NAMES[0])
    write_table(rows, table, place.con, if_exists="upsert", key=NAMES[0])
    write_table(rows, table, place.con, if_exists="replace")
    write_table(rows, table, place.con, if_exists="append")
    assert read_sql(f"SELECT * FROM {place.q(table)}", place.con).schema.names == NAMES
    assert (place.tables(), place.rows(table)) == ({table}, [tuple(range(len(NAMES)))] * 2)


def test_digits_of_seconds_are_not_cut(server: Any) -> None:
    """Both databases round to the digits a column was declared with."""
    server.sql("CREATE TABLE t (a TIMESTAMP(0) NULL, b TIME(3))")
    for rows in ({"a": ["2024-02-29 12:00:00.5"]}, {"b": ["12:00:00.0005"]}):
        with pytest.raises(SchemaError, match="would not come back"):
            write_table(rows, "t", server.con, if_exists="append")
    write_table({"b": ["12:00:00.005"]}, "t", server.con, if_exists="append")
    assert read_sql("SELECT b FROM t", server.con).read_all().num_rows == 1


def test_names_that_differ_in_case(place: Place) -> None:
    """In SQLite and DuckDB names of tables are one then, elsewhere they are not (on Linux)."""
    write_table({"x": [1]}, "t", place.con)
    one = place.kind in ("sqlite", "duckdb")
    if one:
        with pytest.raises(ExistsError):
            write_table({"x": [2]}, "T", place.con)
    write_table({"x": [2]}, "T", place.con, if_exists="append")
    assert place.rows("t") == ([(1,), (2,)] if one else [(1,)])
    write_table({"x": [3]}, "T", place.con, if_exists="replace")
    assert place.rows("t") == ([(3,)] if one else [(1,)])
    if place.kind == "postgresql":
        write_table({"x": [1], "X": [2]}, "u", place.con)
        assert place.rows("u") == [(1, 2)]
    else:
        with pytest.raises(InputError, match="'x' and 'X' have one name"):
            write_table({"x": [1], "X": [2]}, "u", place.con)


def test_names_that_cannot_be(place: Place) -> None:
    for name in ("", "a\0b"):
        with pytest.raises(InputError, match="cannot be a name"):
            write_table(OLD, name, place.con)
        with pytest.raises(InputError, match="cannot be a name"):
            write_table({name: [1]}, "t", place.con)
    assert place.tables() == set()


# -- columns -----------------------------------------------------------------------------------


def test_columns_go_by_name(place: Place) -> None:
    write_table(OLD, "t", place.con)
    write_table({"name": ["three"], "id": [3]}, "t", place.con, if_exists="append")
    write_table({"id": [4]}, "t", place.con, if_exists="append")
    assert place.rows("t") == [(1, "one"), (2, "two"), (3, "three"), (4, None)]


def test_a_column_the_table_lacks(place: Place) -> None:
    write_table(OLD, "t", place.con)
    for rows in ({"id": [3], "nam": ["x"]}, ({"id": [i], **({"nam": ["x"]} if i else {})} for i in (0, 1))):
        with pytest.raises(SchemaError, match="no column 'nam'"):
            write_table(rows, "t", place.con, if_exists="append")
    assert place.rows("t") == [(1, "one"), (2, "two")]


@pytest.mark.parametrize(
    ("value", "words"), [(1.5, "1.5 in row 1"), (2**40, "1099511627776 in row 1"), ("x", "'x' in row 1")]
)
def test_nothing_is_cut_to_size(place: Place, value: Any, words: str) -> None:
    """Most databases round 1.5, SQLite would take anything."""
    place.sql("CREATE TABLE t (i INT)")
    first = type(value)(7)
    if place.kind == "sqlite" and value == 2**40:
        pytest.skip("SQLite's integers all have 64 bits")
    with pytest.raises(SchemaError, match=words) as caught:
        write_table({"i": [first, value]}, "t", place.con, if_exists="append")
    assert caught.value.column == "i"
    assert place.rows("t") == []
    write_table({"i": [first]}, "t", place.con, if_exists="append")
    assert place.rows("t") == [(7,)]


def test_not_null(place: Place) -> None:
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.int64())])
    write_table(pa.table({"a": [1], "b": [None]}, schema=schema), "t", place.con)
    with pytest.raises(SchemaError):
        write_table({"a": [2, None], "b": [1, 1]}, "t", place.con, if_exists="append")
    assert place.rows("t") == [(1, None)]


def test_dtype(place: Place) -> None:
    import sqlalchemy as sa

    write_table(OLD, "t", place.con, dtype={"name": "VARCHAR(20)", "id": sa.Integer})
    kinds = {
        "sqlite": "VARCHAR(20)",
        "duckdb": "VARCHAR",
        "postgresql": "varying(20)",
        "mariadb": "varchar(20)",
    }
    assert kinds[place.kind] in str(place.definition("t"))
    write_table({"a": [1], "b": [2]}, "u", place.con, dtype=sa.String(10))
    assert place.rows("u") == [("1", "2")]
    for bad in ("TEXT); DROP TABLE t; --", "INT DEFAULT 'x'", 3, dict):
        with pytest.raises(InputError, match="is no SQL type"):
            write_table(OLD, "v", place.con, dtype={"id": bad})
    with pytest.raises(InputError, match="dtype names 'nam'"):
        write_table(OLD, "v", place.con, dtype={"nam": "TEXT"})
    assert place.tables() == {"t", "u"}


def test_a_view_is_no_table(place: Place) -> None:
    write_table(OLD, "t", place.con)
    place.sql("CREATE VIEW v AS SELECT * FROM t")
    for mode in ("replace", "append"):
        with pytest.raises(InputError, match="view"):
            write_table(NEW, "v", place.con, if_exists=mode)
    assert place.rows("v") == [(1, "one"), (2, "two")]


def test_replace_under_a_view(place: Place) -> None:
    """PostgreSQL's views are of the table, not of its name: it refuses, and nothing is lost."""
    write_table(OLD, "t", place.con)
    place.sql("CREATE VIEW v AS SELECT id FROM t")
    if place.kind == "postgresql":
        before = place.state("t")
        with pytest.raises(InputError, match="other objects depend on it"):
            write_table(NEW, "t", place.con, if_exists="replace")
        assert place.state("t") == before
        return
    write_table(NEW, "t", place.con, if_exists="replace")
    assert place.rows("v") == [(2,), (3,)]


def test_schema(postgresql: Any, mariadb: Any) -> None:
    for place, other in ((postgresql, "elsewhere"), (mariadb, "elsewhere")):
        place.sql(f"CREATE SCHEMA {other}")
        for _ in range(2):
            write_table(OLD, "t", place.con, schema=other, if_exists="replace", key="id")
        write_table(NEW, "t", place.con, schema=other, if_exists="upsert", key="id")
        assert place.sql(f"SELECT COUNT(*) FROM {other}.t") == [(3,)]
        assert place.tables() == set()


def test_long_names_are_not_cut(postgresql: Any) -> None:
    with pytest.raises(InputError, match="63 bytes"):
        write_table(OLD, "ü" * 32, postgresql.con)
    write_table(OLD, "x" * 63, postgresql.con, key="id")
    write_table(OLD, "x" * 63, postgresql.con, key="id", if_exists="replace")


def test_constraints_have_their_usual_names(postgresql: Any) -> None:
    for _ in range(2):
        write_table(OLD, "t", postgresql.con, key="id", if_exists="replace")
    names = postgresql.sql("SELECT conname FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY 1")
    assert [name for (name,) in names] == ["t_id_not_null", "t_pkey"]


# -- pandas ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "label", "names"),
    [
        (None, None, ["day", "x"]),
        (True, None, ["day", "x"]),
        (False, None, ["x"]),
        (True, "d", ["d", "x"]),
        (None, ["d"], ["d", "x"]),
    ],
)
def test_index(place: Place, index: bool | None, label: Any, names: list[str]) -> None:
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index([10, 20], name="day"))
    write_table(frame, "t", place.con, index=index, index_label=label)
    assert read_sql("SELECT * FROM t", place.con).schema.names == names


def test_plain_index(tmp_path: Any) -> None:
    frame = pd.DataFrame({"x": [1, 2]})
    names = {}
    for i, index in enumerate((None, True, False)):
        write_table(frame, f"t{i}", tmp_path / "a.db", index=index)
        names[index] = read_sql(f"SELECT * FROM t{i}", tmp_path / "a.db").schema.names
    assert names == {None: ["x"], True: ["index", "x"], False: ["x"]}
    pairs = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])
    write_table(frame.set_axis(pairs), "m", tmp_path / "a.db")
    assert read_sql("SELECT * FROM m", tmp_path / "a.db").schema.names == ["level_0", "level_1", "x"]
    with pytest.raises(InputError, match="1 names for 2 levels"):
        write_table(frame.set_axis(pairs), "n", tmp_path / "a.db", index_label="i")


def test_nan_of_pandas_is_null(place: Place) -> None:
    write_table(pd.DataFrame({"x": [1.0, np.nan]}), "t", place.con)
    write_table([pd.DataFrame({"x": [np.nan]})], "t", place.con, if_exists="append")
    assert place.rows("t") == [(1.0,), (None,), (None,)]


def test_nan_elsewhere(place: Place) -> None:
    frame = pl.DataFrame({"x": [1.0, float("nan")]})
    if place.kind in ("sqlite", "mariadb"):
        with pytest.raises(SchemaError, match="NaN in row 1"):
            write_table(frame, "t", place.con)
        assert place.tables() == set()
    else:
        write_table(frame, "t", place.con)
        assert repr(place.rows("t")) == "[(1.0,), (nan,)]"
    write_table(frame, "t", place.con, if_exists="replace", nan_to_null=True)
    assert place.rows("t") == [(1.0,), (None,)]


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"if_exists": "overwrite"},
        {"if_exists": "upsert"},
        {"chunksize": 0},
        {"chunksize": "10"},
        {"method": lambda: None},
        {"key": "nope"},
        {"schema": 3},
    ],
)
def test_bad_options(tmp_path: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        write_table(OLD, "t", tmp_path / "a.db", **options)
    assert not (tmp_path / "a.db").exists()


def test_no_columns(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="without columns"):
        write_table(pd.DataFrame(index=range(3)), "t", tmp_path / "a.db", index=False)


def test_every_progress_is_told(tmp_path: Any) -> None:
    class Told:
        def __init__(self) -> None:
            self.expected: Any = None
            self.rows = 0
            self.steps: list[str] = []

        def expect(self, rows: int | None) -> None:
            self.expected = rows

        def advance(self, rows: int) -> None:
            self.rows += rows

        def step(self, text: str) -> None:
            self.steps.append(text)

    told = Told()
    write_table(OLD, "t", tmp_path / "a.db", progress=told)
    assert (told.expected, told.rows) == (2, 2)
    assert told.steps
