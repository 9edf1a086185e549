"""Several changes as one version, or none."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atio import Table, col
from atio.errors import ConflictError, ExistsError, InputError, NotFoundError
from atio.storage import MemoryStorage
from tests.support.tables import listing, required

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.int64())])


def frame(values: dict[int, int]) -> pa.Table:
    kind = pa.int64()
    return pa.table({"k": pa.array(list(values), kind), "v": pa.array(list(values.values()), kind)})


def content(found: Any) -> dict[int, int]:
    table = found.to_arrow()
    keys = table["k"].to_pylist()
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, table["v"].to_pylist(), strict=True))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table.create(tmp_path / "t", SCHEMA, key="k", durable=False)
    made.append(frame({1: 1, 2: 2, 3: 3}))
    return made


def test_one_version_of_several_changes(table: Table) -> None:
    with table.transaction(message="month's end") as tx:
        assert tx.delete("k = 1").deleted == 1
        tx.append(frame({4: 4}))
        assert content(tx) == {2: 2, 3: 3, 4: 4}
        assert tx.update({"v": col("v") * 10}, "k in (2, 4)").updated == 2
        assert tx.get(4) == {"k": 4, "v": 40}
        assert tx.sql("select sum(v) as s from t").to_arrow()["s"].to_pylist() == [63]
        assert tx.snapshot().count("v > 3") == 2
        assert content(table) == {1: 1, 2: 2, 3: 3}
    assert tx.result is not None
    assert (tx.result.version, tx.result.operation, tx.result.message) == (2, "transaction", "month's end")
    assert content(table) == {2: 20, 3: 3, 4: 40}
    assert content(table.snapshot(1)) == {1: 1, 2: 2, 3: 3}
    assert table.verify().ok


def test_a_failure_leaves_nothing(table: Table) -> None:
    before = listing(table._objects.storage)

    def parts() -> Any:
        yield frame({7: 7})
        yield frame({8: 8})

    with pytest.raises(RuntimeError), table.transaction() as tx:
        tx.append(parts())  # streamed to the disk
        tx.delete("k = 1")
        raise RuntimeError
    assert (table.version, tx.result) == (1, None)
    assert listing(table._objects.storage) == before


def test_a_refused_change_leaves_the_others(table: Table) -> None:
    with table.transaction() as tx:
        tx.append(frame({4: 4}))
        with pytest.raises(ExistsError):
            tx.append(frame({4: 5}))
        with pytest.raises(InputError):
            tx.delete("nobody = 1")
    assert content(table) == {1: 1, 2: 2, 3: 3, 4: 4}


def test_nothing_to_do_makes_no_version(table: Table) -> None:
    with table.transaction() as tx:
        tx.delete("k = 100")
    assert (table.version, tx.result) == (1, None)


def test_a_transaction_runs_once_and_inside_its_block(table: Table) -> None:
    tx = table.transaction()
    with pytest.raises(InputError, match="not under way"):
        tx.delete("k = 1")
    with tx:
        tx.delete("k = 1")
        with pytest.raises(InputError, match="once"), tx:
            pass
    with pytest.raises(InputError, match="once"), tx:
        pass
    with pytest.raises(InputError, match="isolation"):
        table.transaction(isolation="dirty")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError), Table(MemoryStorage()).transaction():
        pass


def test_reads_inside_see_one_state(table: Table) -> None:
    with table.transaction() as tx:
        table.append(frame({9: 9}))
        assert content(tx) == {1: 1, 2: 2, 3: 3}
        tx.append(frame({4: 4}))
        assert content(tx) == {1: 1, 2: 2, 3: 3, 4: 4}
    assert content(table) == {1: 1, 2: 2, 3: 3, 9: 9, 4: 4}


def test_changes_are_made_to_what_is_there_by_then(table: Table) -> None:
    with table.transaction() as tx:
        tx.update({"v": col("v") + 1}, "k < 3")
        tx.delete("v = 50 or k = 3")
        table.append(frame({50: 50}))
    assert content(table) == {1: 2, 2: 3}
    with pytest.raises(ExistsError, match="such as 60"), table.transaction() as tx:
        tx.append(frame({60: 0}))
        tx.delete("k = 1")
        table.append(frame({60: 1}))
    with pytest.raises(ConflictError, match="expected"), table.transaction(isolation="serializable") as tx:
        tx.delete("k = 1")
        table.append(frame({61: 1}))
    assert content(table) == {1: 2, 2: 3, 60: 1, 61: 1}


def test_rows_that_an_update_was_made_of_must_be_the_same(table: Table) -> None:
    before = table.version
    with pytest.raises(ConflictError), table.transaction() as tx:
        tx.update({"v": col("v") + 1}, "k = 1")
        table.update({"v": 100}, "k = 1")
    assert content(table)[1] == 100
    assert table.version == before + 1


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_transaction_does_what_its_changes_do(data: st.DataObject) -> None:
    place = MemoryStorage()
    table = Table.create(place, SCHEMA, key="k")
    expected: dict[int, int] = {}
    for start in (0, 10, 20):
        rows = {start + i: i for i in range(data.draw(st.integers(1, 8)))}
        table.append(frame(rows))
        expected |= rows
    beside, others = Table(place.handle()), dict[int, int]()
    with table.transaction() as tx:
        for _ in range(data.draw(st.integers(1, 6))):
            low = data.draw(st.integers(0, 30))
            match data.draw(st.sampled_from(["append", "delete", "update", "upsert", "replace", "others"])):
                case "append":
                    new = {k: -k for k in range(low, low + 4) if k not in expected}
                    tx.append(frame(new))
                    expected |= new
                case "delete":
                    tx.delete(col("k").between(low, low + 5))
                    expected = {k: v for k, v in expected.items() if not low <= k <= low + 5}
                case "update":
                    tx.update({"v": col("v") + 1}, col("k").between(low + 1, 99))
                    expected = {k: v + (k > low) for k, v in expected.items()}
                case "upsert":
                    new = dict.fromkeys(range(low, low + 4), 7)
                    tx.upsert(frame(new))
                    expected |= new
                case "replace":
                    tx.overwrite(frame({low: 5}), col("k").between(low, 99))
                    expected = {k: v for k, v in expected.items() if k < low} | {low: 5}
                case "others":
                    number = 1000 + len(others)
                    beside.append(frame({number: 0}))
                    others[number] = 0
            assert content(tx) == expected
    expected |= others
    assert content(table) == expected
    assert len(table.snapshot()) == len(expected)
    assert table.verify().ok
    table.expire(timedelta(0))
    table.vacuum(timedelta(0))
    assert listing(place) == required(place)
    assert content(table) == expected


# -- beside others that move rows ------------------------------------------------------------------


def test_an_update_survives_a_compaction_and_appends(table: Table) -> None:
    table.append(frame({20: 20, 21: 21}))
    table.delete("k = 2")
    with table.transaction() as tx:
        assert tx.delete("k = 20").deleted == 1
        assert tx.update({"v": col("v") + 1}, "k in (1, 21)").updated == 2
        assert tx.merge(frame({3: 4}), when_matched={"v": col("source", "v")}).updated == 1
        assert table.compact(sort_by="v").version is not None
        table.append(frame({30: 30}))
        table.compact()
    assert content(table) == {1: 2, 3: 4, 21: 22, 30: 30}
    assert table.verify().ok


@pytest.mark.parametrize("how", ["a change", "a row more", "another row", "a restored row"])
def test_an_update_conflicts_with_what_is_no_compaction(table: Table, how: str) -> None:
    table.tag("before")
    with pytest.raises(ConflictError, match="changed the rows"), table.transaction() as tx:
        assert tx.update({"v": -1}, "v < 3").updated == 2
        table.compact()
        match how:
            case "a change":
                table.update({"v": 0}, "k = 1")
            case "a row more":
                table.append(frame({40: 0}))
            case "another row":
                table.delete("k = 1")
                table.append(frame({40: 0}))
            case _:
                table.delete("k = 1")
                table.restore("before")
                table.append(frame({40: 0}))
                table.compact()
    assert -1 not in content(table).values()


def test_what_had_nothing_to_do_may_have_by_the_end(table: Table) -> None:
    with table.transaction() as tx:
        assert tx.delete("k = 50").deleted == 0
        tx.append(frame({60: 60}))
        table.append(frame({50: 50, 51: 51}))
    assert content(table) == {1: 1, 2: 2, 3: 3, 51: 51, 60: 60}
    with pytest.raises(ConflictError), table.transaction() as tx:
        assert tx.update({"v": 0}, "k = 70").updated == 0
        tx.append(frame({80: 80}))
        table.append(frame({70: 70}))
    before = table.version
    with table.transaction() as tx:
        tx.delete("k = 90")
        tx.update({"v": 0}, "k = 90")
        tx.merge(frame({90: 0}), when_not_matched="ignore")
    assert tx.result is None
    assert table.version == before


def test_an_expired_beginning_is_a_conflict(table: Table) -> None:
    with pytest.raises(ConflictError, match="since the transaction began with version 1"):  # noqa: SIM117
        with table.transaction() as tx:
            table.overwrite(frame({1: 1}))
            table.expire(timedelta(0))
            tx.to_arrow()
