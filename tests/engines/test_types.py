"""Every type goes out as it is in memory, by the files where that is exact and by rows where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from atio import Table
from atio.errors import AtioError, UnsupportedError
from atio.formats.cases import TYPE_CASES
from atio.formats.parquet.plan import ParquetPlan
from atio.table.doors.duckdb import Files, source
from atio.table.doors.duckdb import _taken as taken_by_duckdb
from atio.table.doors.native import _as_it_is, native
from atio.table.doors.polars import _taken as taken_by_polars
from atio.table.snapshot import Snapshot

REFUSED = ("union", "dictionary_struct")
"""By Parquet."""
CASES = [name for name in TYPE_CASES if not name.startswith(REFUSED)]


def snapshot(tmp_path: Path, array: pa.Array) -> Snapshot:
    table = Table.create(
        tmp_path / "t", pa.schema([("v", array.type), ("row", pa.int64())]),
        properties={"parquet.row_group_rows": "2"}, durable=False,
    )  # fmt: skip
    return table.append(pa.table({"v": array, "row": range(len(array))}))


# Arrow casts list views wrongly once rows were taken out of them, also for to_polars(where=…).
BROKEN_CASTS = {"list_view", "large_list_view"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.xfail(strict=True)) if n in BROKEN_CASTS else n for n in CASES],
)
def test_to_lazy_is_to_polars(tmp_path: Path, name: str) -> None:
    found = snapshot(tmp_path, TYPE_CASES[name])
    try:
        frame = found.to_polars()
    except UnsupportedError:
        with pytest.raises(UnsupportedError):
            found.to_lazy().collect()
        return
    lazy = found.to_lazy()
    queries = [
        lambda f: f,
        lambda f: f.filter(pl.col("v").is_null()),
        lambda f: f.select("v").tail(2),
        *[lambda f, row=row: f.filter(pl.col("row") == row).select("v") for row in range(min(len(frame), 5))],
    ]
    if not frame["v"].dtype.is_nested() and not isinstance(frame["v"].dtype, pl.Categorical | pl.Enum):
        one = frame["v"].drop_nulls().head(1)
        if len(one):
            literal = pl.lit(one)
            queries += [
                lambda f: f.filter(pl.col("v") == literal),
                lambda f: f.filter(pl.col("v") > literal),
                lambda f: f.filter(pl.col("v") <= literal),
            ]
    for query in queries:
        expected = query(frame.lazy()).collect()
        result = query(lazy).collect()
        assert result.schema == expected.schema
        assert_frame_equal(result, expected, check_exact=True, categorical_as_str=True)


def connected() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def in_duckdb(table: pa.Table) -> tuple[list[str], list[Any]]:
    with connected() as connection:
        connection.register("rows", table)
        relation = connection.sql("select * from rows")
        return [str(kind) for kind in relation.types], shown(relation)


def shown(relation: Any) -> list[str]:
    try:
        return texts(relation.to_arrow_table())
    except duckdb.ConversionException:  # what DuckDB computes with has not the range of the type
        return []


def texts(table: pa.Table) -> list[str]:
    """The rows as Arrow writes them: Python has no words for some."""
    table = table.combine_chunks()
    return [
        "\n".join(column.slice(row, 1).to_string() for column in table.columns) for row in range(len(table))
    ]


# What DuckDB refuses from Arrow, and what the same values are as a type that it takes.
INSTEAD = {
    "float16": pa.float32(),
    "decimal128_negative": pa.decimal128(8, 0),
    "decimal256_small": pa.decimal128(12, 4),
}


@pytest.mark.parametrize("name", CASES)
def test_duckdb_has_the_values_of_the_table(tmp_path: Path, name: str) -> None:
    found = snapshot(tmp_path, TYPE_CASES[name])
    if name == "decimal256":
        with pytest.raises(UnsupportedError, match="'v'"):
            found.sql("select * from t")
        assert found.scan(["row"]).sql("select count(*) from t").to_arrow().num_rows == 1
        return
    table = found.to_arrow()
    if name in INSTEAD:
        table = table.set_column(0, "v", table.column("v").cast(INSTEAD[name]))
    types, rows = in_duckdb(table)
    relation = found.to_duckdb(connected())
    assert ([str(kind) for kind in relation.types], shown(relation)) == (types, rows)
    if not rows:
        return
    result = found.sql("select * from t")
    assert texts(result.to_arrow()) == rows
    for number, row in enumerate(rows[:5]):
        assert texts(found.sql("select * from t where row = ?", [number]).to_arrow()) == [row]


def test_what_an_engine_takes_from_files_parquet_stores_as_it_is() -> None:
    for taken in (taken_by_polars, taken_by_duckdb):
        for name, array in TYPE_CASES.items():
            if taken(array.type) and not pa.types.is_nested(array.type):
                plan = ParquetPlan(pa.schema([("v", array.type)]))
                assert not plan.changed and not plan.encoded and not plan.dictionaries, name


def test_plain_types_are_read_from_the_files_others_are_not(tmp_path: Path) -> None:
    ways = {}
    for name in CASES:
        folder = tmp_path / name
        folder.mkdir()
        scan = snapshot(folder, TYPE_CASES[name]).scan()
        try:
            ways[name] = (native(scan, taken_by_polars) is not None, isinstance(source(scan), Files))
        except AtioError:
            ways[name] = (native(scan, taken_by_polars) is not None, False)
    both = {name for name, way in ways.items() if way == (True, True)}
    assert both >= {
        "bool", "int8", "int64", "uint64", "string", "large_string", "binary", "decimal128", "date32",
        "time_us", "timestamp_us", "timestamp_ns", "timestamp_us_zone", "list", "map", "list_list",
    }  # fmt: skip
    # Where there may be NaN, DuckDB gets rows.
    assert {name for name in ("float32", "float64", "struct") if ways[name] != (True, False)} == set()
    neither = {name for name, way in ways.items() if way == (False, False)}
    assert neither >= {
        "dictionary", "timestamp_s", "time_s", "date64", "float16", "extension_uuid", "run_end_encoded",
        "list_view", "struct_empty", "month_day_nano_interval", "timestamp_offset", "decimal128_negative",
    } - {"timestamp_offset"}  # fmt: skip
    assert not ways["timestamp_offset"][0]  # Polars knows no offsets
    assert not ways["timestamp_ms"][1]  # of which DuckDB makes microseconds


@pytest.mark.parametrize("inside", [False, True])
def test_marks_in_the_metadata_are_not_for_an_engine_to_read(inside: bool) -> None:
    for mark in ("ARROW:extension:name", "_PL_CATEGORICAL"):
        field = pa.field("v", pa.string(), metadata={mark: "x"})
        assert not _as_it_is(pa.field("s", pa.struct([field])) if inside else field, lambda _: True)
    assert _as_it_is(pa.field("v", pa.string(), metadata={"unit": "m"}), lambda _: True)
