"""Changing rows: upserts into 2 million, a delete of 1 % of 6 million and the scan after it, get, feed."""

import shutil
from pathlib import Path

from benchmarks.harness import Bench, Row, Worker, median

LANCE = ("lance",)


def run(bench: Bench) -> None:
    upserts(bench)
    deletes(bench)
    gets(bench)
    feeds(bench)


def upserts(bench: Bench) -> None:
    rows = bench.pick(2_000_000, 200_000)
    with bench.workers("atio", peers=LANCE) as workers:
        roots = {}
        for name, worker in workers.items():
            roots[name] = bench.fresh(name)
            worker.call("rows", root=roots[name], rows=rows)
        for kind in ("clustered", "scattered"):
            laps = bench.interleave(
                bench.pick(9, 3),
                {
                    name: lambda number, name=name, kind=kind: upsert(
                        bench, workers[name], roots[name], rows, kind, number
                    )["lap"]
                    for name in roots
                },
            )
            what = f"upsert of {rows // 100:,} rows, {kind}"
            atio, lance = (median(laps, name, 1e3) for name in ("atio", "lance"))
            bench.report.rows.append(Row(what, atio, "ms", "Lance", lance, 1.0))
    for kind in ("clustered", "scattered"):
        with bench.workers("atio") as workers, bench.noting("atio"):  # a fresh process: its own peak
            found = upsert(bench, workers["atio"], roots["atio"], rows, kind, 0)
            peak = found["peak"] / 1e6
            bench.report.rows.append(Row(f"peak of an upsert, {kind}", peak, "MB", budget=300))


def upsert(bench: Bench, worker: Worker, base: Path, rows: int, kind: str, number: int) -> dict[str, float]:
    """Each into a copy of the same table."""
    root = bench.fresh(worker.module)
    shutil.copytree(base, root)
    found = worker.call("upsert", root=root, rows=rows, kind=kind, number=number)
    shutil.rmtree(root.parent)
    return found


def deletes(bench: Bench) -> None:
    source = bench.lineitem(bench.pick(1, 0) or 0.2)
    with bench.workers("atio", peers=LANCE) as workers:
        roots = {name: bench.fresh(name) for name in workers}
        for name, worker in workers.items():
            worker.call("write", root=roots[name], source=source)
        laps = bench.interleave(
            bench.pick(5, 2),
            {name: lambda _, name=name: delete(bench, workers[name], roots[name]) for name in roots},
        )
        atio, lance = (median(laps, name, 1e3) for name in ("atio", "lance"))
        bench.report.rows.append(Row("delete of 1 %, scattered", atio, "ms", "Lance", lance, 1.0))
        if "atio" in workers:
            after = bench.fresh("after")
            shutil.copytree(roots["atio"], after)
            workers["atio"].call("delete", root=after)
            scans = {
                name: lambda _, root=root: workers["atio"].call("read", root=root)["lap"]
                for name, root in (("before", roots["atio"]), ("after", after))
            }
            bench.interleave(1, scans)  # a first, cold one of each
            found = bench.interleave(bench.pick(15, 5), scans)
            before, after_ = median(found, "before"), median(found, "after")
            bench.report.rows.append(Row("full scan after it", after_, "s", "before", before, 1.1))


def delete(bench: Bench, worker: Worker, base: Path) -> float:
    root = bench.fresh(worker.module)
    shutil.copytree(base, root)
    seconds = worker.call("delete", root=root)
    shutil.rmtree(root.parent)
    return seconds


def gets(bench: Bench) -> None:
    rows = bench.pick(2_000_000, 200_000)
    with bench.workers("atio") as workers:
        if "atio" not in workers:
            return
        root = bench.fresh("keyed")
        workers["atio"].call("rows", root=root, rows=rows, key=True)
        laps = workers["atio"].call("gets", root=root, rows=rows, count=bench.pick(101, 21))
        bench.report.rows.append(Row("get(key)", median({"atio": laps}, "atio", 1e3), "ms", budget=5))


def feeds(bench: Bench) -> None:
    """The newest 100 versions of many, beside those of few."""
    with bench.workers("atio") as workers:
        if "atio" not in workers:
            return
        worker = workers["atio"]
        roots = {"old": bench.old_table(worker), "young": bench.fresh("young")}
        worker.call("appends", root=roots["young"], first=0, count=200)
        laps = {
            name: lambda _, root=root: worker.call("feed", root=root, versions=100)
            for name, root in roots.items()
        }
        bench.interleave(1, laps)  # a first, cold one of each
        found = bench.interleave(bench.pick(15, 5), laps)
        old, young = (median(found, name, 1e3) for name in ("old", "young"))
        what = f"feed of 100 versions of {bench.versions:,}"
        bench.report.rows.append(Row(what, old, "ms", "of 200", young, 1.2))
