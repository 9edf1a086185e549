"""Copies are killed at any system call that writes; the next one goes on from there."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from atio import Table
from atio.storage import LocalStorage
from tests.support.tables import listing, required

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="victims are forked")

VICTIM = """
import os, signal, sys
from atio import Table
from atio.storage import MemoryStorage
from atio.table import copy

source, target, small, start, step = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
copy._SMALL = small
Table.open(source).copy_to(MemoryStorage())  # everything is imported once

def dying(name, left):
    real = getattr(os, name)
    def call(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(os, name, call)

calls = start
while True:
    child = os.fork()
    if child == 0:
        left = [calls]
        for name in ("write", "fsync", "open", "close", "replace", "unlink", "mkdir"):
            dying(name, left)
        Table.open(source).copy_to(target)  # also when whoever was killed had just swapped the pointer
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert status == signal.SIGKILL, status
    calls += step
    print("killed", flush=True)
"""


@pytest.mark.parametrize("small", [0, 2**22])
@pytest.mark.parametrize(("start", "step"), [(1, 9), (140, 1)])
def test_killed_and_repeated(tmp_path: Path, small: int, start: int, step: int) -> None:
    """However often: in the end the copy is byte for byte what the table needs; vacuum takes the rest."""
    source, target = tmp_path / "source", tmp_path / "target"
    table = Table.open(source, durable=False)
    for number in range(9):
        table.append({"x": list(range(number + 1))}, token=str(number))
    table.tag("v1", version=3)
    arguments = map(str, (source, target, small, start, step))
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", VICTIM, *arguments],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("killed") >= 5
    place = LocalStorage(target)
    needed = required(LocalStorage(source))
    left = listing(place) - needed
    assert all(path.startswith(".current.") for path in left), "the pointer's swap was cut off"
    assert set(Table.open(target).vacuum(timedelta(0)).files) == left
    assert listing(place) == needed
    assert all((source / path).read_bytes() == (target / path).read_bytes() for path in needed)
    assert Table.open(target).verify().ok
