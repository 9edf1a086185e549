"""Several processes on one value: nothing lost, nothing torn, and the dead keep nobody waiting."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from atio import store as stores
from atio.errors import LockTimeoutError
from tests.store.worker import whole
from tests.support.share import at_most

LOCK = ".value.json.atio.lock"


def number(path: Path) -> int:
    return json.loads(path.read_text())["n"]


def listing(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


@pytest.mark.parametrize(("command", "durable"), [("increment_blocks", True), ("increment_by_hand", False)])
def test_eight_processes_with_a_lock_lose_nothing(
    forks: Any, path: Path, command: str, durable: bool
) -> None:
    forks.all(8, command, path=str(path), count=100, lock=True, durable=durable)
    assert number(path) == 800
    assert listing(path) == {path.name, LOCK}


def test_compare_and_swap_loses_nothing(forks: Any, path: Path) -> None:
    in_vain = forks.all(8, "increment_until_done", path=str(path), count=100)
    assert number(path) == 800
    assert sum(in_vain) > 0, "they never met: the test tells nothing"


def test_what_was_acknowledged_without_a_lock_is_there(forks: Any, path: Path) -> None:
    acknowledged = forks.all(8, "increment_or_give_up", path=str(path), count=100)
    assert number(path) == sum(acknowledged)
    assert sum(acknowledged) < 800, "they never met: the test tells nothing"


def test_a_polling_reader_sees_whole_values_only(forks: Any, path: Path) -> None:
    """Not missing, not torn: as bytes, and through a store."""
    path.write_text(json.dumps(whole(0)))
    pids = [forks.start("overwrite", path=str(path), count=250) for _ in range(4)]
    polls, seen = 0, set()
    while any(is_alive(pid) for pid in pids):
        value = json.loads(path.read_bytes())
        assert value == whole(value["n"])
        value = stores.open(path).value
        assert value == whole(value["n"])
        seen.add(value["n"])
        polls += 1
    for pid in pids:
        forks.result(pid)
    assert polls > 50
    assert len(seen) > 20


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_lock_dies_with_its_process(forks: Any, path: Path) -> None:
    ready = path.parent / "ready"
    pid = forks.start("hold", path=str(path), ready=str(ready))
    until(ready.exists)
    with pytest.raises(LockTimeoutError, match=str(pid)):
        stores.open(path, default={"n": 0}, lock=True, lock_timeout=0.05).reload()
    with pytest.raises(LockTimeoutError):
        stores.open(path, default={"n": 0}, lock_timeout=0).commit()
    forks.kill(pid)
    with stores.open(path, default={"n": 0}, lock=True, lock_timeout=0) as store:
        store.value["n"] += 1
    assert number(path) == 1


def until(what: Any) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.001)


def attack(forks: Any, path: Path, kills: int, seed: int, **options: Any) -> None:
    """Kill writers at any moment: what they acknowledged is there, or one commit more."""
    chance = random.Random(seed)
    told = path.parent / "told"
    expected = 0
    for _ in range(kills):
        told.write_bytes(b"")
        pid = forks.start("increment_for_ever", path=str(path), acknowledged=str(told), **options)
        wanted = chance.randrange(4)
        until(lambda wanted=wanted: told.read_bytes().count(b"\n") >= wanted)
        time.sleep(chance.random() * 0.004)  # The moment of death is to be any: this is the attack.
        forks.kill(pid)
        acknowledged = [int(line) for line in told.read_bytes().split()]
        assert acknowledged == list(range(expected + 1, expected + 1 + len(acknowledged)))
        expected += len(acknowledged)
        value = json.loads(path.read_bytes()) if path.exists() else whole(0)
        assert value["n"] in (expected, expected + 1)
        if path.exists():
            assert value == whole(value["n"])
        with stores.open(path, default={"n": 0}, lock=True, lock_timeout=1, durable=False) as store:
            expected = store.value["n"] + 1
            store.value = whole(expected)
        assert listing(path) == {path.name, LOCK, told.name}, "leftovers of the dead"


@pytest.mark.parametrize(("lock", "durable"), [(True, True), (True, False), (False, False)])
def test_kills_at_any_moment(forks: Any, path: Path, lock: bool, durable: bool) -> None:
    attack(forks, path, 40, seed=lock * 2 + durable, lock=lock, durable=durable)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [10, 12])
def test_many_kills(forks: Any, path: Path, seed: int) -> None:
    attack(forks, path, at_most(250), seed, lock=seed % 2 == 0, durable=seed % 3 == 0)
