"""Tables with a key, get(), and merges by keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atio import Table, col
from atio.commit.state import KEYS
from atio.errors import ConflictError, ExistsError, InputError, NewerFormatError, SchemaError
from atio.storage import MemoryStorage
from tests.support.tables import listing, rows

SCHEMA = pa.schema([("id", pa.int64()), ("s", pa.string())])


@pytest.fixture
def table() -> Table:
    made = Table.create(MemoryStorage(), SCHEMA, key="id")
    made.append({"id": [1, 2, 3], "s": ["a", "b", "c"]})
    return made


def pairs(table: Table) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows(table.snapshot())]


def other(table: Table) -> Table:
    return Table(table._objects.storage.handle())  # type: ignore[attr-defined]


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_is_kept_and_announced(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    assert table.key == ("id",)
    assert Table(MemoryStorage()).create(MemoryStorage(), SCHEMA).key == ()
    table.compact()
    table.tag("x")
    table.set_properties({"user.a": "1"})
    table.set_properties({"user.a": None})
    table.untag("x")
    assert table.key == ("id",)
    assert table._state().pointer.features.write == (KEYS,)
    copy = table.copy_to(MemoryStorage(), version=table.version)
    assert copy.key == ("id",)
    monkeypatch.setattr("atio.commit.state._FEATURES", frozenset())
    assert pairs(table) == [(1, "a"), (2, "b"), (3, "c")]
    with pytest.raises(NewerFormatError, match=KEYS):
        table.append({"id": [9]})


def test_existing_keys_are_refused(table: Table) -> None:
    before = listing(table._objects.storage)
    with pytest.raises(ExistsError, match="2 of the keys are in the table already, such as 2, 3"):
        table.append({"id": [2, 3, 4], "s": ["", "", ""]})
    with pytest.raises(InputError, match="such as 7"):
        table.append({"id": [7, 7], "s": ["", ""]})
    for data in ({"id": [7, None], "s": ["", ""]}, {"s": ["x"]}):
        with pytest.raises((InputError, SchemaError), match=r"null|missing"):
            table.append(data)
    with pytest.raises(ExistsError):
        table.commit(table.stage({"id": [1], "s": [""]}))
    with pytest.raises(InputError, match="such as 8"):
        table.commit(table.stage({"id": [8], "s": [""]}), table.stage({"id": [8], "s": [""]}))
    assert len(table.history()) == 2
    assert {
        path for path in listing(table._objects.storage) - before if not path.startswith("data/")
    } == set()
    table.commit(table.stage({"id": [8], "s": ["s"]}))
    table.append(iter([pa.table({"id": [10], "s": ["x"]}), pa.table({"id": [11], "s": ["y"]})]))
    assert [key for key, _ in pairs(table)] == [1, 2, 3, 8, 10, 11]


def test_on_conflict(table: Table) -> None:
    new = {"id": [3, 4], "s": ["C", "d"]}
    assert table.append(new, on_conflict="ignore").version == 2
    assert pairs(table) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    assert table.append(new, on_conflict="ignore").version == 2
    table.append(pd.DataFrame(new), on_conflict="update", message="m")
    assert pairs(table) == [(1, "a"), (2, "b"), (3, "C"), (4, "d")]
    assert table.snapshot().message == "m"
    for bad in ({"on_conflict": "replace"}, {"on_conflict": "ignore", "token": "t"}):
        with pytest.raises(InputError, match="on_conflict"):
            table.append(new, **bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no key"):
        Table.create(MemoryStorage(), SCHEMA).append(new, on_conflict="ignore")


def test_every_way_to_add_rows_heeds_the_key(table: Table) -> None:
    for call in (
        lambda: table.overwrite({"id": [5, 5], "s": ["", ""]}),
        lambda: table.overwrite({"s": ["x"]}),
        lambda: table.overwrite({"id": [1.5], "s": ["x"]}),
        lambda: table.overwrite({"id": [1, 2], "s": ["x", "x"]}, where="s = 'x'"),
        lambda: table.overwrite({"id": [2], "s": ["a"]}, where="s = 'a'"),
        lambda: table.update({"id": 2}, "id = 1"),
        lambda: table.update({"id": None}, "id = 1"),
        lambda: table.update({"id": 7}, "id > 1"),
        lambda: table.upsert({"id": [3], "s": ["b"]}, on="s"),
        lambda: table.drop_column("id"),
        lambda: table.widen_column("id", pa.float64()),
    ):
        with pytest.raises((ExistsError, InputError, SchemaError)):
            call()
    assert pairs(table) == [(1, "a"), (2, "b"), (3, "c")]
    assert table.update({"id": col("id") + 1}, "id < 5").updated == 3
    table.overwrite({"id": [9], "s": ["b"]}, where="s = 'b'")
    table.restore(1)
    table.rename_column("id", "key")
    assert table.key == ("key",)
    with pytest.raises(ExistsError, match="such as 3"):
        table.append({"key": [3], "s": [""]})
    table.overwrite({"s": ["n"], "key": [3]})
    with pytest.raises(ExistsError, match="such as 3"):
        table.append({"key": [3], "s": [""]})


def test_keys_of_several_columns_and_categories() -> None:
    kind = pa.dictionary(pa.int32(), pa.string())
    made = Table.create(
        MemoryStorage(), pa.schema([("a", kind), ("b", pa.date32()), ("v", pa.int64())]), key=["a", "b"]
    )
    import datetime as dt

    day = [dt.date(2024, 1, n) for n in range(1, 4)]
    made.append(pd.DataFrame({"a": pd.Categorical(["x", "x", "y"]), "b": day, "v": [1, 2, 3]}))
    made.append(pd.DataFrame({"a": pd.Categorical(["z", "y"]), "b": day[:2], "v": [4, 5]}))
    with pytest.raises(ExistsError, match=r"such as \(a='x', b=datetime.date\(2024, 1, 2\)\)"):
        made.append(pd.DataFrame({"a": pd.Categorical(["x", "q"]), "b": [day[1], day[0]], "v": [6, 7]}))
    assert made.get("y", day[1]) == {"a": "y", "b": day[1], "v": 5}
    assert made.get("q", day[1]) is None
    assert made.upsert(pd.DataFrame({"a": pd.Categorical(["x"]), "b": day[:1], "v": [9]})).updated == 1
    assert made.get("x", day[0]) == {"a": "x", "b": day[0], "v": 9}


def test_get(table: Table) -> None:
    assert table.get(2) == {"id": 2, "s": "b"}
    assert table.get(4) is None
    table.delete("id = 2")
    assert table.get(2) is None
    for key in (("x",), (1, 2), ()):
        with pytest.raises(InputError, match=r"no value|has 1 columns"):
            table.get(*key)
    with pytest.raises(InputError, match="no key"):
        Table.create(MemoryStorage(), SCHEMA).get(1)


@pytest.mark.parametrize("key", ["nobody", ["id", "id"], "f"])
def test_what_cannot_be_a_key(key: Any) -> None:
    with pytest.raises(InputError):
        Table.create(MemoryStorage(), pa.schema([*SCHEMA, ("f", pa.float64())]), key=key)


def test_a_row_that_came_meanwhile_is_seen(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from atio.table.writing import Writer

    beside = other(table)
    original = Writer._request
    done: list[int] = []

    def request(*given: Any) -> Any:
        found = original(*given)
        if not done:
            done.append(1)
            beside.append({"id": [4], "s": ["theirs"]})
        return found

    monkeypatch.setattr(Writer, "_request", request)
    with pytest.raises(ExistsError, match="such as 4"):
        table.append({"id": [4], "s": ["mine"]})
    assert table.get(4) == {"id": 4, "s": "theirs"}


def test_a_table_that_got_a_key_meanwhile_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    from atio.table import writing

    original = writing._stage
    done: list[int] = []

    def stage(*given: Any, **more: Any) -> Any:
        found = original(*given, **more)
        if not done:
            done.append(1)
            Table.create(storage.handle(), SCHEMA, key="id").append({"id": [1], "s": ["theirs"]})
        return found

    monkeypatch.setattr(writing, "_stage", stage)
    with pytest.raises(ExistsError, match="such as 1"):
        Table(storage).append(pa.table({"id": [1], "s": ["mine"]}))


def test_branches_are_merged_by_key(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA, key="id", durable=False)
    table.append({"id": [1], "s": ["a"]})
    table.create_branch("b")
    branch = Table.open(tmp_path / "t", branch="b", durable=False)
    with pytest.raises(ExistsError):
        branch.append({"id": [1], "s": [""]})
    branch.append({"id": [2], "s": ["branch"]})
    table.append({"id": [3], "s": ["table"]})
    table.merge_branch("b")
    branch.append({"id": [3], "s": ["branch"]})
    with pytest.raises(ExistsError, match="such as 3"):
        table.merge_branch("b")
    assert sorted(pairs(table)) == [(1, "a"), (2, "branch"), (3, "table")]


def test_branches_that_delete_rows_are_not_merged_as_appends(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append({"id": [1, 2]})
    table.create_branch("b")
    branch = Table.open(tmp_path / "t", branch="b", durable=False)
    branch.append({"id": [5, 6]})
    branch.delete("id = 5")
    assert branch.to_arrow()["id"].to_pylist() == [1, 2, 6]
    table.append({"id": [3]})
    with pytest.raises(ConflictError, match="did more than append"):
        table.merge_branch("b")
    assert table.to_arrow()["id"].to_pylist() == [1, 2, 3]


# -- merge -----------------------------------------------------------------------------------------


def test_merge_with_values_of_both(table: Table) -> None:
    stock = Table(MemoryStorage())
    stock.append({"id": [1, 2, 3], "n": [10, 20, 30]})
    done = stock.merge(
        {"id": [2, 3, 4], "n": [1, 2, 3]}, on="id", when_matched={"n": col("n") + col("source", "n")}
    )
    assert (done.updated, done.inserted, done.deleted) == (2, 1, 0)
    assert pairs(stock) == [(1, 10), (2, 21), (3, 32), (4, 3)]
    done = stock.merge({"id": [1]}, on="id", when_matched="delete", when_not_matched="ignore")
    assert (done.deleted, pairs(stock)) == (1, [(2, 21), (3, 32), (4, 3)])
    stock.append({"id": [None], "n": [0]})
    done = stock.merge(
        {"id": [3, 9], "n": [0, 9]}, on="id", when_matched="ignore", when_not_matched_by_source="delete"
    )
    assert (done.inserted, done.deleted, pairs(stock)) == (1, 3, [(3, 32), (9, 9)])
    assert stock.merge({"id": [3], "n": [0]}, on="id", when_matched="ignore").version is None
    for bad in (
        {"when_matched": "replace"},
        {"when_not_matched": "update"},
        {"when_not_matched_by_source": "x"},
    ):
        with pytest.raises(InputError, match=next(iter(bad))):
            stock.merge({"id": [3], "n": [0]}, on="id", **bad)  # type: ignore[arg-type]


WHEN = st.sampled_from(["update", "delete", "ignore", "values"])


def frame(values: dict[int, int]) -> pa.Table:
    kind = pa.int64()
    return pa.table({"k": pa.array(list(values), kind), "v": pa.array(list(values.values()), kind)})


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data(), matched=WHEN, inserts=st.booleans(), deletes=st.booleans())
def test_merges_are_those_of_dicts(data: st.DataObject, matched: str, inserts: bool, deletes: bool) -> None:
    key = st.integers(0, 12)
    old = data.draw(st.dictionaries(key, st.integers(0, 99), max_size=12))
    new = data.draw(st.dictionaries(key, st.integers(100, 199), max_size=12))
    cut = data.draw(st.integers(0, len(old)))
    table = Table.create(MemoryStorage(), pa.schema([("k", pa.int64()), ("v", pa.int64())]), key="k")
    for part in (list(old)[:cut], list(old)[cut:]):
        table.append(
            pa.table({"k": pa.array(part, pa.int64()), "v": pa.array([old[k] for k in part], pa.int64())})
        )
    expected = {}
    for k, v in old.items():
        if k not in new:
            if not deletes:
                expected[k] = v
        elif matched != "delete":
            expected[k] = {"update": new[k], "ignore": v, "values": v - new[k]}[matched]
    if inserts:
        expected |= {k: v for k, v in new.items() if k not in old}
    both = len(old.keys() & new.keys())
    done = table.merge(
        frame(new),
        when_matched={"v": col("v") - col("source", "v")} if matched == "values" else matched,  # type: ignore[arg-type]
        when_not_matched="insert" if inserts else "ignore",
        when_not_matched_by_source="delete" if deletes else "ignore",
    )
    assert dict(pairs(table)) == expected
    assert len(table.snapshot()) == len(expected)
    assert done.inserted == (len(new) - both if inserts else 0)
    assert done.updated == (both if matched in ("update", "values") else 0)
    assert done.deleted == (both if matched == "delete" else 0) + (len(old) - both if deletes else 0)
    assert table.verify().ok


def test_a_merge_that_was_overtaken_starts_over(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from atio.table import changing

    beside = other(table)
    original = changing.Changer.commit
    done: list[int] = []

    def commit(*given: Any) -> Any:
        if not done:
            done.append(1)
            beside.append({"id": [5], "s": ["theirs"]})
        return original(*given)

    monkeypatch.setattr(changing.Changer, "commit", commit)
    table.append({"id": [4, 5], "s": ["d", "e"]}, on_conflict="ignore")
    assert pairs(table) == [(1, "a"), (2, "b"), (3, "c"), (5, "theirs"), (4, "d")]
    with pytest.raises(ConflictError):
        table.merge({"id": [4], "s": ["x"]}, when_matched="delete", expected_version=1)
