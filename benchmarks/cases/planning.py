"""A table of a million data files is opened, and the one that has a value is found."""

import statistics

from benchmarks.harness import Bench, Row

LARGEST = 65_536
"""Entries of the largest manifests that commits make."""


def run(bench: Bench) -> None:
    count = bench.pick(1_000_000, 100_000)
    root = bench.fresh("planning")
    with bench.workers("atio") as workers:
        for first in range(0, count if workers else 0, LARGEST):
            workers["atio"].call("named", root=root, first=first, count=min(LARGEST, count - first))
    values = [(number + 1) * 12_345_678 % (100 * count) for number in range(bench.pick(22, 8))]
    with bench.workers("atio") as workers:  # anew, for its memory
        if "atio" not in workers:
            return
        found = workers["atio"].call("plan", root=root, values=values)
    if set(found["files"]) != {1}:
        raise AssertionError(f"files were planned that have no such value: {found['files']}")
    what = f"plan {count:,} files for one value"
    bench.report.rows += [
        Row(what, statistics.median(found["laps"]), "s", budget=1.0),
        Row("the first time, imports included", found["first"], "s"),
        Row("peak memory of the process", found["peak"] / 1e6, "MB", budget=500),
    ]
