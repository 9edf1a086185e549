"""Two of very many columns are read without work on the others: counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atio import Table, col
from atio.formats.base import Parts
from atio.formats.parquet.read import FileParts
from atio.table import planning
from tests.support.reads import noted

COLUMNS = 3_000
ROWS = 800


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """3,000 columns and a nested one, in a file of 20 MB."""
    columns: dict[str, Any] = {
        f"c{i}": pa.array([(i * 7919 + k * 104729) % 2**61 for k in range(ROWS)]) for i in range(COLUMNS)
    }
    columns["n"] = pa.array([{"a": k, "b": {"c": k, "d": "x" * 50}} for k in range(ROWS)])
    table = Table.open(tmp_path_factory.mktemp("wide") / "t", durable=False)
    table.append(pa.table(columns))
    return table


def bytes_read() -> int:
    line = next(line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar"))
    return int(line.split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts what a process reads")
@pytest.mark.parametrize("where", [None, col("c7") > 40_000_000], ids=["all", "some"])
def test_only_the_footer_and_the_columns_are_read(wide: Table, where: Any) -> None:
    (file,) = wide.snapshot().files()
    assert file.footer is not None
    assert file.size > 15 * 2**20
    reader = Table.open(wide.url)
    reader.schema  # noqa: B018 metadata in memory
    before = bytes_read()
    found = reader.to_arrow(["c7", "c2990"], where=where)
    read = bytes_read() - before
    assert found.schema.names == ["c7", "c2990"]
    assert 0 < found.num_rows <= ROWS
    blocks = 4 * 2**18  # each of the two chunks lies in two blocks of hashes at most
    assert read < 3 * file.footer.size + blocks + 2**18


def test_planning_looks_at_the_columns_of_the_condition_only(
    wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    leaf_type, stats = planning._leaf_type, FileParts.stats

    def counted(schema: pa.Schema, path: Any) -> pa.DataType:
        asked.append(path)
        return leaf_type(schema, path)

    def counted_stats(parts: Parts, path: Any) -> Any:
        asked.append(path)
        return stats(parts, path)  # type: ignore[arg-type]

    monkeypatch.setattr(planning, "_leaf_type", counted)
    monkeypatch.setattr(FileParts, "stats", counted_stats)
    assert wide.to_arrow(["c5"], where=(col("c7") < 1_000_000) & (col("n", "a") < 10)).num_rows < 11
    assert set(asked) == {("c7",), ("n", "a")}
    assert len(asked) < 40


def test_a_condition_on_a_part_reads_its_column_alone(wide: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    read = noted(monkeypatch)
    found = wide.to_arrow(["c1"], where=col("n", "b", "c") == 17)
    assert found.num_rows == 1
    assert sorted(name for columns, _ in read for name in columns) == ["c1", "n"]


def test_a_long_footer_is_vouched_for(wide: Table) -> None:
    (file,) = wide.snapshot().files()
    assert file.footer is not None
    assert file.footer.size > 500_000


@pytest.fixture(scope="module", autouse=True)
def _released() -> Iterator[None]:
    yield
    pa.default_memory_pool().release_unused()
