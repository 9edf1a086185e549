"""Pruning never loses a row, and skips what can be skipped."""

from __future__ import annotations

import datetime as dt
import math
import time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from atio import col
from atio.predicate import ColumnBounds, Path, bind, matches, may_match
from tests.predicate.files import files, partitioned
from tests.predicate.worlds import conditions, tables

NAN, INF = math.nan, math.inf


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data(), table=tables(duckdb_only=False))
def test_pruning_agrees_with_the_rows(data: st.DataObject, table: pa.Table) -> None:
    found = data.draw(partitioned(table))
    for condition in data.draw(st.lists(conditions(table), min_size=1, max_size=6)):
        bound = bind(condition.expr, table.schema)
        may, whole = may_match(bound, found).to_pylist(), matches(bound, found)[1].to_pylist()
        for part, possible, certain in zip(found.parts, may, whole, strict=True):
            answers = bound.evaluate(part).to_pylist()
            assert possible or True not in answers, (bound, part)
            assert not certain or all(answers), (bound, part)
            if answers and True not in answers:
                event("skipped" if not possible else "read for nothing")
            if answers and all(answers):
                event("known to match" if certain else "not known to match")


# -- what is skipped ---------------------------------------------------------------------------


class Given:
    """Statistics written down by hand, of columns of ten rows."""

    def __init__(self, **columns: ColumnBounds) -> None:
        self._columns = columns
        self.rows = pa.array([10] * len(next(iter(columns.values())).lower), pa.int64())

    def column(self, path: Path) -> ColumnBounds | None:
        return self._columns.get(".".join(path))


def bounds(kind: pa.DataType, *pairs: tuple[Any, Any], nulls: Any = 0, nans: Any = 0) -> ColumnBounds:
    count = len(pairs)
    return ColumnBounds(
        pa.array([low for low, _ in pairs], kind),
        pa.array([high for _, high in pairs], kind),
        pa.array(nulls if isinstance(nulls, list) else [nulls] * count, pa.int64()),
        pa.array(nans if isinstance(nans, list) else [nans] * count, pa.int64()),
    )


INTS = Given(x=bounds(pa.int64(), (0, 9), (10, 19), (20, 29), (15, 15), (None, None)))
MASKS = [
    (col("x") == 12, "-+--?", "-----"),
    (col("x") != 15, "+++-?", "+-+--"),
    (col("x") < 10, "+---?", "+----"),
    (col("x") <= 10, "++--?", "+----"),
    (col("x") > 18.5, "-++-?", "--+--"),
    (col("x") >= 15, "-+++?", "--++-"),
    (col("x").between(16, 21), "-++-?", "-----"),
    (col("x").is_in([3, 15, 40]), "++-+?", "---+-"),
    (~col("x").is_in([3, 15, 40]), "+++-?", "--+--"),
    (col("x").is_in([-5, 9.5, 100]), "----?", "-----"),
    (col("x").is_in([]), "-----", "-----"),
    (col("x").is_in(range(10)), "+---?", "-----"),
    (col("x").is_null(), "-----", "-----"),
    (col("x").is_not_null(), "+++++", "+++++"),
    ((col("x") < 5) | (col("x") > 25), "+-+-?", "-----"),
    (~((col("x") < 5) | (col("x") > 25)), "++++?", "-+-+-"),
    ((col("x") == 12) == (col("x") == 40), "+++++", "+-++-"),
    (col("x").cast("double") > 18.5, "-++-?", "--+--"),
    (col("x") > 2**70, "-----", "-----"),
    (col("x") > -(2**70), "+++++", "+++++"),
    (col("x") + 1 > 100, "+++++", "-----"),
]


def masks(condition: Any, schema: pa.Schema, statistics: Any) -> tuple[list[bool], list[bool]]:
    bound = bind(condition, schema)
    return may_match(bound, statistics).to_pylist(), matches(bound, statistics)[1].to_pylist()


def flags(text: str) -> list[bool]:
    return [flag in "+?" for flag in text]


@pytest.mark.parametrize(("condition", "may", "whole"), MASKS, ids=lambda value: str(value)[:50])
def test_bounds_of_integers(condition: Any, may: str, whole: str) -> None:
    found = masks(condition, pa.schema([("x", pa.int64())]), INTS)
    assert found == (flags(may), flags(whole))


FLOATS = Given(
    x=bounds(
        pa.float64(),
        (0.0, 1.0),
        (0.0, 1.0),
        (0.0, 1.0),
        (None, None),
        (-0.0, 0.0),
        (1.0, INF),
        nans=[0, 3, None, 10, 0, 0],
    )
)


@pytest.mark.parametrize(
    ("condition", "may", "whole"),
    [
        (col("x") > 5, "-+++-+", "---+--"),
        (col("x") >= 0, "++++++", "++++++"),
        (col("x") < 5, "+++-++", "+---+-"),
        (col("x") == NAN, "-+++--", "---+--"),
        (col("x") != NAN, "+++-++", "+---++"),
        (col("x").is_nan(), "-+++--", "---+--"),
        (~col("x").is_nan(), "+++-++", "+---++"),
        (col("x").is_not_null(), "++++++", "++++++"),
        (col("x").is_null(), "------", "------"),
        (col("x") == 0.0, "+++-+-", "----+-"),
        (col("x") == -0.0, "+++-+-", "----+-"),
        (col("x").is_in([-0.0, 7.0]), "+++-++", "----+-"),
        (col("x").is_in([-0.0, -7.0]), "+++-+-", "----+-"),
        (col("x").is_in([NAN, 7.0]), "-+++-+", "---+--"),
        (col("x") <= INF, "+++-++", "+---++"),
        (col("x") > INF, "-+++--", "---+--"),
        (col("x") < NAN, "+++-++", "+---++"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bounds_of_floats(condition: Any, may: str, whole: str) -> None:
    assert masks(condition, pa.schema([("x", pa.float64())]), FLOATS) == (flags(may), flags(whole))


def test_bounds_that_are_nan_bound_nothing() -> None:
    given = Given(x=bounds(pa.float64(), (NAN, NAN), nans=[None]))
    assert masks(col("x") == 1, pa.schema([("x", pa.float64())]), given) == ([True], [False])


def test_without_counts_there_may_be_nan_and_nulls() -> None:
    found = ColumnBounds(pa.array([0.0]), pa.array([1.0]))
    schema = pa.schema([("x", pa.float64())])
    assert masks(col("x") > 5, schema, Given(x=found)) == ([True], [False])
    assert masks(col("x") < 5, schema, Given(x=found)) == ([True], [False])
    assert masks(col("x").is_null(), schema, Given(x=found)) == ([True], [False])
    assert masks(col("x").is_nan(), schema, Given(x=found)) == ([True], [False])
    assert masks(col("x") < 0, schema, Given(x=found)) == ([False], [False])


def test_nulls() -> None:
    given = Given(x=bounds(pa.int64(), (1, 1), (1, 1), (None, None), nulls=[0, 4, 10]))
    schema = pa.schema([("x", pa.int64())])
    assert masks(col("x") == 1, schema, given) == ([True, True, False], [True, False, False])
    assert masks(~(col("x") == 2), schema, given) == ([True, True, False], [True, False, False])
    assert masks(col("x").is_null(), schema, given) == ([False, True, True], [False, False, True])
    assert masks((col("x") == 2).is_null(), schema, given) == ([False, True, True], [False, False, True])
    assert masks("x in (2, null)", schema, given) == ([False] * 3, [False] * 3)


def test_shortened_text() -> None:
    """The upper bound of a long text is above it, its lower bound a beginning."""
    long = "b" * 100
    found = files([pa.table({"s": [long, "bc"]}), pa.table({"s": ["a", "azz"]}), pa.table({"s": ["ca"]})])
    schema = found.parts[0].schema
    assert masks(col("s") == long, schema, found)[0] == [True, False, False]
    assert masks(col("s") == long + "b", schema, found)[0] == [True, False, False]
    assert masks(col("s").starts_with("b"), schema, found) == ([True, False, False], [True, False, False])
    assert masks(col("s").like("az_"), schema, found) == ([False, True, False], [False, False, False])
    assert masks(col("s").like("a%q"), schema, found) == ([False, True, False], [False, False, False])
    assert masks(~col("s").starts_with("b"), schema, found) == ([False, True, True], [False, True, True])
    assert masks(col("s").starts_with("a"), schema, found) == ([False, True, False], [False, True, False])
    assert masks(col("s") < "b", schema, found) == ([False, True, False], [False, True, False])


def test_prefixes_are_cut_by_characters() -> None:
    found = files([pa.table({"s": ["日本語"]}), pa.table({"s": ["日中"]})])
    assert masks(col("s").starts_with("日本"), found.parts[0].schema, found)[0] == [True, False]


DAY = dt.date(2024, 3, 1)


@pytest.mark.parametrize(
    ("values", "condition", "may"),
    [
        ([[DAY], [dt.date(2024, 4, 1)]], "x >= '2024-03-15'", [False, True]),
        ([[Decimal("1.50")], [Decimal("2.50")]], "x > 2", [False, True]),
        ([[Decimal("1.50")], [Decimal("2.50")]], "x = 1.505", [False, False]),
        ([[b"\x01"], [b"\xff" * 100]], "x >= '\\xFF'::BLOB", [False, True]),
        ([[True, True], [False]], "x", [True, False]),
        ([[True, True], [False]], "not x", [False, True]),
        ([[dt.timedelta(1)], [dt.timedelta(3)]], "x < interval 2 day", [True, False]),
        ([[dt.time(1)], [dt.time(13)]], "x > '12:00'", [False, True]),
        ([[{"a": 1}], [{"a": 5}], [None]], "x.a > 3", [False, True, False]),
        ([[{"a": 1}], [{"a": 5}], [None]], "x.a is null", [False, False, True]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bounds_of_other_types(values: list[Any], condition: str, may: list[bool]) -> None:
    parts = [pa.table({"x": part}) for part in values]
    schema = parts[0].schema
    found = files([part.cast(schema) for part in parts])
    assert masks(condition, schema, found)[0] == may


def test_bounds_of_zones_are_moments() -> None:
    """A condition without a zone is in the column's."""
    kind = pa.timestamp("ms", "America/New_York")
    parts = [
        pa.table({"x": pa.array([dt.datetime(2024, 3, 1, hour, tzinfo=dt.UTC)], kind)}) for hour in (4, 5, 6)
    ]
    found = files(parts)
    assert masks("x < '2024-03-01'", parts[0].schema, found)[0] == [True, False, False]
    assert masks("x = '2024-03-01T05:00:00Z'", parts[0].schema, found)[0] == [False, True, False]


def test_row_groups_are_pruned_alike() -> None:
    """Whatever has rows and bounds can be pruned: here two columns are compared with each other."""
    given = Given(
        x=bounds(pa.int32(), (1, 5), (7, 9), (3, 3)), y=bounds(pa.float64(), (6, 7), (1, 2), (3, 3))
    )
    schema = pa.schema([("x", pa.int32()), ("y", pa.float64())])
    assert masks(col("x") < col("y"), schema, given) == ([True, False, False], [True, False, False])
    assert masks(col("x") == col("y"), schema, given) == ([False, False, True], [False, False, True])


def test_files_without_rows_and_conditions_without_columns() -> None:
    table = pa.table({"x": pa.array([], pa.int64())})
    found = files([table, pa.table({"x": [1]})])
    assert masks(col("x") == 1, table.schema, found) == ([False, True], [True, True])
    assert masks("true", table.schema, found) == ([False, True], [True, True])
    assert masks("1 = 2", table.schema, found) == ([False, False], [True, False])


@pytest.mark.parametrize(
    "text", ["cast(x as boolean)", "coalesce(f, true)", "f = coalesce(f, f)", "(x = 1) is null"]
)
def test_what_is_not_known_may_be(text: str) -> None:
    """Of a column without a type, and of conditions inside functions."""
    table = pa.table({"x": pa.nulls(2), "f": [True, False]})
    found = files([table])
    bound = bind(text, table.schema)
    assert may_match(bound, found).to_pylist() >= [True in bound.evaluate(table).to_pylist()]
    assert matches(bound, found)[1].to_pylist() <= [all(bound.evaluate(table).to_pylist())]


def test_foreign_bounds_of_a_wrong_type_are_not_used() -> None:
    given = Given(x=bounds(pa.string(), ("a", "b")))
    assert masks(col("x") == 1, pa.schema([("x", pa.int64())]), given) == ([True], [False])


# -- speed -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_million_files_are_pruned_in_well_under_a_second() -> None:
    count = 1_000_000
    first = pc.multiply(pa.array(range(count), pa.int64()), 100)
    names = pc.binary_join_element_wise(pa.array(["name"] * count), first.cast(pa.string()), "-")

    class Many:
        rows = pa.repeat(pa.scalar(100, pa.int64()), count)

        def column(self, path: Path) -> ColumnBounds:
            zero = pa.repeat(pa.scalar(0, pa.int64()), count)
            return ColumnBounds(*{"x": (first, pc.add(first, 99)), "s": (names, names)}[path[0]], zero, zero)

    schema = pa.schema([("x", pa.int64()), ("s", pa.string())])
    wanted = [5_000, 77_777, 12_345_678]
    for condition, kept in [
        (col("x").is_in(wanted), 3),
        (col("x").is_in([100 * i for i in range(0, count, 1000)]), 1000),
        ((col("x") >= 1000) & (col("x") < 2000) & col("s").starts_with("name-1"), 10),
    ]:
        bound, statistics = bind(condition, schema), Many()
        start = time.process_time()
        assert may_match(bound, statistics).true_count == kept
        assert time.process_time() - start < 1
