"""TPC-H lineitem (6 million rows x 16 columns at scale 1): write, scan to Arrow, memory of streams."""

import shutil
from pathlib import Path

from benchmarks.harness import PEERS, Bench, Row, Worker, median


def run(bench: Bench) -> None:
    source = bench.lineitem(0.2 if bench.quick else 1)
    against_floor(bench, source)
    against_peers(bench, source)
    if not bench.quick:  # with little data every buffer still grows with it
        streams(bench, source)


def against_floor(bench: Bench, source: Path) -> None:
    with bench.workers("atio", "raw") as workers:
        writes = bench.interleave(
            bench.pick(9, 5),
            {name: lambda _, name=name: write(bench, workers[name], source) for name in workers},
        )
        scans = {}
        if "atio" in writes:
            root = bench.fresh("scan")
            workers["atio"].call("write", root=root, source=source)
            read = {
                name: lambda _, name=name: workers[name].call("read", root=root)["lap"] for name in workers
            }
            bench.interleave(1, read)  # a first, cold one of each
            scans = bench.interleave(bench.pick(15, 7), read)
    bench.report.rows += [
        Row("bulk write", median(writes, "atio"), "s", "write_table + fsync", median(writes, "raw"), 1.05),
        Row(
            "full scan to Arrow", median(scans, "atio"), "s", "dataset, same files", median(scans, "raw"), 1.0
        ),
    ]


def against_peers(bench: Bench, source: Path) -> None:
    with bench.workers("atio", "raw", peers=PEERS) as workers:
        writes = bench.interleave(
            bench.pick(3, 1),
            {name: lambda _, name=name: write(bench, workers[name], source) for name in workers},
        )
        roots = {name: bench.fresh(name) for name in writes}
        for name, root in roots.items():
            with bench.noting(name):
                workers[name].call("write", root=root, source=source)
        scans = bench.interleave(
            bench.pick(5, 2),
            {
                name: lambda _, name=name: workers[name].call("read", root=roots[name])["lap"]
                for name in roots
            },
        )
        for name in writes:
            bench.report.figure(workers[name].name, "write (s)", median(writes, name))
            bench.report.figure(workers[name].name, "scan to Arrow (s)", median(scans, name))


def write(bench: Bench, worker: Worker, source: Path) -> float:
    root = bench.fresh(worker.module)
    seconds = worker.call("write", root=root, source=source)
    shutil.rmtree(root.parent)
    return seconds


def streams(bench: Bench, source: Path) -> None:
    """Peak growth of a fresh process, with some data and with three times as much."""
    peaks: dict[tuple[str, str, int], float] = {}
    sizes = (1, 3)
    for times in sizes:
        for name in ("atio", "raw"):
            root = bench.fresh(f"stream-{name}")
            for op, params in (("stream_write", {"source": source, "times": times}), ("stream_read", {})):
                with bench.workers(name) as workers, bench.noting(name):
                    if name in workers:
                        peaks[name, op, times] = workers[name].call(op, root=root, **params)["peak"] / 1e6
            shutil.rmtree(root.parent)
    for op, what in (
        ("stream_write", "peak of a streamed write"),
        ("stream_read", "peak of a streamed read"),
    ):
        once, thrice, raw = (
            peaks.get(key) for key in (("atio", op, sizes[0]), ("atio", op, sizes[1]), ("raw", op, sizes[1]))
        )
        bench.report.rows += [
            Row(what, thrice, "MB", "a third of it", once, 1.25),
            Row(what, thrice, "MB", "ParquetWriter" if "write" in op else "dataset", raw),
        ]
