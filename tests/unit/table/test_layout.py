"""Partitions and order change where rows are, never which rows there are."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio import Table, col
from atio.errors import AtioError, ConstraintError, InputError, SchemaError
from atio.formats.cases import TYPE_CASES
from atio.formats.compare import difference
from atio.model.snapshot import DataFile
from atio.schema.transforms import Transform, encoded
from atio.storage import MemoryStorage
from atio.table import layout, stage
from tests.support.tables import listing, required

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int32()),
        pa.field("at", pa.timestamp("us", "Europe/Berlin")),
        pa.field("name", pa.string()),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string())),
        pa.field("x", pa.float64()),
    ]
)
BYS = [
    [],
    ["id"],
    ["x"],
    ["bucket(3, id)"],
    ["month(at)", "bucket(2, name)"],
    ["truncate(1, name)", "kind"],
    ["day(at)"],
    ["truncate(10, id)", "year(at)"],
]
SORTS: list[Any] = [None, ["x"], [("at", "descending"), "id"], ["kind", ("name", "descending")]]


def created(schema: Any = SCHEMA, **how: Any) -> Table:
    return Table.create(MemoryStorage(), schema, **how)


def rows_of(table: pa.Table) -> Counter[Any]:
    return Counter(tuple(map(repr, line.values())) for line in table.to_pylist())


def files(table: Table) -> list[DataFile]:
    return list(table.snapshot().files())


def check_files(table: Table) -> None:
    """Every file that says so is of one partition, and that one."""
    scan = table.scan()
    names = {field.id: field.name for field in scan.bound.spec.fields}
    for file in files(table):
        if scan.source(file).arrow.field(0).type != scan.bound.arrow.field(0).type:
            continue  # parted by what the column was
        held = pa.concat_tables(scan.pieces([file]))
        for identity, text, value in file.partition:
            if identity in names:  # dropped since
                found = Transform.parse(str(text)).apply(held.column(names[identity]))
                assert set(map(repr, encoded(found))) == {repr(value)}


lines = st.fixed_dictionaries(
    {
        "id": st.one_of(st.none(), st.integers(-30, 30), st.integers(-(2**31), 2**31 - 1)),
        "at": st.one_of(
            st.none(),
            st.datetimes(dt.datetime(2023, 12, 1), dt.datetime(2024, 3, 1)).map(
                lambda moment: moment.replace(tzinfo=dt.UTC)
            ),
        ),
        "name": st.one_of(st.none(), st.text("abä", max_size=3)),
        "kind": st.one_of(st.none(), st.sampled_from(["red", "green", "blue"])),
        "x": st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1.5])),
    }
)
frames = st.lists(lines, max_size=12).map(lambda found: pa.Table.from_pylist(found, SCHEMA))
values = st.sampled_from(["id", "name", "x", "at", "kind"])


def conditions(draw: Any, table: pa.Table) -> Any:
    """Something that is true of few rows: a value that is there, or not."""
    name = draw(st.sampled_from([name for name in table.schema.names if name in SCHEMA.names]))
    known = [value for value in table.column(name).to_pylist() if value is not None] or [None]
    value = draw(st.sampled_from(known))
    if value is None:
        return col(name).is_null()
    column = col(name)
    made = [column == value, column > value, column.is_in([value, draw(st.sampled_from(known))])]
    return draw(st.sampled_from([*made, (column == value) | column.is_null(), ~(column == value)]))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_rows_are_those_of_a_plain_table_through_everything(data: Any) -> None:
    draw = data.draw
    how = {"append.merge": draw(st.sampled_from(["true", "false"]))}
    table = created(
        partition_by=draw(st.sampled_from(BYS)), sort_by=draw(st.sampled_from(SORTS)), properties=how
    )
    plain = created(properties=how)
    steps = [
        "append",
        "append",
        "append",
        "stream",
        "compact",
        "sorted",
        "partition",
        "rename",
        "widen",
        "overwrite",
    ]
    for step in draw(st.lists(st.sampled_from(steps), min_size=1, max_size=8)):
        if step == "append" or (step == "overwrite" and table.schema.field("id").type == pa.int32()):
            frame = draw(frames)
            names = table.schema.names
            renamed = frame.rename_columns(names)
            for one in (table, plain):
                getattr(one, step)(renamed)
        elif step == "stream":
            parts = [
                part.rename_columns(table.schema.names)
                for part in draw(st.lists(frames, min_size=1, max_size=3))
            ]
            for one in (table, plain):
                one.append(iter(parts))
        elif step == "compact":
            table.compact()
            if not draw(st.booleans()):
                assert table.compact().version is None  # there is nothing left to do
        elif step == "sorted":
            table.compact(sort_by=[table.schema.names[0]])
        elif step == "partition" and table.schema.names == SCHEMA.names:
            table.set_partitioning(draw(st.sampled_from(BYS)) or None)
            table.set_sorting(draw(st.sampled_from(SORTS)))
        elif step == "rename":
            for one in (table, plain):
                new = "name" if "title" in one.schema.names else "title"
                one.rename_column("title" if new == "name" else "name", new)
        elif step == "widen" and table.schema.field("id").type == pa.int32():
            wide = draw(st.sampled_from([pa.int64(), pa.decimal128(15, 2)]))
            if not any(part.startswith("truncate(10, id") for part in table.partitioning):
                for one in (table, plain):
                    one.widen_column("id", wide)
    assert rows_of(table.to_arrow()) == rows_of(plain.to_arrow())
    assert table.schema == plain.schema
    check_files(table)
    for _ in range(4):
        where = conditions(draw, plain.to_arrow())
        expected = rows_of(plain.to_arrow(where=where))
        assert rows_of(table.to_arrow(where=where)) == expected
        assert table.scan(where=where).count() == expected.total()
    assert table.verify().ok
    counts = table.snapshot()
    assert counts.rows == sum(file.rows for file in files(table))


# -- one at a time ----------------------------------------------------------------------------------


def days(count: int) -> pa.Table:
    first = dt.date(2024, 1, 1)
    made = [first + dt.timedelta(days=i) for i in range(count)]
    return pa.table({"id": pa.array(range(count), pa.int64()), "day": pa.array(made, pa.date32())})


def test_a_write_makes_one_file_a_partition_in_their_order_and_keeps_that_of_the_rows() -> None:
    table = created(days(0), partition_by="month(day)")
    table.append(days(70).take(list(range(69, -1, -1))))
    found = files(table)
    assert [file.partition for file in found] == [((2, "month", 648 + i),) for i in range(3)]
    assert [file.rows for file in found] == [31, 29, 10]
    inside = [i for part in (range(30, -1, -1), range(59, 30, -1), range(69, 59, -1)) for i in part]
    assert table.to_arrow()["id"].to_pylist() == inside


def test_conditions_on_the_column_find_the_partition() -> None:
    table = created(days(0), partition_by=["month(day)", "bucket(8, id)"])
    table.append(days(366))
    assert len(files(table)) > 90
    scan = table.scan(where=col("day") == dt.date(2024, 5, 5))
    assert len(list(scan.files())) <= 8
    scan = table.scan(where="id = 17")
    (file,) = scan.files()
    assert (file.partition[0][2], scan.to_arrow()["id"].to_pylist()) == (648, [17])
    assert {f.partition[1] for f in table.scan(where="id in (17, 230)").files()} == {
        (1, "bucket[8]", value)
        for value in encoded(Transform("bucket", 8).apply(pa.chunked_array([[17, 230]], pa.int64())))
    }


def test_buckets_rule_out_files_of_manifests_too() -> None:
    table = created(
        pa.schema([("name", pa.string())]),
        partition_by="bucket(16, name)",
        properties={"append.merge": "false"},
    )
    names = [f"{i:x}" for i in range(500)]
    for part in range(5):
        table.append(pa.table({"name": names[part::5]}))
    assert table.snapshot()._model.manifests
    assert len(files(table)) == 80
    for name in names[:20]:
        found = list(table.scan(where=col("name") == name).files())
        assert 1 <= len(found) <= 5
        assert len({file.partition for file in found}) == 1
        assert table.to_arrow(where=col("name") == name).num_rows == 1
    assert list(table.scan(where=col("name").is_null()).files()) == []


def test_nulls_have_a_partition_of_their_own() -> None:
    table = created(pa.schema([("name", pa.string())]), partition_by="bucket(4, name)")
    table.append(pa.table({"name": ["a", None, "b", None]}))
    (file,) = table.scan(where=col("name").is_null()).files()
    assert (file.rows, file.partition) == (2, ((1, "bucket[4]", None),))


def test_buckets_of_columns_that_are_hashed_otherwise_by_now_say_nothing() -> None:
    table = created(days(0), partition_by="bucket(50, id)")
    table.append(days(20))
    assert len(list(table.scan(where=col("id") == 7).files())) < 3
    table.widen_column("id", pa.decimal128(23, 3))
    assert table.to_arrow(where=col("id") == 7)["id"].to_pylist() == [7]
    table.append(days(20).set_column(0, "id", pa.array(range(20), pa.decimal128(23, 3))))
    assert table.to_arrow(where=col("id") == 7)["id"].to_pylist() == [7, 7]


@pytest.mark.parametrize("merge", ["true", "false"])
def test_buckets_of_two_types_are_never_mixed_in_a_file(merge: str) -> None:
    table = created(
        pa.schema([("id", pa.int64())]), partition_by="bucket(3, id)", properties={"append.merge": merge}
    )
    for start in range(7):
        table.append(pa.table({"id": pa.array(range(start * 30, start * 30 + 30), pa.int64())}))
    wide = pa.decimal128(23, 3)
    staged = table.stage(pa.table({"id": pa.array(range(1000, 1030), pa.int64())}))
    table.widen_column("id", wide)
    table.commit(staged)
    for start in range(9):
        table.append(pa.table({"id": pa.array(range(start * 30, start * 30 + 30), wide)}))
    check_files(table)

    def found() -> list[int]:
        return [table.to_arrow(where=col("id") == i).num_rows for i in range(270)]

    assert found() == [2] * 210 + [1] * 60
    table.compact()
    check_files(table)
    assert {file.schema_id for file in files(table)} == {table._state().schema.spec.id}
    assert found() == [2] * 210 + [1] * 60
    table.compact()  # what was parted anew and what was there already
    assert len(files(table)) == 3
    assert table.compact().version is None


def test_tiny_files_are_merged_within_their_partition() -> None:
    table = created(pa.schema([("part", pa.int64()), ("x", pa.int64())]), partition_by="part", sort_by="x")
    for i in range(64):
        table.append(pa.table({"part": [0, 1, i % 5], "x": [i, -i, 100 - i]}))
    found = files(table)
    assert len(found) < 40
    assert {file.level for file in found} > {0, 1}
    check_files(table)
    for file in found:  # sorted, however they came about
        held = pa.concat_tables(table.scan().pieces([file]))["x"].to_pylist()
        assert held == sorted(held)
    assert table.to_arrow().num_rows == 192
    assert table.diff(63).rows_added == 3
    storage = table._objects.storage
    table.expire(dt.timedelta(0))
    table.vacuum(dt.timedelta(0))
    assert listing(storage) == required(storage)


def test_a_table_without_partitions_keeps_its_order_though_older_files_have_some() -> None:
    table = created(pa.schema([("x", pa.int64())]), partition_by="truncate(2, x)")
    table.append(pa.table({"x": [0, 1, 2, 3]}))
    table.set_partitioning(None)
    for i in range(20):
        table.append(pa.table({"x": [i]}))
    assert table.to_arrow()["x"].to_pylist() == [0, 1, 2, 3, *range(20)]
    assert files(table)[-1].partition == ()
    table.compact()
    assert table.to_arrow()["x"].to_pylist() == [0, 1, 2, 3, *range(20)]
    assert [file.partition for file in files(table)] == [()]


def test_compaction_brings_older_files_into_the_partitions_of_now() -> None:
    table = created(days(0))
    table.append(days(100))
    table.set_partitioning("month(day)")
    assert table.partitioning == ["month(day)"]
    table.append(days(100))
    assert len(files(table)) == 5
    planned = table.compact(dry_run=True)
    assert len(planned.files) == 1
    table.compact()
    table.compact()
    assert {file.partition for file in files(table)} == {((2, "month", 648 + i),) for i in range(4)}
    assert len(files(table)) == 4
    assert table.compact().version is None
    table.set_partitioning(["year(day)", "truncate(50, id)"])
    table.compact()
    assert sorted(file.partition for file in files(table)) == [
        ((2, "year", 54), (1, "truncate[50]", 0)),
        ((2, "year", 54), (1, "truncate[50]", 50)),
    ]
    assert rows_of(table.to_arrow()) == rows_of(pa.concat_tables([days(100), days(100)]))


def test_rows_of_a_write_are_sorted_and_compaction_keeps_to_that() -> None:
    table = created(days(0), sort_by=[("id", "descending")])
    assert table.sorting == [("id", "descending")]
    table.append(days(100))
    table.append(iter([days(50), days(60)]))
    found = [held["id"].to_pylist() for f in files(table) for held in table.scan().pieces([f])]
    assert found == [list(range(99, -1, -1)), sorted([*range(50), *range(60)], reverse=True)]
    table.compact()
    assert table.to_arrow()["id"].to_pylist() == sorted([*range(100), *range(50), *range(60)], reverse=True)
    table.set_sorting(None)
    assert table.sorting == []


def test_a_stream_larger_than_memory_is_one_file_a_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_SORT_BYTES", 2**14)
    monkeypatch.setattr(stage, "GROUP_ROWS", 500)
    table = created(pa.schema([("part", pa.int64()), ("x", pa.int64())]), partition_by="part", sort_by="x")
    parts = [
        pa.table({"part": [i % 3 for i in range(700)], "x": [(i * 7919 + k) % 5003 for i in range(700)]})
        for k in range(9)
    ]
    table.append(iter(parts))
    assert [file.partition[0][2] for file in files(table)] == [0, 1, 2]
    for file in files(table):
        held = pa.concat_tables(table.scan().pieces([file]))["x"].to_pylist()
        assert held == sorted(held)
    assert rows_of(table.to_arrow()) == rows_of(pa.concat_tables(parts))


@pytest.mark.parametrize("name", [name for name in TYPE_CASES if "union" not in name])
def test_every_type_travels_through_partitions_and_sorts(name: str) -> None:
    array = TYPE_CASES[name]
    rows = pa.table({"x": array, "row": pa.array(range(len(array)))})
    plain = Table(MemoryStorage())
    try:
        plain.append(rows)
    except AtioError:
        return  # refused: there is nothing to part
    table = created(rows.schema, partition_by="bucket(3, row)", sort_by=[("row", "descending")])
    table.append(rows.slice(0, 1))
    table.append(rows.slice(1))
    table.compact()
    table.set_partitioning(None)
    table.set_sorting("row")
    table.compact(sort_by="row")
    assert difference(table.to_arrow(), plain.to_arrow()) is None
    try:
        table.set_partitioning("x")
    except SchemaError:
        return
    table.append(rows)
    table.compact(sort_by="row")
    check_files(table)
    table.set_partitioning(None)
    table.compact(sort_by="row")
    places = table.to_arrow()["row"].to_pylist()
    assert places == [i for i in range(len(array)) for _ in (0, 1)]
    from atio.predicate.keep import taken

    once = taken(table.to_arrow(), pa.array(range(0, len(places), 2)))
    assert difference(once, plain.to_arrow()) is None


def test_columns_of_the_layout_are_renamed_but_not_dropped() -> None:
    table = created(days(0), partition_by=["month(day)"], sort_by=["id"])
    table.rename_column("day", "date")
    assert table.partitioning == ["month(date)"]
    for name, what in (("date", "partitioning"), ("id", "sorting")):
        with pytest.raises(SchemaError, match=f"set_{what}"):
            table.drop_column(name)
    with pytest.raises(SchemaError, match="set_partitioning"):
        table.overwrite(pa.table({"id": [1]}))
    table.set_partitioning(None)
    table.drop_column("date")
    table.append(pa.table({"id": [2, 1]}))
    assert table.to_arrow()["id"].to_pylist() == [1, 2]


def test_the_layout_is_metadata_only_and_survives_other_metadata() -> None:
    table = created(days(0))
    table.append(days(3))
    table.set_partitioning("id")
    table.tag("a")
    table.set_properties({"user.x": "1"})
    assert (table.version, table.partitioning) == (1, ["id"])
    copy = Table(MemoryStorage())
    table.copy_to(copy._objects.storage, version=1)
    assert copy.partitioning == ["id"]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("nothing", "no column 'nothing'"),
        ("month(id)", "does not apply"),
        ("week(day)", "no transform"),
        ("bucket(day)", "no transform"),
        ("bucket(0, day)", "no transform"),
        ("month(3, day)", "no transform"),
        ([3], "is no text"),
        (["id", "id"], "twice"),
    ],
)
def test_what_is_no_partition_is_refused(by: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        created(days(0), partition_by=by)
    table = created(days(0))
    with pytest.raises(InputError, match=message):
        table.set_partitioning(by)


def test_names_like_calls_are_columns_first() -> None:
    table = created(pa.schema([("month(day)", pa.int64()), ("day", pa.int64())]), partition_by="month(day)")
    assert table._state().catalog.partitioning[0].transform == "identity"


def test_more_partitions_than_anyone_wants_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MOST_PARTITIONS", 5)
    table = created(days(0), partition_by="id")
    table.append(days(5))
    with pytest.raises(InputError, match="coarser"):
        table.append(days(6))
    assert listing(table._objects.storage) == required(table._objects.storage)


def test_staged_rows_keep_the_partitions_they_were_staged_with(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", days(0), partition_by="month(day)")
    staged = table.stage(days(40))
    table.set_partitioning("bucket(2, id)")
    table.commit(stage.Staged.decode(staged.encode()))
    assert [file.partition[0][1] for file in files(table)] == ["month", "month"]
    assert table.to_arrow(where="id = 35").num_rows == 1


def test_an_unknown_transform_is_newer_not_a_crash() -> None:
    from atio.commit.changes import SetLayout
    from atio.model.pointer import PartitionField

    table = created(days(0))
    table._writer.amend("x", SetLayout(partitioning=(PartitionField(id=1, transform="week"),)))
    assert table.to_arrow().num_rows == 0
    with pytest.raises(AtioError, match="upgrade"):
        table.append(days(1))


def test_starts_of_runs_tell_nan_and_null_apart() -> None:
    nan = float("nan")
    columns = [pa.array([1.0, 1.0, nan, nan, None, None]), pa.array(["a", "b", "b", "b", None, "b"])]
    assert layout._starts(columns) == [0, 1, 2, 4, 5]


def test_changed_rows_are_parted_and_meet_the_checks() -> None:
    table = created(
        days(0), partition_by=["month(day)", "bucket(4, id)"], sort_by="id", checks={"small": "id < 500"}
    )
    table.append(days(60))
    with pytest.raises(ConstraintError, match="id=505"):
        table.update({"id": col("id") + 500}, where="id = 5")
    with pytest.raises(ConstraintError, match="id=600"):
        table.upsert([{"id": 600, "day": None}], on="id")
    assert table.version == 1
    table.update({"day": dt.date(2024, 3, 3)}, where="id = 5")
    table.delete("id = 7")
    table.upsert([{"id": 3, "day": dt.date(2024, 2, 1)}, {"id": 100, "day": None}], on="id")
    check_files(table)
    table.compact()
    table.compact(sort_by="day")
    check_files(table)
    assert sorted(table.to_arrow()["id"].to_pylist()) == [i for i in range(60) if i != 7] + [100]
    assert table.to_arrow(where="id = 3")["day"].to_pylist() == [dt.date(2024, 2, 1)]
    assert len(list(table.scan(where="id = 3 and day = date '2024-02-01'").files())) == 1
    assert table.verify().ok
