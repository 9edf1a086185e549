"""A thousand tiny appends, then open the table and read all of it; every peer on the same work.

Appends take turns in rounds, so that every subject's first and last appends see the same machine.
"""

import statistics

from benchmarks.harness import PEERS, Bench, Row, Worker, files_in, median

ROUND = 50


def run(bench: Bench) -> None:
    count = bench.pick(1_000, 200)
    with bench.workers("atio", "raw", peers=PEERS) as workers:
        roots = {name: bench.fresh(name) for name in workers}
        found = bench.interleave(
            count // ROUND,
            {name: lambda number, name=name: appends(workers[name], roots[name], number) for name in workers},
        )
        able = {name: worker for name, worker in workers.items() if name in found}
        reads = bench.interleave(
            bench.pick(9, 5),
            {name: lambda _, name=name: read(able[name], roots[name], None, count) for name in able}
            | {"one by one": lambda _: able["raw"].call("one_by_one", root=roots["raw"])},
        )
        middle = count // 2
        olds = bench.interleave(
            bench.pick(5, 3),
            {
                name: lambda _, name=name: read(able[name], roots[name], middle, middle)
                for name in able
                if name != "raw"
            },
        )
        opens = bench.interleave(
            bench.pick(9, 5),
            {n: lambda _, n=n: able[n].call("probes", root=roots[n], count=3) for n in able if n != "raw"},
        )
        for name, worker in able.items():
            sizes = files_in(roots[name])
            figures = {
                "first 50 (ms)": statistics.median(found[name][:ROUND]) * 1e3,
                "last 50 (ms)": statistics.median(found[name][-ROUND:]) * 1e3,
                "open (ms)": median(opens, name, 1e3),
                "open + read all (ms)": median(reads, name, 1e3),
                f"read version {middle:,} (ms)": median(olds, name, 1e3),
                "files": len(sizes),
                "MB": sum(sizes.values()) / 1e6,
                "syncs an append": worker.syncs,
            }
            for column, value in figures.items():
                bench.report.figure(worker.name, column, value)

    all_rows, raw, single = (median(reads, name, 1e3) for name in ("atio", "raw", "one by one"))
    what = f"{count:,} tiny appends: open + read all"
    bench.report.rows += [
        Row(what, all_rows, "ms", f"one dataset over {count:,} files", raw, 0.1),
        Row(what, all_rows, "ms", f"{count:,} datasets, one by one", single),
    ]


def appends(worker: Worker, root: object, number: int) -> list[float]:
    return worker.call("appends", root=root, first=number * ROUND, count=ROUND)["laps"]


def read(worker: Worker, root: object, version: int | None, batches: int) -> float:
    result = worker.call("read", root=root, version=version)
    if result["rows"] != batches * 100:
        raise AssertionError(f"{worker.name} read {result['rows']} rows of {batches * 100}")
    return result["lap"]
