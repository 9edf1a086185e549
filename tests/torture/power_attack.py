"""Cuts the power under a writer, and looks what is left."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers_env import ROOT
from tests.torture.mounts import sync
from tests.torture.power import MODES, Disk


@dataclass
class Tally:
    """What became of some cuts."""

    cuts: int = 0
    unreadable: int = 0
    acknowledged: int = 0
    lost: int = 0
    first: str = ""
    """The first thing that went wrong, for messages."""

    def note(self, what: str) -> None:
        self.first = self.first or what


class Nursery:
    """Forks writers and readers of one subject (power_writers.py)."""

    def __init__(self, subject: str, python: Path | str = sys.executable) -> None:
        self._parent = subprocess.Popen(
            [python, "-m", "tests.torture.power_writers", subject], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _ask(self, task: str, folder: Path) -> int:
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps([task, str(folder)]).encode() + b"\n")
        self._parent.stdin.flush()
        return int(self._line()["pid"])

    def _line(self) -> Any:
        assert self._parent.stdout is not None
        return json.loads(self._parent.stdout.readline())

    def write_and_cut(
        self, disk: Disk, folder: Path, mode: str, chance: random.Random, *, settled: int
    ) -> int:
        """Cut the power at some moment of, or right after, a commit; returns how many were acknowledged.

        What was acknowledged up to number ``settled`` is synced by others, as time does.
        """
        pid = self._ask("write", folder)
        count = 0
        lap, last = 0.0, time.perf_counter()
        goal = settled + chance.randrange(2, 6)  # Two at least: the first one's time is that of imports.
        while count < goal:
            answer = self._line()
            assert isinstance(answer, int), answer
            now = time.perf_counter()
            lap, last = now - last, now
            count += 1
            if count == settled:
                sync(disk.root)
        if chance.random() < 0.7:
            time.sleep(chance.random() * lap)  # The moment is to be any: this is the attack.
        disk.cut(mode)
        with suppress(ProcessLookupError):  # It may have died of its failing disk.
            os.kill(pid, signal.SIGKILL)
        while not (isinstance(answer := self._line(), dict) and "end" in answer):
            count += isinstance(answer, int)
        return count

    def read(self, folder: Path) -> list[int] | str:
        """The numbers that are there, or why nobody can tell."""
        self._ask("read", folder)
        found: list[int] | str = "the reader died"
        while "end" not in (answer := self._line()):
            found = answer.get("found", answer.get("error"))
        return found

    def end(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(timeout=300)  # a busy machine takes its time
        self._parent.stdout.close()


@contextmanager
def nursery(subject: str, python: Path | str = sys.executable) -> Iterator[Nursery]:
    made = Nursery(subject, python)
    try:
        yield made
    finally:
        made.end()


def attack(disk: Disk, subject: Nursery, cuts: int, seed: int, *, settled: int = 0) -> Tally:
    """So many cuts, each while a new folder is written, the modes in turn."""
    chance = random.Random(seed)
    tally = Tally()
    for turn in range(cuts):
        folder = disk.root / f"cut{turn}"
        mode = list(MODES)[turn % len(MODES)]
        told = subject.write_and_cut(disk, folder, mode, chance, settled=settled)
        disk.restart()
        found = subject.read(folder)
        shutil.rmtree(folder, ignore_errors=True)
        tally.cuts += 1
        tally.acknowledged += told - settled
        if isinstance(found, str):
            tally.unreadable += 1
            tally.note(f"cut {turn} ({mode}): {found}")
            continue
        lost = set(range(told)) - set(found)
        tally.lost += len(lost)
        if lost:
            tally.note(f"cut {turn} ({mode}): {sorted(lost)} of {told} are lost")
    return tally
