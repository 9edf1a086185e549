"""Tables in a bucket: a server on this machine, with and without a round trip of 20 ms before every answer.

All subjects go through the same server, that of the tests, by the same line (`latency.py`).
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from benchmarks.cases import concurrent
from benchmarks.harness import Bench, Row, Worker, median

LATENCY = 0.02
PEERS = ("deltalake", "lance", "pyiceberg")
ROUND = 20
APPENDS = 20  # by each of six processes


def run(bench: Bench) -> None:
    from tests.remote.servers import BUCKET, s3_server

    folder = bench.folder / "server"
    folder.mkdir()
    with s3_server(folder) as server:
        with line(server.port) as port, reached(bench, server.at(port)):
            appends_and_reads(bench, f"s3://{BUCKET}")
            many_writers(bench, f"s3://{BUCKET}")
        with reached(bench, server):
            scans(bench, f"s3://{BUCKET}/scan")


@contextmanager
def line(port: int) -> Iterator[int]:
    """A port behind which the server is farther away."""
    command = [sys.executable, "-m", "benchmarks.latency", str(port), str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def reached(bench: Bench, server: object) -> Iterator[None]:
    """The environment in which workers find the server."""
    found = {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ENDPOINT": server.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": server.options["key"],
        "AWS_SECRET_ACCESS_KEY": server.options["secret"],
        "AWS_REGION": "us-east-1",
        "BENCH_CATALOGS": str(bench.folder),
    }
    with mock.patch.dict(os.environ, found):
        yield


def appends_and_reads(bench: Bench, bucket: str) -> None:
    count = bench.pick(200, 40)
    with bench.workers("atio", peers=PEERS) as workers:
        roots = {name: f"{bucket}/small-{name}" for name in workers}
        found = bench.interleave(
            count // ROUND,
            {
                name: lambda number, name=name: workers[name].call(
                    "appends", root=roots[name], first=number * ROUND, count=ROUND
                )["laps"]
                for name in workers
            },
        )
        reads = bench.interleave(
            bench.pick(7, 3),
            {name: lambda _, name=name: read(workers[name], roots[name], count) for name in found},
        )
        rates = {name: 1 / statistics.median(laps) for name, laps in found.items()}
        for name in found:
            bench.report.figure(workers[name].name, "appends/s", rates[name])
            bench.report.figure(workers[name].name, f"open + read {count} (ms)", median(reads, name, 1e3))
    for name, budget in (("deltalake", 2.0), ("pyiceberg", 2.0), ("lance", 1.0)):
        what = f"20 ms away: appends, the median of {count}"
        bench.report.rows.append(Row(what, rates.get("atio"), "/s", name, rates.get(name), budget, "≥"))
    for name, budget in (("deltalake", 0.5), ("pyiceberg", 0.5), ("lance", 1.0)):
        what = f"20 ms away: open + read {count} small appends"
        times = median(reads, "atio", 1e3), median(reads, name, 1e3)
        bench.report.rows.append(Row(what, times[0], "ms", name, times[1], budget))


def read(worker: Worker, root: str, batches: int) -> float:
    result = worker.call("read", root=root)
    if result["rows"] != batches * 100:
        raise AssertionError(f"{worker.name} read {result['rows']} rows of {batches * 100}")
    return result["lap"]


def many_writers(bench: Bench, bucket: str) -> None:
    """Six processes, each so many appends: what is there is what was acknowledged."""
    with ExitStack() as stack:
        for name in ("atio", "lance")[: 2 if bench.peers else 1]:
            team = concurrent.start(bench, stack, name)
            if not team:
                continue
            root = f"{bucket}/many-{name}"
            team[0].call("appends", root=root, first=0, count=1)
            with bench.noting(name):
                answers = concurrent.together(team, root, APPENDS)
                seconds = max(a["end"] for a in answers) - min(a["begin"] for a in answers)
                total = len(team) * APPENDS
                ids = team[0].call("ids", root=root)
                bench.report.figure(team[0].name, f"{len(team)} processes (commits/s)", total / seconds)
                bench.report.figure(team[0].name, "rows acknowledged", (1 + total) * 100)
                bench.report.figure(team[0].name, "rows kept", len(set(ids)))
                if name == "atio":
                    lost = (1 + total) * 100 - len(set(ids)) + len(ids) - len(set(ids))
                    what = f"20 ms away: rows lost or doubled of {len(team)} x {APPENDS} appends"
                    bench.report.rows.append(Row(what, lost, "rows", budget=0))


def scans(bench: Bench, root: str) -> None:
    """A GB, from the same objects."""
    source = bench.lineitem(bench.pick(10, 1) / 10)
    times = 5
    with bench.workers("atio", "polars") as workers:
        workers["atio"].call("stream_write", root=root, source=source, times=times)
        files = workers["atio"].call("files", root=root)
        laps = bench.interleave(
            bench.pick(9, 3),
            {
                "atio": lambda _: workers["atio"].call("frame", root=root),
                "polars": lambda _: workers["polars"].call("scan", files=files)["lap"],
            },
        )
        # Not in turns with the two: the memory it gives back makes whatever comes after it slower.
        arrow = statistics.median(workers["atio"].call("read", root=root)["lap"] for _ in range(3))
        size = Path(source).stat().st_size * times / 1e9
        what = f"scan of {size:.1f} GB, {len(files)} files"
        row = Row(what, median(laps, "atio"), "s", "polars.scan_parquet", median(laps, "polars"), 1.05)
        bench.report.rows.append(row)
        what = "the same to Arrow, by Arrow's decoder"
        bench.report.rows.append(Row(what, arrow, "s", row.against, row.other))
