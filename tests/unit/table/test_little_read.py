"""What a small upsert reads of a large table: key columns, of the files that may have such keys."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from atio import Table
from atio.commit.build import Request
from atio.commit.changes import AddFiles
from atio.commit.state import load_state
from atio.metadata.objects import Objects
from atio.model.base import new_id
from atio.model.snapshot import DataFile
from atio.storage import MemoryStorage
from atio.storage.base import Capabilities

WIDTH = 500
SCHEMA = pa.schema({"id": pa.int64(), "payload": pa.binary(WIDTH)})
IN_A_FILE = 1_000_000
FILES = 1_000
ROUND = 2**18
"""Bytes that a read of a bucket is rounded up to: the one of the footer, and that of the keys."""


class Counting(MemoryStorage):
    """Knows what was read of data files, in parts, as of a bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.read_of: dict[str, int] = {}

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(super().capabilities, parallel=True)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        data = super().read(path, offset, length)
        if path.startswith("data/"):
            self.read_of[path] = self.read_of.get(path, 0) + len(data)
        return data


def rows(ids: Sequence[int]) -> pa.Table:
    data = pa.py_buffer(np.random.default_rng(7).bytes(len(ids) * WIDTH))
    payload = pa.FixedSizeBinaryArray.from_buffers(pa.binary(WIDTH), len(ids), [None, data])
    return pa.table({"id": pa.array(ids, pa.int64()), "payload": payload})


def key_bytes(storage: MemoryStorage, file: DataFile) -> int:
    """Bytes of the column ``id`` in a file."""
    found = parquet.ParquetFile(pa.py_buffer(storage.read(file.path))).metadata
    return sum(found.row_group(g).column(0).total_compressed_size for g in range(found.num_row_groups))


@pytest.fixture
def billion() -> tuple[Counting, Table, list[DataFile]]:
    """A thousand files of a million rows, as far as metadata go: five of them are there, with fewer rows."""
    storage = Counting()
    table = Table.create(storage, SCHEMA, properties={"append.merge": "false"})
    there = []
    for place in (0, 250, 500, 750, 999):
        table.append(rows(range(place * IN_A_FILE, (place + 1) * IN_A_FILE, 100)))
        there.append(list(table.snapshot().files())[-1])
    known = {line[1] // IN_A_FILE for file in there for line in file.stats[:1]}
    forged = tuple(
        there[0].replace(
            path=f"data/{new_id()}.parquet",
            rows=IN_A_FILE,
            stats=((there[0].stats[0][0], place * IN_A_FILE, (place + 1) * IN_A_FILE - 1, 0),),
        )
        for place in range(FILES)
        if place not in known
    )
    state = load_state(Objects(storage))
    assert state is not None
    table._writer.committer.commit(Request("append", (AddFiles(forged, state.schema),)))
    assert table.snapshot().rows > 0.99e9
    storage.read_of.clear()
    return storage, table, there


@pytest.mark.parametrize("spread", [1, 5])
def test_files_that_cannot_have_the_keys_are_not_opened(
    billion: tuple[Counting, Table, list[DataFile]], spread: int
) -> None:
    """They are not even there."""
    storage, table, there = billion
    candidates = there[-spread:]
    each = 1000 // spread
    ids = [file.stats[0][1] + 50 * place for file in candidates for place in range(each)]
    ids.sort()
    done = table.upsert(rows(ids), on="id")
    assert (done.updated, done.inserted) == (500, 500)
    assert set(storage.read_of) == {file.path for file in candidates}
    for file in candidates:
        assert storage.read_of[file.path] <= key_bytes(storage, file) + 2 * ROUND < file.size
    assert table.snapshot().rows == sum(f.live for f in table.snapshot().files())


def test_of_a_real_table_the_keys_of_one_file_are_read() -> None:
    """A small one of the same shape: 200,000 rows of 100 MB in 20 files, 1,000 of them replaced."""
    storage = Counting()
    table = Table.create(storage, SCHEMA, properties={"append.merge": "false"})
    for place in range(20):
        table.append(rows(range(place * 20_000, (place + 1) * 20_000, 2)))
    before = {file.path: file for file in table.snapshot().files()}
    whole = table.snapshot().bytes
    storage.read_of.clear()
    done = table.upsert(rows(range(200_000, 202_000, 2)), on="id")
    assert (done.updated, done.inserted) == (1000, 0)
    ((path, read),) = storage.read_of.items()
    assert read <= key_bytes(storage, before[path]) + 2 * ROUND < whole / 150
    assert len(table.snapshot()) == 200_000
