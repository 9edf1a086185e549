"""``overwrite(…, partitions=True)``: exactly the partitions that the new rows are of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atio import Table, col
from atio.errors import ConflictError, ExistsError, InputError
from atio.schema.transforms import Transform, encoded
from atio.storage import MemoryStorage
from atio.table import matching
from tests.support.tables import listing, required
from tests.unit.table.test_layout import check_files, rows_of

SCHEMA = pa.schema(
    {
        "id": pa.int32(),
        "at": pa.timestamp("us", "Europe/Berlin"),
        "day": pa.date32(),
        "name": pa.string(),
        "kind": pa.dictionary(pa.int8(), pa.string()),
        "x": pa.float64(),
        "price": pa.decimal128(9, 2),
        "raw": pa.binary(),
        "flag": pa.bool_(),
    }
)
BYS = [
    ["id"],
    ["at"],
    ["kind"],
    ["x"],
    ["price"],
    ["raw"],
    ["flag"],
    ["year(at)"],
    ["month(day)"],
    ["day(at)"],
    ["hour(at)"],
    ["bucket(3, id)"],
    ["bucket(2, name)"],
    ["bucket(2, price)"],
    ["truncate(10, id)"],
    ["truncate(1, name)"],
    ["truncate(100, price)"],
    ["truncate(1, raw)"],
    ["month(at)", "bucket(2, id)"],
    ["flag", "truncate(1, name)", "year(day)"],
    ["bucket(2, id)", "bucket(3, id)"],
]
Row = dict[str, Any]
moments = st.datetimes(dt.datetime(2023, 12, 31), dt.datetime(2024, 2, 2)).map(
    lambda moment: moment.replace(tzinfo=dt.UTC)
)
values: dict[str, st.SearchStrategy[Any]] = {
    "id": st.integers(-25, 25) | st.sampled_from([-(2**31), 2**31 - 1]),
    "at": moments,
    "day": moments.map(lambda moment: moment.date()),
    "name": st.text("abä", max_size=3),
    "kind": st.sampled_from(["red", "green", "blue"]),
    "x": st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf")]),
    "price": st.integers(-300, 300).map(lambda cents: Decimal(cents).scaleb(-2)),
    "raw": st.binary(max_size=2),
    "flag": st.booleans(),
}
lines = st.fixed_dictionaries({name: st.none() | value for name, value in values.items()})
rows = st.lists(lines, max_size=8)


def created(*by: str, merge: bool = True) -> Table:
    chosen = {"append.merge": str(merge).lower()}
    return Table.create(MemoryStorage(), SCHEMA, partition_by=by or None, properties=chosen)


def frame(found: list[Row], table: Table) -> pa.Table:
    return pa.Table.from_pylist(found, table.schema)


def partition(row: Row, table: Table) -> tuple[str, ...]:
    """One row's, by itself."""
    made = []
    for part in table.partitioning:
        found = table.snapshot().schema
        text, _, rest = part.partition("(")
        name = rest.rstrip(")").rpartition(", ")[2] or text
        width = rest.rpartition(", ")[0]
        transform = Transform.parse(f"{text}[{width}]" if width else text if rest else "identity")
        column = pa.chunked_array([pa.array([row[name]], found.field(name).type)])
        made.append(repr(encoded(transform.apply(column))))
    return tuple(made)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_does_what_a_list_of_rows_does(data: st.DataObject) -> None:
    draw = data.draw
    table = created(*draw(st.sampled_from(BYS)), merge=draw(st.booleans()))
    model: list[Row] = []
    steps = ["append", "append", "overwrite", "overwrite", "overwrite", "part", "compact", "delete", "widen"]
    for step in draw(st.lists(st.sampled_from(steps), min_size=2, max_size=8)):
        if step == "append":
            new = draw(rows)
            table.append(frame(new, table))
            model += new
        elif step == "overwrite":
            new = draw(rows)
            if model and draw(st.booleans()):
                new.append(draw(st.sampled_from(model)))
            gone = {partition(row, table) for row in new}
            whole = frame(new, table)
            parts = draw(st.sampled_from([whole, iter([whole.slice(0, 2), whole.slice(2)])]))
            table.overwrite(parts, partitions=True)
            model = [row for row in model if partition(row, table) not in gone] + new
        elif step == "part":
            table.set_partitioning(draw(st.sampled_from(BYS)))
        elif step == "compact":
            table.compact()
        elif step == "delete":
            low = draw(st.integers(-25, 25))
            table.delete(col("id") > low)
            model = [row for row in model if row["id"] is None or row["id"] <= low]
        elif table.schema.field("id").type == pa.int32() and "truncate(10, id)" not in table.partitioning:
            table.widen_column("id", draw(st.sampled_from([pa.int64(), pa.decimal128(15, 2)])))
            table.rename_column("name", "title")
            for row in model:
                row["title"] = row.pop("name")
            break
        assert rows_of(table.to_arrow()) == rows_of(frame(model, table))
        assert len(table.snapshot()) == len(model)
    check_files(table)
    assert table.verify().ok


# -- one at a time ---------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The data files that are looked into."""
    paths: list[str] = []
    original = matching.open_parts

    def counted(storage: Any, file: Any, schema: Any) -> Any:
        paths.append(file.path)
        return original(storage, file, schema)

    monkeypatch.setattr(matching, "open_parts", counted)
    return paths


def days(first: dt.date, count: int, word: str) -> dict[str, list[Any]]:
    return {
        "day": [first + dt.timedelta(days=place) for place in range(count)],
        "name": [word] * count,
        "id": list(range(count)),
    }


def content(table: Table) -> list[tuple[str, str]]:
    found = table.to_arrow(["day", "name"]).to_pylist()
    return sorted((str(row["day"]), row["name"]) for row in found)


def test_partitions_go_whole_and_no_data_file_is_read(opened: list[str]) -> None:
    table = created("month(day)", "bucket(2, id)", merge=False)
    table.append(days(dt.date(2024, 1, 1), 90, "old"))
    before = {file.path for file in table.snapshot().files()}
    new = {"day": [dt.date(2024, 2, 3)] * 4, "name": ["new"] * 4, "id": [0, 1, 2, 3]}
    made = table.overwrite(new, partitions=True)
    assert opened == []
    assert made.operation == "overwrite"
    assert made.rows == 90 - 29 + 4
    after = {file.path for file in made.files()}
    assert len(before - after) == 2
    assert not any(file.deleted for file in made.files())
    diff = table.diff(1, 2)
    assert (diff.rows_removed, diff.rows_added) == (29, 4)


def test_files_of_a_manifest_go_unread_too(opened: list[str]) -> None:
    table = created("day", merge=False)
    table.append(days(dt.date(2024, 1, 1), 40, "old"))
    assert table._state().snapshot.manifests
    table.overwrite(days(dt.date(2024, 1, 3), 2, "new"), partitions=True)
    assert opened == []
    assert [word for _, word in content(table)].count("new") == 2
    assert len(table.snapshot()) == 40


def test_null_is_a_partition() -> None:
    table = created("month(day)")
    table.append({"day": [None, None, dt.date(2024, 1, 1)], "name": ["a", "b", "c"]})
    table.overwrite({"day": [None], "name": ["new"]}, partitions=True)
    assert sorted(table.to_arrow()["name"].to_pylist()) == ["c", "new"]


def test_bounds_tell_of_files_that_were_parted_finer(opened: list[str]) -> None:
    table = created("day", merge=False)
    table.append(days(dt.date(2024, 1, 30), 4, "old"))
    table.set_partitioning("month(day)")
    table.overwrite(days(dt.date(2024, 2, 20), 1, "new"), partitions=True)
    assert opened == []
    assert content(table) == [("2024-01-30", "old"), ("2024-01-31", "old"), ("2024-02-20", "new")]


def test_rows_of_files_that_were_parted_coarser_are_marked(opened: list[str]) -> None:
    table = created("month(day)", merge=False)
    table.append(days(dt.date(2024, 1, 30), 4, "old"))
    table.set_partitioning("day")
    table.overwrite(days(dt.date(2024, 2, 1), 1, "new"), partitions=True)
    assert len(opened) == 1  # that of February
    assert [file.deleted is not None for file in table.snapshot().files()] == [False, True, False]
    assert content(table) == [
        ("2024-01-30", "old"), ("2024-01-31", "old"), ("2024-02-01", "new"), ("2024-02-02", "old"),
    ]  # fmt: skip


def test_pairs_of_values_are_not_their_product() -> None:
    table = created()
    table.append({"kind": ["red", "red", "blue", "blue"], "flag": [True, False] * 2, "id": [1, 2, 3, 4]})
    table.set_partitioning(["kind", "flag"])
    table.overwrite({"kind": ["red", "blue"], "flag": [True, False], "id": [10, 40]}, partitions=True)
    assert sorted(table.to_arrow()["id"].to_pylist()) == [2, 3, 10, 40]


def test_nothing_replaces_nothing(opened: list[str]) -> None:
    table = created("bucket(2, id)")
    table.append({"id": [1, 2]})
    table.set_partitioning("month(at)")
    assert table.overwrite(frame([], table), partitions=True).rows == 2
    assert opened == []


def test_the_table_needs_partitions() -> None:
    table = created()
    table.append({"id": [1]})
    before = listing(table._objects.storage)
    with pytest.raises(InputError, match="no partitions to replace"):
        table.overwrite({"id": [1]}, partitions=True)
    with pytest.raises(InputError, match="both say"):
        table.overwrite({"id": [1]}, "id = 1", partitions=True)
    assert listing(table._objects.storage) == before


def test_with_a_token_it_is_done_once() -> None:
    table = created("bucket(2, id)")
    table.append({"id": [1]})
    for _ in range(2):
        assert table.overwrite({"id": [1], "name": ["once"]}, partitions=True, token="job").version == 2
    storage = table._objects.storage
    assert table.to_arrow()["name"].to_pylist() == ["once"]
    table.expire(dt.timedelta(0))
    table.vacuum(dt.timedelta(0))
    assert listing(storage) == required(storage)


def test_keys_of_other_partitions_are_heeded() -> None:
    table = Table.create(MemoryStorage(), SCHEMA, key="id", partition_by="flag")
    table.append({"id": [1, 2], "flag": [True, False]})
    table.overwrite({"id": [1, 3], "flag": [True, True]}, partitions=True)
    with pytest.raises(ExistsError, match="such as 2"):
        table.overwrite({"id": [2], "flag": [True]}, partitions=True)
    assert sorted(table.to_arrow()["id"].to_pylist()) == [1, 2, 3]
    kinds = [row["_change_type"] for row in pa.table(table.changes(1)).to_pylist()]
    assert sorted(kinds) == ["insert", "update_postimage", "update_preimage"]


def test_the_change_feed_tells_what_went_and_came() -> None:
    table = created("kind")
    table.append({"kind": ["red", "blue"], "id": [1, 2]})
    table.overwrite({"kind": ["red"], "id": [3]}, partitions=True)
    found = pa.table(table.changes(1)).to_pylist()
    assert [(row["_change_type"], row["id"]) for row in found] == [("delete", 1), ("insert", 3)]


# -- beside others ---------------------------------------------------------------------------------


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Do something else once between staging and the commit."""
    from atio.table import changing

    original, actions = changing.Changer._request, list[Any]()

    def request(changer: Any, *given: Any, **more: Any) -> Any:
        if actions:
            actions.pop()()
        return original(changer, *given, **more)

    monkeypatch.setattr(changing.Changer, "_request", request)
    yield actions.append
    assert not actions


def test_rows_that_come_meanwhile_go_as_well(meanwhile: Callable[[Any], None]) -> None:
    table = created("kind")
    table.append({"kind": ["red", "blue"], "id": [1, 2]})
    other = Table(table._objects.storage.handle())  # type: ignore[attr-defined]
    meanwhile(lambda: other.append({"kind": ["red", "green"], "id": [5, 6]}))
    table.overwrite({"kind": ["red"], "id": [3]}, partitions=True)
    assert sorted(table.to_arrow()["id"].to_pylist()) == [2, 3, 6]


@pytest.mark.parametrize("change", ["parts", "type"])
def test_other_partitions_meanwhile_are_a_conflict(meanwhile: Callable[[Any], None], change: str) -> None:
    table = created("id")
    table.append({"id": [1, 2]})
    other = Table(table._objects.storage.handle())  # type: ignore[attr-defined]
    if change == "parts":
        meanwhile(lambda: other.set_partitioning("kind"))
    else:
        meanwhile(lambda: other.widen_column("id", pa.decimal128(12, 2)))
    with pytest.raises(ConflictError, match="partitions"):
        table.overwrite({"id": [1]}, partitions=True)
    assert sorted(table.to_arrow()["id"].to_pylist()) == [1, 2]
    table.vacuum(dt.timedelta(0), dry_run=True)


def test_in_a_transaction_it_sees_what_came_before() -> None:
    table = created("kind")
    table.append({"kind": ["red", "blue"], "id": [1, 2]})
    other = Table(table._objects.storage.handle())  # type: ignore[attr-defined]
    with table.transaction() as tx:
        tx.append({"kind": ["red", "green"], "id": [3, 4]})
        tx.overwrite({"kind": ["red"], "id": [5]}, partitions=True)
        assert sorted(tx.to_arrow()["id"].to_pylist()) == [2, 4, 5]
        other.append({"kind": ["red"], "id": [6]})
    assert sorted(table.to_arrow()["id"].to_pylist()) == [2, 4, 5]
