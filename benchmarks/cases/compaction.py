"""A thousand small files become one, beside the peers that can do it."""

import shutil
from pathlib import Path

from benchmarks.harness import Bench, Row, Worker, median

PEERS = ("deltalake", "lance", "ducklake")
MEMORY = 2 * 256  # MiB: twice the target size of a file


def run(bench: Bench) -> None:
    count = bench.pick(1_000, 200)
    with bench.workers("atio", peers=PEERS) as workers:
        roots = {name: bench.fresh(name) for name in workers}
        ready: dict[str, Path] = {}
        for name, worker in workers.items():
            with bench.noting(name):
                if name == "atio":
                    worker.call("unmerged", root=roots[name])
                worker.call("appends", root=roots[name], first=0, count=count)
                worker.call("release")
                shutil.copytree(roots[name], roots[name].with_name("saved"))
                ready[name] = roots[name]
        peaks: dict[str, float] = {}
        found = bench.interleave(
            bench.pick(7, 3),
            {name: lambda _, name=name: lap(workers[name], ready[name], count, peaks) for name in ready},
        )
        for name in found:
            figures = {
                "rows/s": count * 100 / (median(found, name) or 1),
                "seconds": median(found, name),
                "peak (MB)": peaks[name] / 1e6,
            }
            for column, value in figures.items():
                bench.report.figure(workers[name].name, column, value)
    rates = {name: count * 100 / (median(found, name) or 1) for name in found}
    best = max((name for name in rates if name != "atio"), key=rates.__getitem__, default=None)
    against = (workers[best].name, rates[best]) if best else (None, None)
    bench.report.rows += [
        Row(f"compaction of {count:,} files", rates.get("atio"), "rows/s", *against, 1.0, better="≥"),
        Row("its peak of memory", peaks.get("atio", 0) / 2**20, "MiB", budget=MEMORY),
    ]


def lap(worker: Worker, root: Path, count: int, peaks: dict[str, float]) -> float:
    """Of the table as it was: a compacted one has nothing left to do."""
    shutil.rmtree(root)
    shutil.copytree(root.with_name("saved"), root)
    result = worker.call("compact", root=root)
    peaks[worker.module] = max(result["peak"], peaks.get(worker.module, 0))
    read = worker.call("read", root=root)
    if read["rows"] != count * 100:
        raise AssertionError(f"{worker.name} has {read['rows']} rows after its compaction")
    return result["lap"]
