"""The programs that the documentation of atomic_store 0.0.1 prints, run as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = """\
import atomic_store
import time

with atomic_store.open('runs.json', default=[]) as store:
    print('Previous executions:')
    print(store.value)
    new_entry = time.strftime('%Y-%m-%d %H:%M:%S%z')
    store.value.append(new_entry)
"""

GATHERED = """\
import atomic_store

my_store = atomic_store.open('gathered.json', default=dict())

my_store.value['state'] = 'running'
my_store.value['thought'] = 'I would not eat green eggs and ham.'
my_store.commit()
# ... some calculations ...
my_store.value['state'] = 'done'
my_store.value['thought'] = 'I do so like Green eggs and ham!'
my_store.commit()
"""

REENTRANT = """\
import atomic_store

# Assume `state.json` contains only `"before"`.
mngr = atomic_store.open('mystate.json', default=[])
with mngr as store:
    store.value = 'outer'
    # File contains `"before"`: We haven't exited any context manager yet.
    with mngr as store:
        store.value = 'inner'
        # File contains `"before"`: We haven't exited any context manager yet.
    # File now contains `"inner"`, because the inner `with`-statement wrote it.
    # Read the Reentrancy section if you consider this undesired behavior.
# File now contains `"inner"`, because the outer `with`-statement wrote it again.
"""

IGNORING = """\
import atomic_store

# Assume `state.json` contains only `"before"`.
mngr = atomic_store.open('mystate.json', default=[], ignore_inner_exits=True)
with mngr as store:
    store.value = 'outer'
    # File contains `"before"`: We haven't exited any context manager yet.
    with mngr as store:
        store.value = 'inner'
        # File contains `"before"`: We haven't exited any context manager yet.
    # File *still* contains `"before"`, as the manager detected that it is still active.
# File now contains `"outer"`, because the outer `with`-statement wrote it.
"""


def run(program: str, folder: Path) -> str:
    program = program.replace("import atomic_store", "import atio.store as atomic_store")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_context_manager(tmp_path: Path) -> None:
    assert run(RUNS, tmp_path) == "Previous executions:\n[]\n"
    (first,) = json.loads((tmp_path / "runs.json").read_text())
    assert run(RUNS, tmp_path) == f"Previous executions:\n[{first!r}]\n"
    assert len(json.loads((tmp_path / "runs.json").read_text())) == 2


def test_manual_control(tmp_path: Path) -> None:
    """What is in the file after each commit, and between them."""
    look = "import os; print(open('gathered.json').read() if os.path.exists('gathered.json') else None)\n"
    lines = [line for line in GATHERED.splitlines(keepends=True) if "import" not in line and line.strip()]
    told = run("import atomic_store\n" + look.join(lines) + look, tmp_path).splitlines()
    running = '{"state": "running", "thought": "I would not eat green eggs and ham."}'
    done = '{"state": "done", "thought": "I do so like Green eggs and ham!"}'
    assert told == ["None"] * 3 + [running] * 4 + [done]


@pytest.mark.parametrize("program", [REENTRANT, IGNORING])
def test_reentrancy(program: str, tmp_path: Path) -> None:
    """Every comment that says what the file contains is right where it stands."""
    (tmp_path / "mystate.json").write_text('"before"')
    claim = re.compile(r"^( *)# File [^`]*contains `([^`]*)`.*$", re.MULTILINE)
    claimed = [match[2] for match in claim.finditer(program)]
    assert len(claimed) == 4
    look = r"\1print(open('mystate.json').read())"
    assert run(claim.sub(look, program), tmp_path).splitlines() == claimed


def test_compact_json(tmp_path: Path) -> None:
    run(
        "import atomic_store\n"
        "with atomic_store.open('s', default=dict(), dump_kwargs=dict(separators=(',', ':'))) as store:\n"
        "    store.value['b'] = [1, 2]\n    store.value['a'] = None\n",
        tmp_path,
    )
    assert (tmp_path / "s").read_text() == '{"b":[1,2],"a":null}'


def test_the_default_default_is_none(tmp_path: Path) -> None:
    assert run("import atomic_store\nprint(atomic_store.open('s').value)", tmp_path) == "None\n"
    assert not (tmp_path / "s").exists()
