"""Writers are killed at any moment; what they had acknowledged is there, whole, and nobody waits for them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from atio import Table
from atio.storage import LocalStorage
from tests.crash.victim import frame, operation
from tests.support.share import at_most
from tests.support.tables import listing, required
from tests.support.victims import Forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="victims are forked")


class Victims(Forks):
    """Starts a writer, reads what it acknowledges, kills it."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("victim.py"))

    def kill_one(
        self, path: Path, turn: int, after: int, pause: float, *, durable: bool,
        strike: Callable[[], object] | None = None,
    ) -> list[list[Any]]:  # fmt: skip
        """Kill a writer ``pause`` seconds after its acknowledgement number ``after``; returns all of them.

        ``strike`` is called right before: another way to die.
        """
        pid, acknowledged = self.start([str(path), turn, durable], after)
        time.sleep(pause)  # The moment of death is to be any: this is the attack, not a wait for luck.
        if strike is not None:
            strike()
        with suppress(ProcessLookupError):  # What struck it may have made it end by itself.
            os.kill(pid, signal.SIGKILL)
        while isinstance(line := self.line(), list):
            acknowledged.append(line)
        assert line["signal"] == -signal.SIGKILL or strike is not None
        return acknowledged


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    made = Victims()
    yield made
    made.end()


class Expected:
    """The rows of every version, by what was acknowledged."""

    def __init__(self) -> None:
        self.rows: list[list[tuple[int, int, int]]] = [[]]

    @property
    def version(self) -> int:
        return len(self.rows) - 1

    def add(self, operation: str, turn: int, number: int) -> None:
        if operation == "compact":
            self.rows.append(sorted(self.rows[-1]))
            return
        if operation == "update":
            changed = [(turn, number, 1) for row in self.rows[-1] if row[2] == 1]
            self.rows.append([row for row in self.rows[-1] if row[2] != 1] + changed)
            return
        new = [(turn, number, part) for part in range(3)]
        self.rows.append(new if operation == "overwrite" else self.rows[-1] + new)


def rows(snapshot: Any) -> list[tuple[int, int, int]]:
    found = snapshot.to_arrow()
    return list(zip(*(found[name].to_pylist() for name in ("turn", "number", "part")), strict=True))


def attack(victims: Victims, path: Path, kills: int, seed: int, *, durable: bool) -> None:
    chance = random.Random(seed)
    expected = Expected()
    for turn in range(kills):
        told = victims.kill_one(path, turn, chance.randrange(4), chance.random() * 0.012, durable=durable)
        for version, done, *row in told:
            assert version == expected.version + 1
            expected.add(done, *row)
        if not Table.exists(path):
            assert not told
            continue
        check(path, expected, turn, len(told), durable=durable)


def check(path: Path, expected: Expected, turn: int, number: int, *, durable: bool) -> None:
    table = Table(LocalStorage(path, durable=durable, lock_timeout=1.0))  # a dead writer's lock is free
    if table.version == expected.version + 1:
        # Landed, and killed before it could tell: all of it is there.
        expected.add(operation(number), turn, number)
    history = [s.version for s in table.history()]
    assert history == list(range(expected.version, expected.version - len(history), -1))
    assert len(history) >= min(4, expected.version)
    for version in history:
        assert rows(table.snapshot(version)) == expected.rows[version]
    report = table.verify()
    assert report.ok, report
    made = table.append(frame(turn, -1))
    expected.add("append", turn, -1)
    assert made.version == expected.version
    assert rows(made) == expected.rows[-1]
    if len(history) > 12:  # What is checked after each kill stays small.
        table.expire(timedelta(0), keep_last=6)
    table.vacuum(timedelta(0))
    assert listing(LocalStorage(path)) == required(LocalStorage(path))


def test_kills_at_any_moment(victims: Victims, tmp_path: Path) -> None:
    attack(victims, tmp_path / "t", 120, seed=1, durable=False)


def test_kills_between_syncs(victims: Victims, tmp_path: Path) -> None:
    """The same with durable writes, which die in other places."""
    attack(victims, tmp_path / "t", 40, seed=2, durable=True)


def test_kills_of_the_first_write(victims: Victims, tmp_path: Path) -> None:
    """A table is there, or it is not; the next writer does not care."""
    chance = random.Random(3)
    for turn in range(20):
        path = tmp_path / f"t{turn}"
        told = victims.kill_one(path, turn, 0, chance.random() * 0.01, durable=True)
        expected = Expected()
        for _, done, *row in told:
            expected.add(done, *row)
        if Table.exists(path):
            check(path, expected, turn, len(told), durable=False)
        else:
            assert not told
            assert Table.open(path, durable=False).append(frame(0, 0)).version == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [10, 11])
def test_many_kills(victims: Victims, tmp_path: Path, seed: int) -> None:
    attack(victims, tmp_path / "t", at_most(150), seed, durable=seed % 2 == 0)
