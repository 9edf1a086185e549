"""Thousands of opens of one table: what the process holds at the end more than after a warm-up."""

from benchmarks.harness import Bench, Row

WARM_UP = 2_000


def run(bench: Bench) -> None:
    for read, opens, what in (
        (False, bench.pick(20_000, 5_000), "opens"),
        (True, bench.pick(5_000, 1_000), "opens, each reading a row"),
    ):
        with bench.workers("atio") as workers, bench.noting("atio"):
            if not workers:
                return
            root = bench.fresh("leaks")
            workers["atio"].call("appends", root=root, first=0, count=10)
            workers["atio"].call("release")
            start = workers["atio"].call("opens", root=root, count=WARM_UP, read=read)
            end = workers["atio"].call("opens", root=root, count=opens, read=read)
            descriptors = end["descriptors"] - start["descriptors"]
            grown = (end["resident"] - start["resident"]) / 1e6
            bench.report.rows += [
                Row(f"descriptors kept by {opens:,} {what}", descriptors, "", budget=0),
                Row(f"memory kept by {opens:,} {what}", grown, "MB", budget=2.0),
            ]
