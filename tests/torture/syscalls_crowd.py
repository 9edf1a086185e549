"""Writers who wait have their appends committed by the holder of the lock: each of both is attacked.

What a writer was told must be so: its row is there once if it was told success, not at all if it was told
failure; never twice.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from atio import Table
from atio.errors import AtioError, OutcomeUnknownError
from atio.storage import LocalStorage
from tests.torture.crash_states_check import Figures
from tests.torture.scenarios import SCENARIOS, frame, opened, rows, waiting
from tests.torture.syscalls import Act, Call, Fault, mark, run
from tests.torture.syscalls_attack import KILL, Arena, Choose, Injector, arena

MINE, OTHERS = 40, (50, 51)
_LOCK_EX, _LOCK_NB = 2, 4
_PATIENCE = 20.0


def kinds(box: Path) -> list[Choose]:
    """Death at any call; errors, before or after its work, at those that concern the box."""
    folder = os.path.realpath(box)

    def failing(fault: Fault) -> Choose:
        return lambda call: fault if call.name != "close" and call.concerns(folder) else None

    return [
        lambda _: KILL,
        failing(Fault(Act.FAIL, errno.EIO)),
        lambda call: (
            Fault(Act.FAIL_AFTER, errno.EIO)
            if call.name in ("rename", "fsync", "unlink", "close") and call.concerns(folder)
            else None
        ),
    ]


def _told(action: Callable[[], object]) -> str:
    """What became of it, as the process knows."""
    try:
        action()
    except OutcomeUnknownError:
        return "unknown"
    except AtioError as error:
        return f"failed: {error}"
    except BaseException as error:
        return f"foreign: {type(error).__name__}: {error}"
    return "landed"


def _judge(place: Arena, box: Path, told: dict[int, str]) -> None:
    """Count the rows of each writer; "" is what a dead one told."""
    found = [row["id"] for row in rows(opened(box))]
    versions = [snapshot.version for snapshot in opened(box).history()]
    for row, word in told.items():
        count = found.count(row)
        assert not word.startswith("foreign"), word
        allowed = {"landed": (1,), "unknown": (0, 1), "": (0, 1)}.get(word, (0,))
        assert count in allowed, f"row {row} is there {count} times, and its writer was told {word!r}"
    start = len(place.seen[0]["versions"])
    assert versions == list(range(start + sum(row in found for row in told), 0, -1)), versions
    place.scenario.survive(box)


# -- the holder of the lock ----------------------------------------------------------------------


class _Others:
    """Writers in processes of their own, who wait while this box's lock is held."""

    def __init__(self, box: Path, answers: Path) -> None:
        self._box = box
        self._answers = answers
        self._pids: dict[int, int] = {}

    def start(self) -> None:
        for row in OTHERS:
            pid = os.fork()
            if pid == 0:
                self._run(row)
            self._pids[row] = pid
        end = time.monotonic() + _PATIENCE
        while waiting(self._box / "t") < len(OTHERS):
            assert time.monotonic() < end, "the other writers do not wait"
            time.sleep(0.001)

    def _run(self, row: int) -> None:
        try:
            table = Table(LocalStorage(self._box / "t", durable=False, lock_timeout=_PATIENCE))
            (self._answers / str(row)).write_text(_told(lambda: table.append(frame(row))))
        finally:
            os._exit(0)

    def told(self) -> dict[int, str]:
        for pid in self._pids.values():
            with contextlib.suppress(ChildProcessError):  # The tracer's wait may have met it.
                os.waitpid(pid, 0)
        found = {row: (self._answers / str(row)).read_text() for row in self._pids}
        for row, word in found.items():
            assert not word.startswith("failed"), f"the writer of row {row}, who can do it alone, {word}"
        return found


class _Holder(Injector):
    """Attacks the holder when the others wait."""

    def __init__(self, choose: Choose, at: int, others: _Others) -> None:
        super().__init__(choose, at)
        self._others = others
        self.told = ""

    def mark(self, word: str) -> None:
        super().mark(word)
        kind, _, rest = word.partition(" ")
        if kind == "held":
            self._others.start()
        elif kind == "end":
            self.told = json.loads(rest)


def _hold(box: Path) -> None:
    storage = LocalStorage(box / "t")
    table = Table(storage)
    with storage.exclusive():
        mark("held")
        mark("begin 1")
        told = _told(lambda: table.append(frame(MINE)))
    mark(f"end {json.dumps(told)}")


def attack_holder(every: int = 1) -> Figures:
    """Whoever commits for others dies or fails at each call."""

    def attack(place: Arena, box: Path, choose: Choose, at: int) -> tuple[Injector, dict[int, str]]:
        answers = place.home / "answers"
        answers.mkdir(exist_ok=True)
        others = _Others(box, answers)
        watcher = _Holder(choose, at, others)
        run(lambda: _hold(box), watcher)
        return watcher, {MINE: watcher.told, **others.told()}

    return _everywhere(attack, every)


# -- a writer who waits --------------------------------------------------------------------------


class _Waiter(Injector):
    """Attacks a writer who waits; holds the lock, and commits for it as soon as it sleeps."""

    def __init__(self, choose: Choose, at: int, box: Path) -> None:
        super().__init__(choose, at)
        storage = LocalStorage(box / "t", durable=False)
        self._table = Table(storage)
        self._held = ExitStack()
        self._held.enter_context(storage.exclusive())
        self._holds = True
        self.told = ""

    def entry(self, call: Call) -> Fault | None:
        fault = super().entry(call)
        sleeps = call.is_main and call.name in ("poll", "ppoll", "recvfrom")
        blocks = call.name == "flock" and call.args[1] & _LOCK_EX and not call.args[1] & _LOCK_NB
        if sleeps or blocks:
            self.commit()
        return fault

    def mark(self, word: str) -> None:
        super().mark(word)
        kind, _, rest = word.partition(" ")
        if kind == "end":
            self.told = json.loads(rest)

    def commit(self) -> None:
        if self._holds:
            self._holds = False
            with self._held:
                self._table.append(frame(MINE))


def _wait(box: Path) -> None:
    table = Table.open(box / "t")
    mark("begin 1")
    told = _told(lambda: table.append(frame(OTHERS[0])))
    mark(f"end {json.dumps(told)}")


def attack_waiter(every: int = 1) -> Figures:
    """A writer for whom another commits dies or fails at each call."""

    def attack(place: Arena, box: Path, choose: Choose, at: int) -> tuple[Injector, dict[int, str]]:
        watcher = _Waiter(choose, at, box)
        run(lambda: _wait(box), watcher)
        watcher.commit()
        return watcher, {MINE: "landed", OTHERS[0]: watcher.told}

    return _everywhere(attack, every)


def _everywhere(
    attack: Callable[[Arena, Path, Choose, int], tuple[Injector, dict[int, str]]], every: int
) -> Figures:
    figures = Figures()
    with arena(SCENARIOS["append"]) as place:
        for kind in range(len(kinds(place.home))):
            at = 1
            while _attacked(place, figures, attack, kind, at):
                at += every
    return figures


def _attacked(
    place: Arena,
    figures: Figures,
    attack: Callable[[Arena, Path, Choose, int], tuple[Injector, dict[int, str]]],
    kind: int,
    at: int,
) -> bool:
    problems = []
    with place.box("box") as box:
        choose = kinds(box)[kind]
        watcher, told = attack(place, box, choose, at)
        if watcher.hit is None:
            return False
        try:
            _judge(place, box, told)
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}; told {told}")
    figures.note(str(watcher), problems)
    return True
