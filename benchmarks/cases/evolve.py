"""Columns of a table of 10,000 data files are added, renamed and dropped: metadata alone."""

import statistics

from benchmarks.harness import Bench, Row


def run(bench: Bench) -> None:
    files = bench.pick(10_000, 1_000)
    with bench.workers("atio") as workers:
        if "atio" not in workers:
            return
        worker, root = workers["atio"], bench.fresh("evolve")
        worker.call("staged", root=root, count=files)
        laps = [worker.call("evolve", root=root) for _ in range(bench.pick(21, 7))]
    for change in laps[0]:
        milliseconds = statistics.median(lap[change] for lap in laps) * 1e3
        bench.report.rows.append(Row(f"{change} a column, {files:,} files", milliseconds, "ms", budget=10))
