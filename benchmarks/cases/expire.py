"""Expire thousands of versions down to ten, beside the bare deletion of the same files."""

import shutil
from pathlib import Path

from benchmarks.harness import Bench, Row, Worker, files_in, median

KEEP = 10


def run(bench: Bench) -> None:
    with bench.workers("atio", "raw") as workers:
        if "atio" not in workers:
            return
        with bench.noting("atio"):
            old = bench.old_table(workers["atio"])
            gone: list[str] = []
            found = bench.interleave(
                bench.pick(3, 2),
                {
                    "atio": lambda _: expire(bench, workers["atio"], old, gone),
                    "unlink": lambda _: workers["raw"].call("unlink", root=copy(bench, old), files=gone),
                },
            )
            what = f"expire {bench.versions:,} versions to {KEEP} ({len(gone):,} files)"
            seconds = median(found, "atio")
            bench.report.rows += [
                Row(what, seconds, "s", budget=5.0),
                Row(what, seconds, "s", "unlink of the same files", median(found, "unlink")),
            ]


def copy(bench: Bench, old: Path) -> Path:
    return Path(shutil.copytree(old, bench.fresh("expire")))


def expire(bench: Bench, atio: Worker, old: Path, gone: list[str]) -> float:
    """`gone` becomes the files that expire deleted; all rows of the newest version must still be there."""
    root = copy(bench, old)
    rows = atio.call("read", root=root)["rows"]
    before = set(files_in(root))
    seconds = atio.call("expire", root=root, keep=KEEP)
    gone[:] = sorted(before - set(files_in(root)))
    if atio.call("read", root=root)["rows"] != rows:
        raise AssertionError("expire changed the newest version")
    shutil.rmtree(root.parent)
    return seconds
