"""Columns change, data files do not; every version is read with its own columns."""

from __future__ import annotations

import datetime as dt
import importlib.util
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio import Table, col
from atio.errors import ConflictError, InputError, SchemaError, UnsupportedError
from atio.schema.evolve import holds_all
from atio.storage import MemoryStorage

POINT = pa.struct([pa.field("x", pa.int32()), pa.field("y", pa.int32())])
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int32(), nullable=False),
        ("price", pa.decimal128(6, 2)),
        ("name", pa.string()),
        ("point", POINT),
        ("at", pa.timestamp("s", "UTC")),
    ]
)
AT = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def row(i: int) -> dict[str, Any]:
    at = AT + dt.timedelta(days=i)
    return {"id": i, "price": Decimal(i) / 4, "name": f"n{i}", "point": {"x": i, "y": -i}, "at": at}


def rows(*ids: int) -> pa.Table:
    return pa.Table.from_pylist([row(i) for i in ids], schema=SCHEMA)


@pytest.fixture
def table() -> Table:
    made = Table(MemoryStorage())
    made.append(rows(1, 2))
    made.append(rows(3))
    return made


def data_files(table: Table) -> set[str]:
    return {entry.path for entry in table._objects.storage.list("data")}


def test_time_travel_shows_each_version_with_its_own_columns(table: Table) -> None:
    before, first = data_files(table), table.to_arrow()
    table.add_column("rank", pa.int16(), default=7, after="id", message="ranks")
    table.rename_column("name", "title")
    table.drop_column("price")
    table.reorder_columns(["title"])
    table.widen_column("id", pa.int64())
    table.make_nullable("id")
    assert data_files(table) == before
    assert [s.operation for s in table.history(6)] == ["evolve"] * 6
    assert table.snapshot(3).message == "ranks"
    assert table.snapshot(2).to_arrow().equals(first)
    assert table.snapshot(3).to_arrow().column_names == ["id", "rank", "price", "name", "point", "at"]
    found = table.to_arrow()
    assert found.column_names == ["title", "id", "rank", "point", "at"]
    assert found.schema.field("id") == pa.field("id", pa.int64())
    assert found.select(["id", "rank", "title"]).to_pylist() == [
        {"id": i, "rank": 7, "title": f"n{i}"} for i in (1, 2, 3)
    ]
    table.append([{"id": None, "title": "x"}])
    assert table.to_arrow()["rank"].to_pylist() == [7, 7, 7, 7]
    assert table.verify().ok
    table.restore(2)
    assert table.to_arrow().equals(first)


def test_a_default_is_that_of_rows_before_and_of_rows_without_it(table: Table) -> None:
    table.add_column("rank", pa.int16(), default=7, nullable=False)
    table.append(rows(4))
    table.append(pa.Table.from_pylist([{**row(5), "rank": 1}]))
    assert table.to_arrow()["rank"].to_pylist() == [7, 7, 7, 7, 1]
    with pytest.raises(SchemaError, match="rank"):
        table.append([{**row(6), "rank": None}])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.bool_(), True),
        (pa.float64(), 1.5),
        (pa.string(), "é"),
        (pa.binary(), b"\xff\x00"),
        (pa.decimal128(9, 3), Decimal("1.250")),
        (pa.date32(), dt.date(2024, 2, 29)),
        (pa.timestamp("ns", "Europe/Berlin"), AT),
        (pa.duration("ms"), dt.timedelta(seconds=3)),
        (pa.time64("us"), dt.time(12, 30)),
    ],
    ids=str,
)
def test_defaults_of_all_kinds(table: Table, kind: pa.DataType, value: Any) -> None:
    table.add_column("new", kind, default=value)
    table.add_column("point.z", kind, default=value)
    expected = pa.array([value] * 3, kind)
    assert table.to_arrow()["new"].combine_chunks().equals(expected)
    assert [p["z"] for p in table.to_arrow()["point"].to_pylist()] == expected.to_pylist()
    assert table.to_arrow(where=col("new").is_null()).num_rows == 0


def test_parts_of_structs(table: Table) -> None:
    table.append([{**row(4), "point": None}])
    table.add_column("point.z", pa.float64(), default=0.5, first=True)
    table.rename_column("point.x", "east")
    table.drop_column(("point", "y"))
    table.widen_column("point.east", pa.int64())
    table.reorder_columns(["east"], within="point")
    assert table.schema.field("point").type == pa.struct([("east", pa.int64()), ("z", pa.float64())])
    expected = [{"east": i, "z": 0.5} for i in (1, 2, 3)]
    assert table.to_arrow()["point"].to_pylist() == [*expected, None]
    assert table.to_arrow(["id"], where="point.east >= 3")["id"].to_pylist() == [3]
    assert table.snapshot(3).to_arrow()["point"].to_pylist()[0] == {"x": 1, "y": -1}


def test_a_dropped_name_can_come_again_and_is_another_column(table: Table) -> None:
    table.drop_column("name")
    table.add_column("name", pa.int64())
    assert table.to_arrow()["name"].to_pylist() == [None, None, None]
    assert table.to_arrow(where="name is null").num_rows == 3


def test_conditions_after_a_change_of_unit(table: Table) -> None:
    """The bounds of older files count in the unit that the column had."""
    for _ in range(14):  # so that some are in a manifest
        table.append(rows(4))
    table.widen_column("at", pa.timestamp("us", "UTC"))
    table.widen_column("price", pa.decimal128(12, 4))
    table.widen_column("id", pa.float64())
    table.append(rows(30))
    assert table.to_arrow(["id"], where="at = '2024-01-04 00:00:00+00:00'")["id"].to_pylist() == [3.0]
    assert table.to_arrow(["id"], where="at > '2024-01-10 00:00:00+00:00'")["id"].to_pylist() == [30.0]
    assert table.to_arrow(["id"], where="price = 0.75")["id"].to_pylist() == [3.0]
    assert table.to_arrow(["id"], where="id < 2.5")["id"].to_pylist() == [1.0, 2.0]
    assert table.snapshot().count("at >= '2000-01-01 00:00:00+00:00'") == 18


def test_appends_grow_the_columns_if_asked(table: Table) -> None:
    with pytest.raises(SchemaError, match="schema_mode"):
        table.append([{**row(4), "extra": 1}])
    with pytest.raises(InputError, match="schema_mode"):
        table.append(rows(4), schema_mode="grow")  # type: ignore[arg-type]
    table.append([{**row(4), "extra": 1, "other": "x"}], schema_mode="merge")
    assert table.schema.names == [*SCHEMA.names, "extra", "other"]
    assert table.to_arrow()["extra"].to_pylist() == [None, None, None, 1]
    table.append(rows(5), schema_mode="merge")
    assert table.to_arrow()["other"].to_pylist() == [None, None, None, "x", None]
    assert table.snapshot(2).schema.names == SCHEMA.names


def test_appends_grow_structs_too(table: Table) -> None:
    """Parts are matched by name, as columns are: missing ones have their default, new ones if asked."""
    table.add_column("point.z", pa.int32(), default=7)
    table.append(rows(4))  # a writer that does not know of it
    reordered = {"y": 1, "x": 2, "w": {"deep": 0.5}}
    with pytest.raises(SchemaError, match=r"'point\.w'.*is not in the table") as caught:
        table.append([{**row(5), "point": reordered}])
    assert caught.value.column == "point.w"
    before = table.schema
    table.append([{**row(5), "point": reordered}], schema_mode="merge")
    table.append(
        [{**row(6), "point": {"w": {"deeper": "x"}}}, {**row(7), "point": None}], schema_mode="merge"
    )
    assert table.to_arrow()["point"].to_pylist()[3:] == [
        {"x": 4, "y": -4, "z": 7, "w": None},
        {"x": 2, "y": 1, "z": 7, "w": {"deep": 0.5, "deeper": None}},
        {"x": None, "y": None, "z": 7, "w": {"deep": None, "deeper": "x"}},
        None,
    ]
    assert table.snapshot(4).schema == before
    assert table.to_arrow(["id"], where="point.w.deeper = 'x'")["id"].to_pylist() == [6]
    assert table.verify().ok


def test_a_part_that_may_not_be_null_is_not_left_out() -> None:
    table = Table(MemoryStorage())
    inner = pa.struct([pa.field("x", pa.int32(), nullable=False), ("y", pa.int32())])
    table.append(pa.table({"p": pa.array([{"x": 1, "y": 2}], inner)}, pa.schema([("p", inner)])))
    with pytest.raises(SchemaError, match=r"'p\.x'.*may not be null"):
        table.append([{"p": {"y": 3}}])
    assert table.version == 1


def test_files_staged_before_a_change(table: Table) -> None:
    staged = table.stage(rows(4))
    table.rename_column("name", "title")
    table.add_column("rank", pa.int8(), default=3)
    table.drop_column("price")
    table.commit(staged)
    found = table.to_arrow()
    assert found["title"].to_pylist() == ["n1", "n2", "n3", "n4"]
    assert found["rank"].to_pylist() == [3] * 4
    assert table.to_arrow(where="title = 'n4'").num_rows == 1
    overwriting = table.stage(pa.table({"new": [1]}), overwrite=True)
    table.add_column("late", pa.int8())
    with pytest.raises(ConflictError):
        table.commit(overwriting, overwrite=True)


def test_merging_tiny_files_across_changes(table: Table) -> None:
    for i in range(4, 40):
        if i % 5 == 0:
            table.add_column(f"c{i}", pa.int8(), default=i)
        if i % 7 == 0:
            table.rename_column("name" if i == 7 else f"name{i - 7}", f"name{i}")
        table.append([{"id": i}])
    assert table.snapshot()._model.summary.files < 12
    found = table.to_arrow()
    assert found["id"].to_pylist() == list(range(1, 40))
    assert found["name35"].to_pylist() == ["n1", "n2", "n3", *[None] * 36]
    for i in (5, 20, 35):
        assert found[f"c{i}"].to_pylist() == [i] * 39
    assert table.verify().ok


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.add_column("id", pa.int8()), "already"),
        (lambda t: t.add_column("n", pa.int8(), nullable=False), "default"),
        (lambda t: t.add_column("n", pa.int8(), default=300), "default"),
        (lambda t: t.add_column("n", pa.int8(), default="x"), "default"),
        (lambda t: t.add_column("n", pa.int8(), after="idd"), "did you mean 'id'"),
        (lambda t: t.add_column("name.x", pa.int8()), "no struct"),
        (lambda t: t.add_column("nowhere.x", pa.int8()), "no column"),
        (lambda t: t.drop_column("nam"), "did you mean 'name'"),
        (lambda t: t.rename_column("name", "id"), "already"),
        (lambda t: t.widen_column("id", pa.int16()), "does not hold"),
        (lambda t: t.widen_column("name", pa.int64()), "does not hold"),
        (lambda t: t.widen_column("at", pa.timestamp("ns", "UTC")), "does not hold"),
        (lambda t: t.widen_column("at", pa.timestamp("us")), "does not hold"),
        (lambda t: t.reorder_columns(["id", "id"]), "duplicate"),
        (lambda t: t.reorder_columns(["nope"]), "no column"),
        (lambda t: t.make_nullable("nope"), "no column"),
    ],
)
def test_what_is_refused(table: Table, call: Any, message: str) -> None:
    before = table.to_arrow()
    with pytest.raises(InputError, match=message) as caught:
        call(table)
    assert caught.value.table
    assert "\"'" not in str(caught.value)
    assert (table.version, table.to_arrow()) == (2, before)
    with pytest.raises(UnsupportedError):
        table.add_column("n", pa.list_(pa.int8()), default=[1])


def test_the_last_column_stays() -> None:
    table = Table(MemoryStorage())
    table.append({"a": [1]})
    with pytest.raises(SchemaError, match="only one"):
        table.drop_column("a")


def test_pandas_comes_back_after_changes() -> None:
    pd = pytest.importorskip("pandas")
    table = Table(MemoryStorage())
    frame = pd.DataFrame(
        {"a": pd.array([1, None], "Int32"), "b": ["x", "y"], "c": [1.0, 2.0]},
        index=pd.Index([10, 20], name="key"),
    )
    table.append(frame)
    table.rename_column("a", "count")
    table.drop_column("c")
    table.rename_column("key", "label")
    expected = frame.drop(columns="c").rename(columns={"a": "count"}).rename_axis("label")
    pd.testing.assert_frame_equal(table.to_pandas(), expected)
    table.widen_column("count", pa.int64())
    assert table.to_pandas()["count"].tolist()[0] == 1
    wide = Table(MemoryStorage())
    wide.append(pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])))
    with pytest.raises(UnsupportedError, match="labels"):
        wide.rename_column(wide.schema.names[0], "x")


# -- against a model -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_changes_in_any_order(data: st.DataObject) -> None:
    """A table whose rows are dicts by column identity, and columns a list of names, says what to expect."""
    table = Table(MemoryStorage())
    columns = {"a": 0}
    defaults: dict[int, int | None] = {0: None}
    content: list[dict[int, int | None]] = []
    history: list[list[dict[str, int | None]]] = []

    def expected() -> list[dict[str, int | None]]:
        return [{name: r.get(key, defaults[key]) for name, key in columns.items()} for r in content]

    def append() -> None:
        made = {
            name: data.draw(st.integers(0, 99)) for name in data.draw(st.sets(st.sampled_from([*columns])))
        }
        table.append(pa.Table.from_pylist([made or {next(iter(columns)): 5}]))
        full = made or {next(iter(columns)): 5}
        content.append({key: full.get(name, defaults[key]) for name, key in columns.items()})

    append()
    history.append(expected())
    for number in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(["append", "append", "add", "drop", "rename", "order", "null"]))
        name = data.draw(st.sampled_from([*columns]))
        if what == "append":
            append()
        elif what == "add":
            value = data.draw(st.none() | st.integers(0, 99))
            new = f"c{number}" if data.draw(st.booleans()) else f"x{number}"
            table.add_column(new, pa.int64(), default=value)
            key = len(defaults)
            columns[new], defaults[key] = key, value
        elif what == "drop" and len(columns) > 1:
            table.drop_column(name)
            del columns[name]
        elif what == "rename":
            table.rename_column(name, f"r{number}")
            columns = {(f"r{number}" if n == name else n): key for n, key in columns.items()}
        elif what == "order":
            table.reorder_columns([name])
            columns = {name: columns.pop(name), **columns}
        else:
            table.make_nullable(name)
        history.append(expected())
    assert table.to_arrow().to_pylist() == history[-1]
    assert table.version <= len(history)
    some = data.draw(st.sampled_from([*columns]))
    found = table.to_arrow(where=col(some) >= 50).to_pylist()
    assert found == [r for r in history[-1] if (r[some] or 0) >= 50]
    assert table.verify().ok


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_wider_type_holds_every_value(data: st.DataObject) -> None:
    kinds = [
        pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
        pa.float16(), pa.float32(), pa.float64(), pa.decimal128(5, 2), pa.decimal128(12, 4),
        pa.decimal128(25, 0), pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"),
        pa.string(), pa.large_string(),
    ]  # fmt: skip
    narrow, wide = data.draw(st.sampled_from(kinds)), data.draw(st.sampled_from(kinds))
    if not holds_all(wide, narrow) or pa.types.is_floating(narrow) or pa.types.is_timestamp(narrow):
        return
    if pa.types.is_integer(narrow):
        bits = narrow.bit_width - pa.types.is_signed_integer(narrow)
        low = -(2**bits) if pa.types.is_signed_integer(narrow) else 0
        values: list[Any] = [low, 0, 2**bits - 1, data.draw(st.integers(low, 2**bits - 1))]
    elif pa.types.is_decimal(narrow):
        values = [Decimal(10**narrow.precision - 1).scaleb(-narrow.scale), Decimal(0)]
    else:
        values = ["", "x"]
    table = Table(MemoryStorage())
    table.append(pa.table({"v": pa.array(values, narrow)}))
    table.widen_column("v", wide)
    assert [int(v) if pa.types.is_integer(narrow) else v for v in table.to_arrow()["v"].to_pylist()] == values


def test_the_reference_reader_gives_columns_their_defaults(tmp_path: Path) -> None:
    path = Path(__file__).parents[3] / "spec" / "reference_reader.py"
    spec = importlib.util.spec_from_file_location("reference_reader", path)
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    table = Table.open(tmp_path / "t")
    table.append({"a": [1, 2], "b": ["x", "y"]})
    table.add_column("c", pa.decimal128(5, 2), default=Decimal("1.25"))
    table.rename_column("b", "d")
    table.append({"a": [3]})
    assert reference.read_table(tmp_path / "t").equals(table.to_arrow())
