"""The change feed: replayed over the rows of one version it makes those of another, whatever lies between."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings

from atio import Table, col
from atio.errors import InputError, VersionNotFoundError
from atio.storage import MemoryStorage

SCHEMA = pa.schema({"id": pa.int64(), "word": pa.string()})
NOW = timedelta(0)
KINDS = {"insert": 1, "update_postimage": 1, "delete": -1, "update_preimage": -1}


def rows(*ids: int, word: str = "w") -> pa.Table:
    return pa.table({"id": list(ids), "word": [f"{word}{i}" for i in ids]}, schema=SCHEMA)


def events(table: Table, since: int | str, until: int | None = None, **more: Any) -> list[dict[str, Any]]:
    return table.changes(since, until, **more).read_all().to_pylist()


def kinds(found: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(event["_change_type"], event["id"]) for event in found]


@pytest.fixture
def table() -> Table:
    return Table(MemoryStorage())


def made(*, key: bool = False, merge: bool = True) -> Table:
    storage = MemoryStorage()
    options = {} if merge else {"append.merge": "false"}
    return Table.create(storage, SCHEMA, key="id" if key else None, properties=options)


# -- what each operation tells -----------------------------------------------------------------------


def test_appends_and_deletes(table: Table) -> None:
    table.append(rows(1, 2, 3))
    table.delete("id = 2")
    table.append(rows(4))
    found = events(table, 0)
    assert kinds(found) == [("insert", 1), ("insert", 2), ("insert", 3), ("delete", 2), ("insert", 4)]
    assert [event["_commit_version"] for event in found] == [1, 1, 1, 2, 3]
    assert found[3]["_commit_timestamp"] == table.snapshot(2).time
    assert kinds(events(table, 1, 2)) == [("delete", 2)]
    assert events(table, 3) == []
    table.tag("seen", 2)
    assert kinds(events(table, "seen")) == [("insert", 4)]


def test_an_update_has_both_images(table: Table) -> None:
    table.append(rows(1, 2))
    table.update({"word": "new"}, "id = 2")
    assert [(e["_change_type"], e["id"], e["word"]) for e in events(table, 1)] == [
        ("update_preimage", 2, "w2"),
        ("update_postimage", 2, "new"),
    ]


@pytest.mark.parametrize("key", [True, False])
def test_an_upsert_tells_updates_where_there_is_a_key(*, key: bool) -> None:
    table = made(key=key)
    table.append(rows(1, 2))
    table.upsert(rows(2, 3, word="v"), on="id")
    names = ("update_preimage", "update_postimage") if key else ("delete", "insert")
    assert sorted(kinds(events(table, 1))) == sorted([(names[0], 2), (names[1], 2), ("insert", 3)])
    assert sorted(row["word"] for row in events(table, 1, columns=["word"])) == ["v2", "v3", "w2"]


def test_overwrites_and_restores(table: Table) -> None:
    table.append(rows(1, 2))
    table.overwrite(rows(3))
    table.restore(1)
    assert kinds(events(table, 1, 2)) == [("delete", 1), ("delete", 2), ("insert", 3)]
    assert kinds(events(table, 2)) == [("delete", 3), ("insert", 1), ("insert", 2)]
    table.delete("id = 1")
    table.restore(1)
    assert kinds(events(table, 4)) == [("insert", 1)], "rows that both have are not told"


def test_merges_and_compactions_are_not_seen(table: Table) -> None:
    for number in range(20):  # tiny files are merged on the way
        table.append(rows(number))
    table.compact()
    table.add_column("more", pa.int64())
    assert kinds(events(table, 0)) == [("insert", number) for number in range(20)]
    assert events(table, 20) == []


def test_rows_that_are_deleted_and_merged_away_at_once(table: Table) -> None:
    for number in range(0, 14, 2):
        table.append(rows(number, number + 1))
    with table.transaction() as transaction:
        transaction.delete(col("id").is_in([1, 12]))
        transaction.append(rows(100, 101))
        transaction.delete("id = 101")
    assert len(table.snapshot().files()) == 1, "no merge: the test tests nothing"
    assert sorted(kinds(events(table, 7))) == [("delete", 1), ("delete", 12), ("insert", 100)]
    table.vacuum(NOW)
    assert table.verify().ok
    assert len(events(table, 7)) == 3


def test_columns_are_those_of_the_last_version(table: Table) -> None:
    table.append(rows(1))
    table.rename_column("word", "term")
    table.add_column("more", pa.int64(), default=7)
    found = events(table, 0)
    assert found[0]["term"] == "w1"
    assert found[0]["more"] == 7
    assert events(table, 0, 1)[0]["word"] == "w1"


def test_branches_have_their_own(table: Table) -> None:
    table.append(rows(1))
    branch = table.create_branch("trial")
    branch.append(rows(2))
    branch.delete("id = 1")
    assert kinds(events(branch, 1)) == [("insert", 2), ("delete", 1)]
    assert events(table, 1) == []
    table.merge_branch("trial")
    assert kinds(events(table, 1)) == [("insert", 2), ("delete", 1)]


def test_what_is_gone(table: Table) -> None:
    for number in range(5):
        table.append(rows(number))
    table.delete("id = 0")
    table.append(rows(9))
    table.tag("five", 5)
    table.expire(NOW, keep_last=2)
    assert kinds(events(table, 5)) == [("delete", 0), ("insert", 9)]
    assert kinds(events(table, 6)) == [("insert", 9)]
    with pytest.raises(VersionNotFoundError, match="version 4"):
        table.changes(3)
    table.untag("five")
    table.expire(NOW, keep_last=2)
    with pytest.raises(VersionNotFoundError, match="rows that version 6 deleted"):
        table.changes(5)


def test_wrong_questions(table: Table) -> None:
    table.append(rows(1))
    for wrong in (
        lambda: table.changes(2),
        lambda: table.changes(-1),
        lambda: table.changes(0, columns=["x"]),
    ):
        with pytest.raises(InputError):
            wrong()
    table.append({"id": [2], "word": ["w"], "_change_type": ["x"]}, schema_mode="merge")
    with pytest.raises(InputError, match="needs"):
        table.changes(0)
    assert len(events(table, 0, columns=["id"])) == 2


# -- any history -------------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from(
        [
            "append",
            "append",
            "delete",
            "update",
            "upsert",
            "overwrite",
            "replace",
            "restore",
            "compact",
            "both",
        ]
    ),
    st.integers(0, 30),
    st.integers(1, 4),
)


def act(table: Table, what: str, place: int, many: int, serial: int) -> None:
    fresh = rows(*range(serial, serial + many))
    some = col("id") % 4 == place % 4
    match what:
        case "append":
            table.append(fresh)
        case "delete":
            table.delete(some)
        case "update":
            table.update({"word": f"u{serial}"}, some)
        case "upsert":
            old = table.to_arrow().column("id").to_pylist()[place % 5 :: 3]
            table.upsert(rows(*old, *range(serial, serial + many), word=f"v{serial}-"), on="id")
        case "overwrite":
            table.overwrite(fresh)
        case "replace":
            table.overwrite(fresh.slice(0, 0), where=some)
        case "restore":
            table.restore(table.history()[place % len(table.history())].version)
        case "compact":
            table.compact(sort_by="id" if place % 2 else None)
        case "both":
            with table.transaction() as transaction:
                transaction.append(fresh)
                transaction.delete(some)
                transaction.update({"word": f"t{serial}"}, col("id") % 3 == place % 3)


def counted(table: Table, version: int) -> Counter[tuple[int, str]]:
    found = table.snapshot(version).to_arrow()
    return Counter(zip(found["id"].to_pylist(), found["word"].to_pylist(), strict=True))


@given(steps=st.lists(STEP, min_size=1, max_size=12), key=st.booleans(), merge=st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_span_replayed(steps: list[tuple[str, int, int]], *, key: bool, merge: bool) -> None:
    table = made(key=key, merge=merge)
    for number, (what, place, many) in enumerate(steps):
        act(table, what, place, many, 100 * number)
    newest = table.version
    for since in range(0, newest + 1, 2):
        state = counted(table, since)
        version = since
        for event in events(table, since):
            assert event["_commit_version"] >= version
            version = event["_commit_version"]
            row = event["id"], event["word"]
            state[row] += KINDS[event["_change_type"]]
            assert state[row] >= 0, f"{row} was deleted and was not there"
        assert +state == counted(table, newest)
    told = Counter((e["_commit_version"], e["_change_type"]) for e in events(table, 0))
    for version in range(1, newest + 1):
        assert told[version, "update_preimage"] == told[version, "update_postimage"]
        # Those two undo some of what they do.
        if table.snapshot(version).operation not in ("restore", "transaction"):
            diff = table.diff(version - 1, version)
            assert diff.rows_added == told[version, "insert"] + told[version, "update_postimage"]
            assert diff.rows_removed == told[version, "delete"] + told[version, "update_preimage"]


@pytest.mark.parametrize("since", [0, 1, 2])
def test_what_is_expired_while_it_is_read(tmp_path: Path, since: int) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append(rows(*range(10)))
    table.delete("id < 5")
    table.upsert(rows(7, 20, word="u"), on="id")
    feed = Table.open(tmp_path / "t", durable=False).changes(since)
    table.compact()
    table.append(rows(30))
    table.expire(NOW)
    with pytest.raises(VersionNotFoundError, match="expired while it was read"):
        feed.read_all()
