"""`atio.write` beside the library's own call and one fsync: files of 50 MB, and of 1 KB."""

from pathlib import Path

from benchmarks.harness import Bench, Row, Worker, median

LIBRARIES = ("pandas", "polars", "arrow")
FORMATS = ("parquet", "csv")
SUBJECTS = ("writers:atio", "writers:library")


def run(bench: Bench) -> None:
    with bench.workers(*SUBJECTS) as workers:
        paths = {name: bench.fresh(name.replace(":", "-")) for name in workers}
        for suffix in FORMATS:
            for library in LIBRARIES:
                compare(bench, workers, paths, library, suffix)


def compare(
    bench: Bench, workers: dict[str, Worker], paths: dict[str, Path], library: str, suffix: str
) -> None:
    for small, rounds, count in ((False, bench.pick(9, 3), 1), (True, bench.pick(30, 10), 20)):
        found = bench.interleave(
            rounds,
            {
                name: lambda _, name=name, small=small, count=count: workers[name].call(
                    "file", path=paths[name], library=library, format=suffix, small=small, count=count
                )["laps"]
                for name in workers
            },
        )
        ours, theirs = (median(found, name, 1e3) for name in SUBJECTS)
        what = f"{library} to {suffix}, {'1 KB' if small else '50 MB'}"
        bench.report.rows.append(
            Row(what, ours, "ms", "its own call + fsync", theirs, 1.5, by="difference")
            if small
            else Row(what, ours, "ms", "its own call + fsync", theirs, 1.05)
        )
