"""Types: the documented table is what happens, values survive, and what would be lost is refused."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atio.errors import SchemaError, UnsupportedError
from atio.writers.sql import read_sql, write_table
from tests.databases import roundtrip
from tests.databases.places import Place


def test_the_documentation_says_what_happens(place: Place) -> None:
    found = {case: roundtrip.outcome(place, case) for case in roundtrip.CASES}
    assert found == roundtrip.on_page()[place.kind]
    assert not any("other values" in cell for cell in found.values())


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "b": (pa.bool_(), st.booleans()),
    "i": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "u": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "f": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "g": (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "d": (pa.decimal128(12, 3), st.decimals(-999_999_999, 999_999_999, places=3)),
    "e": (pa.decimal128(38, 12), st.decimals(-(10**25), 10**25, places=12)),
    "s": (pa.string(), text),
    "y": (pa.binary(), st.binary(max_size=20)),
    "a": (pa.date32(), st.dates(date(1000, 1, 1))),
    "t": (pa.time64("us"), st.times()),
    "p": (pa.timestamp("us"), st.datetimes(datetime(1000, 1, 1))),
    "z": (
        pa.timestamp("us", "UTC"),
        st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),
    ),
    "j": (pa.list_(pa.string()), st.lists(text, max_size=3)),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 4))
    columns = {
        name: pa.array([draw(st.none() | values) for _ in range(rows)], kind)
        for name, (kind, values) in VALUES.items()
    }
    return pa.table({"n": range(rows), **columns})


@pytest.mark.slow
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(table=tables())
def test_values_survive(place: Place, table: pa.Table) -> None:
    write_table(table, "t", place.con, if_exists="replace")
    write_table(table, "t", place.con, if_exists="delete_rows")  # also into the columns that were made
    found = read_sql("SELECT * FROM t ORDER BY n", place.con).read_all()
    for name in table.column_names:
        assert roundtrip.equal(found[name].to_pylist(), table[name].to_pylist()), name


@pytest.mark.parametrize(
    "values",
    [
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        pa.array([[b"x"]], pa.list_(pa.binary())),
        pa.array([{"d": date(2024, 1, 1)}]),
        pa.array([[(1, "x")]], pa.map_(pa.int64(), pa.string())),
    ],
    ids=str,
)
def test_types_that_no_column_can_hold(place: Place, values: pa.Array) -> None:
    if place.kind == "duckdb":
        pytest.skip("DuckDB has columns of all of these")
    with pytest.raises(UnsupportedError) as caught:
        write_table(pa.table({"x": values}), "t", place.con)
    assert caught.value.column == "x"
    assert place.tables() == set()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_has_no_such_numbers(place: Place, value: float) -> None:
    if place.kind == "duckdb":
        pytest.skip("DuckDB has lists")
    with pytest.raises(SchemaError, match="row 1"):
        write_table({"x": [[1.0], [value]]}, "t", place.con)


NOON = datetime(2024, 2, 29, 12)
CONVERSIONS = [
    # what the column is, what is written, what is there then; an error if that is None
    ("DECIMAL(10, 2)", [0.1, 12.25], [Decimal("0.10"), Decimal("12.25")]),
    ("DECIMAL(10, 2)", [1, 2], [Decimal(1), Decimal(2)]),
    ("DECIMAL(10, 2)", [0.125], None),
    ("DOUBLE PRECISION", [1, 2], [1.0, 2.0]),
    ("DOUBLE PRECISION", [2**53 + 1], None),
    ("DOUBLE PRECISION", [Decimal("0.1")], [0.1]),
    ("DATE", [NOON.replace(hour=0)], [NOON.date()]),
    ("DATE", [NOON], None),
    ("DATE", ["2024-02-29"], [NOON.date()]),
    ("DATE", ["29.2.2024"], None),
    ("TIME", ["12:30:00"], [time(12, 30)]),
    ("BIGINT", ["12"], [12]),
    ("BIGINT", ["12.5"], None),
    ("BIGINT", [1.0, 2.0], [1, 2]),
    ("BIGINT", [1.5], None),
    ("BIGINT", [True], [1]),
    ("BIGINT", [Decimal("3.00")], [3]),
    ("BOOLEAN", [0, 1], [False, True]),
    ("BOOLEAN", [2], None),
    ("VARCHAR(20)", [1], None),
    ("VARCHAR(20)", [[1, 2]], ["[1, 2]"]),
]


def test_conversions(place: Place) -> None:
    for i, (column, written, expected) in enumerate(CONVERSIONS):
        place.sql(f"CREATE TABLE t{i} (x {column})")
        if expected is None:
            with pytest.raises(SchemaError) as caught:
                write_table({"x": written}, f"t{i}", place.con, if_exists="append")
            assert caught.value.column == "x"
        else:
            write_table({"x": written}, f"t{i}", place.con, if_exists="append")
        found = read_sql(f"SELECT x FROM t{i}", place.con).read_all()["x"].to_pylist()
        assert sorted(found) == (expected or []), (column, written)


def test_instants_and_clocks_are_not_mixed(place: Place) -> None:
    zoned = pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "UTC"))
    write_table(pa.table({"x": zoned}), "zoned", place.con)
    write_table({"x": [NOON]}, "naive", place.con)
    for table, values in (("zoned", pa.array([NOON])), ("naive", zoned)):
        with pytest.raises(SchemaError, match="time zone"):
            write_table(pa.table({"x": values}), table, place.con, if_exists="append")


def test_whole_microseconds_of_nanoseconds(place: Place) -> None:
    values = pa.array([NOON, None], pa.timestamp("ns"))
    write_table(pa.table({"x": values}), "t", place.con)
    found = read_sql("SELECT x FROM t", place.con).read_all()["x"].cast(pa.timestamp("us"))
    assert found.to_pylist() == [NOON, None]


def test_the_session_has_another_time_zone(postgresql: Any) -> None:
    url = postgresql.url.update_query_dict(
        {"options": f"{postgresql.url.query['options']} -ctimezone=Asia/Tokyo"}
    )
    moment = NOON.replace(tzinfo=UTC)
    write_table({"x": [moment]}, "t", url)
    assert read_sql("SELECT x FROM t", url).read_all()["x"].to_pylist() == [moment]
    assert postgresql.rows("t") == [(moment,)]


def test_long_durations(postgresql: Any) -> None:
    values = [timedelta(days=10_000), timedelta(microseconds=-1), None]
    write_table({"x": values}, "t", postgresql.con)
    assert read_sql("SELECT x FROM t", postgresql.con).read_all()["x"].to_pylist() == values


def test_text_that_a_database_cannot_hold(postgresql: Any) -> None:
    with pytest.raises(SchemaError, match="0x00"):
        write_table({"x": ["a\0b"]}, "t", postgresql.con)
    assert postgresql.tables() == set()
