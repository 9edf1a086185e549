"""Random histories of changed rows by racing processes: serialisable, or loud."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from atio import Table
from atio.storage import LocalStorage, MemoryStorage
from atio.storage.base import Capabilities
from tests.concurrency.changing import ACTIONS, Changer, check, start
from tests.concurrency.histories import Actions, Event
from tests.support.tables import listing, required
from tests.torture.conftest import Figure, torture_figure

__all__ = ["torture_figure"]
FIGURE = "random changes of rows and transactions by racing writers: operations that no order explains"
KINDS = pytest.mark.parametrize("key", [False, True], ids=["no key", "key"])


def processes(pool: Any, path: Path, count: int, seed: int, *, key: bool) -> int:
    start(path, key=key)
    for who, process in enumerate(pool.processes):
        process.start("changing_history", path=str(path), who=who, count=count, seed=seed)
    events = [event for result in pool.results() for event in result]
    table = Table.open(path, durable=False)
    check(table, events)
    table.vacuum(timedelta(0))
    assert listing(LocalStorage(path)) == required(LocalStorage(path))
    return len(events)


@KINDS
def test_processes(pool: Any, tmp_path: Path, key: bool) -> None:
    processes(pool, tmp_path / "t", 12, 1, key=key)


class Lockless(MemoryStorage):
    """As a bucket: nobody can be kept out, so only the swap decides."""

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(super().capabilities, lock=False)

    def handle(self) -> Lockless:
        other = Lockless()
        other._place = self._place
        return other


class Patient(Changer):
    """Keeps what others may need for a while: there is no lock that would make sure of it.

    Only its grace period keeps a vacuum from running writers; and who lost a swap looks for its version.
    """

    @property
    def actions(self) -> Actions:
        kept = {name: action for name, action in ACTIONS.items() if name != "vacuum"}
        return {**kept, "expire": (2, Patient.expire)}

    def expire(self, event: Event) -> None:
        event["forgotten"] = list(self.table.expire(timedelta(0), keep_last=20).versions)


def threads(count: int, seed: int, *, key: bool) -> int:
    storage = Lockless()
    table = start(storage, key=key)
    with ThreadPoolExecutor(4) as pool:
        actors = [Patient(Table(storage.handle()), who, seed) for who in range(4)]
        events = [event for result in pool.map(lambda actor: actor.run(count), actors) for event in result]
    check(table, events)
    table.vacuum(timedelta(0))
    assert listing(storage) == required(storage)
    return len(events)


@KINDS
def test_threads_without_a_lock(key: bool) -> None:
    threads(12, 2, key=key)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(4))
@KINDS
def test_long_histories(pool: Any, tmp_path: Path, seed: int, key: bool, torture_figure: Figure) -> None:
    count = 80
    tried, failed = 6 * count, 1
    try:
        tried, failed = processes(pool, tmp_path / "t", count, seed, key=key), 0
    finally:
        torture_figure(FIGURE, tried, failed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(10, 14))
@KINDS
def test_long_histories_without_a_lock(seed: int, key: bool, torture_figure: Figure) -> None:
    count = 60
    tried, failed = 4 * count, 1
    try:
        tried, failed = threads(count, seed, key=key), 0
    finally:
        torture_figure(FIGURE, tried, failed)


# -- the checker sees what is wrong ----------------------------------------------------------------


def _steps(events: list[Event], *kinds: str) -> list[Event]:
    """Those that made versions, the last one first."""
    found = [e for e in events if "version" in e and "step" in e and e["step"]["do"] in kinds]
    return sorted(found, key=lambda e: -e["version"])


def _lost_update(events: list[Event]) -> None:
    """Two updates saw the same rows: one of them was told so, and is not in the table."""
    step = _steps(events, "update", "upsert")[0]["step"]
    step["do"], step["low"], step["high"] = "delete", 90, 99
    step["told"] = [0, 0, 0]


def _wrong_count(events: list[Event]) -> None:
    _steps(events, "update", "upsert", "delete", "merge")[0]["step"]["told"][1] += 1


def _other_rows(events: list[Event]) -> None:
    next(e for e in events if e.get("rows"))["rows"].pop()


def _twice_in_the_feed(events: list[Event]) -> None:
    event = next(e for e in events if e.get("came"))
    event["came"].append(event["came"][0])


def _read_skew(events: list[Event]) -> None:
    """A transaction that read what was not there when it began."""
    steps = (s for e in events for s in e.get("steps", ()) if s["do"] == "read")
    next(steps)["told"].append([0, -1])


def _left_something(events: list[Event]) -> None:
    """A transaction that said it had nothing to do, and has a version."""
    last = max((e for e in events if "steps" in e and "version" in e), key=lambda e: e["version"])
    del last["version"]


def _nobody_to_blame(events: list[Event]) -> None:
    last = max(events, key=lambda e: e["end"])["end"]
    step = {"do": "delete", "low": 0, "high": 1}
    events.append({"op": "change", "step": step, "start": last + 1, "end": last + 2, "failed": "a conflict"})


def _a_key_that_was_free(events: list[Event]) -> None:
    last = max(events, key=lambda e: e["end"])["end"]
    step = {"do": "append", "rows": [[99, 0]], "told": "exists"}
    events.append({"op": "append", "step": step, "start": last + 1, "end": last + 2})


LIES = [
    _lost_update, _wrong_count, _other_rows, _twice_in_the_feed, _read_skew, _left_something,
    _nobody_to_blame, _a_key_that_was_free,
]  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, list[Event]]:
    """A history that is right."""
    table = start(tmp_path_factory.mktemp("told") / "t", key=True)
    events = Changer(table, 0, 3).run(50)
    check(table, events)
    return table, events


@pytest.mark.parametrize("lie", LIES)
def test_the_checker_sees_what_is_wrong(
    told: tuple[Table, list[Event]], lie: Callable[[list[Event]], None]
) -> None:
    table, events = told[0], deepcopy(told[1])
    lie(events)
    with pytest.raises(AssertionError):
        check(table, events)
