"""A long append in parts: what has landed stays, and the same call goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from atio import Table
from atio.errors import InputError, SchemaError
from atio.storage import MemoryStorage


class PowerCutError(Exception):
    pass


def stream(stop: int, fail_at: int | None = None, size: int = 7) -> Iterator[pa.Table]:
    for start in range(0, stop, size):
        if fail_at is not None and start >= fail_at:
            raise PowerCutError
        yield pa.table({"id": list(range(start, min(start + size, stop)))})


def ids(table: Table) -> list[int]:
    found: list[int] = table.to_arrow()["id"].to_pylist()
    return found


@pytest.mark.parametrize("rows", [1, 3, 7, 10, 44, 45, 46, 1000])
def test_each_part_is_a_version(rows: int) -> None:
    table = Table(MemoryStorage())
    last = table.append(stream(45), checkpoint_rows=rows)
    assert last.version == table.version == -(-45 // rows)
    assert [s.rows for s in reversed(table.history())] == [min(n, 45) for n in range(rows, 45 + rows, rows)]
    assert ids(table) == list(range(45))


def test_what_has_landed_stays_and_the_same_call_goes_on() -> None:
    table = Table(MemoryStorage())
    with pytest.raises(PowerCutError) as caught:
        table.append(stream(100, fail_at=50), checkpoint_rows=20, token="load")
    assert "40 rows are in the table, versions 1 to 2: repeat the call" in caught.value.__notes__[0]
    assert ids(table) == list(range(40))
    for _ in range(2):  # again when all is there: nothing is written
        last = table.append(stream(100), checkpoint_rows=20, token="load")
        assert (last.version, table.version) == (5, 5)
        assert ids(table) == list(range(100))
    assert table.verify().ok
    with pytest.raises(PowerCutError) as caught:
        table.append(stream(100, fail_at=50), checkpoint_rows=20)
    assert "append the rest" in caught.value.__notes__[0]


def test_a_failure_in_the_first_part_leaves_nothing() -> None:
    table = Table(MemoryStorage())
    with pytest.raises(PowerCutError) as caught:
        table.append(stream(100, fail_at=7), checkpoint_rows=20)
    assert not hasattr(caught.value, "__notes__")
    assert not Table.exists(table._objects.storage)


def test_a_frame_in_memory_and_its_labels() -> None:
    pd = pytest.importorskip("pandas")
    table = Table(MemoryStorage())
    frame = pd.DataFrame({"v": range(10)}, index=pd.RangeIndex(100, 120, 2, name="n"))
    assert table.append(frame, checkpoint_rows=4).version == 3
    pd.testing.assert_frame_equal(table.to_pandas(), frame)
    pd.testing.assert_frame_equal(table.snapshot(1).to_pandas(), frame[:4])


def test_nothing_to_append_is_one_version() -> None:
    table = Table(MemoryStorage())
    assert table.append(pa.table({"id": pa.array([], pa.int64())}), checkpoint_rows=5).version == 1
    assert table.to_arrow().num_rows == 0


def test_a_part_that_does_not_fit(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t")
    parts = iter([pa.table({"id": [1, 2]}), pa.table({"id": [3, 4]}), pa.table({"id": ["x"]})])
    with pytest.raises(SchemaError, match="id"):
        table.append(parts, checkpoint_rows=2)
    assert ids(table) == [1, 2, 3, 4]


@pytest.mark.parametrize("rows", [0, -1, 1.5, True])
def test_bad_numbers(rows: int) -> None:
    with pytest.raises(InputError, match="checkpoint_rows"):
        Table(MemoryStorage()).append([{"a": 1}], checkpoint_rows=rows)
    with pytest.raises(InputError, match="expected"):
        Table(MemoryStorage()).append([{"a": 1}], checkpoint_rows=1, expected_version=0)
