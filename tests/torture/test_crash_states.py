"""Every state that a power cut could leave of every kind of commit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.share import EVERY, at_most
from tests.torture.crash_states_check import (
    Figures,
    check_after_deaths,
    check_all,
    kill_mistake,
    kill_mutants,
)
from tests.torture.crash_states_mutants import MISTAKES
from tests.torture.scenarios import SCENARIOS

STATES = "states that a power cut can leave, by the system calls of each commit"
TWICE = "states that a power cut can leave, after a process that died before"
MUTANTS = "mistakes in the order of syncs that this finds out"


def judged(figures: Figures, name: str, torture_figure: Any) -> None:
    torture_figure(name, figures.tried, len(figures.failures))
    assert figures.tried
    assert not figures.failures, "\n".join(figures.failures[:20])


@pytest.mark.parametrize("name", ["first append", "expire", "write with a backup", "store a value"])
def test_some_states(apart: Any, torture_figure: Any, name: str) -> None:
    judged(apart(check_all, name, 10), STATES, torture_figure)


@pytest.mark.torture
@pytest.mark.parametrize("name", SCENARIOS)
def test_all_states(apart: Any, torture_figure: Any, name: str) -> None:
    judged(apart(check_all, name, at_most(400)), STATES, torture_figure)


@pytest.mark.torture
@pytest.mark.parametrize("name", ["first append", "append", "write over a file"])
def test_a_power_cut_after_a_death(apart: Any, torture_figure: Any, name: str) -> None:
    """What a dead writer left unsynced is made durable by whoever builds upon it."""
    judged(apart(check_after_deaths, name, at_most(60), min(EVERY, 3)), TWICE, torture_figure)


@pytest.mark.parametrize(("name", "most"), [("append", 10), ("write over a file", 60)])
def test_some_mutants(apart: Any, torture_figure: Any, name: str, most: int) -> None:
    judged(apart(kill_mutants, name, most), MUTANTS, torture_figure)


@pytest.mark.torture
@pytest.mark.parametrize("name", SCENARIOS)
def test_all_mutants(apart: Any, torture_figure: Any, name: str) -> None:
    """The checker proves itself: whatever sync is left out, or comes too late, it notices."""
    judged(apart(kill_mutants, name, 60), MUTANTS, torture_figure)


@pytest.mark.torture
@pytest.mark.parametrize("mistake", MISTAKES)
def test_all_mistakes(apart: Any, torture_figure: Any, mistake: str) -> None:
    """The same with code that is wrong, not with a record of it."""
    judged(apart(kill_mistake, mistake, 60), MUTANTS, torture_figure)


def test_a_mistake(apart: Any, torture_figure: Any) -> None:
    judged(apart(kill_mistake, "the folder is synced before the rename", 10), MUTANTS, torture_figure)
