"""The same damage under the peers: the control. No claim about them is tested, the figures are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers_env import ROOT
from tests.torture.conftest import Figure
from tests.torture.test_power import PEERS

FIGURES = {
    "flips": "one random bit of a table's files flipped: other rows, silently",
    "emptied": "one file of a table emptied: other rows, silently",
}


def attacked(subject: str, python: Path | str, folder: Path, cases: int) -> dict[str, dict[str, int]]:
    command = [python, "-m", "tests.torture.hostile_peers", subject, folder, str(cases)]
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {found["attack"]: found for found in map(json.loads, made.stdout.splitlines())}


@pytest.mark.torture
def test_damage(tmp_path: Path, torture_figure: Figure) -> None:
    found = attacked("atio", sys.executable, tmp_path, 100)
    for attack, name in FIGURES.items():
        torture_figure(name, found[attack]["tried"], found[attack]["wrong"])
        assert found[attack]["wrong"] == 0


@pytest.mark.torture
@pytest.mark.parametrize("peer", PEERS)
def test_damage_under_peers(peer: str, peers: Path, tmp_path: Path, torture_figure: Figure) -> None:
    found = attacked(peer, peers, tmp_path, 40)
    for attack, name in FIGURES.items():
        torture_figure(name, found[attack]["tried"], found[attack]["wrong"], PEERS[peer])
