"""Every way to evaluate a condition gives the rows that DuckDB gives."""

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from atio.frames import to_polars
from atio.predicate import bind, decode, encode, parse
from tests.predicate.worlds import Condition, Reference, conditions, tables

Rounds = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    made = Reference()
    yield made
    made.close()


def drawn(data: st.DataObject, table: pa.Table, count: int = 4) -> list[Condition]:
    return data.draw(st.lists(conditions(table), min_size=1, max_size=count))


@Rounds
@given(data=st.data(), table=tables())
def test_arrow_gives_the_rows_of_duckdb(reference: Reference, data: st.DataObject, table: pa.Table) -> None:
    reference.load(table)
    for condition in drawn(data, table):
        expected = reference.answers(condition.sql)
        forms = [condition.expr, condition.sql]
        if condition.term is not None:
            forms += [[condition.term], [[condition.term]]]
        for form in forms:
            bound = bind(form, table.schema)
            assert bound.evaluate(table).to_pylist() == expected, (form, condition.sql, bound.to_sql())
        event(f"{len({*expected})} different answers")


@Rounds
@given(data=st.data(), table=tables())
def test_sql_gives_the_rows_of_arrow(reference: Reference, data: st.DataObject, table: pa.Table) -> None:
    reference.load(table)
    for condition in drawn(data, table):
        bound = bind(condition.expr, table.schema)
        found = reference.answers(bound.to_sql())
        assert found == bound.evaluate(table).to_pylist(), bound.to_sql()


@Rounds
@given(data=st.data(), table=tables(duckdb_only=False))
def test_polars_gives_the_rows_of_arrow(data: st.DataObject, table: pa.Table) -> None:
    frame = to_polars(table)
    for condition in drawn(data, table):
        bound = bind(condition.expr, table.schema)
        found = frame.with_columns(pl.lit(0).alias("answer")).with_columns(answer=bound.to_polars())
        assert found["answer"].to_list() == bound.evaluate(table).to_pylist(), bound


@Rounds
@given(data=st.data(), table=tables(duckdb_only=False))
def test_filter_keeps_the_rows_that_are_true(data: st.DataObject, table: pa.Table) -> None:
    for condition in drawn(data, table):
        bound = bind(condition.expr, table.schema)
        answers = bound.evaluate(table).to_pylist()
        kept = [place for place, answer in enumerate(answers) if answer]
        assert (
            bound.filter(table.append_column("row", pa.array(range(len(table))))).column("row").to_pylist()
            == kept
        )


@Rounds
@given(data=st.data(), table=tables(duckdb_only=False))
def test_chunks_and_batches_do_not_matter(data: st.DataObject, table: pa.Table) -> None:
    cut = data.draw(st.integers(0, len(table)))
    pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    for condition in drawn(data, table):
        bound = bind(condition.expr, table.schema)
        expected = bound.evaluate(table).to_pylist()
        assert bound.evaluate(pieces).to_pylist() == expected
        by_batch = [answer for batch in pieces.to_batches() for answer in bound.evaluate(batch).to_pylist()]
        assert by_batch == expected


@Rounds
@given(data=st.data(), table=tables(duckdb_only=False))
def test_trees_survive_json_and_sql(data: st.DataObject, table: pa.Table) -> None:
    for condition in drawn(data, table):
        tree = parse(condition.expr)
        assert decode(encode(tree)) == tree
        assert parse(str(tree)) == tree, str(tree)
        written = parse(condition.sql)
        assert parse(str(written)) == written
        bound = bind(tree, table.schema)
        again = bind(bound.tree, table.schema)
        assert again.tree == bound.tree
        assert again.paths == bound.paths
        assert {path[0] for path in bound.paths} == set(bound.columns)
