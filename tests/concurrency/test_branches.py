"""Processes append to a table and its branches, which are merged meanwhile: each line has each row once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from atio import Table
from atio.storage import LocalStorage
from tests.support.tables import listing, required

COUNT = 20
BRANCHES = {0: None, 1: "one", 2: "one", 3: "two"}
"""The line that each writer appends to."""


def rows(table: Table) -> Counter[tuple[int, int]]:
    found = table.to_arrow()
    return Counter(zip(found["who"].to_pylist(), found["number"].to_pylist(), strict=True))


def test_merges_beside_writers(pool: Any, tmp_path: Path) -> None:
    path, stop = tmp_path / "t", tmp_path / "stop"
    table = Table.open(path, durable=False)
    table.append(pa.table({"who": [-1, -1], "number": [-1, -1], "half": [0, 1]}))
    branches = {name: table.create_branch(name) for name in ("one", "two")}
    pool.processes[4].start("merge_for_long", path=str(path), stop=str(stop), branches=list(branches))
    pool.processes[5].start("vacuum_for_long", path=str(path), stop=str(stop))
    try:
        for who, branch in BRANCHES.items():
            pool.processes[who].start("append", path=str(path), who=who, count=COUNT, branch=branch)
        told = {who: pool.processes[who].result() for who in BRANCHES}
    finally:
        stop.touch()
        merges = [pool.processes[place].result() for place in (4, 5)][0]
    assert merges
    for name in branches:
        table.merge_branch(name)
    everyone = {(who, number): 2 for who in BRANCHES for number in range(COUNT)}
    assert rows(table) == Counter({**everyone, (-1, -1): 2})
    for name, branch in branches.items():
        own = {key: 2 for key in everyone if BRANCHES[key[0]] == name}
        assert rows(branch) == Counter({**own, (-1, -1): 2})
        numbers = [version for who, made in told.items() if BRANCHES[who] == name for version, _ in made]
        assert sorted(numbers) == list(range(2, 2 + len(numbers)))
        for snapshot in branch.history()[::5]:
            assert snapshot.to_arrow().num_rows == snapshot.rows
    assert table.verify().ok
    for name in branches:
        table.drop_branch(name)
    table.expire(timedelta(0))
    table.vacuum(timedelta(0))
    assert listing(LocalStorage(path)) == required(LocalStorage(path))
