"""What a query may see and do, what it is given, and what it gives."""

from __future__ import annotations

import datetime as dt
import gc
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from atio import Table
from atio.errors import AccessError, AtioError, InputError, MissingDependencyError, UnsupportedError
from atio.table.doors import duckdb as door
from atio.table.doors import sandbox
from atio.table.doors.duckdb import Files, source

NAN = float("nan")
secret = pa.table({"password": ["hunter2"]})
"""A variable of the program, which DuckDB would find by its name."""


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table.open(tmp_path / "t", durable=False)
    made.append(pa.table({"kind": ["a", "b", "a"], "price": [1.5, 2.5, 3.5], "n": [1, 2, 3]}))
    made.append(pa.table({"kind": [None, "b"], "price": [None, -1.0], "n": [4, 5]}))
    return made


# -- what it gives -----------------------------------------------------------------------------


def test_the_rows_in_every_form(table: Table) -> None:
    result = table.sql("select kind, sum(n) as total, count(*) as rows from t group by kind order by total")
    assert result.columns == ["kind", "total", "rows"]
    found = result.to_arrow().to_pydict()
    assert (found["total"], sorted(found["rows"])) == ([4, 4, 7], [1, 2, 2])
    assert result.schema.names == result.columns
    frame = result.to_pandas()
    assert frame["total"].dtype == "int64"
    assert frame["total"].tolist() == [4, 4, 7]
    assert result.to_polars()["rows"].sum() == 5
    assert pl.DataFrame(result)["total"].to_list() == [4, 4, 7]
    assert pa.table(result).num_rows == 3
    assert sum(batch.num_rows for batch in result.to_batches(1)) == 3
    assert repr(result) == "<Result: kind VARCHAR, total HUGEINT, rows BIGINT>"


def test_files_that_duckdb_would_read_wrong(tmp_path: Path) -> None:
    """It takes NaN from statistics, and fails on a LIMIT over parts of structs."""
    table = Table.open(tmp_path / "t", durable=False)
    rows = {"x": [1.5, NAN], "s": [{"w": 0.5, "n": 1}, {"w": 1.5, "n": 2}], "n": [1, 2]}
    table.append(pa.table(rows))
    assert not isinstance(source(table.scan()), Files)
    found = table.sql("select min(s.w) as low, max(s.w) as high from t").to_arrow()
    assert found.to_pylist() == [{"low": 0.5, "high": 1.5}]
    plain = Table.open(tmp_path / "plain", durable=False)
    plain.append(pa.table({"s": [{"n": 1}, {"n": None}], "n": [1, 2]}))
    assert isinstance(source(plain.scan()), Files)
    assert plain.sql("select n, s from t where s.n is not null limit 0 offset 0").to_arrow().num_rows == 0
    assert plain.sql("select n, s from t where s.n is null limit 1").to_arrow().num_rows == 1


def test_sums_that_do_not_fit_stay_exact(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append({"n": [2**62, 2**62, 2**62]})
    assert table.sql("select sum(n) from t").to_pandas().iloc[0, 0] == 3 * 2**62


def test_batches_and_other_reads_of_a_result_do_not_disturb_each_other(table: Table) -> None:
    result = table.sql("select n from t order by n")
    first, second = result.to_batches(2), result.to_batches(2)
    assert next(first).column(0)[0].as_py() == next(second).column(0)[0].as_py() == 1
    assert result.to_arrow().column(0).to_pylist() == [1, 2, 3, 4, 5]
    with ThreadPoolExecutor(4) as pool:
        assert {len(found) for found in pool.map(lambda _: result.to_arrow(), range(8))} == {5}
    rest = [value for batch in first for value in batch.column(0).to_pylist()]
    assert rest[-1] == 5


def test_large_results_are_streamed(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append({"n": list(range(1000))})
    batches = table.sql("select a.n from t a, t b, t c").to_batches(100_000)
    assert next(batches).num_rows > 0  # of a thousand million
    batches.close() if hasattr(batches, "close") else None


def test_a_result_is_of_the_version_it_was_asked_of(table: Table) -> None:
    result = table.sql("select count(*) from t")
    old = table.snapshot(1).sql("select count(*) from t")
    table.append({"kind": ["c"], "price": [0.0], "n": [6]})
    assert old.to_arrow().column(0).to_pylist() == [3]
    assert result.to_arrow().column(0).to_pylist() == [5]
    # A table is looked up when a query starts.
    assert table.sql("select count(*) from t").to_arrow().column(0).to_pylist() == [6]


def test_nan_is_found_whatever_statistics_say(table: Table) -> None:
    table.overwrite(pa.table({"price": [1.5, 2.5, NAN, None, -1.0], "n": [1, 2, 3, 4, 5]}))
    for query, expected in {
        "select n from t where price > 2 order by n": [2, 3],
        "select n from t where price >= 'nan'::double": [3],
        "select n from t where isnan(price)": [3],
        "select n from t where not price <= 1e300": [3],
        "select isnan(max(price))::int from t": [1],
    }.items():
        assert table.sql(query).to_arrow().column(0).to_pylist() == expected, query


def test_times_do_not_depend_on_the_machine(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    moment = dt.datetime(2024, 7, 1, 0, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    table.append(pa.table({"at": pa.array([moment], pa.timestamp("us", "Europe/Berlin"))}))
    found = table.sql('select "at", date_trunc(\'day\', "at")::varchar as day from t').to_arrow()
    assert found.schema.field("at").type == pa.timestamp("us", "UTC")
    assert found.column("day").to_pylist() == ["2024-06-30 00:00:00+00"]
    assert found.column("at").to_pylist() == [moment]


# -- what it is given --------------------------------------------------------------------------


def test_parameters_are_bound(table: Table) -> None:
    evil = "a' or 1=1 --"
    count = "select count(*) from t where kind = "
    assert table.sql(f"{count} ?", ["a"]).to_arrow().column(0).to_pylist() == [2]
    assert table.sql(f"{count} $1", ("b",)).to_arrow().column(0).to_pylist() == [2]
    assert table.sql(f"{count} $kind", {"kind": evil}).to_arrow().column(0).to_pylist() == [0]
    with pytest.raises(InputError):
        table.sql(f"{count} ?").to_arrow()


LABELS = {"n": [1, 2], "label": ["one", "two"]}


@pytest.mark.parametrize(
    "make",
    [
        pa.table,
        pd.DataFrame,
        pl.DataFrame,
        pl.LazyFrame,
        lambda columns: columns,
        lambda columns: pa.table(columns).to_reader(),
        lambda columns: [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        lambda columns: Table.open("memory://names-of-numbers", durable=False).overwrite(columns),
        lambda columns: Table.open("memory://named", durable=False).overwrite(columns).scan(where="n < 2"),
    ],
)
def test_other_frames_are_tables_by_name(table: Table, make: Callable[[Any], Any]) -> None:
    result = table.sql(
        'select label from "here" join names using (n) order by 1 limit 1',
        name="here",
        names=make(LABELS),
    )
    assert result.to_arrow().column(0).to_pylist() == ["one"]
    assert result.to_arrow().column(0).to_pylist() == ["one"]


def test_results_and_empty_frames_are_tables_too(table: Table) -> None:
    sums = table.sql("select kind, sum(n)::int as s from t group by kind")
    assert table.sql("select max(s) from sums", sums=sums).to_arrow().column(0).to_pylist() == [7]
    empty = pa.table({"x": pa.array([], pa.float16())})
    assert table.sql("select count(*), max(x) from e", e=empty).to_arrow().to_pylist()[0]["max(x)"] is None


@pytest.mark.parametrize(
    "name", ["t", "T", "select", 'a"b', "it's", "a b", "t; drop table t", "ünï", "main.t"]
)
def test_any_name_is_only_a_name(table: Table, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    for other in ({}, {"other": secret}):
        found = table.sql(f"select count(*) from {quoted}", name=name, **other)
        assert found.to_arrow().column(0).to_pylist() == [5]


def test_two_tables_of_one_name_are_refused(table: Table) -> None:
    for others in ({"T": secret}, {"o": secret, "O": secret}):
        with pytest.raises(InputError, match="two tables"):
            table.sql("select 1", **others)


@pytest.mark.parametrize(
    "folder",
    [
        "it's",
        'dou"ble',
        "year=2024",
        "[ab]",
        "st*r",
        "wh?t",
        "back\\slash",
        "{a,b}",
        "a b",
        "%20",
        "~",
        "; --",
        "ünï",
    ],
)
def test_any_folder_is_only_a_folder(tmp_path: Path, folder: str) -> None:
    if sys.platform == "win32":
        pytest.skip("not names of folders there")
    for name in (folder, "other"):
        Table.open(tmp_path / name / "t", durable=False).append({"i": [1, 2], "year": [1, 2]})
    table = Table.open(tmp_path / folder / "t")
    table.append({"i": [3], "year": [3]})
    assert table.sql("select * from t order by i").to_arrow().to_pydict() == {
        "i": [1, 2, 3],
        "year": [1, 2, 3],
    }
    assert table.to_lazy().collect().rows() == [(1, 1), (2, 2), (3, 3)]
    assert table.to_duckdb(duckdb.connect()).fetchall() == [(1, 1), (2, 2), (3, 3)]


def test_names_that_duckdb_takes_for_one(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append({"a": [1], "A": [2], "b": [3]})
    with pytest.raises(UnsupportedError, match="'a' from 'A'"):
        table.sql("select * from t")
    for names, row in ((["a", "b"], (1, 3)), (["A"], (2,)), (["b"], (3,))):
        found = table.scan(names).sql("select * from t").to_arrow()
        assert found.schema.names == names
        assert tuple(found.to_pylist()[0].values()) == row


def test_tables_without_columns_are_refused(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append(pl.DataFrame(height=3))
    with pytest.raises(UnsupportedError, match="without columns"):
        table.sql("select count(*) from t")
    assert table.to_lazy().collect().height == 3


# -- what it may do ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["files", "rows"])
@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from '{other}'",
        "select * from read_parquet('{other}')",
        "select * from parquet_metadata('{other}')",
        "select * from glob('/etc/*')",
        "select * from read_parquet('https://127.0.0.1:1/x.parquet')",
        "select * from secret",
        "select * from tmp_path",
        "select getenv('HOME')",
        "select * from duckdb_secrets() where error(current_setting('home_directory')) is null",
        "copy t to '{out}'",
        "copy (select 1) to '{out}'",
        "attach '{out}'",
        "install httpfs",
        "load httpfs",
        "export database '{out}'",
        "create table x as select 1",
        "create macro f() as 1",
        "drop view t",
        "insert into t values (1)",
        "set threads = 1",
        "set global enable_external_access = true",
        "reset enable_external_access",
        "pragma enable_profiling",
        "call pragma_version()",
        "prepare p as select 1",
        "explain analyze create table x as select 1",
        "select 1; select 2",
        "select 1; copy t to '{out}'",
        "checkpoint",
        "",
        "-- nothing",
        "select",
    ],
)
def test_a_query_reads_what_it_was_given_and_nothing_else(
    table: Table, tmp_path: Path, query: str, kind: str
) -> None:
    other = tmp_path / "other.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(other)
    asked = table.snapshot() if kind == "files" else Table.open("memory://t", durable=False).overwrite(table)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(AtioError) as caught:
        asked.sql(query.format(other=other, out=tmp_path / "out")).to_arrow()
    assert isinstance(caught.value, InputError | AccessError)
    assert sorted(tmp_path.rglob("*")) == before
    # Nothing of it is left behind for the next one.
    assert asked.sql("select count(*) from t").to_arrow().column(0).to_pylist() == [5]
    with pytest.raises(InputError):
        asked.sql("select * from x")


def test_files_of_other_versions_are_not_for_a_query(table: Table) -> None:
    old, new = table.snapshot(1), table.overwrite({"kind": ["z"]})
    path = Path(table.url, old.files()[0].path)
    with pytest.raises(AccessError, match="other=frame"):
        new.sql(f"select * from '{path}'")


def test_errors_of_duckdb_say_where(table: Table) -> None:
    for query, word in {
        "selec": "syntax",
        "select nothing from t": "nothing",
        "select * from nowhere": "nowhere",
        "select kind::int from t": "'[ab]'",  # whichever it comes to first
        "select error('stop') from t": "stop",
    }.items():
        with pytest.raises(InputError, match=word) as caught:
            table.sql(query).to_arrow()
        assert caught.value.table == table.url
        assert caught.value.version == 2
        with pytest.raises(InputError, match=word):
            list(table.sql(query).to_batches())


# -- sandboxes and relations -------------------------------------------------------------------


def test_sandboxes_are_kept_but_not_many(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = sandbox._make
    monkeypatch.setattr(sandbox, "_sandboxes", sandbox._Sandboxes())
    monkeypatch.setattr(sandbox, "_make", lambda paths: made.append(paths) or real(paths))
    results = [table.snapshot(version).sql("select * from t") for version in (1, 2, 1, 2)]
    assert len(made) == 2
    for start in range(sandbox._KEPT + 1):
        table.append({"n": [start]})
        table.sql("select * from t")
    assert len(sandbox._sandboxes._kept) == sandbox._KEPT
    assert [len(result.to_arrow()) for result in results] == [3, 5, 3, 5]


def _count(url: str, answers: Any) -> None:
    answers.put(Table.open(url).sql("select count(*) from t").to_arrow().column(0).to_pylist())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_its_own_sandbox(table: Table) -> None:
    assert len(table.sql("select * from t").to_arrow()) == 5
    gc.collect()  # A child that came to collect another test's DuckDB would crash: its threads are not there.
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_count, args=(table.url, answers))
    process.start()
    try:
        assert answers.get(timeout=60) == [5]
    finally:
        process.join(60)
    assert process.exitcode == 0


def test_relations_belong_to_the_connection_they_are_asked_for(table: Table) -> None:
    connection = duckdb.connect()
    relation = table.scan(["n", "kind"], where="n > 1").to_duckdb(connection)
    assert relation.filter("kind = 'b'").order("n").fetchall() == [(2, "b"), (5, "b")]
    joined = relation.join(table.snapshot(1).to_duckdb(connection).set_alias("old"), "n").fetchall()
    assert len(joined) == 2
    here = table.to_duckdb()
    assert duckdb.sql("select count(*) from here").fetchall() == [(5,)]
    assert here.count("*").fetchall() == [(5,)]
    memory = Table.open("memory://relations", durable=False).overwrite(table)
    rows = memory.to_duckdb(connection)
    for _ in range(2):
        assert rows.aggregate("sum(n)").fetchall() == [(15,)]
    with pytest.raises(InputError, match="connection"):
        table.to_duckdb("file.db")  # type: ignore[arg-type]


def test_only_the_columns_of_a_query_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from atio.table import scan

    table = Table.open("memory://columns", durable=False)
    table.overwrite({"a": [1, 2], "b": [3, 4], "a b": [5, 6], "c": [7, 8]})
    asked: list[tuple[str, ...]] = []
    real = scan.Scan.to_batches
    monkeypatch.setattr(
        scan.Scan, "to_batches", lambda self, *rows: asked.append(self.columns) or real(self, *rows)
    )
    assert table.sql("select c from t").to_arrow().column(0).to_pylist() == [7, 8]
    assert asked.pop() == ("c",)
    assert table.sql("select c from t where b > 3").to_arrow().column(0).to_pylist() == [8]
    assert set(asked.pop()) == {"c", "b"}
    assert table.sql("select count(*) from t").to_arrow().column(0).to_pylist() == [2]
    assert len(asked.pop()) == 1


def test_old_duckdb_is_refused_where_it_would_lose_rows(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb, "__version__", "1.5.0")
    assert isinstance(source(table.scan()), Files)
    table.append({"kind": ["c"], "price": [NAN], "n": [6]})
    with pytest.raises(MissingDependencyError, match="NaN"):
        door.source(table.scan())
    without = Table.open("memory://without", durable=False).overwrite({"x": [1.5], "n": [1]})
    assert len(without.sql("select * from t where x > 1").to_arrow()) == 1
