"""Whole processes: bare Python, `import atio`, and a program that opens a table and reads its one row."""

import os
import subprocess
import time
from pathlib import Path

from benchmarks.harness import PEERS, Bench, Row, Worker, WorkerError, median
from benchmarks.peers_env import ROOT

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""With bytecode kept: what pip installs is compiled, and this folder's atio is to be after its first lap."""
CRASHES = 10  # in a row, until a subject counts as broken


class Crash(WorkerError):
    """A process was ended by a signal, after its work or during it."""


def run(bench: Bench) -> None:
    with bench.workers("atio", peers=PEERS) as workers:
        roots = {name: bench.fresh(name) for name in workers}
        for name, worker in workers.items():
            with bench.noting(name):
                worker.call("one_row", root=roots[name])
        python = workers["atio"].python if "atio" in workers else None
    # Every worker has ended: nothing holds a table open, nothing else runs.
    programs = {n: lambda _, n=n: cold_start(bench, workers[n], roots[n]) for n in workers}
    bare = {}
    if python:
        bare = {
            "python": lambda _: process(python, "pass"),
            "import": lambda _: process(python, "import atio"),
            "pyarrow": lambda _: process(python, "import pyarrow"),
        }
    bench.interleave(1, bare | programs)  # bytecode and page cache
    found = bench.interleave(bench.pick(31, 11), bare) | bench.interleave(bench.pick(9, 5), programs)
    for name, worker in workers.items():
        bench.report.figure(worker.name, "cold start, one row (ms)", median(found, name, 1e3))
    bare_ms, import_ms, pyarrow_ms, cold_ms, deltalake_ms = (
        median(found, name, 1e3) for name in ("python", "import", "pyarrow", "atio", "deltalake")
    )
    cold = "cold start: open, read one row"
    bench.report.rows += [
        Row("import atio", import_ms, "ms", "bare Python", bare_ms, 60, by="difference"),
        Row(cold, cold_ms, "ms", "deltalake", deltalake_ms, 0.4),
        Row(cold, cold_ms, "ms", "import pyarrow", pyarrow_ms),
    ]


def cold_start(bench: Bench, worker: Worker, root: Path) -> float:
    """A lap that ended well. A process that aborts as it ends (deltalake's do) is counted and redone."""
    for _ in range(CRASHES):
        try:
            return process(worker.python, worker.cold, root)
        except Crash:
            known = bench.report.subjects.setdefault(worker.name, {})
            known["crashes at exit"] = known.get("crashes at exit", 0) + 1
    raise WorkerError(f"crashed {CRASHES} times running")


def process(python: str, program: str, *arguments: Path) -> float:
    start = time.perf_counter()
    command = [python, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode < 0:
        raise Crash(f"signal {-done.returncode}")
    if done.returncode:
        raise WorkerError(done.stderr.strip().splitlines()[-1])
    return seconds
