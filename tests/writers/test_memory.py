"""What is written piece by piece needs memory for a piece, however much there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CODE = """
import sys
from pathlib import Path
import numpy as np, pyarrow as pa
import atio
kind, path, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
rows = 65_536
values = np.random.default_rng(1).random(rows)

def pieces(count):
    for number in range(count):
        yield pa.table({"n": np.full(rows, number), "x": values})

def records(count):
    for number in range(count * rows):
        yield {"n": number, "x": 0.5}

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field + ":"))

def source(count):
    if kind == "records":
        return records(count)
    if kind == "stream":
        return pa.RecordBatchReader.from_batches(
            next(pieces(1)).schema, (b for t in pieces(count) for b in t.to_batches())
        )
    if kind == "lazy":
        import polars as pl
        return pl.scan_parquet(path + ".input")
    return pieces(count)

atio.write(source(1) if kind != "lazy" else pieces(1), path)
if kind == "lazy":
    atio.write(pieces(megabytes), path + ".input", "parquet", row_group_size=rows)
    atio.write(source(0).head(10), path)
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
atio.write(source(megabytes), path)
print(status("VmHWM") - before)
"""
SIZES = {"jsonl": (10, 60), "json": (10, 60), "csv.gz": (10, 60), "avro": (4, 16)}
"""MB, in pieces of one, for the slow ones."""


def grown(kind: str, path: Path, megabytes: int) -> int:
    """MB by which a process grows while it writes so many."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, kind, path, str(megabytes)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.parametrize(
    "suffix", ["parquet", "arrow", *(pytest.param(s, marks=pytest.mark.slow) for s in ("csv", "tsv", "orc"))]
)
def test_iterators_of_tables(suffix: str, tmp_path: Path) -> None:
    assert grown("iterator", tmp_path / f"x.{suffix}", 120) < 80


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow", "jsonl", "avro", "json", "csv.gz"])
@pytest.mark.parametrize("kind", ["iterator", "stream", "lazy"])
def test_peaks_do_not_grow_with_the_data(suffix: str, kind: str, tmp_path: Path) -> None:
    few, many = SIZES.get(suffix, (80, 240))
    path = tmp_path / f"x.{suffix}"
    once, thrice = grown(kind, path, few), grown(kind, path, many)
    assert thrice < once * 1.25 + 25, (once, thrice)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "avro"])
def test_records_one_by_one(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    assert grown("records", path, 16) < 100  # of dicts: 240 MB
