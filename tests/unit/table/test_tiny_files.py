"""Many tiny data files are read together: the same rows as one by one, the same errors."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio import Table, col
from atio.errors import DamagedError
from atio.formats import get_format
from atio.formats.compare import difference
from atio.model.snapshot import DataFile
from atio.storage import MemoryStorage
from atio.table import scan as scans

FORMATS = ["parquet", "arrow", "csv", "jsonl", "orc"]


def unmerged(**properties: str) -> Table:
    table = Table(MemoryStorage())
    table._writer.create(None, {"append.merge": "false", **properties})
    return table


def some(start: int, count: int) -> pa.Table:
    ids = range(start, start + count)
    texts = [None if i % 3 else f"t{i}" for i in ids]
    return pa.table({"id": pa.array(ids, pa.int64()), "t": pa.array(texts, pa.string())})


def one_by_one(monkeypatch: pytest.MonkeyPatch, table: Table, **kwargs: Any) -> pa.Table:
    with monkeypatch.context() as patch:
        patch.setattr(scans, "_TINY", 0)
        return table.to_arrow(**kwargs)


@pytest.mark.parametrize("format", FORMATS)
def test_together_is_one_by_one(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = unmerged(format=format)
    for i in range(20):
        table.append(some(10 * i, 10))
    table.delete(col("id") == 55)
    table.rename_column("t", "text")
    table.add_column("more", pa.float64())
    for i in range(20, 25):
        table.append(some(10 * i, 10).rename_columns(["id", "text"]))
    for columns in (None, ["text"], ["more", "id"], []):
        wanted = one_by_one(monkeypatch, table, columns=columns)
        assert difference(table.to_arrow(columns), wanted) is None
        assert wanted.num_rows == 249
    assert table.to_arrow(["id"])["id"].to_pylist() == [i for i in range(250) if i != 55]


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.sampled_from([1, 2, 5, 300]), min_size=1, max_size=12),
    limit=st.one_of(st.none(), st.integers(0, 700)),
    rows=st.integers(1, 400),
    together=st.integers(1, 5),
    tiny=st.sampled_from([0, 2000, 10**6]),
)
def test_any_run_of_files_under_any_limit(
    counts: list[int], limit: int | None, rows: int, together: int, tiny: int
) -> None:
    table = unmerged()
    starts = [sum(counts[:i]) for i in range(len(counts) + 1)]
    for start, end in pairwise(starts):
        table.append(some(start, end - start))
    wanted = some(0, starts[-1] if limit is None else min(limit, starts[-1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, "_TOGETHER", together)
        patch.setattr(scans, "_TINY", tiny)
        assert table.to_arrow(limit=limit).equals(wanted)
        batches = list(table.snapshot().scan(limit=limit).to_batches(rows))
    assert all(0 < batch.num_rows <= rows for batch in batches)
    assert pa.Table.from_batches(batches, wanted.schema).equals(wanted)


def test_a_run_is_bounded() -> None:
    def file(rows: int, **more: Any) -> DataFile:
        return DataFile(path="data/x.parquet", size=100, hash="0" * 16, rows=rows, **more)

    most = scans.BATCH_ROWS
    files = [file(most), file(1), file(most - 1), file(1), *[file(1)] * (2 * scans._TOGETHER)]
    runs = list(scans._runs(files))
    assert [one for run in runs for one in run] == files
    assert all(sum(one.rows for one in run) <= most and len(run) <= scans._TOGETHER for run in runs)
    assert [len(run) for run in runs[:3]] == [1, 2, scans._TOGETHER]
    others = [file(1), file(1, schema_id=2), file(1, format="arrow"), file(1).replace(size=scans._TINY + 1)]
    assert [len(run) for run in scans._runs([*others, *others[::-1]])] == [1, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_the_damaged_one_is_named(damage: str) -> None:
    table = unmerged()
    for i in range(30):
        table.append(some(i, 1))
    storage = table._objects.storage
    path = list(table.snapshot().files())[17].path
    data = bytearray(storage.read(path))
    storage.delete([path])
    if damage != "gone":
        data[len(data) // 2] ^= 1
        storage.create(path, bytes(data[:-1] if damage == "cut" else data))
    for read in (table.to_arrow, lambda: list(table.snapshot().to_batches())):
        with pytest.raises(DamagedError) as caught:
            read()
        assert caught.value.file == path


def test_what_cannot_be_decoded_together_is_decoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    table = unmerged()
    for i in range(30):
        table.append(some(i, 1))
    calls = []

    def fails(*args: Any) -> pa.Table:
        calls.append(args)
        raise DamagedError("somewhere")

    monkeypatch.setattr(get_format("parquet"), "read_each", fails)
    assert table.to_arrow().equals(some(0, 30))
    assert calls
    monkeypatch.setattr(get_format("parquet"), "read_each", lambda *_: some(0, 29))
    assert table.to_arrow().equals(some(0, 30))
