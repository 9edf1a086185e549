"""Through ``atio.write``: pandas' parameters under "sql", Polars' under "database"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
import sqlalchemy as sa

import atio
from atio.errors import ExistsError, InputError, MissingDependencyError, UnsupportedError
from tests.databases.places import Place

PRODUCTS = pd.DataFrame(
    {
        "product_id": [101, 102, 103],
        "product_name": ["Laptop", "Mouse", "Keyboard"],
        "price": [1200, 25, 75],
    }
)
ROWS = [(101, "Laptop", 1200), (102, "Mouse", 25), (103, "Keyboard", 75)]


def test_the_example_of_atio_2(postgresql: Any) -> None:
    engine = sa.create_engine(postgresql.url)
    for _ in range(2):
        atio.write(PRODUCTS, format="sql", name="products", con=engine, if_exists="replace")
    found = pd.read_sql("SELECT product_id, product_name, price FROM products ORDER BY product_id", engine)
    pd.testing.assert_frame_equal(found, PRODUCTS)
    engine.dispose()


def test_pandas_parameters(place: Place) -> None:
    atio.write(PRODUCTS, format="sql", name="a", con=place.con, index=False)
    assert place.rows("a") == ROWS
    with pytest.raises(ExistsError):
        atio.write(PRODUCTS, format="sql", name="a", con=place.con)
    atio.write(
        PRODUCTS,
        format="sql",
        name="b",
        con=place.con,
        schema=None,
        if_exists="replace",
        index=True,
        index_label="row",
        chunksize=2,
        dtype=None,
        method="multi",
    )
    assert place.rows("b") == [(i, *row) for i, row in enumerate(ROWS)]


def test_the_index_is_as_pandas_has_it(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    engine = sa.create_engine(f"sqlite:///{theirs}")
    for i, frame in enumerate(
        (PRODUCTS, PRODUCTS.set_index("product_id"), PRODUCTS.set_index(["product_id", "product_name"]))
    ):
        atio.write(frame, format="sql", name=f"t{i}", con=ours)
        frame.to_sql(f"t{i}", engine)
        found = atio.read_sql(f"SELECT * FROM t{i}", ours).read_all().to_pandas()
        wanted = pd.read_sql(f"SELECT * FROM t{i}", engine)
        pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    engine.dispose()


@pytest.mark.parametrize("name", ["connection", "connection_uri"])
def test_polars_parameters(place: Place, name: str) -> None:
    frame = pl.DataFrame(PRODUCTS)
    call: dict[str, Any] = {"format": "database", "table_name": "a", name: place.con}
    atio.write(frame, **call)
    assert place.rows("a") == ROWS
    with pytest.raises(ExistsError):
        atio.write(frame, **call)
    for engine in ("sqlalchemy", "adbc", None):
        atio.write(frame.lazy(), **call, if_table_exists="replace", engine=engine)
    atio.write(frame[:1], **call, if_table_exists="append", engine_options={})
    atio.write(frame[1:], **call, if_table_exists="delete_rows")
    assert place.rows("a") == ROWS[1:]
    atio.write(PRODUCTS, **{**call, "table_name": "b"})
    assert place.rows("b") == ROWS


def test_names_with_a_schema(postgresql: Any) -> None:
    postgresql.sql("CREATE SCHEMA other_one")
    frame = pl.DataFrame({"x": [1]})
    call: dict[str, Any] = {"format": "database", "connection": postgresql.con}
    for name in ("other_one.t", '"other_one"."a.b"', 'other_one."say ""x"""'):
        atio.write(frame, table_name=name, **call)
    names = postgresql.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'other_one'::regnamespace ORDER BY 1"
    )
    assert names == [("a.b",), ('say "x"',), ("t",)]
    for name in ("a.b.c", "", ".", '"a', "a."):
        with pytest.raises(InputError, match="is no name of a table"):
            atio.write(frame, table_name=name, **call)


@pytest.mark.parametrize(
    "call",
    [
        {"format": "sql"},
        {"format": "sql", "name": "t"},
        {"format": "sql", "con": "a.db"},
        {"format": "sql", "name": "t", "con": "a.db", "if_exist": "fail"},
        {"format": "sql", "name": "t", "con": "a.db", "table_name": "t"},
        {"format": "database"},
        {"format": "database", "table_name": "t"},
        {"format": "database", "table_name": "t", "connection": "a.db", "connection_uri": "a.db"},
        {"format": "database", "table_name": "t", "connection": "a.db", "engine": "odbc"},
        {"format": "database", "table_name": "t", "connection": "a.db", "engine_options": {"x": 1}},
        {"format": "database", "table_name": "t", "connection": "a.db", "if_exists": "fail"},
        {"format": "sql", "target_path": "a.db", "name": "t", "con": "a.db"},
    ],
    ids=str,
)
def test_bad_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        atio.write(PRODUCTS, **call)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_rows(tmp_path: Path) -> None:
    for obj in ("text", b"bytes", 3, object()):
        with pytest.raises(UnsupportedError):
            atio.write(obj, format="sql", name="t", con=tmp_path / "a.db")


def test_progress_and_steps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "atio"):
        atio.write(PRODUCTS, format="sql", name="t", con=tmp_path / "a.db", verbose=True, show_progress=True)
    assert "making table t in SQLite" in caplog.text


def test_a_driver_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"atio\[postgresql\]"):
        atio.write(PRODUCTS, format="sql", name="t", con="postgresql+psycopg://user:secret@localhost/x")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingDependencyError, match=r"atio\[duckdb\]"):
        atio.write(PRODUCTS, format="sql", name="t", con="duckdb:///x.duckdb")
