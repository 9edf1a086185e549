"""A durable append of 100 rows x 4 columns: beside its floor, and after thousands of versions beside ten."""

from benchmarks.harness import Bench, Row, Worker, files_in, median

AROUND_TEN = range(6, 16)  # versions measured on each young table
ROUND = len(AROUND_TEN)


def run(bench: Bench) -> None:
    with bench.workers("atio", "floor", "floor:loose") as workers:
        atio, floor, loose = (workers.get(name) for name in ("atio", "floor", "floor:loose"))
        old, versions = None, bench.versions
        if atio:
            with bench.noting("atio"):
                old = bench.old_table(atio)
                metadata_written(bench, atio, old)
        laps = {}
        if old:
            laps["young"] = lambda _: young_appends(bench, atio)
        laps["floor"] = lambda number: appends(floor, bench.folder / "floor", number)
        if old:
            laps["old"] = lambda number: appends(atio, old, number)
        laps["loose"] = lambda number: appends(loose, bench.folder / "loose", number)
        found = bench.interleave(bench.pick(30, 10), laps)
        probes = {}
        if old:
            young = bench.fresh("young")
            with bench.noting("atio"):
                atio.call("appends", root=young, first=0, count=10)
            probes = bench.interleave(
                bench.pick(30, 10),
                {
                    "young": lambda _: atio.call("probes", root=young, count=10),
                    "old": lambda _: atio.call("probes", root=old, count=10),
                },
            )

    young, old, floor, loose = (median(found, name, 1e3) for name in ("young", "old", "floor", "loose"))
    bench.report.rows += [
        Row("append at version 10", young, "ms", "floor, durable", floor, 2.0),
        Row(f"append at version {versions:,}", old, "ms", "floor, durable", floor, 2.0),
        Row(f"append at version {versions:,}", old, "ms", "at version 10", young, 1.1),
        Row(
            f"open the newest version at {versions:,}",
            median(probes, "old", 1e3),
            "ms",
            "at version 10",
            median(probes, "young", 1e3),
            1.2,
        ),
        Row("append at version 10", young, "ms", "floor, not durable", loose),
    ]


def appends(worker: Worker, root: object, number: int) -> list[float]:
    first = 1_000_000 + number * ROUND
    return worker.call("appends", root=root, first=first, count=ROUND)["laps"]


def young_appends(bench: Bench, atio: Worker) -> list[float]:
    """The 6th to 15th append of a new table; the first five also warm its process and its folders."""
    root = bench.fresh("young")
    atio.call("appends", root=root, first=0, count=AROUND_TEN.start - 1)
    return atio.call("appends", root=root, first=AROUND_TEN.start, count=ROUND)["laps"]


def metadata_written(bench: Bench, atio: Worker, root: object) -> None:
    """All bytes ever written outside data/: nothing was deleted, and the pointers were added up."""
    commits = atio.call("version", root=root)
    lasting = sum(
        size for path, size in files_in(root).items() if not path.startswith("data/") and path != "current"
    )
    written = (lasting + bench.replaced) / commits
    bench.report.rows.append(
        Row(f"metadata a commit, average over {commits:,}", written, "bytes", budget=4096)
    )
