"""A durable commit of the value store: beside a one-row update of SQLite, and beside a bare json.dump."""

import statistics

from benchmarks.harness import Bench, Row, Worker, median

ROUND = 20
SUBJECTS = ("store", "sqlite:delete", "sqlite:wal", "jsonfile")


def run(bench: Bench) -> None:
    with bench.workers(*SUBJECTS) as workers:
        roots = {name: bench.fresh(name.replace(":", "-")) for name in workers}
        small = bench.interleave(
            bench.pick(40, 15),
            {n: lambda number, n=n: commits(workers[n], roots[n], number) for n in workers},
        )
        large = bench.interleave(
            bench.pick(5, 2),
            {
                n: lambda _, n=n: workers[n].call("large", root=f"{roots[n]}-large", count=2)
                for n in ("store", "jsonfile")
                if n in workers
            },
        )
        for name, worker in workers.items():
            if name in small:
                bench.report.figure(worker.name, "small value (commits/s)", rate(small, name))
                bench.report.figure(worker.name, "median (ms)", statistics.median(small[name]) * 1e3)
                bench.report.figure(worker.name, "syncs a commit", worker.syncs)
    what = "durable commits of a small value"
    ours = rate(small, "store")
    bench.report.rows += [
        Row(what, ours, "/s", "SQLite, FULL", rate(small, "sqlite:delete"), 1.0, better="≥"),
        Row(what, ours, "/s", "SQLite, FULL, WAL", rate(small, "sqlite:wal")),
        Row(
            "durable commit of a 10 MB value",
            median(large, "store", 1e3),
            "ms",
            "json.dump + fsync",
            median(large, "jsonfile", 1e3),
            1.2,
        ),
    ]


def commits(worker: Worker, root: object, number: int) -> list[float]:
    return worker.call("appends", root=root, first=number * ROUND, count=ROUND)["laps"]


def rate(found: dict[str, list[float]], name: str) -> float | None:
    return None if name not in found else 1 / statistics.median(found[name])
