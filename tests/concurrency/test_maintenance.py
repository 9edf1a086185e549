"""Maintenance runs beside writers and readers, who notice nothing of it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atio import Table
from atio.storage import LocalStorage
from tests.support.tables import listing, required


def prepared(path: Path) -> Table:
    table = Table.open(path, durable=False)
    table.append(pa.table({"who": [-1, -1], "number": [-1, -1], "half": [0, 1]}))
    table.tag("keep")
    return table


def run(pool: Any, path: Path, stop: Path, first: tuple[str, dict[str, Any]], others: list[str]) -> list[Any]:
    """Run one command to its end while the others loop; returns all results."""
    arguments = {"path": str(path), "stop": str(stop)}
    for who, command in enumerate(others, 1):
        extra = {"who": who} if command == "tag_for_long" else {}
        pool.processes[who].start(command, **arguments, **extra)
    try:
        pool.processes[0].start(first[0], path=str(path), **first[1])
        result = pool.processes[0].result()
    finally:
        stop.touch()
        rest = [pool.processes[who].result() for who in range(1, len(others) + 1)]
    return [result, *rest]


def finished(path: Path) -> Table:
    """The table is whole, and cleaning up leaves exactly what it needs."""
    table = Table.open(path, durable=False)
    report = table.verify()
    assert report.ok, report
    table.vacuum(timedelta(0))
    assert listing(LocalStorage(path)) == required(LocalStorage(path))
    assert table.snapshot("keep").to_arrow().num_rows == 2
    return table


COMBINATIONS = {
    "expire and vacuum": ["expire_for_long", "vacuum_for_long"],
    "two expire": ["expire_for_long", "expire_for_long"],
    "readers": ["expire_for_long", "vacuum_for_long", "read_for_long", "read_for_long"],
    "tags": ["expire_for_long", "vacuum_for_long", "tag_for_long", "tag_for_long"],
}


@pytest.mark.parametrize("others", COMBINATIONS.values(), ids=COMBINATIONS)
def test_appends_beside_maintenance(pool: Any, tmp_path: Path, others: list[str]) -> None:
    path = tmp_path / "t"
    prepared(path)
    results = run(pool, path, tmp_path / "stop", ("append", {"who": 7, "count": 60}), others)
    assert [version for version, _ in results[0]] == list(range(2, 62))
    assert all(results[1:]), "something never had its turn"
    found = finished(path).to_arrow()
    keys = Counter(zip(*(found[name].to_pylist() for name in ("number", "half")), strict=True))
    assert keys == Counter((number, half) for number in range(-1, 60) for half in (0, 1))


def test_restores_beside_maintenance(pool: Any, tmp_path: Path) -> None:
    """A restored version shares the files of an old one, which expiring others must spare."""
    path = tmp_path / "t"
    prepared(path)
    others = ["expire_for_long", "vacuum_for_long", "restore_for_long", "read_for_long"]
    run(pool, path, tmp_path / "stop", ("append", {"who": 7, "count": 40}), others)
    table = finished(path)
    assert table.snapshot().rows % 2 == 0
    assert table.version > 41
