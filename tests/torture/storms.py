"""Writers of one table, several at once, killed at random and replaced at once."""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from atio import Table
from atio.errors import OutcomeUnknownError
from atio.storage import LocalStorage
from tests.torture.crash_states_check import Figures, scratch
from tests.torture.scenarios import frame, opened, rows, table_strays

_WRITERS = 4
_LONGEST = 5.0
"""Seconds within which some writer gets on, however busy the machine is."""


@dataclass
class _Writer:
    """A process that appends rows of its own and tells each one that was acknowledged."""

    pid: int
    pipe: int
    told: bytes = b""

    def read(self) -> bool:
        """Take in what it told; False when it has ended."""
        piece = os.read(self.pipe, 1 << 16)
        self.told += piece
        return bool(piece)

    def acknowledged(self) -> list[int]:
        return [json.loads(line) for line in self.told.split(b"\n")[:-1]]


@dataclass
class _Storm:
    """A table, its writers, and what they were told."""

    box: Path
    chance: random.Random
    writers: list[_Writer] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    next: int = 0

    def start(self) -> None:
        """One more writer."""
        out, into = os.pipe()
        self.next += 1000
        pid = os.fork()
        if pid == 0:
            os.close(out)
            _write(self.box, into, self.next)
        os.close(into)
        self.writers.append(_Writer(pid, out))

    def kill_one(self) -> None:
        writer = self.writers.pop(self.chance.randrange(len(self.writers)))
        os.kill(writer.pid, signal.SIGKILL)
        while writer.read():
            pass
        _, status = os.waitpid(writer.pid, 0)
        os.close(writer.pipe)
        self.acknowledged += writer.acknowledged()
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "it had ended before: see its traceback"

    def wait_for_progress(self) -> None:
        """Until somebody is acknowledged something."""
        with selectors.DefaultSelector() as ready:
            for writer in self.writers:
                ready.register(writer.pipe, selectors.EVENT_READ, writer)
            found = ready.select(_LONGEST)
            assert found, "nobody gets on: a dead writer blocks the living"
            for key, _ in found:
                key.data.read()


def _write(box: Path, pipe: int, start: int) -> None:
    """Write for ever, in a child."""
    try:
        table = Table(LocalStorage(box / "t", durable=start % 2000 == 0))
        for number in range(start, start + 1000):
            if number % 7 == 3:
                table.expire(timedelta(0), keep_last=4)
            # Who carried it out was killed, and its version was expired meanwhile.
            with suppress(OutcomeUnknownError):
                table.append(iter([frame(number)]) if number % 5 == 4 else frame(number))
                os.write(pipe, b"%d\n" % number)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def storm(kills: int, seed: int) -> Figures:
    """Kill writers at random moments; check what is there every fifty deaths."""
    figures = Figures()
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        state = _Storm(Path(name), random.Random(seed))
        opened(state.box).append(frame(0))
        for number in range(kills):
            while len(state.writers) < _WRITERS:
                state.start()
            state.wait_for_progress()
            # The moment of death is to be any: this is the attack, not a wait for luck.
            time.sleep(state.chance.random() * 0.01)
            state.kill_one()
            problems: list[str] = []
            if number % 50 == 49 or number == kills - 1:
                while state.writers:
                    state.kill_one()
                try:
                    _check(state)
                except AssertionError as error:
                    problems.append(str(error))
            figures.note(f"death {number + 1} of storm {seed}", problems)
    return figures


def _check(state: _Storm) -> None:
    """Every row that was acknowledged is there, none is there twice, nothing else is left."""
    table = opened(state.box)
    found = Counter(row["id"] for row in rows(table))
    lost = [row for row in state.acknowledged if row not in found]
    assert not lost, f"acknowledged and lost: {lost}"
    double = [row for row, count in found.items() if count > 1]
    assert not double, f"there twice: {double}"
    history = [snapshot.version for snapshot in table.history()]
    assert history == list(range(history[0], history[-1] - 1, -1)), history
    assert history[0] == len(found), f"version {history[0]} has {len(found)} rows"
    report = table.verify()
    assert report.ok, report
    table.vacuum(timedelta(0))
    strays = table_strays(state.box)
    assert not strays, strays
