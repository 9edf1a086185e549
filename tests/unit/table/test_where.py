"""Reading with a condition gives the rows that reading everything and then filtering gives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio import Table
from atio.errors import DamagedError, InputError
from atio.formats.parquet import core, read
from atio.predicate import bind, col
from atio.storage import MemoryStorage
from atio.table import datafiles, scan
from tests.support.reads import noted

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        ("small", pa.int8()),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "Europe/Berlin")),
        ("price", pa.decimal128(9, 2)),
        ("flag", pa.bool_()),
        ("raw", pa.binary()),
        ("point", pa.struct([("x", pa.float32()), ("name", pa.string())])),
        ("tags", pa.list_(pa.string())),
        ("nothing", pa.null()),
    ]
)
ROWS = 60
EACH = 4
"""Rows of the small files."""


def rows(start: int, count: int) -> pa.Table:
    """Rows that get larger and have gaps, so that statistics exclude some files and not others."""
    return pa.Table.from_pylist([row(i) for i in range(start, start + count)], schema=SCHEMA)


def row(i: int) -> dict[str, Any]:
    gap = i % 7 == 3
    zone = dt.timezone(dt.timedelta(hours=1))
    return {
        "id": i,
        "small": None if gap else i % 100 - 50,
        "value": float("nan") if i % 11 == 5 else None if gap else -0.0 if i % 5 == 0 else i / 4,
        "text": None if gap else f"{'long ' * 20}{i:04}" if i % 2 else f"k{i % 3}",
        "kind": None if i % 13 == 1 else f"c{i // 20}",
        "day": dt.date(2024, 1, 1) + dt.timedelta(days=i),
        "at": None if gap else dt.datetime(2024, 3, 30, 23, tzinfo=zone) + dt.timedelta(hours=i),
        "price": Decimal(i) / 4 - 3,
        "flag": None if gap else i % 2 == 0,
        "raw": None if gap else bytes([i % 256]) * 3,
        "point": None if i % 9 == 0 else {"x": i / 2, "name": None if gap else f"p{i}"},
        "tags": [str(i)],
    }


def table_of(pieces: list[pa.Table], **properties: str) -> Table:
    table = Table.create(MemoryStorage(), pieces[0].schema, properties=properties)
    for piece in pieces:
        table.append(piece)
    return table


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    """The same rows as a snapshot's own files, in manifests, in row groups, and in other formats."""
    few = [rows(start, 20) for start in range(0, ROWS, 20)]
    many = [rows(start, EACH) for start in range(0, ROWS, EACH)]
    removed = table_of(many, **{"append.merge": "false"})
    assert removed.snapshot()._model.manifests
    in_groups = table_of([rows(0, ROWS)], **{"parquet.row_group_rows": "7"})
    csv = [piece.drop_columns(["tags", "point", "raw"]) for piece in few]
    return [
        table_of(few),
        removed,
        table_of(many),
        in_groups,
        table_of(few, format="arrow"),
        table_of(csv, format="csv"),
    ]


@pytest.fixture(scope="module")
def contents(tables: list[Table]) -> list[pa.Table]:
    return [table.to_arrow() for table in tables]


CONDITIONS: list[Any] = [
    col("id") == 31,
    "id between 10 and 12 or id > 57",
    [("id", "in", [1, 40, 1000]), ("small", ">", -50)],
    [[("flag", "=", True)], [("day", "<", dt.date(2024, 1, 5))]],
    "value > 3 and text is not null",
    col("value").is_nan(),
    "value = 0",
    "text like 'long%' and id < 30",
    "text > 'long long'",
    col("kind") == "c1",
    "kind in ('c0', 'c2') and small < 0",
    "at >= '2024-04-01 00:00:00+00:00'",
    "price * 2 > 10 and price < 9.75",
    "not flag",
    "id < 0",
    "id >= 0",
    "1 = 1",
    "1 = 2",
    "nothing is null and id < 3",
]
NESTED: list[Any] = [col("point.x") > 25.0, "point.name is null", col("raw") == b"\x05\x05\x05"]


@pytest.mark.parametrize("where", [*CONDITIONS, *NESTED], ids=str)
def test_the_same_rows_as_filtering_in_memory(
    tables: list[Table], contents: list[pa.Table], where: Any
) -> None:
    pairs = list(zip(tables, contents, strict=True))
    for table, everything in pairs[:-1] if any(where is one for one in NESTED) else pairs:
        expected = bind(where, everything.schema).filter(everything)
        found = table.to_arrow(where=where)
        assert found.schema.equals(everything.schema, check_metadata=True)
        check_same(found, expected)
        scan = table.scan(where=where)
        assert scan.count() == expected.num_rows == table.snapshot().count(where)
        batches = list(scan.to_batches(4))
        assert all(0 < batch.num_rows <= 4 for batch in batches)
        check_same(pa.Table.from_batches(batches, scan.schema), expected)
        for limit in (0, 5):
            check_same(table.to_arrow(where=where, limit=limit), expected.slice(0, limit))
        for columns in (["text"], ["small", "id"]):
            check_same(table.to_arrow(columns, where=where), expected.select(columns))
        assert table.to_arrow([], where=where).num_rows == expected.num_rows


def check_same(found: pa.Table, expected: pa.Table) -> None:
    assert found.schema.names == expected.schema.names
    assert repr(found.to_pylist()) == repr(expected.to_pylist())


@st.composite
def conditions(draw: st.DrawFn) -> Any:
    def simple() -> Any:
        name, value = draw(
            st.sampled_from(
                [
                    ("id", st.integers(-2, ROWS + 2)),
                    ("small", st.integers(-60, 60)),
                    ("value", st.floats(-1, 16)),
                    ("text", st.sampled_from(["k0", "k1", "k9", "long long", "", "z"])),
                    ("kind", st.sampled_from(["c0", "c1", "c2", "c3"])),
                    ("price", st.decimals(-4, 13, places=2)),
                    ("day", st.dates(dt.date(2023, 12, 30), dt.date(2024, 3, 3))),
                ]
            )
        )
        column, other = col(name), draw(value)
        return draw(
            st.sampled_from(
                [column == other, column != other, column < other, column <= other, column > other,
                 column >= other, column.is_null(), column.is_in([other, draw(value)])]
            )
        )  # fmt: skip

    found = simple()
    for _ in range(draw(st.integers(0, 2))):
        other = simple()
        found = draw(st.sampled_from([found & other, found | other, ~found & other]))
    return found


@settings(deadline=None, max_examples=25)
@given(where=conditions())
def test_any_condition(tables: list[Table], contents: list[pa.Table], where: Any) -> None:
    for table, everything in zip(tables[:4], contents[:4], strict=True):
        expected = bind(where, everything.schema).filter(everything)
        check_same(table.to_arrow(where=where), expected)
        assert table.snapshot().count(where) == table.count(where) == expected.num_rows


@pytest.mark.parametrize("values", [1, 20, 2**20])
def test_row_groups_by_threads(tables: list[Table], values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As large ones are read, a few columns at a time: the rows that match, and those not deleted."""
    table = table_of([tables[3].to_arrow()], **{"parquet.row_group_rows": "7"})
    table.delete("id % 5 = 1")
    everything = table.to_arrow()
    assert everything.num_rows == ROWS - ROWS // 5
    monkeypatch.setattr(scan, "_SMALL", 0)
    monkeypatch.setattr(read, "is_worth_threads", lambda *_: True)
    monkeypatch.setattr(core, "_VALUES", values)
    monkeypatch.setattr(core, "_DICTIONARY_ROWS", 0)
    check_same(table.to_arrow(), everything)
    check_same(table.to_arrow(["text", "point"]), everything.select(["text", "point"]))
    for condition in CONDITIONS:
        where = bind(condition, everything.schema)
        for columns in (everything.column_names, ["kind", "id"], ["tags"]):
            found = table.to_arrow(columns, where=condition)
            check_same(found, where.filter(everything).select(columns))


def test_files_and_row_groups_that_cannot_match_are_not_read(
    tables: list[Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = noted(monkeypatch)
    opened: list[str] = []
    verified = datafiles._verified

    def opening(storage: Any, file: Any, **options: Any) -> Any:
        opened.append(file.path)
        return verified(storage, file, **options)

    monkeypatch.setattr(datafiles, "_verified", opening)
    one_by_one, in_groups = tables[1], tables[3]
    assert one_by_one.to_arrow(where="id = 30").num_rows == 1
    assert len(opened) == 1
    assert [f.path for f in one_by_one.scan(where="id = 30").files()] == opened
    opened.clear()
    assert one_by_one.snapshot().count("id >= 31") == ROWS - 31
    assert len(opened) == 1, "files that match whole need not be read to count their rows"
    read.clear()
    assert in_groups.to_arrow(["id", "text"], where="id in (8, 50)").num_rows == 2
    assert read == [(["id"], [1, 7]), (["text"], [1, 7])]
    read.clear()
    assert in_groups.to_arrow(["text"], where="text = 'k1' and id < 14").num_rows > 0
    assert all(set(groups) <= {0, 1} for _, groups in read)


def test_a_limit_stops_reading(tables: list[Table], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    verified = datafiles._verified

    def opening(storage: Any, file: Any, **options: Any) -> Any:
        opened.append(file.path)
        return verified(storage, file, **options)

    monkeypatch.setattr(datafiles, "_verified", opening)
    assert tables[1].to_arrow(where="id >= 0", limit=EACH + 1).num_rows == EACH + 1
    assert len(opened) == 2


def test_categories_of_different_files() -> None:
    pd = pytest.importorskip("pandas")
    table = Table(MemoryStorage())
    for values in (["a", "b"], ["c", "a"], ["b", None]):
        table.append(pd.DataFrame({"k": pd.Categorical(values)}))
    found = table.to_pandas(where="k <> 'a'")
    assert found["k"].tolist() == ["b", "c", "b"]
    assert found["k"].cat.categories.tolist() == ["a", "b", "c"]


def test_rows_of_a_pandas_index() -> None:
    """Labels that were written come along; those that count rows are counted anew."""
    pd = pytest.importorskip("pandas")
    named = Table(MemoryStorage())
    named.append(pd.DataFrame({"v": [1, 2, 3]}, index=pd.Index(["x", "y", "z"], name="key")))
    assert named.to_pandas(where="v > 1").index.tolist() == ["y", "z"]
    counted = Table(MemoryStorage())
    counted.append(pd.DataFrame({"v": [1, 2, 3]}, index=pd.RangeIndex(10, 13)))
    assert counted.to_pandas(where="v > 1").index.tolist() == [0, 1]


def test_bad_conditions_name_the_table(tables: list[Table]) -> None:
    for where, message in (
        ("idd > 1", "did you mean 'id'"),
        ("id > 'x'", "int64"),
        ("id >", "SQL"),
        (lambda row: row, "condition"),
        ([("id", "~", 1)], "~"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            tables[0].to_arrow(where=where)
        assert caught.value.table


def test_damage_is_found_by_a_filtered_read() -> None:
    storage = MemoryStorage()
    table = Table(storage)
    table.append(rows(0, 40))
    (path,) = (entry.path for entry in storage.list("data"))
    whole = storage._place.objects[path]
    for place in spread(len(whole.data)):
        damaged = bytearray(whole.data)
        damaged[place] ^= 0x10
        storage._place.objects[path] = type(whole)(bytes(damaged), 0.0, "")
        with pytest.raises(DamagedError, match="data/"):
            Table(storage).to_arrow(where="id = 7")


def spread(size: int) -> Iterator[int]:
    yield from range(0, size, max(size // 50, 1))


def test_explaining_a_scan(tables: list[Table]) -> None:
    one_by_one, in_groups = tables[1], tables[3]
    found = one_by_one.scan(["text"], where="id = 30").explain()
    assert (found.files, found.files_skipped) == (1, ROWS // EACH - 1)
    assert (found.rows, found.rows_skipped) == (EACH, ROWS - EACH)
    assert found.columns == ("text", "id")
    found = in_groups.scan(where="id in (8, 50)").explain()
    assert (found.files, found.row_groups, found.row_groups_skipped) == (1, 2, 7)
    assert found.rows == 14
    assert "2 read, 7 skipped" in str(found)
    everything = tables[0].scan().explain()
    assert everything.files_skipped == everything.rows_skipped == everything.bytes_skipped == 0
    assert everything.where is None
    assert Table(MemoryStorage()).append(rows(0, 3).select([])).scan().explain().rows == 3
