"""The same damage under the peers: the control. No claim about them is tested, the figures are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers_env import ROOT, peers_python
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
@pytest.mark.parametrize("subject", ["atio", *PEERS])
def test_damage(subject: str, tmp_path: Path, torture_figure: Figure) -> None:
    ours = subject == "atio"
    python = sys.executable if ours else peers_python()
    found = attacked(subject, python, tmp_path, 100 if ours else 40)
    for attack, name in FIGURES.items():
        torture_figure(name, found[attack]["tried"], found[attack]["wrong"], None if ours else PEERS[subject])
        assert not ours or found[attack]["wrong"] == 0
