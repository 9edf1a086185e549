"""Libraries take tables, versions and scans as they take each other's frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from atio import Table

ROWS = pa.table(
    {
        "i": pa.array([1, 2, None], pa.int32()),
        "s": ["x", None, "z"],
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "at": pa.array([0, 1, 2], pa.timestamp("us", "Europe/Berlin")),
    }
)

TAKERS: dict[str, Callable[[Any], list[Any]]] = {
    "pl.DataFrame": lambda o: pl.DataFrame(o).rows(),
    "pl.from_dataframe": lambda o: pl.from_dataframe(o).rows(),
    "pl.from_arrow": lambda o: pl.from_arrow(o).struct.unnest().rows(),  # type: ignore[union-attr]
    "pl.LazyFrame": lambda o: pl.LazyFrame(o).collect().rows(),
    "pa.table": lambda o: rows_of(pa.table(o)),
    "pa.RecordBatchReader": lambda o: rows_of(pa.RecordBatchReader.from_stream(o).read_all()),
    "pd.DataFrame.from_arrow": lambda o: rows_of(pa.Table.from_pandas(pd.DataFrame.from_arrow(o))),
    "pandas, interchange": lambda o: rows_of(pa.Table.from_pandas(interchanged(o))),
    "duckdb.from_arrow": lambda o: duckdb.from_arrow(o).fetchall(),
    "duckdb, by name": lambda o: duckdb.sql("select * from o").fetchall(),
    "nw.from_native": lambda o: nw.from_native(o).collect().rows(),
    "nw.from_arrow, pyarrow": lambda o: nw.from_arrow(o, backend="pyarrow").rows(),
    "nw.from_arrow, polars": lambda o: nw.from_arrow(o, backend="polars").rows(),
    "atio": lambda o: rows_of(Table.open("memory://taker", durable=False).overwrite(o).to_arrow()),
}


def rows_of(table: pa.Table) -> list[Any]:
    return [tuple(row.values()) for row in table.to_pylist()]


def interchanged(o: Any) -> pd.DataFrame:
    return pd.api.interchange.from_dataframe(o)


@pytest.fixture(scope="module", params=["files", "rows"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Table:
    place = tmp_path_factory.mktemp("t") / "t" if request.param == "files" else "memory://protocols"
    made = Table.open(place, durable=False)
    made.overwrite(ROWS.slice(0, 2))
    made.append(ROWS.slice(2))
    return made


@pytest.mark.parametrize("taker", TAKERS)
def test_rows_are_taken(table: Table, taker: str) -> None:
    for given in (table, table.snapshot(), table.scan(["s", "i"], where="i is null or i < 2")):
        expected = rows_of(given.scan().to_arrow() if isinstance(given, Table) else given.to_arrow())
        found = TAKERS[taker](given)
        assert [normal(row) for row in found] == [normal(row) for row in expected]


def normal(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Moments by their instants; what pandas calls missing as None."""
    return tuple(
        value.timestamp() if hasattr(value, "timestamp") else None if value != value else value
        for value in row
    )


def test_schemas_are_taken_without_reading(table: Table, tmp_path: Path) -> None:
    for given in (table, table.snapshot(), table.scan(["s", "i"])):
        assert pa.schema(given) == given.schema
    place = Table.open(tmp_path / "t", durable=False)
    found = place.append(ROWS)
    Path(place.url, found.files()[0].path).unlink()
    assert pa.schema(place).names == ROWS.column_names


def test_a_requested_schema_is_what_comes() -> None:
    table = Table.open("memory://requested", durable=False)
    table.overwrite(pa.table({"i": pa.array([1, 2], pa.int32())}))
    wanted = pa.schema([("i", pa.int64())])
    for given in (table, table.snapshot(), table.scan()):
        capsule = given.__arrow_c_stream__(wanted.__arrow_c_schema__())
        found = pa.RecordBatchReader._import_from_c_capsule(capsule).read_all()
        assert found.schema == wanted
        assert found.column(0).to_pylist() == [1, 2]


def test_a_taker_sees_the_newest_version_of_a_table() -> None:
    table = Table.open("memory://newest", durable=False)
    table.overwrite({"i": [1]})
    assert len(pa.table(table)) == 1
    table.append({"i": [2]})
    assert len(pa.table(table)) == len(pl.DataFrame(table)) == 2


def test_narwhals_stays_lazy(table: Table) -> None:
    frame = nw.from_native(table.snapshot())
    assert isinstance(frame, nw.LazyFrame)
    found = frame.filter(nw.col("i") < 2).select("s", "i").collect()
    assert found.rows() == [("x", 1)]
    assert isinstance(frame.to_native(), pl.LazyFrame)
