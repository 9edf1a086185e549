"""Every way to read a table, and to look after it, leaves out the rows that were deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atio import Table, col
from atio.commit.state import VECTORS
from atio.errors import ConflictError, DamagedError, NewerFormatError
from atio.metadata import vectors
from atio.storage import MemoryStorage
from tests.support import forge
from tests.support.tables import listing, required

FORMATS = ["parquet", "arrow", "csv", "jsonl", "orc"]
FILES, ROWS = 15, 40


def alive(number: int) -> bool:
    return number % 3 != 0


def made(place: Any, format: str = "parquet", files: int = FILES) -> Table:
    """A table of more files than a snapshot lists, in row groups; a third of its rows deleted."""
    chosen = {"append.merge": "false"} | ({"parquet.row_group_rows": "16"} if format == "parquet" else {})
    schema = pa.schema({"n": pa.int64(), "s": pa.string()})
    table = Table.create(place, schema, format=format, properties=chosen, durable=False)
    for file in range(files):
        numbers = range(file * ROWS, (file + 1) * ROWS)
        table.append({"n": list(numbers), "s": [f"s{n % 5}" if n % 4 else None for n in numbers]})
    found = table.delete(col("n") % 3 == 0)
    assert (found.version, found.deleted) == (table.version, sum(not alive(n) for n in range(files * ROWS)))
    return table


EXPECTED = [n for n in range(FILES * ROWS) if alive(n)]


@pytest.mark.parametrize("format", FORMATS)
def test_every_way_to_read(tmp_path: Path, format: str) -> None:
    table = made(tmp_path / "t", format)
    snapshot = table.snapshot()
    assert len(snapshot) == snapshot.rows == snapshot.count() == len(EXPECTED)
    assert sum(file.live for file in snapshot.files()) == len(EXPECTED)
    assert sum(file.rows for file in snapshot.files()) == FILES * ROWS

    def numbers(found: Any) -> list[int]:
        return found["n"].to_pylist()  # type: ignore[no-any-return]

    assert numbers(table.to_arrow()) == EXPECTED
    assert numbers(table.to_arrow(["n"])) == EXPECTED
    assert table.to_arrow([]).num_rows == len(EXPECTED)
    for rows in (1, 7, 100_000):
        parts = list(snapshot.to_batches(rows=rows))
        assert [n for part in parts for n in part["n"].to_pylist()] == EXPECTED
        assert max(map(len, parts)) <= rows
    for limit in (0, 1, 26, 27, 28, 300, 10_000):
        assert numbers(table.to_arrow(limit=limit)) == EXPECTED[:limit]
        assert [n for part in snapshot.to_batches(limit=limit) for n in part["n"].to_pylist()] == EXPECTED[
            :limit
        ]
        assert table.scan(limit=limit).count() == min(limit, len(EXPECTED))
    assert table.to_pandas()["n"].to_list() == EXPECTED
    assert table.to_polars()["n"].to_list() == EXPECTED
    assert table.to_lazy().select("n").collect()["n"].to_list() == EXPECTED
    assert table.sql("select n from t").to_arrow()["n"].to_pylist() == EXPECTED
    assert table.to_duckdb().project("n").fetchall() == [(n,) for n in EXPECTED]
    assert pa.table(table)["n"].to_pylist() == EXPECTED


CONDITIONS: dict[str, Callable[[int], bool | None]] = {
    "n < 100": lambda n: n < 100,
    "n >= 0": lambda n: True,
    "n % 2 = 0": lambda n: n % 2 == 0,
    "s is null": lambda n: n % 4 == 0,
    "s is not null and n > 500": lambda n: n % 4 != 0 and n > 500,
    "n = 300": lambda n: n == 300,
    "n in (299, 300, 301)": lambda n: n in (299, 300, 301),
    "s = 's3' or n between 17 and 50": lambda n: (n % 4 != 0 and n % 5 == 3) or 17 <= n <= 50,
}


@pytest.mark.parametrize("format", ["parquet", "csv"])
@pytest.mark.parametrize("where", CONDITIONS)
def test_conditions(tmp_path: Path, format: str, where: str) -> None:
    table = made(tmp_path / "t", format)
    expected = [n for n in EXPECTED if CONDITIONS[where](n)]
    assert table.to_arrow(where=where)["n"].to_pylist() == expected
    assert table.to_arrow(["s"], where=where).num_rows == len(expected)
    assert table.snapshot().count(where) == len(expected)
    assert table.to_arrow(where=where, limit=3)["n"].to_pylist() == expected[:3]
    assert [n for part in table.snapshot().to_batches(where=where) for n in part["n"].to_pylist()] == expected
    assert table.to_lazy(where=where).collect()["n"].to_list() == expected
    told = table.scan(where=where).explain()
    assert len(expected) <= told.rows <= len(EXPECTED)
    assert told.rows + told.rows_skipped == len(EXPECTED)


def test_older_versions_show_their_rows_for_ever(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    before = table.version - 1
    table.delete("n < 300")
    table.compact()
    table.vacuum(timedelta(0))
    assert table.snapshot(before).to_arrow()["n"].to_pylist() == list(range(FILES * ROWS))
    assert table.snapshot(before + 1).to_arrow()["n"].to_pylist() == EXPECTED
    left = [n for n in EXPECTED if n >= 300]
    assert table.snapshot(before + 2).to_arrow()["n"].to_pylist() == left
    assert table.to_arrow()["n"].to_pylist() == left
    table.restore(before + 1)
    assert table.to_arrow()["n"].to_pylist() == EXPECTED
    assert [s.rows for s in table.history(4)] == [len(EXPECTED), len(left), len(left), len(EXPECTED)]


def test_a_commit_writes_one_file_of_vectors_and_whole_files_go_without(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    entries = table.snapshot().files()
    assert len({file.deleted.path for file in entries if file.deleted}) == 1
    before = set(listing(table._objects.storage))
    table.delete("n < 80")  # two files, whole
    assert table.snapshot().files() == entries[2:]
    assert not [path for path in listing(table._objects.storage) - before if path.endswith(".dv")]
    table.delete("n >= 80 and n < 125")  # one that was left in part, and some rows of the next
    found = table.snapshot().files()
    assert [file.path for file in found] == [file.path for file in entries[3:]]
    assert found[1:] == entries[4:]
    assert found[0].deleted != entries[3].deleted


def test_a_delete_of_nothing_makes_no_version(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    before = (table.version, listing(table._objects.storage))
    for where in ("n < 0", "n = 3", "s = 'nobody'", "n = null"):
        assert table.delete(where).version is None
        assert table.update({"s": "x"}, where).version is None
    assert (table.version, listing(table._objects.storage)) == before


def test_nothing_changes_for_tables_without_vectors(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    for start in range(20):
        table.append({"n": [start]})
    table.delete("n = 3 or n >= 0")
    pointer = json.loads((tmp_path / "t" / "current").read_bytes().splitlines()[0])
    assert "features" not in pointer
    assert "deleted" not in (tmp_path / "t" / table._state().pointer.snapshot.ref.path).read_text()
    assert table.to_arrow().num_rows == 0
    assert table.append({"n": [1]}).rows == 1


def test_readers_that_do_not_know_vectors_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = made(tmp_path / "t")
    features = table._state().pointer.features
    assert features.read == features.write == (VECTORS,)
    table.restore(1)
    table.expire(timedelta(0))
    assert table._state().pointer.features == features
    monkeypatch.setattr("atio.commit.state._FEATURES", frozenset())
    with pytest.raises(NewerFormatError, match=VECTORS):
        Table.open(tmp_path / "t").snapshot()


def test_compaction_drops_deleted_rows_once(tmp_path: Path) -> None:
    table = made(tmp_path / "t", files=2)
    planned = table.compact(dry_run=True)
    done = table.compact()
    assert (planned.files, planned.rows) == (done.files, done.rows)
    assert done.rows == table.snapshot().rows == table.snapshot().files()[0].rows
    assert table.to_arrow()["n"].to_pylist() == [n for n in range(2 * ROWS) if alive(n)]
    assert table.compact().version is None
    table.delete("n = 1")
    assert table.compact().version is not None  # one file, for its one deleted row
    assert table.compact(sort_by=[("n", "descending")]).rows == table.snapshot().rows


def test_merging_tiny_files_leaves_deleted_rows_out(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    for number in range(7):
        table.append({"n": [number * 2, number * 2 + 1]})
    table.delete("n % 2 = 1 and n < 9")
    table.append({"n": [14, 15]})
    (file,) = table.snapshot().files()
    assert (file.deleted, file.rows) == (None, 12)
    assert table.to_arrow()["n"].to_pylist() == [n for n in range(16) if n % 2 == 0 or n >= 9]
    assert table.snapshot().rows == 12


def test_a_counted_index_is_counted_anew(tmp_path: Path) -> None:
    import pandas as pd

    table = Table.open(tmp_path / "t", durable=False)
    table.append(pd.DataFrame({"n": [1, 2, 3]}, index=pd.RangeIndex(10, 40, 10)))
    assert table.to_pandas().index.to_list() == [10, 20, 30]
    table.delete("n = 2")
    assert table.to_pandas().index.to_list() == [0, 1]
    table.append(pd.DataFrame({"n": [5]}, index=pd.RangeIndex(7, 8)))
    assert table.to_pandas().index.to_list() == [0, 1, 2]


def test_columns_change_under_deleted_rows(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.rename_column("n", "m")
    table.add_column("new", pa.int32(), default=7)
    table.drop_column("s")
    assert table.delete("m < 50").deleted == sum(n < 50 for n in EXPECTED)
    assert table.to_arrow().to_pydict() == {
        "m": [n for n in EXPECTED if n >= 50], "new": [7] * sum(n >= 50 for n in EXPECTED),
    }  # fmt: skip


def test_copies_have_the_vectors(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    whole = table.copy_to(tmp_path / "copy")
    assert whole.to_arrow().equals(table.to_arrow())
    single = table.copy_to(tmp_path / "single", version=table.version)
    assert single.to_arrow().equals(table.to_arrow())
    assert single._state().pointer.features.read == (VECTORS,)
    assert whole.verify().ok
    assert single.verify().ok


def test_vacuum_and_expire_keep_exactly_what_is_needed(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    storage = table._objects.storage
    table.delete("n = 1")
    table.delete("n = 2")
    table.tag("kept", table.version - 1)
    table.expire(timedelta(0))
    table.vacuum(timedelta(0))
    assert listing(storage) == required(storage)
    assert sum(path.endswith(".dv") for path in listing(storage)) == 3  # the first, and those of n = 1 and 2
    assert table.snapshot("kept").rows == len(EXPECTED) - 1
    table.untag("kept")
    table.compact()
    table.expire(timedelta(0))
    table.vacuum(timedelta(0))
    assert not [path for path in listing(storage) if path.endswith(".dv")]
    assert table.verify().ok


def dv(storage: Any) -> str:
    return next(path for path in listing(storage) if path.endswith(".dv"))


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_shows_and_can_be_repaired(tmp_path: Path, damage: str) -> None:
    table = made(tmp_path / "t")
    path = tmp_path / "t" / dv(table._objects.storage)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:-1])
    fresh = Table.open(tmp_path / "t")
    for read in (fresh.to_arrow, lambda: fresh.to_arrow(where="n = 1"), lambda: fresh.delete("n = 1")):
        with pytest.raises(DamagedError, match=path.name):
            read()
    (problem,) = fresh.verify().problems
    assert (problem.file, problem.versions) == (f"data/{path.name}", (table.version,))
    repaired = fresh.repair()
    assert (repaired.content, repaired.lost) == (FILES, (FILES + 1,))
    assert fresh.to_arrow().num_rows == FILES * ROWS


def test_a_lost_pointer_is_repaired_with_the_feature(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    (tmp_path / "t" / "current").unlink()
    fresh = Table.open(tmp_path / "t")
    fresh.repair()
    assert fresh._state().pointer.features.read == (VECTORS,)
    assert fresh.to_arrow()["n"].to_pylist() == EXPECTED
    assert table.append({"n": [1], "s": [None]}).rows == len(EXPECTED) + 1


@pytest.mark.parametrize("member", ["count", "offset", "length", "path"])
def test_forged_references_are_damage(member: str) -> None:
    storage = MemoryStorage()
    made(storage, files=3)

    def edit(snapshot: dict[str, Any]) -> None:
        for file in snapshot["files"]:
            if member == "path":
                file["deleted"]["path"] = file["path"]
            else:
                file["deleted"][member] += 1 if member != "count" else -1

    forge.snapshot(storage, edit)
    with pytest.raises(DamagedError):
        Table(storage).to_arrow()
    assert not Table(storage).verify().ok


def test_a_compaction_that_read_before_a_delete_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = made(tmp_path / "t", files=4)
    from atio.table import compact

    original = compact._Job._commit
    raced: list[int] = []

    def commit(job: Any, *given: Any) -> int:
        if not raced:
            raced.append(Table.open(tmp_path / "t").delete("n = 1").deleted)
        return original(job, *given)

    monkeypatch.setattr(compact._Job, "_commit", commit)
    table.compact()
    assert raced == [1]
    assert table.to_arrow()["n"].to_pylist() == [n for n in range(4 * ROWS) if alive(n) and n != 1]


def test_positions_of_another_state_are_refused(tmp_path: Path) -> None:
    from atio.commit.build import Request
    from atio.commit.delete import DeleteRows, Touched

    table = made(tmp_path / "t", files=2)
    (old, gone) = table.snapshot().files()
    table.delete("n = 1")
    table.delete(f"n >= {ROWS}")
    committer = table._writer.committer
    dead = vectors.encode(pa.array([True] + [False] * (ROWS - 1)))
    for touched, text in ((old, "deleted rows of"), (gone, "removed")):
        change = DeleteRows((Touched(touched, dead, 1),))
        with pytest.raises(ConflictError, match=f"another commit {text}"):
            committer.commit(Request("delete", (change,)))


def test_a_moved_table_is_whole(tmp_path: Path) -> None:
    made(tmp_path / "t")
    shutil.move(tmp_path / "t", tmp_path / "elsewhere")
    assert Table.open(tmp_path / "elsewhere").to_arrow()["n"].to_pylist() == EXPECTED
