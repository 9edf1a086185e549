"""Victims to be killed, and a disk that is soon full."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import atio
from tests.support.victims import Forks
from tests.torture.mounts import PRIVILEGED, memory_disk


class Victims(Forks):
    """Starts writers, reads what they acknowledge, ends them."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("victim.py"))

    def end_one(
        self, path: Path, first: int, *, after: int, pause: float, how: signal.Signals, **options: Any
    ) -> list[int]:
        """Let one write ``first``, ``first + 1``, … and end it; returns the acknowledged ones."""
        request = {"path": str(path), "first": first, "count": 10_000, "options": options}
        pid, acknowledged = self.start(request, after)
        time.sleep(pause)  # The moment of death is to be any: this is the attack, not a wait for luck.
        os.kill(pid, how)
        while isinstance(line := self.line(), int):
            acknowledged.append(line)
            if how == signal.SIGINT and len(acknowledged) % 10 == 0:
                os.kill(pid, how)  # Python swallows an interrupt that strikes while it collects an object
        ends = (130, -how) if how == signal.SIGINT else (-how,)  # by itself where it strikes twice
        assert line["exit"] in ends
        return acknowledged


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    if not hasattr(os, "fork"):
        pytest.skip("victims are forked")
    made = Victims()
    yield made
    made.end()


def version(path: Path) -> int:
    """The version that a file holds; fails if it is not whole."""
    found = pd.read_csv(path) if path.suffix == ".csv" else atio.read(path)
    numbers, rows = set(found["number"]), set(found["rows"])
    assert len(numbers) == len(rows) == 1, "rows of two versions"
    assert rows == {len(found)}, "rows are missing"
    return int(numbers.pop())


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".atio.tmp")]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 64 KiB."""
    if not PRIVILEGED:
        pytest.skip("needs root on Linux, to mount a small disk")
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(memory_disk(64 << 10, 64))
        except OSError as error:
            pytest.skip(f"no small disk can be mounted: {error}")
        yield folder
        gc.collect()  # what a failed library still holds open would keep the disk busy
