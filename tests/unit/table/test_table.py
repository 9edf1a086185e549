"""What a user does with a table, and what the table answers when it cannot."""

from __future__ import annotations

import datetime as dt
import pickle
from datetime import timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from atio import Staged, Table
from atio.errors import (
    AtioError,
    ConflictError,
    DamagedError,
    ExistsError,
    InputError,
    NewerFormatError,
    NotFoundError,
    SchemaError,
    UnsupportedError,
    VersionNotFoundError,
)
from atio.table.merge import FANOUT
from tests.support.forge import sealed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "my_table"


@pytest.fixture
def table(path: Path) -> Table:
    return Table.open(path, durable=False)


def frame(start: int, rows: int = 3) -> pa.Table:
    return pa.table({"id": range(start, start + rows), "name": [f"n{i}" for i in range(start, start + rows)]})


# -- opening ---------------------------------------------------------------------------------------


def test_opening_touches_nothing(path: Path) -> None:
    Table.open(path)
    assert not path.exists()
    assert not Table.exists(path)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.snapshot(),
        lambda t: t.to_pandas(),
        lambda t: t.history(),
        lambda t: t.tag("x"),
        lambda t: t.restore(1),
        lambda t: t.expire(),
        lambda t: t.vacuum(),
        lambda t: t.verify(),
        lambda t: t.repair(),
        lambda t: t.schema,
        lambda t: t.set_properties({"user.a": "b"}),
    ],
)
def test_a_table_that_does_not_exist_says_so(table: Table, path: Path, call: object) -> None:
    with pytest.raises(NotFoundError, match="no table") as caught:
        call(table)  # type: ignore[operator]
    assert caught.value.table == str(path)
    assert not path.exists() or not [p for p in path.rglob("*") if p.name != ".lock" and p.is_file()]


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AtioError, match="file"):
        Table.open(tmp_path / "file").append(frame(0))
    assert (tmp_path / "file").read_text() == "x"


def test_create_makes_version_zero_with_a_schema(path: Path) -> None:
    schema = pa.schema([pa.field("id", pa.int32(), nullable=False), pa.field("name", pa.string())])
    table = Table.create(path, schema, durable=False)
    assert table.version == 0
    assert table.schema == schema
    assert table.to_arrow().equals(schema.empty_table())
    assert table.append([{"id": 1, "name": "a"}]).version == 1
    with pytest.raises(SchemaError, match="may not be null"):
        table.append([{"id": None, "name": "a"}])
    with pytest.raises(SchemaError, match="missing"):
        table.append([{"name": "a"}])
    with pytest.raises(ExistsError):
        Table.create(path, schema)


# -- writing and reading ---------------------------------------------------------------------------


def test_append_returns_the_snapshot(table: Table) -> None:
    first = table.append(frame(0), message="first")
    assert (first.version, first.rows, first.operation, first.message) == (1, 3, "append", "first")
    second = table.append(frame(3))
    assert second.version == 2
    assert second.to_arrow() == pa.concat_tables([frame(0), frame(3)])
    assert first.to_arrow() == frame(0)
    assert second.time > first.time


def test_columns_limit_and_batches(table: Table) -> None:
    for i in range(5):
        table.append(frame(3 * i))
    assert table.to_arrow(columns=["name"]).column_names == ["name"]
    assert table.to_arrow(columns=["name", "id"]).column_names == ["name", "id"]
    assert table.to_arrow(limit=4)["id"].to_pylist() == [0, 1, 2, 3]
    assert table.to_arrow(limit=0).num_rows == 0
    assert table.to_arrow(columns=[]).num_rows == 15
    batches = list(table.snapshot().to_batches(rows=2))
    assert max(b.num_rows for b in batches) == 2
    assert pa.Table.from_batches(batches)["id"].to_pylist() == list(range(15))
    assert pa.RecordBatchReader.from_stream(table).read_all()["id"].to_pylist() == list(range(15))
    with pytest.raises(InputError, match="did you mean 'name'"):
        table.to_arrow(columns=["nam"])
    with pytest.raises(InputError, match="limit"):
        table.to_arrow(limit=-1)


def test_kinds_of_input_end_in_one_commit_each(table: Table) -> None:
    rows = [{"id": 1, "name": "a"}]
    kinds = [
        pd.DataFrame(rows),
        pl.DataFrame(rows),
        pl.LazyFrame(rows),
        pa.Table.from_pylist(rows),
        pa.Table.from_pylist(rows).to_batches()[0],
        pa.Table.from_pylist(rows).to_reader(),
        {"id": [1], "name": ["a"]},
        rows,
        iter([pd.DataFrame(rows), pl.DataFrame(rows)]),
        (batch for batch in pa.Table.from_pylist(rows).to_batches()),
    ]
    total = 0
    for number, kind in enumerate(kinds, 1):
        snapshot = table.append(kind)
        total += 2 if number == 9 else 1
        assert (snapshot.version, snapshot.rows) == (number, total)
    assert set(table.to_pandas()["name"]) == {"a"}


def test_appends_match_by_name_and_fill_missing_columns(table: Table) -> None:
    table.append(frame(0))
    table.append(pa.table({"name": ["x"], "id": pa.array([9], pa.int8())}))
    table.append([{"id": 10}])
    assert table.to_arrow().slice(3).to_pylist() == [{"id": 9, "name": "x"}, {"id": 10, "name": None}]


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ({"id": [1.5], "name": ["a"]}, SchemaError, "1.5 in row 0"),
        ({"id": [1], "nam": ["a"]}, SchemaError, "did you mean 'name'"),
        ({"id": ["x"], "name": ["a"]}, SchemaError, "int64 in the table and"),
        (pd.DataFrame([[1, 2]], columns=["id", "id"]), InputError, "duplicate column"),
        (object(), UnsupportedError, "object"),
        (42, AtioError, "int"),
        (iter([]), InputError, "nothing|empty|no items"),
    ],
)
def test_bad_input_leaves_the_table_as_it_was(
    table: Table, path: Path, data: object, error: type[AtioError], text: str
) -> None:
    table.append(frame(0))
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with pytest.raises(error, match=text) as caught:
        table.append(data)
    assert caught.value.table == str(path) or error is not SchemaError
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_table_created_without_columns_takes_those_of_the_first_rows(path: Path) -> None:
    table = Table.create(path, format="csv", durable=False)
    table.append(frame(0))
    assert table.to_arrow() == frame(0)
    with pytest.raises(SchemaError):
        table.append({"z": [1]})


def test_rows_of_a_stream_are_counted_from_its_beginning(table: Table) -> None:
    with pytest.raises(SchemaError, match=r"1\.5 in row 11 of the data"):
        table.append(iter([frame(0, 10), {"id": [1.0, 1.5], "name": ["a", "b"]}]))
    assert not Table.exists(table.url)


def test_an_iterator_that_fails_in_the_middle_leaves_nothing(table: Table, path: Path) -> None:
    table.append(frame(0))

    def rows():  # type: ignore[no-untyped-def]
        yield frame(0, 10)
        raise KeyError("source")

    with pytest.raises(KeyError):
        table.append(rows())
    assert table.version == 1
    assert len(list((path / "data").iterdir())) == 1


def test_overwrite_may_change_the_columns(table: Table) -> None:
    table.append(frame(0))
    table.overwrite(pa.table({"z": [1.0]}))
    assert table.to_arrow().to_pydict() == {"z": [1.0]}
    assert table.snapshot(1).to_arrow() == frame(0)
    table.overwrite(frame(5))
    assert table.to_arrow() == frame(5)


def test_overwrite_with_equal_columns_writes_no_new_schema(table: Table, path: Path) -> None:
    for i in range(4):
        table.overwrite(frame(i))
    assert len(list((path / "schemas").iterdir())) == 1


def test_empty_inputs(table: Table) -> None:
    assert table.append(frame(0).slice(0, 0)).version == 1
    assert table.to_arrow() == frame(0).slice(0, 0)
    assert table.append(frame(0)).rows == 3
    assert table.append(frame(0).slice(0, 0)).rows == 3
    assert list(table.snapshot().to_batches())[0].num_rows == 3


def test_no_columns(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append(pd.DataFrame(index=range(5)))
    assert table.snapshot().rows == 5
    pd.testing.assert_frame_equal(table.to_pandas(), pd.DataFrame(index=range(5)))
    assert sum(b.num_rows for b in table.snapshot().to_batches()) == 5
    assert table.to_arrow(limit=10).num_rows == 5
    assert sum(b.num_rows for b in table.scan(limit=10).to_batches()) == 5
    assert table.verify().ok


def test_five_thousand_columns(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    wide = pa.table({f"c{i}": [i, i + 1] for i in range(5000)})
    table.append(wide)
    table.append(wide)
    assert table.to_arrow() == pa.concat_tables([wide, wide])
    assert table.to_arrow(columns=["c4999", "c7"]).to_pydict() == {
        "c4999": [4999, 5000] * 2,
        "c7": [7, 8] * 2,
    }
    snapshot = next(iter((tmp_path / "t" / "metadata").iterdir()))
    assert snapshot.stat().st_size < 100_000


def test_null_columns_take_the_type_of_the_first_values(table: Table) -> None:
    table.append([{"a": 1, "b": None, "c": []}])
    table.append([{"a": 2, "b": "x", "c": [1]}])
    assert table.to_arrow().to_pylist() == [{"a": 1, "b": None, "c": []}, {"a": 2, "b": "x", "c": [1]}]
    assert table.snapshot(1).to_arrow().to_pylist() == [{"a": 1, "b": None, "c": []}]
    assert table.snapshot(1).schema.field("b").type == pa.null()


def test_categories_grow_and_keep_their_order(table: Table) -> None:
    table.append(pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["b", "a", "unused"])}))
    table.append(pd.DataFrame({"c": pd.Categorical(["z", None, "a"])}))
    found = table.to_pandas()["c"]
    assert list(found.cat.categories) == ["b", "a", "unused", "z"]
    assert found.tolist()[:3] == ["b", "a", "z"]
    assert list(table.snapshot(1).to_pandas()["c"].cat.categories) == ["b", "a", "unused"]


def test_ordered_categories_are_not_reordered(table: Table) -> None:
    sizes = pd.CategoricalDtype(["S", "M", "L"], ordered=True)
    table.append(pd.DataFrame({"c": pd.Series(["M"], dtype=sizes)}))
    table.append(
        pd.DataFrame({"c": pd.Series(["L"], dtype=pd.CategoricalDtype(["S", "M", "L", "XL"], ordered=True))})
    )
    assert list(table.to_pandas()["c"].cat.categories) == ["S", "M", "L", "XL"]
    with pytest.raises(SchemaError, match="order"):
        table.append(
            pd.DataFrame({"c": pd.Series(["L"], dtype=pd.CategoricalDtype(["L", "M", "S"], ordered=True))})
        )


def test_more_categories_than_their_index_type_holds(table: Table) -> None:
    for start in range(0, 400, 100):
        words = [f"w{i}" for i in range(start, start + 100)]
        table.append(pd.DataFrame({"c": pd.Categorical(words)}))
    assert table.to_pandas()["c"].astype(str).tolist() == [f"w{i}" for i in range(400)]


def test_contiguous_range_indexes_are_joined(table: Table) -> None:
    df = pd.DataFrame({"a": range(10)})
    for start in (0, 4, 7):
        table.append(df[start : {0: 4, 4: 7, 7: 10}[start]])
    pd.testing.assert_frame_equal(table.to_pandas(), df)
    table.append(df[2:4])
    assert list(table.to_pandas().index) == list(range(12))


def test_tiny_files_are_merged_inside_the_append(table: Table, path: Path) -> None:
    for i in range(100):
        table.append(frame(3 * i))
    files = table.snapshot().files()
    assert table.version == 100
    assert len(files) <= 2 * (FANOUT - 1) + 1
    assert table.to_arrow()["id"].to_pylist() == list(range(300))
    for version in (1, 8, 9, 64, 65, 99):
        assert table.snapshot(version).to_arrow()["id"].to_pylist() == list(range(3 * version))
    Table.open(path, durable=False).set_properties({"append.merge": "false"})
    for i in range(100, 120):
        table.append(frame(3 * i))
    assert len(table.snapshot().files()) == len(files) + 20
    assert table.verify().ok


def test_many_files_move_to_manifests(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", frame(0).schema, properties={"append.merge": "false"}, durable=False)
    for i in range(60):
        table.append(frame(3 * i))
    assert [f.added for f in table.snapshot().files()] == list(range(1, 61))
    assert table.snapshot()._model.manifests
    again = Table.open(tmp_path / "t").snapshot()
    assert again.files() == table.snapshot().files()
    assert again.to_arrow()["id"].to_pylist() == list(range(180))


# -- what a commit asks for ------------------------------------------------------------------------


def test_token_makes_a_commit_idempotent(table: Table) -> None:
    first = table.append(frame(0), token="job-1")
    for i in range(30):
        table.append(frame(3 * i), token=f"other-{i}")
    again = table.append(frame(0), token="job-1")
    assert again == first
    assert table.version == 31
    table.expire(timedelta(0), keep_last=1)
    assert table.append(frame(0), token="job-1").version == 31


def test_expected_version(table: Table) -> None:
    table.append(frame(0), expected_version=0)
    table.append(frame(3), expected_version=1)
    with pytest.raises(ConflictError, match="is at version 2, not at the expected 1"):
        table.append(frame(6), expected_version=1)
    with pytest.raises(ConflictError):
        table.overwrite(frame(6), expected_version=5)
    assert table.version == 2


def test_staged_files_are_committed_together(table: Table) -> None:
    staged = [table.stage(frame(3 * i)) for i in range(3)]
    travelled = [Staged.decode(pickle.loads(pickle.dumps(s)).encode()) for s in staged]
    assert not Table.exists(table.url)
    snapshot = table.commit(*travelled, message="all at once")
    assert (snapshot.version, snapshot.rows) == (1, 9)
    table.append(frame(9))
    table.commit(table.stage(frame(0), overwrite=True), overwrite=True)
    assert table.to_arrow() == frame(0)
    with pytest.raises(InputError, match="nothing was staged"):
        table.commit()


def test_staged_for_another_table_is_refused(table: Table, tmp_path: Path) -> None:
    table.append(frame(0))
    other = Table.open(tmp_path / "other", durable=False)
    other.append(frame(0))
    with pytest.raises(InputError, match="another table"):
        other.commit(table.stage(frame(3)))


# -- versions --------------------------------------------------------------------------------------


def test_time_travel(path: Path) -> None:
    now = [1_700_000_000_000_000]
    from atio.storage import LocalStorage

    table = Table(LocalStorage(path, durable=False), clock=lambda: now[0])
    for i in range(20):
        table.append(frame(3 * i))
        now[0] += 60_000_000
    start = dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    assert table.snapshot(as_of=start).version == 1
    assert table.snapshot(as_of=start + timedelta(minutes=7, seconds=30)).version == 8
    assert table.snapshot(as_of=start + timedelta(days=1)).version == 20
    assert table.snapshot(as_of=(start + timedelta(minutes=3)).astimezone().replace(tzinfo=None)).version == 4
    with pytest.raises(VersionNotFoundError, match="no version as old as"):
        table.snapshot(as_of=start - timedelta(seconds=1))
    with pytest.raises(InputError, match="not both"):
        table.snapshot(3, as_of=start)


def test_versions_that_are_gone_and_that_never_were(table: Table) -> None:
    for i in range(5):
        table.append(frame(3 * i))
    table.tag("keep", 2)
    assert table.expire(timedelta(0), keep_last=2).versions == (1, 3)
    with pytest.raises(VersionNotFoundError, match="version 3 is gone: it was expired") as caught:
        table.snapshot(3)
    assert "2, 4-5" in str(caught.value)
    for version in (0, 6, -1):
        with pytest.raises(VersionNotFoundError, match="never was"):
            table.snapshot(version)
    with pytest.raises(VersionNotFoundError, match="no tag 'v'"):
        table.snapshot("v")
    with pytest.raises(InputError):
        table.snapshot(True)
    assert table.snapshot("keep").rows == 6


def test_tags(table: Table) -> None:
    table.append(frame(0))
    table.append(frame(3))
    table.tag("v1", 1, message="the first")
    table.tag("v1", 1)
    with pytest.raises(ExistsError, match="on version 1"):
        table.tag("v1", 2)
    table.tag("v1", 2, move=True)
    assert table.tags == {"v1": 2}
    assert table.version == 2
    table.untag("v1")
    with pytest.raises(VersionNotFoundError):
        table.untag("v1")
    for bad in ("", " x", "x" * 201, "2024", 3):
        with pytest.raises(InputError):
            table.tag(bad)  # type: ignore[arg-type]


def test_restore_makes_a_new_version(table: Table) -> None:
    table.append(frame(0))
    table.overwrite(pa.table({"z": [1.0]}))
    restored = table.restore(1, message="oops")
    assert (restored.version, restored.operation) == (3, "restore")
    assert restored.to_arrow() == frame(0)
    table.append(frame(3))
    assert table.to_arrow()["id"].to_pylist() == [0, 1, 2, 3, 4, 5]


def test_diff(table: Table) -> None:
    table.append(frame(0))
    table.append(frame(3))
    table.overwrite(pa.table({"id": ["a"], "new": [1]}))
    d = table.diff(1, 2)
    assert (d.rows_added, d.rows_removed, len(d.files_added), d.files_removed) == (3, 0, 1, ())
    d = table.diff(1)
    assert (d.rows_added, d.rows_removed) == (4, 6)
    assert (d.columns_added, d.columns_removed, d.columns_changed) == (("new",), ("name",), ("id",))
    back = table.diff(3, 1)
    assert (back.rows_added, back.rows_removed, back.columns_added) == (6, 4, ("name",))


# -- maintenance -----------------------------------------------------------------------------------


def test_dry_runs_are_exact(table: Table, path: Path) -> None:
    for i in range(30):
        table.append(frame(3 * i))
    (path / "data" / ("0" * 24 + ".parquet")).write_bytes(b"orphan")
    (path / "data" / "notes.txt").write_text("the user's own")
    planned = table.expire(timedelta(0), keep_last=3, dry_run=True)
    before = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    done = table.expire(timedelta(0), keep_last=3)
    after = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    assert (planned.versions, planned.files, planned.bytes) == (done.versions, done.files, done.bytes)
    assert before - after == set(done.files)
    planned_vacuum = table.vacuum(timedelta(0), dry_run=True)
    done_vacuum = table.vacuum(timedelta(0))
    assert planned_vacuum.files == done_vacuum.files == ("data/" + "0" * 24 + ".parquet",)
    assert (path / "data" / "notes.txt").exists()
    assert table.vacuum(timedelta(days=1)).files == ()
    assert table.expire(timedelta(0), keep_last=3).versions == ()
    assert table.to_arrow()["id"].to_pylist() == list(range(90))


def test_expire_keeps_what_is_young(table: Table) -> None:
    for i in range(5):
        table.append(frame(3 * i))
    assert table.expire().versions == ()
    assert table.expire(timedelta(hours=1)).versions == ()
    assert table.expire(table.snapshot(2).time).versions == (1, 2)
    for bad in ({"keep_last": 0}, {"older_than": timedelta(-1)}, {"older_than": 7}):
        with pytest.raises(InputError):
            table.expire(**bad)  # type: ignore[arg-type]


def test_a_version_that_is_expired_while_it_is_read_says_so(table: Table) -> None:
    table.append(frame(0))
    old = table.snapshot()
    table.overwrite(frame(3))
    table.expire(timedelta(0), keep_last=1)
    with pytest.raises(VersionNotFoundError, match="expired while it was read"):
        old.to_arrow()


def test_the_time_of_an_expired_version_is_not_answered_with_another(table: Table) -> None:
    for i in range(4):
        table.append(frame(i))
    times = [table.snapshot(version).time for version in (1, 2, 3)]
    table.tag("first", 1)
    table.expire(timedelta(0), keep_last=1)
    assert table.snapshot(as_of=times[0]).version == 1
    for time in times[1:]:
        with pytest.raises(VersionNotFoundError, match="may be one that was expired"):
            table.snapshot(as_of=time)


def test_properties(table: Table) -> None:
    table.append(frame(0))
    table.set_properties({"user.owner": "me", "parquet.compression": "zstd"})
    assert Table.open(table.url).properties == {"user.owner": "me", "parquet.compression": "zstd"}
    assert table.version == 1
    table.append(frame(3))
    table.set_properties({"user.owner": None})
    assert table.properties == {"parquet.compression": "zstd"}
    for bad in (
        {"x": "1"},
        {"append.merge": "maybe"},
        {"parquet.compression": "nope"},
        {"file.target_bytes": "1"},
    ):
        with pytest.raises(InputError):
            table.set_properties(bad)


def test_a_newer_format_is_refused(table: Table, path: Path) -> None:
    table.append(frame(0))
    line = (path / "current").read_bytes().partition(b"\n")[0]
    (path / "current").write_bytes(sealed(line.replace(b'"format_version":1', b'"format_version":2')))
    for call in (table.to_arrow, table.verify, table.repair, lambda: table.append(frame(0))):
        with pytest.raises((NewerFormatError, DamagedError)) as caught:
            report = call()
            assert not report.ok
            raise NewerFormatError(report.problems[0].error)
        assert "format version 2" in str(caught.value)


@pytest.mark.parametrize("format", ["parquet", "arrow", "csv", "jsonl", "orc"])
def test_every_format_of_data_files(tmp_path: Path, format: str) -> None:
    table = Table.create(tmp_path / "t", frame(0).schema, format=format, durable=False)
    for i in range(12):
        table.append(frame(3 * i))
    table.append([{"id": None, "name": 'a "quoted", value\n'}])
    assert table.to_arrow()["id"].to_pylist() == [*range(36), None]
    assert table.to_arrow(columns=["name"], limit=2).to_pydict() == {"name": ["n0", "n1"]}
    assert {f.format for f in table.snapshot().files()} == {format}
    assert table.verify().ok


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="parquet"):
        Table.create(tmp_path / "t", frame(0).schema, format="xlsx")
    assert not (tmp_path / "t").exists()


def test_objects_show_themselves(table: Table) -> None:
    assert "not created yet" in repr(table)
    snapshot = table.append([{"id": 1, "name": "<b>"}], message="hi")
    assert "version 1" in repr(table)
    assert "1 rows × 2 columns" in repr(snapshot)
    assert "&lt;b&gt;" in snapshot._repr_html_()
    assert "<table>" in table._repr_html_()
