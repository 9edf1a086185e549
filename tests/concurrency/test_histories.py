"""Random histories of threads and processes: what each was told could have happened one by one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from atio import Table
from atio.storage import LocalStorage
from tests.concurrency.histories import Actor, Event, check, start
from tests.support.share import at_most
from tests.support.tables import listing, required
from tests.torture.conftest import Figure, torture_figure

__all__ = ["torture_figure"]
FIGURE = "random histories of racing processes: events that no order explains"


def finish(path: Path, results: list[list[Event]]) -> int:
    table = Table.open(path, durable=False)
    events = [event for result in results for event in result]
    check(table, events)
    table.vacuum(timedelta(0))
    assert listing(LocalStorage(path)) == required(LocalStorage(path))
    return len(events)


def processes(pool: Any, path: Path, count: int, seed: int) -> int:
    start(Table.open(path, durable=False))
    for who, process in enumerate(pool.processes):
        process.start("history", path=str(path), who=who, count=count, seed=seed)
    return finish(path, pool.results())


def test_processes(pool: Any, tmp_path: Path) -> None:
    for seed in range(2):
        processes(pool, tmp_path / str(seed), 15, seed)


@pytest.mark.parametrize("shared", [True, False], ids=["one-object", "an-object-each"])
def test_threads(tmp_path: Path, shared: bool) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    start(table)
    with ThreadPoolExecutor(4) as threads:
        handles = [table if shared else Table.open(tmp_path / "t", durable=False) for _ in range(4)]
        actors = [Actor(handle, who, 1) for who, handle in enumerate(handles)]
        finish(tmp_path / "t", list(threads.map(lambda actor: actor.run(15), actors)))


def _lost(events: list[Event]) -> None:
    """An acknowledged append that is in no table."""
    last = max((e for e in events if e["op"] == "append"), key=lambda e: e["version"])
    last["row"] = [9, 9]


def _twice(events: list[Event]) -> None:
    one, other = [e for e in events if e["op"] == "append"][:2]
    one["version"] = other["version"]


def _other_rows(events: list[Event]) -> None:
    next(e for e in events if e.get("rows"))["rows"].pop()


def _old_read(events: list[Event]) -> None:
    """Somebody looks at the end, and sees the beginning."""
    last = max(events, key=lambda e: e["end"])["end"]
    events.append({"op": "history", "versions": [1], "start": last + 1, "end": last + 2})


def _vanished(events: list[Event]) -> None:
    now = max(e["end"] for e in events)
    retained = max(e["version"] for e in events if "version" in e)
    events.append({"op": "read_old", "of": retained, "start": now, "end": now + 1})


def _out_of_order(events: list[Event]) -> None:
    last = max((e for e in events if e["op"] == "append"), key=lambda e: e["version"])
    last["start"], last["end"] = 0, 1


@pytest.mark.parametrize("lie", [_lost, _twice, _other_rows, _old_read, _vanished, _out_of_order])
def test_the_model_sees_what_is_wrong(tmp_path: Path, lie: Callable[[list[Event]], None]) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    start(table)
    events = Actor(table, 0, 5).run(25)
    check(table, events)
    lie(events)
    with pytest.raises(AssertionError):
        check(table, events)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 108))
def test_long_histories(pool: Any, tmp_path: Path, seed: int, torture_figure: Figure) -> None:
    count = at_most(60)
    tried, failed = 6 * count, 1
    try:
        tried, failed = processes(pool, tmp_path / "t", count, seed), 0
    finally:
        torture_figure(FIGURE, tried, failed)
