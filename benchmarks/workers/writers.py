"""One file: by `atio.write` (argument `atio`), or by the library's own call and one fsync (`library`)."""

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

import atio
from benchmarks.workers.base import Subject, serve

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}
ROWS = {"parquet": 2_000_000, "csv": 900_000}  # about 50 MB each
SMALL = {"parquet": 20, "csv": 25}  # about 1 KB


def columns(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    return {"id": np.arange(rows), "x": rng.random(rows), "y": rng.random(rows), "z": rng.random(rows)}


def by_library(frame: Any, path: Path, library: str, format: str) -> None:
    if library == "pandas":
        frame.to_csv(path, index=False) if format == "csv" else frame.to_parquet(path)
    elif library == "polars":
        frame.write_csv(path) if format == "csv" else frame.write_parquet(path)
    else:
        import pyarrow.csv
        import pyarrow.parquet

        pyarrow.csv.write_csv(frame, path) if format == "csv" else pyarrow.parquet.write_table(frame, path)
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def by_atio(frame: Any, path: Path, library: str, format: str) -> None:
    options = {"index": False} if (library, format) == ("pandas", "csv") else {}
    atio.write(frame, path, format, **options)


class Files(Subject):
    syncs = "1"

    def __init__(self, how: str) -> None:
        super().__init__()
        self.name = {"atio": "atio.write", "library": "the library + fsync"}[how]
        self.write = {"atio": by_atio, "library": by_library}[how]
        self._frames: dict[tuple[str, int], Any] = {}

    def open(self, root: Path) -> Any:
        raise NotImplementedError

    def append(self, handle: Any, table: Any) -> None:
        raise NotImplementedError

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        raise NotImplementedError

    def do_file(self, path: str, library: str, format: str, small: bool, count: int) -> dict[str, Any]:
        """Write the same frame so many times over one another."""
        rows = (SMALL if small else ROWS)[format]
        if (library, rows) not in self._frames:
            self._frames.clear()
            self._frames[library, rows] = FRAMES[library](columns(rows))
        frame, target, laps = self._frames[library, rows], Path(path), []
        gc.collect()
        os.sync()  # nobody pays for what another left to be written
        for _ in range(count):
            start = time.perf_counter()
            self.write(frame, target, library, format)
            laps.append(time.perf_counter() - start)
        return {"laps": laps, "size": target.stat().st_size}


if __name__ == "__main__":
    serve(Files(sys.argv[1]))
