"""Every system call of a scenario is where the process dies, or where the system fails it."""

# System calls on text paths, as those who are watched make them.
# ruff: noqa: PTH115, PTH123, PTH208

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from atio.errors import AtioError, OutcomeUnknownError
from tests.torture.crash_states_check import Figures, scratch, warm_up, wrong
from tests.torture.scenarios import SCENARIOS, Scenario
from tests.torture.syscalls import HANGS, Act, Call, Ending, Fault, HangError, Watcher, mark, run

Choose = Callable[[Call], Fault | None]
"""Chooses the fault for a call; None if calls like it are not counted."""

KILL = Fault(Act.KILL)
_TRANSFERS = frozenset({"read", "write", "pread64", "pwrite64"})
_WRITES = frozenset({"write", "pwrite64"})
_CHANGES = frozenset(
    {
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "unlink",
        "unlinkat",
        "mkdir",
        "mkdirat",
        "rmdir",
        "fsync",
        "fdatasync",
        "close",
    }
)
_SPACE = _WRITES | frozenset(
    {
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "mkdir",
        "mkdirat",
        "fsync",
        "fdatasync",
        "close",
        "ftruncate",
        "setxattr",
    }
)
"""What a full disk refuses, according to the manual; and ``open`` if it creates."""
_SLOW = _TRANSFERS | frozenset({"open", "openat", "flock", "fsync", "fdatasync", "close"})
"""What a signal interrupts, according to the manual."""
_FAR = 4_102_444_800 * 10**9  # the year 2100: all that is there is old enough to go


class Injector(Watcher):
    """Does harm to one call of the first thread, or to all from there on, between ``begin`` and ``end``.

    Parameters
    ----------
    at
        Number of the call, from 1.
    """

    def __init__(self, choose: Choose, at: int, *, for_ever: bool = False) -> None:
        self._choose = choose
        self._at = at
        self._for_ever = for_ever
        self._active = False
        self._count = 0
        self._where = "no call"
        self.begun = self.acknowledged = 0
        self.hit: Call | None = None
        """The call that was attacked first."""
        self.swapped = False
        """Whether a file was being renamed, or had been, by then."""

    def mark(self, word: str) -> None:
        kind, _, rest = word.partition(" ")
        if kind == "begin":
            self._active, self.begun = True, int(rest)
        elif kind == "ack":
            self.acknowledged = max(self.acknowledged, int(rest))
        elif kind == "end":
            self._active = False

    def entry(self, call: Call) -> Fault | None:
        if not self._active or not call.is_main:
            return None
        if self.hit is None:
            self.swapped |= call.name.startswith("rename")
        fault = self._choose(call)
        if fault is None:
            return None
        self._count += 1
        if self._count == self._at:
            self.hit = call
            self._where = f"call {self._count}, {call}, {fault}"
        return fault if self._count == self._at or (self._for_ever and self._count > self._at) else None

    def __str__(self) -> str:
        return f"{self._where}{' for ever' if self._for_ever else ''}"


class Arena:
    """A scenario, its beginning to be copied, and what is to be seen after each step.

    States are looked at once: attacked processes choose the same names and times in each run.
    """

    def __init__(self, scenario: Scenario) -> None:
        warm_up(scenario)
        self.scenario = scenario
        self.home = Path(tempfile.mkdtemp(dir=scratch()))
        self._template = self.home / "template"
        self._template.mkdir()
        scenario.prepare(self._template)
        self._strays = scenario.strays(self._template)
        self._views: dict[bytes, tuple[Any, set[str], str]] = {}
        self._ends: dict[bytes, str] = {}
        self.seen = [scenario.see(self._template)]
        with self.box("clean") as box:
            recorder = _Seeing(self, box)
            ending = run(lambda: self.take(box), recorder)
        assert ending.code == 0, f"the child ended with {ending.code}; see its traceback above"
        assert len(self.seen) == len(scenario.steps) + 1

    def take(self, box: Path) -> None:
        """Take the steps, in the process under attack."""
        determine()
        self.scenario.run(box)

    @contextmanager
    def box(self, name: str) -> Iterator[Path]:
        box = self.home / name
        shutil.copytree(self._template, box)
        try:
            yield box
        finally:
            shutil.rmtree(box)

    def view(self, box: Path) -> tuple[Any, set[str], str]:
        """What is to be seen, what is there that nobody needs, and what prevents looking."""
        digest = _digest(box)
        if digest not in self._views:
            try:
                strays = self.scenario.strays(box) - self._strays
                self._views[digest] = self.scenario.see(box), strays, ""
            except Exception as error:
                self._views[digest] = None, set(), f"{type(error).__name__}: {error}"
        return self._views[digest]

    def check(self, box: Path, begun: int, acknowledged: int) -> None:
        """Raise unless it looks as it may when so many steps had begun and were acknowledged."""
        found, _, error = self.view(box)
        error = error or wrong(self.scenario, self.seen, found, begun, acknowledged) or ""
        assert not error, error

    def strays(self, box: Path) -> set[str]:
        return self.view(box)[1]

    def survive(self, box: Path) -> None:
        """Raise unless the next write works and leaves nothing behind. The box may be spent then."""
        digest = _digest(box)
        if digest not in self._ends:
            try:
                self.scenario.survive(box)
                self._ends[digest] = ""
            except Exception as error:
                self._ends[digest] = f"{type(error).__name__}: {error}"
        assert not self._ends[digest], self._ends[digest]

    def close(self) -> None:
        shutil.rmtree(self.home)


class _Seeing(Watcher):
    def __init__(self, arena: Arena, box: Path) -> None:
        self._arena, self._box = arena, box

    def mark(self, word: str) -> None:
        if word.startswith("done"):
            self._arena.seen.append(self._arena.scenario.see(self._box))


@contextmanager
def arena(scenario: Scenario) -> Iterator[Arena]:
    made = Arena(scenario)
    try:
        yield made
    finally:
        made.close()


def determine() -> None:
    """Make this process, a child to be attacked, choose names and times as all others do."""
    count = 0

    def urandom(size: int) -> bytes:
        nonlocal count
        count += 1
        return xxhash.xxh3_128_digest(str(count).encode())[:size]

    def time_ns() -> int:
        nonlocal count
        count += 1
        return _FAR + count * 1000

    os.urandom = urandom  # type: ignore[assignment]
    time.time_ns = time_ns  # type: ignore[assignment]


def _digest(box: Path) -> bytes:
    found = xxhash.xxh3_128()
    for path in sorted(box.rglob("*")):
        status = path.lstat()
        found.update(f"{path.relative_to(box)}\0{status.st_mode}\0{status.st_size}\0".encode())
        if stat.S_ISREG(status.st_mode):
            found.update(path.read_bytes())
    return found.digest()


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")


# -- killed --------------------------------------------------------------------------------------


def kill_everywhere(name: str, every: int = 1) -> Figures:
    """Kill the process before each of its calls, and in the middle of each write.

    Whoever looks then finds the state before or after, after if that was acknowledged; nobody is kept
    waiting, and what lies about is gone after the next vacuum.
    """
    figures = Figures()
    with arena(SCENARIOS[name]) as place:
        for choose in (lambda _: KILL, _half_a_write):
            at = 1
            while _killed(place, figures, choose, at):
                at += every
    return figures


def _half_a_write(call: Call) -> Fault | None:
    return Fault(Act.SHORT_AND_KILL) if call.name in _WRITES else None


def _killed(place: Arena, figures: Figures, choose: Choose, at: int) -> bool:
    """Whether there was such a call."""
    watcher = Injector(choose, at)
    problems: list[str] = []
    with place.box("box") as box:
        ending = run(lambda: place.take(box), watcher)
        if watcher.hit is None:
            return False
        with _noting(problems):
            assert ending.killed, ending
            place.check(box, watcher.begun, watcher.acknowledged)
            place.survive(box)
    figures.note(str(watcher), problems)
    return True


# -- failed --------------------------------------------------------------------------------------


def fail_everywhere(name: str, every: int = 1) -> Figures:
    """Let each call that concerns the scenario's files fail, in every way that the manual knows.

    What was acknowledged is there; what surely failed is not, and has left nothing; what may be either is
    called unknown; the process keeps no descriptors and no locks, and can go on.
    """
    figures = Figures()
    eio, enospc, eintr = (Fault(Act.FAIL, number) for number in (errno.EIO, errno.ENOSPC, errno.EINTR))
    with arena(SCENARIOS[name]) as place:
        for for_ever in (False, True):
            _sweep(place, figures, every, _among(eio), for_ever=for_ever)
            _sweep(place, figures, every, _among(enospc, _takes_space), for_ever=for_ever)
        _sweep(place, figures, every, _among(eintr, _SLOW.__contains__))
        _sweep(place, figures, every, _among(Fault(Act.FAIL_AFTER, errno.EIO), _CHANGES.__contains__))
        short = _among(Fault(Act.SHORT), _TRANSFERS.__contains__)
        _sweep(place, figures, every, short)
        _sweep(place, figures, every, short, for_ever=True, last=1)
    return figures


def _among(fault: Fault, wanted: Callable[[Any], bool] | None = None) -> Choose:
    """The fault for calls that are wanted, by name or as they are."""

    def choose(call: Call) -> Fault | None:
        if wanted is not None and not wanted(call if wanted is _takes_space else call.name):
            return None
        if call.name == "close" and fault.act is Act.FAIL:
            return Fault(Act.FAIL_AFTER, fault.error)  # The descriptor is gone, whatever close() says.
        return fault

    return choose


def _takes_space(call: Call) -> bool:
    if call.name in ("open", "openat"):
        return bool(call.args[1 if call.name == "open" else 2] & os.O_CREAT)
    return call.name in _SPACE


@dataclass
class _Told:
    """What the process said in the end."""

    done: int = 0
    error: str = ""
    known: bool = True
    foreign: bool = False
    descriptors: list[str] = field(default_factory=list)
    threads: int = 0


def _sweep(
    place: Arena, figures: Figures, every: int, choose: Choose, *, for_ever: bool = False, last: int = 2**20
) -> None:
    """Attack each call, one after the other. The process survives that, so one will do."""
    sweep = _Sweep(place, figures, every, choose, for_ever=for_ever, last=last)
    while not sweep.done:
        sweep.run()


class _Sweep(Watcher):
    """Gives a process one box after the other, and judges what it does with them."""

    def __init__(
        self, place: Arena, figures: Figures, every: int, choose: Choose, *, for_ever: bool, last: int
    ) -> None:
        self._place = place
        self._figures = figures
        self._every = every
        self._choose = choose
        self._for_ever = for_ever
        self._last = last
        self._at = 1
        self._box = Path()
        self._folder = ""
        self._boxes = contextlib.ExitStack()
        self._injector = Injector(lambda _: None, 0)
        self._problems: list[str] = []
        self.done = False

    def run(self) -> None:
        """Until there is no such call, or the process ends before."""
        self._begin()
        try:
            ending: Ending | HangError = run(self._attacked, self)
        except HangError as error:
            ending = error
        if not self.done:
            self._problems.append(f"the process is gone: {ending}")
            self._end()

    def _attacked(self) -> None:
        while self._box.exists():
            determine()
            _try(self._place.scenario, self._box)
            mark("next")  # It moves ``_box``, on its own side of the fork, too.
            self._at += self._every
            self._box = self._place.home / f"box {self._at}"

    def _begin(self) -> None:
        self._boxes = contextlib.ExitStack()
        self._box = self._boxes.enter_context(self._place.box(f"box {self._at}"))
        self._folder = os.path.realpath(self._box)
        self._injector = Injector(self._chosen, self._at, for_ever=self._for_ever)
        self._problems = []
        signal.setitimer(signal.ITIMER_REAL, HANGS)

    def _chosen(self, call: Call) -> Fault | None:
        return self._choose(call) if call.concerns(self._folder) else None

    def _end(self) -> None:
        if self._injector.hit is None:
            self.done = True
        else:
            with _noting(self._problems):
                self._place.survive(self._box)
            self._figures.note(str(self._injector), self._problems)
        self._boxes.close()
        self._at += self._every
        self.done = self.done or self._at > self._last

    def entry(self, call: Call) -> Fault | None:
        return self._injector.entry(call)

    def mark(self, word: str) -> None:
        self._injector.mark(word)
        kind, _, rest = word.partition(" ")
        if kind == "end":
            with _noting(self._problems):
                self._judge(_Told(**json.loads(rest)))
        elif kind == "stuck":
            self._problems.append(f"it cannot go on: {rest}")
        elif kind == "next":
            self._end()
            if not self.done:
                self._begin()

    def _judge(self, told: _Told) -> None:
        """What the process said, against what is there."""
        place, box, call = self._place, self._box, self._injector.hit
        begun = self._injector.begun
        where = f"it said {told.error or 'success'!r}, step {told.done} done"
        assert not told.foreign, f"{where}: not an error of atio"
        if not told.error and call is not None and call.fault is not None:
            is_sync = call.name in ("fsync", "fdatasync") and call.fault.error != errno.EINTR
            assert not is_sync, f"{where}: a sync failed"
        open_end = bool(told.error) and (not told.known or begun in place.scenario.cleaning)
        try:
            place.check(box, begun if open_end else told.done, told.done)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        assert told.known or self._injector.swapped, f"{where}: what is unknown about it?"
        assert not told.descriptors, f"{where}: descriptors are left: {told.descriptors}"
        assert not told.threads, f"{where}: {told.threads} threads are left"
        locks = _locks(box)
        assert not locks, f"{where}: locks are left: {locks}"
        # What a removal that failed was to remove is for vacuum.
        tidy = not (self._for_ever or open_end or (call is not None and call.name.startswith("unlink")))
        assert not (tidy and place.strays(box)), f"{where}: left behind: {place.strays(box)}"


def _try(scenario: Scenario, box: Path) -> None:
    """Take the steps up to one that fails, tell what came of it, and go on; in the process under attack."""
    found = scenario.begin(box)
    told = _Told()
    before = _descriptors()
    threads = threading.active_count()
    for number, step in enumerate(scenario.steps, 1):
        mark(f"begin {number}")
        try:
            step(found)
        except BaseException as error:
            told.error = f"{type(error).__name__}: {error}"
            told.known = not isinstance(error, OutcomeUnknownError)
            # atio.write() passes on what the disk does not cause.
            told.foreign = not isinstance(error, AtioError | InterruptedError)
            break
        told.done = number
    told.descriptors = sorted(_descriptors() - before)
    told.threads = threading.active_count() - threads
    mark(f"end {json.dumps(vars(told))}")
    try:
        scenario.go_on(found)
    except BaseException as error:
        mark(f"stuck {type(error).__name__}: {error}")


def _descriptors() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # That of the listing itself.
            found.add(f"{name} -> {os.readlink(f'/proc/self/fd/{name}')}")
    return found


def _locks(box: Path) -> set[str]:
    """Files of the box that somebody holds locks on."""
    with open("/proc/locks", encoding="ascii") as table:
        held = {part for line in table for part in line.split() if part.count(":") == 2}
    found = set()
    for path in box.rglob("*"):
        status = path.lstat()
        if f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}" in held:
            found.add(path.name)
    return found
