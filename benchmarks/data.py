"""The data every subject gets: small batches made from a number, and TPC-H lineitem from a cached file.

Runs in both environments (NumPy and pyarrow only).
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 100  # of a small batch
CACHE = Path(__file__).with_name(".data")


def small(number: int, rows: int = ROWS) -> pa.Table:
    """The `number`-th batch of 4 columns; its ids are `number * rows` and the following ones."""
    rng = np.random.default_rng(number)
    return pa.table(
        {
            "id": np.arange(number * rows, (number + 1) * rows),
            "ts": pa.array(np.arange(rows) * 1000 + number, pa.timestamp("us")),
            "v": rng.random(rows),
            "k": pa.array([f"k{x % 7}" for x in range(rows)]),
        },
    )


def numbered(first: int, count: int) -> pa.Table:
    """Rows whose ids are the even numbers from `2 * first` on."""
    rng = np.random.default_rng(first)
    ids = np.arange(first, first + count)
    return pa.table(
        {
            "id": ids * 2,
            "ts": pa.array(ids * 1000, pa.timestamp("us")),
            "v": rng.random(count),
            "k": pa.array(np.char.add("k", (ids % 1000).astype(str))),
        }
    )


def upserted(rows: int, kind: str, number: int) -> pa.Table:
    """One hundredth as many rows as a table of `numbered` has: half of their ids are there, half are new."""
    rng = np.random.default_rng(number)
    half = rows // 200
    if kind == "clustered":
        start = int(rng.integers(0, rows - half))
        old = new = np.arange(start, start + half)
    else:
        old, new = (rng.choice(rows, half, replace=False) for _ in range(2))
    ids = np.concatenate([old * 2, new * 2 + 1])
    rng.shuffle(ids)
    made = numbered(0, len(ids))
    return made.set_column(0, "id", pa.array(ids))


def large_value() -> list[dict[str, Any]]:
    """A value of 10 MB as JSON, such as a program keeps between its runs."""
    return [
        {"id": x, "name": f"item {x}", "price": x * 1.1, "tags": ["new", "sale"], "parent": None}
        for x in range(110_000)
    ]


def lineitem(scale: float, generator: Path | None) -> Path:
    """TPC-H lineitem as one Parquet file, 6 million rows x 16 columns at scale 1; generated once."""
    path = CACHE / f"lineitem-{scale:g}.parquet"
    if not path.exists():
        tool = generator or shutil.which("tpchgen-cli") or Path(sys.executable).with_name("tpchgen-cli")
        # In a process of its own: the harness stays small.
        command = [sys.executable, "-m", "benchmarks.data", str(scale), path, tool]
        subprocess.run(command, cwd=CACHE.parent.parent, check=True)
    return path


def generate(scale: str, path: Path, tool: str) -> None:
    """The generator's string views and field ids are taken off: several peers do not take them."""
    raw = path.with_suffix(".tpch")
    arguments = ["parquet", "-s", scale, "-T", "lineitem", "-o", raw, "--overwrite", "--quiet"]
    subprocess.run([tool, *arguments], check=True, stdout=subprocess.DEVNULL)
    table = pq.read_table(raw / "lineitem.parquet")
    plain = [pa.string() if pa.types.is_string_view(t) else t for t in table.schema.types]
    table = table.cast(pa.schema(list(zip(table.schema.names, plain, strict=True))))
    half_done = path.with_suffix(".part")
    pq.write_table(table, half_done, row_group_size=131_072)  # streams read it a group at a time
    half_done.rename(path)
    shutil.rmtree(raw)


if __name__ == "__main__":
    generate(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
