"""One order of TPC-H lineitem, looked up in 60 files that are sorted by it."""

from pathlib import Path

from benchmarks.harness import Bench, Row, Worker, median

FILES = 60
KEY = 3_000_001


def run(bench: Bench) -> None:
    source, key = bench.lineitem(0.2 if bench.quick else 1), 600_001 if bench.quick else KEY
    with bench.workers("atio", peers=("ducklake",)) as workers:
        roots = {name: bench.fresh(name) for name in workers}
        for name, worker in workers.items():
            with bench.noting(name):
                worker.call("pieces", root=roots[name], source=source, count=FILES)
        laps = {name: lambda _, name=name: lookup(workers[name], roots[name], key) for name in workers}
        bench.interleave(1, laps)  # a first, cold one of each
        found = bench.interleave(bench.pick(41, 15), laps)
    for name in found:
        bench.report.figure(workers[name].name, "lookup (ms)", median(found, name, 1e3))
    bench.report.rows.append(
        Row(
            f"one key of {FILES} files",
            median(found, "atio", 1e3),
            "ms",
            "DuckLake",
            median(found, "ducklake", 1e3),
            1.0,
        )
    )


def lookup(worker: Worker, root: Path, key: int) -> float:
    result = worker.call("lookup", root=root, column="l_orderkey", value=key)
    if not 1 <= result["rows"] <= 7:
        raise AssertionError(f"{worker.name} found {result['rows']} rows of order {key}")
    return result["lap"]
