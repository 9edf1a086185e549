"""Compaction changes files, never rows."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from atio import Table, col
from atio.commit.rewrite import Replacement, Rewrite
from atio.errors import AtioError, ConflictError, DamagedError, InputError, NotFoundError
from atio.formats.cases import TYPE_CASES
from atio.formats.compare import difference
from atio.storage import LocalStorage, MemoryStorage
from atio.table import compact, ordering, sorting
from tests.support.tables import listing, required

FORMATS = ["parquet", "arrow", "csv", "jsonl", "orc"]


def empty_table(**properties: str) -> Table:
    table = Table(MemoryStorage())
    table._writer.create(None, {"append.merge": "false", **properties})
    return table


def filled(count: int = 20, rows: int = 5) -> Table:
    table = empty_table()
    for i in range(count):
        table.append(pa.table({"x": range(i * rows, (i + 1) * rows), "part": [i % 3] * rows}))
    return table


def values(table: Table, name: str = "x") -> list[Any]:
    return table.to_arrow()[name].to_pylist()  # type: ignore[no-any-return]


# -- without an order ---------------------------------------------------------------------------


def test_many_files_become_one_version_of_one_file() -> None:
    table = filled()
    before = table.to_arrow()
    planned = table.compact(dry_run=True)
    assert table.version == 20
    done = table.compact(message="tidy")
    assert (done.files, done.rows, done.bytes) == (planned.files, planned.rows, planned.bytes)
    assert (done.version, done.rows, len(done.files), len(done.made)) == (21, 100, 20, 1)
    assert (planned.version, planned.made, planned.dry_run, done.dry_run) == (None, (), True, False)
    newest = table.snapshot()
    assert (newest.operation, newest.message, newest.rows) == ("compact", "tidy", 100)
    assert [(f.path, f.added, f.level) for f in newest.files()] == [
        (done.made[0], 21, 1)
    ]  # no rows of its own
    assert newest.bytes == done.made_bytes == sum(f.size for f in newest.files())
    assert newest.to_arrow() == before
    assert table.snapshot(20).to_arrow() == before
    found = table.diff(20)
    assert (found.rows_added, found.rows_removed) == (0, 0)
    assert table.verify().ok
    assert table.compact().version is None  # nothing is left to do
    assert table.version == 21


def test_what_it_made_is_pruned_expired_and_vacuumed_as_any_file() -> None:
    table = filled()
    table.compact()
    assert list(table.scan(where=col("x") > 1000).files()) == []
    assert values(table)[-1] == 99
    table.expire(timedelta(0))
    table.vacuum(timedelta(0))
    assert values(table) == list(range(100))
    storage = table._objects.storage
    assert listing(storage) == required(storage)
    assert len(list(storage.list("data"))) == 1


def test_only_neighbours_are_merged_and_big_files_stay() -> None:
    table = empty_table()
    words = [f"{i:x}" * 5 for i in range(40_000)]
    for i in range(7):
        table.append(pa.table({"x": words if i == 3 else words[i : i + 10]}))
    big = table.snapshot().files()[3].path
    before = values(table)
    done = table.compact(target_size=2**16)
    assert len(done.made) == 2
    assert big not in done.files
    assert [f.path for f in table.snapshot().files()] == [done.made[0], big, done.made[1]]
    assert values(table) == before


def test_files_are_about_as_large_as_was_asked_for() -> None:
    table = empty_table()
    rows = 4_000
    for i in range(40):
        table.append(pa.table({"x": [(i * rows + j) ** 3 * 2654435761 % 2**40 for j in range(rows)]}))
    before = values(table)
    target = 2**17
    done = table.compact(target_size=target)
    sizes = [f.size for f in table.snapshot().files()]
    assert values(table) == before
    assert len(sizes) == len(done.made) > 3
    assert all(0.5 * target < size < 1.5 * target for size in sizes[:-1]), sizes
    again = table.compact(target_size=target)
    assert again.version is None or len(again.made) < len(again.files)


def test_where_chooses_files_and_drops_no_row() -> None:
    table = filled()
    before = values(table)
    done = table.compact(col("x") >= 50)
    assert len(done.files) == 10
    assert len(table.snapshot().files()) == 11
    assert values(table) == before
    assert table.compact("x = 3").version is None  # one file


def test_manifests_are_rewritten_where_files_went() -> None:
    """Most files of a large table are in manifests, and stay there."""
    table = filled(60)
    before = table.to_arrow()
    table.compact(col("x").is_in(list(range(20, 90))))
    assert table.to_arrow() == before
    assert len(table.snapshot().files()) == 60 - 14 + 1
    table.compact()
    assert table.to_arrow() == before
    newest = table.snapshot()._model
    assert (len(newest.files), newest.manifests) == (1, ())
    storage = table._objects.storage
    table.vacuum(timedelta(0))
    assert listing(storage) == required(storage)


def test_what_is_appended_later_is_merged_with_it() -> None:
    table = filled(10)
    table.set_properties({"append.merge": None})
    for turn in range(4):
        table.compact()
        for i in range(10):
            table.append(pa.table({"x": [1000 + turn * 10 + i], "part": [0]}))
    assert values(table) == [*range(50), *range(1000, 1040)]
    assert len(table.snapshot().files()) < 20
    assert table.verify().ok


def test_old_files_get_the_columns_there_are_now() -> None:
    table = filled(6)
    table.add_column("y", pa.int16(), default=7)
    table.rename_column("part", "section")
    table.append(pa.table({"x": [100], "section": [1], "y": pa.array([8], pa.int16())}))
    table.drop_column("x")
    before = table.to_arrow()
    table.compact()
    assert len(table.snapshot().files()) == 1
    assert table.to_arrow() == before
    assert table.snapshot(6).to_arrow().column_names == ["x", "part"]
    table.add_column("z", pa.string())
    assert table.to_arrow()["z"].null_count == 31


def test_a_table_without_rows_columns_or_existence() -> None:
    with pytest.raises(NotFoundError, match="no table"):
        Table(MemoryStorage()).compact()
    table = empty_table()
    assert table.compact().version is None
    table.append(pd.DataFrame(index=range(3)))
    table.append(pd.DataFrame(index=range(3)))
    assert table.compact().version is None
    assert table.compact(dry_run=True).files == ()
    assert len(table.to_pandas()) == 6


@pytest.mark.parametrize("form", FORMATS)
def test_every_format(form: str) -> None:
    table = empty_table(format=form)
    for i in range(5):
        table.append(pa.table({"x": [i, None], "s": ["é\n,", None]}))
    before = table.to_arrow()
    table.compact()
    (made,) = table.snapshot().files()
    assert made.format == form
    assert table.to_arrow() == before
    table.compact(sort_by=[("x", "descending")])
    assert values(table) == [4, 3, 2, 1, 0, *[None] * 5]


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("name", TYPE_CASES)
def test_every_type_comes_back_exactly(name: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array = TYPE_CASES[name]
    case = pa.table({"x": array, "row": pa.array(range(len(array)))})
    table = empty_table(format=form)
    try:
        for start in range(0, case.num_rows, 2):
            table.append(case.slice(start, 2))
        table.append(case)
    except AtioError:
        return  # refused: nothing to compact
    before = table.to_arrow()
    table.compact()
    assert difference(table.to_arrow(), before) is None
    if "union" in name:
        return  # Nothing in Arrow picks rows out of it.
    monkeypatch.setattr(sorting, "RUN_BYTES", 1)  # every row goes through a temporary file
    table.compact(sort_by=[("row", "descending")])
    expected = sorted(before["row"].to_pylist(), reverse=True)
    assert values(table, "row") == expected
    table.compact(sort_by="row")
    if len(array):
        twice = [i for i in range(len(array)) for _ in range(2)]
        wanted = pa.concat_tables([case.slice(i, 1) for i in twice])
        assert difference(table.to_arrow(), wanted) is None


def test_pandas_frames_come_back_as_they_were() -> None:
    table = empty_table()
    words = pd.Categorical(["b", "a", None], categories=["c", "b", "a"], ordered=True)
    made = [
        pd.DataFrame(
            {"w": words, "n": pd.array([i, None, 3], "Int16")}, index=pd.RangeIndex(i * 3, i * 3 + 3)
        )
        for i in range(4)
    ]
    for frame in made:
        table.append(frame)
    before = table.to_pandas()
    table.compact()
    assert_frame_equal(table.to_pandas(), before)
    table.compact(sort_by=["w", ("n", "descending")])
    # In the order of the categories, which are b, a.
    assert table.to_pandas()["w"].dropna().tolist() == ["b"] * 4 + ["a"] * 4
    assert table.to_pandas()["w"].dtype == before["w"].dtype


# -- with an order ------------------------------------------------------------------------------

KEYS = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-3, 3),
        "f": st.none() | st.sampled_from([0.0, -0.0, 1.5, -1.5, math.nan, math.inf, -math.inf]),
        "s": st.none() | st.text("ab\0é\U0001f600", max_size=2),
        "d": st.none() | st.sampled_from(["low", "mid", "high"]),
    }
)
TYPES = {"i": pa.int8(), "f": pa.float64(), "s": pa.string(), "d": pa.dictionary(pa.int8(), pa.string())}
PARTS = st.lists(st.lists(KEYS, min_size=1, max_size=6), min_size=1, max_size=8)
ORDER = st.lists(
    st.tuples(st.sampled_from(list(TYPES)), st.sampled_from(["ascending", "descending"])),
    min_size=1,
    max_size=3,
    unique_by=lambda pair: pair[0],
)


def rank(value: Any, direction: str) -> tuple[int, Any]:
    """Python's own idea of the order."""
    if value is None:
        return 2, 0
    if isinstance(value, float) and math.isnan(value):
        return 1, 0
    if isinstance(value, str):
        value = (*map(ord, value), -1)
        return 0, tuple(-c for c in value) if direction == "descending" else value
    return 0, -value if direction == "descending" else value


def made_of(parts: list[list[dict[str, Any]]]) -> tuple[Table, list[dict[str, Any]]]:
    table, rows = empty_table(), []
    for part in parts:
        numbered = [{**{k: row[k] for k in TYPES}, "n": len(rows) + i} for i, row in enumerate(part)]
        columns = {name: pa.array([r[name] for r in numbered], kind) for name, kind in TYPES.items()}
        table.append(pa.table({**columns, "n": [r["n"] for r in numbered]}))
        rows += numbered
    return table, rows


@given(parts=PARTS)
@settings(max_examples=40, deadline=None)
def test_rows_and_their_order_stay(parts: list[list[dict[str, Any]]]) -> None:
    table, rows = made_of(parts)
    table.compact()
    assert len(table.snapshot().files()) == 1
    assert repr(table.to_arrow().to_pylist()) == repr(rows)


@given(parts=PARTS, order=ORDER, memory=st.sampled_from([1, 300, 2**20]), fan_in=st.sampled_from([2, 3, 64]))
@settings(max_examples=80, deadline=None)
def test_a_sort_is_pythons_own_however_little_memory(
    parts: list[list[dict[str, Any]]], order: list[tuple[str, str]], memory: int, fan_in: int
) -> None:
    table, rows = made_of(parts)
    expected = rows
    for name, direction in reversed(order):
        expected = sorted(expected, key=lambda row, n=name, d=direction: rank(row[n], d))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "RUN_BYTES", memory)
        patch.setattr(sorting, "_FAN_IN", fan_in)
        patch.setattr(sorting, "_BATCH_BYTES", 64)
        patch.setattr(compact, "_GROUP_ROWS", 3)
        table.compact(sort_by=order)
    assert values(table, "n") == [row["n"] for row in expected]
    assert repr(table.to_arrow().to_pylist()) == repr(expected)


@given(
    points=st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=60, unique=True
    ),
    memory=st.sampled_from([1, 2**20]),
)
@settings(max_examples=30, deadline=None)
def test_the_curve_loses_nothing(points: list[tuple[int, int]], memory: int) -> None:
    table = empty_table()
    for start in range(0, len(points), 7):
        part = points[start : start + 7]
        table.append(pa.table({"x": [p[0] for p in part], "y": [p[1] for p in part]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "RUN_BYTES", memory)
        table.compact(zorder_by=["x", "y"])
    assert Counter(zip(values(table), values(table, "y"), strict=True)) == Counter(points)


def test_the_curve_keeps_both_columns_together() -> None:
    """A box of a 64 by 64 grid reads few of the files, whichever side is short."""
    table = empty_table()
    grid = [(x, y) for x in range(64) for y in range(64)]
    for start in range(0, len(grid), 512):
        part = grid[start : start + 512]
        table.append(pa.table({"x": [p[0] for p in part], "y": [p[1] for p in part]}))
    table.compact(zorder_by=["x", "y"])
    found = list(zip(values(table), values(table, "y"), strict=True))
    for start in range(0, 4096, 256):  # sixteenths of the curve are the squares of a 4 by 4 board
        square = found[start : start + 256]
        assert {(x // 16, y // 16) for x, y in square} == {(square[0][0] // 16, square[0][1] // 16)}


@pytest.mark.parametrize("name", TYPE_CASES)
def test_what_can_be_sorted_by_is_and_the_rest_is_refused(name: str) -> None:
    array = TYPE_CASES[name]
    table = empty_table(format="arrow")
    try:
        table.append(pa.table({"x": array, "row": range(len(array))}))
        table.append(pa.table({"x": array, "row": range(len(array))}))
    except AtioError:
        return
    for how in ("sort_by", "zorder_by"):
        try:
            table.compact(**{how: ["x"]})
        except InputError as error:
            assert "no order" in error.message
            assert table.version == 2
            return
        assert Counter(values(table, "row")) == Counter([*range(len(array))] * 2)
        nulls = table.to_arrow()["x"].is_null().to_pylist()
        assert nulls == sorted(nulls)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"sort_by": ["y"]}, "no column 'y'"),
        ({"sort_by": []}, "no columns"),
        ({"sort_by": 3}, "list of columns"),
        ({"sort_by": [("x", "up")]}, "no direction"),
        ({"sort_by": [("x",)]}, "is no column"),
        ({"sort_by": ["x", "x"]}, "twice"),
        ({"zorder_by": [("x", "descending")]}, "no direction"),
        ({"sort_by": ["x"], "zorder_by": ["x"]}, "two orders"),
        ({"target_size": 100}, "target_size"),
        ({"target_size": "1 MB"}, "target_size"),
        ({"message": 3}, "message"),
        ({"where": "nobody > 1"}, "nobody"),
    ],
)
def test_bad_arguments_change_nothing(asked: dict[str, Any], match: str) -> None:
    table = filled(3)
    before = listing(table._objects.storage)
    with pytest.raises(InputError, match=match):
        table.compact(**asked)
    assert listing(table._objects.storage) == before


# -- beside others ------------------------------------------------------------------------------


def between(table: Table, monkeypatch: pytest.MonkeyPatch, *steps: Any) -> None:
    """Do one step after each staging, before its commit."""
    left = list(steps)
    commit = compact._Job._commit

    def interrupted(job: Any, *arguments: Any) -> int:
        if left:
            left.pop(0)(table)
        return commit(job, *arguments)

    monkeypatch.setattr(compact._Job, "_commit", interrupted)


def append(table: Table) -> None:
    table.append(pa.table({"x": [1000], "part": [9]}))


@pytest.mark.parametrize("order", [None, ["x"]])
def test_appends_meanwhile_are_kept(monkeypatch: pytest.MonkeyPatch, order: list[str] | None) -> None:
    table = filled()
    between(table, monkeypatch, append)
    assert table.compact(sort_by=order).version == 22
    assert values(table) == [*range(100), 1000]
    assert len(table.snapshot().files()) == 2


def test_files_merged_away_meanwhile_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = filled(5)
    table.set_properties({"append.merge": None})

    def merge(table: Table) -> None:
        for _ in range(3):
            append(table)

    between(table, monkeypatch, merge)
    table.compact()
    assert values(table) == [*range(25), 1000, 1000, 1000]
    storage = table._objects.storage
    table.vacuum(timedelta(0))
    assert listing(storage) == required(storage)
    assert table.verify().ok


def test_an_overwrite_meanwhile_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    table = filled()
    between(table, monkeypatch, lambda t: t.overwrite(pa.table({"x": [5]})))
    assert table.compact().version is None  # one file is left
    assert values(table) == [5]


def test_an_expired_version_meanwhile_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files it reads disappear under its hands."""
    table = filled()
    read, done = compact._Job._read, []

    def interrupted(job: Any, *arguments: Any) -> Any:
        if not done:
            done.append(table.overwrite(pa.table({"x": [5]})))
            table.expire(timedelta(0))
        return read(job, *arguments)

    monkeypatch.setattr(compact._Job, "_read", interrupted)
    assert table.compact().version is None
    assert values(table) == [5]


def test_who_always_loses_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    table = filled(4)
    between(table, monkeypatch, *[lambda t: t.restore(4), *[lambda t: t.compact(sort_by="x")] * 0])
    assert table.compact().version == 6  # the restored version has the same files
    again = filled(4)

    def another(table: Table) -> None:
        table.overwrite(pa.table({"x": [1]}))
        table.append(pa.table({"x": [2]}))

    between(again, monkeypatch, *[another] * 20)
    before = {e.path for e in again._objects.storage.list("data")}
    with pytest.raises(ConflictError, match=r"removed .* while it was rewritten"):
        again.compact()
    data = {e.path for e in again._objects.storage.list("data")}
    assert len(data - before) == 2 * compact._ATTEMPTS  # only what the others wrote
    assert values(again) == [1, 2]


def test_columns_changed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    table = filled()

    def evolve(table: Table) -> None:
        table.rename_column("x", "y")
        table.drop_column("part")
        table.add_column("part", pa.string(), default="new")

    between(table, monkeypatch, evolve)
    table.compact()
    assert len(table.snapshot().files()) == 1
    assert values(table, "y") == list(range(100))
    assert set(values(table, "part")) == {"new"}


def test_a_version_with_other_columns_restored_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files rewritten without a column must not take the place of those that have it."""
    table = filled()
    table.drop_column("part")
    between(table, monkeypatch, lambda t: t.restore(20))
    before = table.snapshot(20).to_arrow()
    table.compact()
    assert table.to_arrow() == before
    assert len(table.snapshot().files()) == 1


def test_new_categories_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    table = empty_table()
    for word in ("a", "b", "c"):
        table.append(pd.DataFrame({"w": pd.Categorical([word])}))
    between(table, monkeypatch, lambda t: t.append(pd.DataFrame({"w": pd.Categorical(["d"])})))
    table.compact()
    assert values(table, "w") == ["a", "b", "c", "d"]
    assert table.to_pandas()["w"].dtype.categories.tolist() == ["a", "b", "c", "d"]
    table.compact()
    assert values(table, "w") == ["a", "b", "c", "d"]


def test_rows_between_the_files_of_a_run_are_a_conflict() -> None:
    table = filled(3)
    first, _, last = table.snapshot().files()
    made = Replacement((first, last), ())
    committer = table._writer.committer
    from atio.commit.build import Request

    schema = table._state().schema
    with pytest.raises(ConflictError, match="put rows before"):
        committer.commit(Request("compact", (Rewrite((made,), schema, in_order=True),)))
    assert table.version == 3


def test_damage_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", durable=False, properties={"append.merge": "false"})
    for i in range(4):
        table.append(pa.table({"x": [i]}))
    victim = tmp_path / "t" / table.snapshot().files()[2].path
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    before = listing(LocalStorage(tmp_path / "t"))
    with pytest.raises(DamagedError, match=victim.name):
        table.compact()
    assert listing(LocalStorage(tmp_path / "t")) == before
    assert table.version == 4


def test_a_vacuum_spares_what_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table.create(tmp_path / "t", durable=False, properties={"append.merge": "false"})
    for i in range(4):
        table.append(pa.table({"x": [i]}))
    removed: list[str] = []
    between(table, monkeypatch, lambda t: removed.extend(t.vacuum(timedelta(0)).files))
    assert table.compact().version == 5
    assert not [path for path in removed if path.startswith("data/")]
    assert values(table) == [0, 1, 2, 3]
    assert table.verify().ok


def test_temporary_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sorting, "RUN_BYTES", 1)
    table = filled()
    table.compact(sort_by=[("x", "descending")])
    assert values(table) == list(range(99, -1, -1))
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_temporary_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting.tempfile, "tempdir", str(tmp_path / "nowhere"))
    table = filled()
    before = listing(table._objects.storage)
    table.compact(sort_by="x", dry_run=True)
    monkeypatch.setattr(sorting, "RUN_BYTES", 1)
    with pytest.raises(AtioError, match="nowhere"):
        table.compact(sort_by="x")
    assert listing(table._objects.storage) == before


def test_progress_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    filled().compact(progress=True)
    assert "100 of 100 rows" in capsys.readouterr().err


def test_the_sample_of_the_curve_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_SAMPLE", 10)
    tables = [pa.table({"x": range(i, i + 7)}) for i in range(0, 70, 7)]
    found = ordering._sampled(iter(tables), 70)
    assert found["x"].to_pylist() == list(range(0, 70, 7))
