"""Scenarios against every crash state of theirs, and against those of broken implementations."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.torture.crash_states import Disk, State, states
from tests.torture.crash_states_mutants import MISTAKES
from tests.torture.scenarios import SCENARIOS, Scenario
from tests.torture.syscalls import Act, Call, Fault, Watcher, mark, run
from tests.torture.traces import Data, Entry, Event, Folder, Mark, Names, Recorder, Sync, Trace, is_change


@dataclass
class Figures:
    """What an attack found."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)

    def note(self, where: str, problems: list[str]) -> None:
        self.tried += 1
        if problems:
            self.failures.append(f"{where}: {'; '.join(problems)}")


# -- recording -----------------------------------------------------------------------------------


@dataclass
class Recorded:
    """What a scenario did, and what was to be seen before its first step and after each."""

    trace: Trace
    seen: list[Any]


def record(scenario: Scenario, box: Path, before: Callable[[], object] = lambda: None) -> Recorded:
    """Run the scenario in an empty folder, watched. ``before`` runs first, in the child."""
    warm_up(scenario)
    scenario.prepare(box)
    seen = [scenario.see(box)]

    def at_mark(word: str) -> None:
        if word.startswith("done"):
            seen.append(scenario.see(box))

    recorder = Recorder(box, at_mark)
    run_well(lambda: (before(), scenario.run(box)), recorder)
    assert len(seen) == len(scenario.steps) + 1
    return Recorded(recorder.trace, seen)


def record_after_death(scenario: Scenario, box: Path, at: int) -> Recorded | None:
    """The first step, its process killed at its ``at``-th change; then the step again, in another process.

    What the first left unsynced is still so when the second builds upon it. None if there is no such change.
    """
    scenario.prepare(box)
    seen = [scenario.see(box)]
    recorder = Recorder(box)
    killer = _Killer(recorder, os.path.realpath(box), at)
    ending = run(lambda: replace(scenario, steps=scenario.steps[:1]).run(box), killer)
    if not killer.killed:
        return None
    assert ending.killed, ending
    seen.append(scenario.see(box))
    step = scenario.steps[0]

    def again() -> None:
        found = scenario.begin(box)
        mark("begin 2")
        step(found)
        mark("ack 2")

    run_well(again, recorder)
    seen.append(scenario.see(box))
    return Recorded(recorder.trace, seen)


class _Killer(Watcher):
    """Records, and kills at a change."""

    def __init__(self, recorder: Recorder, folder: str, at: int) -> None:
        self._recorder = recorder
        self._folder = folder
        self._left = at
        self._active = self.killed = False

    def mark(self, word: str) -> None:
        self._recorder.mark(word)
        self._active = True

    def entry(self, call: Call) -> Fault | None:
        self._recorder.entry(call)
        if self._active and is_change(call) and call.concerns(self._folder):
            self._left -= 1
            self.killed = self._left == 0
        return Fault(Act.KILL) if self.killed else None

    def exit(self, call: Call, result: int) -> None:
        self._recorder.exit(call, result)


def warm_up(scenario: Scenario) -> None:
    """Import all that the steps import on first use: those calls are not of interest."""
    pa.set_cpu_count(1)  # Tables of three rows are read faster by one thread.
    with empty() as box:
        scenario.prepare(box)
        scenario.run(box)


def run_well(body: Any, watcher: Watcher) -> None:
    ending = run(body, watcher)
    assert ending.code == 0, f"the child ended with {ending.code}; see its traceback above"


# -- checking ------------------------------------------------------------------------------------


@dataclass
class Judge:
    """Looks at states, each once.

    Attributes
    ----------
    tried
        Distinct states so far.
    """

    scenario: Scenario
    seen: list[Any]
    tried: int = 0
    _verdicts: dict[bytes, tuple[Any, str]] = field(default_factory=dict)

    def fault(self, state: State) -> str | None:
        """What is wrong with a state; None if nothing is."""
        digest = state.digest()
        if digest not in self._verdicts:
            self.tried += 1
            self._verdicts[digest] = self._look(state)
        found, error = self._verdicts[digest]
        error = error or wrong(self.scenario, self.seen, found, state.begun, state.acknowledged)
        return f"{state.moment}: {error}" if error else None

    def _look(self, state: State) -> tuple[Any, str]:
        with empty() as box:
            state.build(box)
            try:
                found = self.scenario.see(box)
                self.scenario.survive(box)
            except Exception as error:
                return None, f"{type(error).__name__}: {error}"
            return found, ""


def wrong(scenario: Scenario, seen: list[Any], found: Any, begun: int, acknowledged: int) -> str | None:
    """What is wrong with what is to be seen when so many steps had begun and were acknowledged."""
    if any(one == found for one in seen[acknowledged : begun + 1]):
        return None
    if any(scenario.loosely(one) == scenario.loosely(found) for one in seen[acknowledged + 1 : begun + 1]):
        return None
    known = [number for number, one in enumerate(seen) if one == found]
    what = f"that after step {known}" if known else f"neither old nor new: {found!r:.500}"
    return f"{begun} steps had begun, {acknowledged} were acknowledged, and the state is {what}"


def faults(judge: Judge, trace: Trace, events: Sequence[Event], most: int, since: int = 0) -> Iterator[str]:
    """What is wrong with the crash states of ``events``, from number ``since`` on."""
    for state in states(trace, events, most, since):
        fault = judge.fault(state)
        if fault is not None:
            yield fault


def check_all(name: str, most: int) -> Figures:
    """Every crash state of a scenario, ``most`` a moment."""
    scenario = SCENARIOS[name]
    with empty() as box:
        recorded = record(scenario, box)
    return _checked(scenario, recorded, most)


def check_after_deaths(name: str, most: int, every: int = 1) -> Figures:
    """A power cut after a process died: the crash states of ``record_after_death``, at each change."""
    scenario = SCENARIOS[name]
    warm_up(scenario)
    figures = Figures()
    at = 1
    while True:
        with empty() as box:
            recorded = record_after_death(scenario, box, at)
        if recorded is None:
            return figures
        found = _checked(scenario, recorded, most)
        figures.tried += found.tried
        figures.failures += [f"after death at change {at}: {failure}" for failure in found.failures]
        at += every


def _checked(scenario: Scenario, recorded: Recorded, most: int) -> Figures:
    judge = Judge(scenario, recorded.seen)
    failures = list(dict.fromkeys(faults(judge, recorded.trace, recorded.trace.events, most)))
    return Figures(judge.tried, failures)


REDUNDANT = {
    # The flag that was announced vouches for the new file, too: that its successor is on the medium before
    # success is reported is more than is promised. Left out, left too late, made too early; told before.
    "write over a flagged file": 4,
}
"""Mistakes of a scenario that change nothing that a user could see."""


def kill_mutants(name: str, most: int) -> Figures:
    """Check that every broken order of a scenario's syncs is found out; survivors are the failures."""
    scenario = SCENARIOS[name]
    with empty() as box:
        recorded = record(scenario, box)
    judge = Judge(scenario, recorded.seen)
    figures = Figures()
    for mutant in mutants(scenario, recorded.trace):
        caught = any(True for _ in faults(judge, recorded.trace, mutant.events, most, mutant.since))
        figures.note(mutant.mistake, [] if caught else ["not found out"])
    if len(figures.failures) == (redundant := REDUNDANT.get(name, 0)):
        figures.tried, figures.failures = figures.tried - redundant, []
    return figures


def kill_mistake(mistake: str, most: int) -> Figures:
    """Check that a broken implementation is found out."""
    name, change = MISTAKES[mistake]
    with empty() as box:
        recorded = record(SCENARIOS[name], box, change)
    judge = Judge(SCENARIOS[name], recorded.seen)
    caught = any(True for _ in faults(judge, recorded.trace, recorded.trace.events, most))
    figures = Figures()
    figures.note(mistake, [] if caught else ["not found out"])
    return figures


@contextmanager
def empty() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        yield Path(name)


def scratch() -> str | None:
    """A folder in memory, where there is one: what is tried there needs no disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > 2**28 else None


# -- mutants -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """What an implementation with one mistake would have done.

    Attributes
    ----------
    since
        Number of the first event that is another one: what comes before is no fault of it.
    """

    mistake: str
    events: tuple[Event, ...]
    since: int


def mutants(scenario: Scenario, trace: Trace) -> Iterator[Mutant]:
    """Each sync left out, and each pair of steps exchanged whose order matters.

    The steps that others can see are: the new state gets its name, something is removed, success is
    reported. A sync comes after the next such step, or before the one that it is to make last, or before
    the bytes that it is to write; removals and reports come before the new state has its name. Left out are
    mistakes that change nothing, by the model: the sync had nothing to write, or the same inode is synced
    again before anything can be seen.
    """
    events = trace.events
    disk = Disk(trace)
    for place, event in enumerate(events):
        if isinstance(event, Sync) and disk.has_pending(event.inode):
            after = _next_visible(scenario, trace, place)
            if after is not None and not _synced_between(events, place, after):
                what = trace.describe(event)
                without = (*events[:place], *events[place + 1 :])
                yield Mutant(f"no {what}", without, place)
                yield Mutant(
                    f"{what} after {trace.describe(events[after])}", _moved(events, place, after), place
                )
                written = _last_written(events, place)
                if written is not None:
                    yield _too_early(trace, place, written)
        disk.apply(event)
    for place, event in enumerate(events[:-1]):
        if isinstance(event, Names) and _is_visible(scenario, trace, event):
            if isinstance(events[place + 1], Sync):
                yield _too_early(trace, place + 1, place)
            after = _next_visible(scenario, trace, place)
            if after is not None and _names_new(scenario, event) and not _names_new(scenario, events[after]):
                yield _too_early(trace, after, place)


def _too_early(trace: Trace, place: int, to: int) -> Mutant:
    moved, passed = trace.events[place], trace.events[to]
    mistake = f"{trace.describe(moved)} before {trace.describe(passed)}"
    return Mutant(mistake, _moved(trace.events, place, to), to)


def _moved(events: Sequence[Event], place: int, to: int) -> tuple[Event, ...]:
    """With the event at ``place`` at ``to``."""
    changed = [*events[:place], *events[place + 1 :]]
    changed.insert(to, events[place])
    return tuple(changed)


def _last_written(events: Sequence[Event], place: int) -> int | None:
    """The last bytes that a sync is to write."""
    for earlier in range(place - 1, -1, -1):
        event = events[earlier]
        if event == events[place]:
            return None
        if isinstance(event, Data) and event.inode == events[place].inode:
            return earlier
    return None


def _names_new(scenario: Scenario, event: Event) -> bool:
    """Whether the new state gets its name."""
    return isinstance(event, Names) and any(
        entry.name in scenario.point and entry.target is not None for entry in event.entries
    )


def _is_visible(scenario: Scenario, trace: Trace, event: Event) -> bool:
    match event:
        case Names(_, entries):
            return any(entry.name in scenario.point or _removes_old(trace, entry) for entry in entries)
        case Mark(word):
            return word.startswith("ack")
    return False


def _removes_old(trace: Trace, entry: Entry) -> bool:
    """Whether a file goes that was there before."""
    before = trace.start.get(entry.folder)
    return entry.target is None and isinstance(before, Folder) and entry.name in before.names


def _next_visible(scenario: Scenario, trace: Trace, place: int) -> int | None:
    events = trace.events
    return next((n for n in range(place + 1, len(events)) if _is_visible(scenario, trace, events[n])), None)


def _synced_between(events: Sequence[Event], place: int, end: int) -> bool:
    return events[place] in events[place + 1 : end]
