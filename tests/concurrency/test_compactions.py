"""Compactions run beside writers, each other and maintenance: no row is lost, none is there twice."""

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

COUNT = 30
WRITERS = (0, 1, 2)


@pytest.mark.parametrize("merge", [True, False], ids=["merging", "not merging"])
@pytest.mark.parametrize("compactors", [1, 2])
def test_appends_beside_compactions(pool: Any, tmp_path: Path, compactors: int, *, merge: bool) -> None:
    path, stop = tmp_path / "t", tmp_path / "stop"
    table = Table.open(path, durable=False)
    table.append(pa.table({"who": [-1, -1], "number": [-1, -1], "half": [0, 1]}))
    if not merge:
        table.set_properties({"append.merge": "false"})
    others = [("compact_for_long", {"who": who}) for who in range(compactors)]
    others.append(("vacuum_for_long", {}))
    for place, (command, more) in enumerate(others, len(WRITERS)):
        pool.processes[place].start(command, path=str(path), stop=str(stop), **more)
    try:
        for who in WRITERS:
            pool.processes[who].start("append", path=str(path), who=who, count=COUNT)
        told = [pool.processes[who].result() for who in WRITERS]
    finally:
        stop.touch()
        counts = [pool.processes[place].result() for place in range(len(WRITERS), len(WRITERS) + len(others))]
    compactions = sum(done for done, _ in counts[:-1])
    assert compactions
    table = Table.open(path, durable=False)
    assert table.version == 1 + len(WRITERS) * COUNT + compactions
    found = table.to_arrow()
    rows = list(zip(*(found[name].to_pylist() for name in ("who", "number", "half")), strict=True))
    expected = {(who, number, half) for who in WRITERS for number in range(COUNT) for half in (0, 1)}
    assert Counter(rows) == Counter({*expected, (-1, -1, 0), (-1, -1, 1)})
    if compactors == 1:  # which never sorts: rows stand in the order of their versions
        order = {version: (who, number) for who, result in enumerate(told) for version, number in result}
        assert [row[:2] for row in rows[2::2]] == [order[version] for version in sorted(order)]
    for snapshot in table.history()[::7]:
        assert snapshot.to_arrow().num_rows == snapshot.rows
    assert [s.operation for s in table.history()].count("compact") == compactions
    assert table.verify().ok
    table.compact()
    assert len(table.snapshot().files()) == 1
    table.expire(timedelta(0))
    table.vacuum(timedelta(0))
    assert listing(LocalStorage(path)) == required(LocalStorage(path))
