"""Processes change rows beside each other, appends and compactions: as if one after the other."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atio import Table
from atio.storage import LocalStorage
from tests.support.tables import listing, required

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 12
WRITERS = (0, 1, 2)


@contextmanager
def compacting(pool: Any, path: Path, stop: Path) -> Iterator[None]:
    """Compactions and vacuums run meanwhile."""
    pool.processes[4].start("compact_for_long", path=str(path), stop=str(stop), who=0)
    pool.processes[5].start("vacuum_for_long", path=str(path), stop=str(stop))
    try:
        yield
    finally:
        stop.touch()
        for place in (4, 5):
            pool.processes[place].result()


def run(pool: Any, command: str, path: Path, count: int) -> list[Any]:
    for who in WRITERS:
        pool.processes[who].start(command, path=str(path), who=who, count=count)
    return [pool.processes[who].result() for who in WRITERS]


def whole(path: Path) -> Table:
    table = Table.open(path, durable=False)
    for snapshot in table.history()[::5]:
        assert snapshot.to_arrow().num_rows == snapshot.rows
    assert table.verify().ok
    table.compact()
    rows = table.to_arrow().num_rows
    table.expire(timedelta(0))
    table.vacuum(timedelta(0))
    assert listing(LocalStorage(path)) == required(LocalStorage(path))
    assert table.to_arrow().num_rows == rows
    return table


def test_racing_upserts_of_new_keys_leave_one_row_each(pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "t"
    Table.create(path, pa.schema({"key": pa.int64(), "who": pa.int64()}), durable=False)
    with compacting(pool, path, tmp_path / "stop"):
        inserted = run(pool, "upserts", path, COUNT)
    keys = Table.open(path).to_arrow()["key"].to_pylist()
    assert Counter(keys) == Counter(range(COUNT + 1))
    assert sum(inserted) == COUNT + 1
    whole(path)


def test_no_update_is_lost(pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "t"
    Table.open(path, durable=False).append({"id": [0, 1, 2, 3], "n": [0, 0, 0, 0]})
    with compacting(pool, path, tmp_path / "stop"):
        updated = run(pool, "increments", path, COUNT)
    found = Table.open(path).to_arrow()
    numbers = dict(zip(found["id"].to_pylist(), found["n"].to_pylist(), strict=True))
    assert numbers == {0: 3 * COUNT, 1: COUNT, 2: COUNT, 3: 0}
    assert sum(updated) == sum(numbers.values())
    whole(path)


def test_a_key_is_given_once(pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "t"
    Table.create(path, pa.schema({"key": pa.int64(), "who": pa.int64()}), key="key", durable=False)
    with compacting(pool, path, tmp_path / "stop"):
        run(pool, "keyed", path, 2 * COUNT)
    table = whole(path)
    assert sorted(table.to_arrow()["key"].to_pylist()) == list(range(2 * COUNT))
    assert table.get(COUNT) is not None


def test_transactions_move_and_lose_nothing(pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "t"
    Table.open(path, durable=False).append({"id": [0, 1, 2, 3], "n": [100] * 4})
    run(pool, "transfers", path, COUNT)
    table = whole(path)
    found = table.to_arrow()
    assert sorted(found["id"].to_pylist()) == [0, 1, 2, 3]
    assert sum(found["n"].to_pylist()) == 400


def test_rows_are_deleted_once(pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "t"
    Table.create(path, pa.schema({"who": pa.int64(), "number": pa.int64()}), durable=False)
    with compacting(pool, path, tmp_path / "stop"):
        gone = run(pool, "deletes", path, COUNT)
    found = Table.open(path).to_arrow()
    left = Counter(zip(found["who"].to_pylist(), found["number"].to_pylist(), strict=True))
    assert left == Counter((who, number) for who in WRITERS for number in range(7, COUNT * 4, 8))
    assert sum(gone) == len(WRITERS) * COUNT * 4 - sum(left.values())
    whole(path)
