"""Deletes and updates change the rows that DuckDB changes."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from atio import col
from atio.predicate.keep import taken
from tests.engines.worlds import KINDS, conditions_on, cut, made
from tests.predicate.worlds import Reference

Rounds = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    found = Reference()
    yield found
    found.close()


@Rounds
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_delete(reference: Reference, data: st.DataObject, kind: str) -> None:
    parts = data.draw(cut())
    whole = pa.concat_tables(parts).combine_chunks()
    wanted = data.draw(st.lists(conditions_on(parts), min_size=1, max_size=3))
    reference.load(whole)
    left = list(range(len(whole)))
    with made(kind, parts) as table:
        for condition in wanted:
            answers = reference.answers(condition.sql)
            gone = [row for row in left if answers[row]]
            left = [row for row in left if not answers[row]]
            found = table.delete(data.draw(st.sampled_from([condition.expr, condition.sql])))
            assert found.deleted == len(gone)
            assert (found.version is None) == (not gone)
            assert table.to_arrow()["row"].to_pylist() == left
            assert table.snapshot().count(condition.expr) == 0
            assert table.snapshot().rows == len(left)
            event(f"some deleted: {bool(gone)}, some left: {bool(left)}")
        assert table.verify().ok


@Rounds
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_update(reference: Reference, data: st.DataObject, kind: str) -> None:
    parts = data.draw(cut())
    whole = pa.concat_tables(parts).combine_chunks()
    condition = data.draw(conditions_on(parts))
    reference.load(whole)
    answers = reference.answers(condition.sql)
    hit = [row for row, answer in enumerate(answers) if answer]
    with made(kind, parts) as table:
        found = table.update({"row": col("row") + 1000}, condition.expr)
        assert found.updated == len(hit)
        expected = [row for row in range(len(whole)) if row not in hit] + [row + 1000 for row in hit]
        assert table.to_arrow()["row"].to_pylist() == expected
        if hit:  # all else is as it was
            others = taken(whole, pa.array([row % 1000 for row in expected])).drop_columns(["row"])
            assert repr(table.to_arrow().drop_columns(["row"]).to_pylist()) == repr(others.to_pylist())
        assert table.snapshot().rows == len(whole)
        assert table.verify().ok
