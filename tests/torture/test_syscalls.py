"""Death and failure at every system call of every kind of commit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.share import EVERY, at_most
from tests.torture.crash_states_check import Figures, warm_up
from tests.torture.scenarios import SCENARIOS
from tests.torture.storms import storm
from tests.torture.syscalls import Call, Fault, Watcher, run
from tests.torture.syscalls_attack import determine, fail_everywhere, kill_everywhere
from tests.torture.syscalls_crowd import attack_holder, attack_waiter

KILLED = "process killed at each system call of each commit"
FAILED = "each system call of each commit fails: EIO, ENOSPC, EINTR, half done"
CROWD = "each system call fails, or is the last, of writers who commit for others and of those others"
STORM = "one of four writers killed at random"
NOT_FOR_OTHERS = [name for name in SCENARIOS if name != "several writers in one swap"]


def judged(figures: Figures, name: str, torture_figure: Any) -> None:
    torture_figure(name, figures.tried, len(figures.failures))
    assert figures.tried
    assert not figures.failures, "\n".join(figures.failures[:20])


# -- every call ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["append", "store a value"])
def test_death_at_some_calls(apart: Any, torture_figure: Any, name: str) -> None:
    judged(apart(kill_everywhere, name, 13), KILLED, torture_figure)


@pytest.mark.torture
@pytest.mark.parametrize("name", SCENARIOS)
def test_death_at_every_call(apart: Any, torture_figure: Any, name: str) -> None:
    judged(apart(kill_everywhere, name, EVERY), KILLED, torture_figure)


@pytest.mark.parametrize("name", ["first append", "write with a flag"])
def test_failure_of_some_calls(apart: Any, torture_figure: Any, name: str) -> None:
    judged(apart(fail_everywhere, name, 17), FAILED, torture_figure)


@pytest.mark.torture
@pytest.mark.parametrize("name", NOT_FOR_OTHERS)
def test_failure_of_every_call(apart: Any, torture_figure: Any, name: str) -> None:
    judged(apart(fail_everywhere, name, EVERY), FAILED, torture_figure)


@pytest.mark.torture
@pytest.mark.parametrize("attack", [attack_holder, attack_waiter])
def test_every_call_of_writers_in_one_swap(apart: Any, torture_figure: Any, attack: Any) -> None:
    judged(apart(attack, EVERY), CROWD, torture_figure)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(4))
def test_storm(apart: Any, torture_figure: Any, seed: int) -> None:
    judged(apart(storm, at_most(300), seed), STORM, torture_figure)


# -- the tracer itself ---------------------------------------------------------------------------


class Listing(Watcher):
    """Lists the calls that concern a folder, between the first step and the last."""

    def __init__(self, box: Path) -> None:
        self._box = os.path.realpath(box)
        self._active = False
        self.calls: list[tuple[str, ...]] = []

    def mark(self, word: str) -> None:
        self._active = word.startswith("begin") or (self._active and not word.startswith("done"))

    def entry(self, call: Call) -> Fault | None:
        if self._active and call.concerns(self._box):
            self.calls.append((call.name, *(path.removeprefix(self._box) for path in call.paths)))
        return None


def traced(name: str, box: Path) -> list[tuple[str, ...]]:
    """The calls as our own tracer sees them."""
    scenario = SCENARIOS[name]
    warm_up(scenario)
    watcher = Listing(box)
    run(lambda: (determine(), scenario.prepare(box), scenario.run(box)), watcher)
    return watcher.calls


def straced(name: str, box: Path) -> list[tuple[str, ...]]:
    """The calls as strace sees them."""
    code = (
        "from pathlib import Path; from tests.torture.test_syscalls import *\n"
        f"scenario, box = SCENARIOS[{name!r}], Path({os.fspath(box)!r})\n"
        "warm_up(scenario); determine(); scenario.prepare(box); scenario.run(box)"
    )
    out = box.with_name("strace.txt")
    command = ["strace", "-f", "-y", "-o", out, sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    subprocess.run(command, check=True, cwd=root, env={**os.environ, "PYTHONPATH": os.fspath(root)})
    calls = []
    active = False
    for line in out.read_text(errors="replace").splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if match is None:
            continue
        name, rest = match[1], re.split(r"\) += ", match[2])[0]
        if name == "write" and (word := re.match(r'900, "(begin|done)', rest)):
            active = word[1] == "begin"
        elif active and os.fspath(box) in rest:
            paths = re.findall(r'(?<=[<"])' + re.escape(os.fspath(box)) + r'([^>"]*)', rest)
            calls.append((name, *paths))
    return calls


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("name", ["append", "write with a backup"])
def test_the_tracer_sees_what_strace_sees(apart: Any, tmp_path: Path, name: str) -> None:
    folders = [tmp_path / "ours" / "box", tmp_path / "theirs" / "box"]
    for folder in folders:
        folder.mkdir(parents=True)
    ours = apart(traced, name, folders[0])
    assert len(ours) > 20
    assert ours == straced(name, folders[1])
