"""Whatever is selected, filtered or sliced through a door gives what the same gives in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from atio.predicate import bind
from tests.engines.worlds import KINDS, conditions_on, cut, made

Rounds = settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
ENGINES = ("in-memory", "streaming")


def same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert found.schema == expected.schema
    assert_frame_equal(found, expected, check_exact=True, categorical_as_str=True)


@pytest.mark.parametrize("kind", KINDS)
@Rounds
@given(data=st.data(), parts=cut(duckdb_only=False))
def test_lazy_filters_give_the_rows_of_the_frame(
    kind: str, data: st.DataObject, parts: list[pa.Table]
) -> None:
    condition = data.draw(conditions_on(parts))
    predicate = bind(condition.expr, parts[0].schema).to_polars()
    assume("python_udf" not in str(predicate))  # which Polars hands to a plugin with cloudpickle only
    start, length = data.draw(st.integers(0, 12)), data.draw(st.integers(0, 12))
    names = data.draw(st.permutations(parts[0].column_names))[: data.draw(st.integers(1, 3))]
    columns = [pl.col(name) for name in names]
    queries = [
        lambda f: f,
        lambda f: f.filter(predicate),
        lambda f: f.filter(predicate).select(columns),
        lambda f: f.filter(predicate).slice(start, length),
        lambda f: f.slice(start, length).filter(predicate),
        lambda f: f.head(length).filter(predicate).select(columns),
        lambda f: f.select(columns).slice(start, length),
        lambda f: f.tail(length).select(columns),
        lambda f: f.filter(predicate).select(pl.len()),
        lambda f: f.filter(predicate).sort("row", descending=True).head(length),
        lambda f: f.filter(predicate | (pl.col("row") == start) | pl.col("row").is_in([3, length])),
    ]
    with made(kind, parts) as table:
        snapshot = table.snapshot()
        frame, lazy = snapshot.to_polars(), snapshot.to_lazy()
        assert lazy.collect_schema() == frame.schema
        for query in queries:
            for engine in ENGINES:
                same(query(lazy).collect(engine=engine), query(frame.lazy()).collect())


@pytest.mark.parametrize("kind", KINDS)
@Rounds
@given(data=st.data(), parts=cut(duckdb_only=False))
def test_a_scan_goes_out_as_it_is(kind: str, data: st.DataObject, parts: list[pa.Table]) -> None:
    where = data.draw(st.none() | conditions_on(parts).map(lambda c: c.expr))
    limit = data.draw(st.none() | st.integers(0, 12))
    columns = data.draw(st.none() | st.permutations(parts[0].column_names).map(lambda names: names[:2]))
    start = data.draw(st.integers(0, 6))
    with made(kind, parts) as table:
        scan = table.scan(columns, limit, where=where)
        frame, lazy = scan.to_polars(), scan.to_lazy()
        assert lazy.collect_schema() == frame.schema
        same(lazy.collect(), frame)
        same(lazy.slice(start, 5).collect(), frame.slice(start, 5))
        picked = cs.by_name(frame.columns[-1])
        same(lazy.filter(~picked.is_null()).collect(), frame.filter(~picked.is_null()))


class Reference:
    """DuckDB on rows in its own memory."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")

    def load(self, table: pa.Table) -> None:
        self._connection.register("arrow", table)
        self._connection.execute("CREATE OR REPLACE TABLE t AS SELECT * FROM arrow")

    def rows(self, query: str) -> pa.Table:
        return self._connection.sql(query).to_arrow_table()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    made = Reference()
    yield made
    made.close()


def as_text(table: pa.Table) -> Any:
    return table.schema.types, [repr(row) for row in table.to_pylist()]


@pytest.mark.parametrize("kind", KINDS)
@Rounds
@given(data=st.data(), parts=cut())
def test_sql_gives_the_rows_of_a_table_in_memory(
    kind: str, reference: Reference, data: st.DataObject, parts: list[pa.Table]
) -> None:
    condition = data.draw(conditions_on(parts))
    first, second = data.draw(st.permutations(parts[0].column_names))[:2]
    start, length = data.draw(st.integers(0, 12)), data.draw(st.integers(0, 12))
    queries = [
        "SELECT * FROM t",
        f"SELECT * FROM t WHERE {condition.sql}",
        f'SELECT "{first}", "{second}" FROM t WHERE {condition.sql} LIMIT {length} OFFSET {start}',
        f'SELECT "{second}" FROM t LIMIT {length}',
        f"SELECT count(*) FROM t WHERE {condition.sql}",
        f'SELECT count("{first}"), count(*) FROM t WHERE "{second}" IS NOT NULL',
        f"SELECT a.row FROM t a JOIN t b USING (row) WHERE b.row > {start} ORDER BY ALL",
        # 0.0 and -0.0 are equal: which of them is the least is nobody's promise.
        'SELECT min("row"), max("row"), min("st"."in"."w") + 0.0, max("st"."in"."w") + 0.0 FROM t',
    ]
    with made(kind, parts) as table:
        reference.load(table.to_arrow())
        for query in queries:
            assert as_text(table.sql(query).to_arrow()) == as_text(reference.rows(query)), query
        narrowed = table.scan(where=condition.expr, limit=length)
        reference.load(narrowed.to_arrow())
        for query in queries[:4]:
            assert as_text(narrowed.sql(query).to_arrow()) == as_text(reference.rows(query)), query
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            relation = narrowed.to_duckdb(connection)
            assert as_text(relation.to_arrow_table()) == as_text(reference.rows("SELECT * FROM t"))
