"""A table of a database: by `atio.write` (argument `atio`), or by `DataFrame.to_sql` (`pandas`)."""

import gc
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

import atio
from benchmarks.workers.base import Subject, serve


def frame(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "x": rng.random(rows),
            "k": rng.integers(0, 1_000, rows),
            "name": [f"name {i % 977}" for i in range(rows)],
            "at": pd.date_range("2024-01-01", periods=rows, freq="s", unit="us"),
        }
    )


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """An engine; or a connection of sqlite3 for a path."""
    if "://" not in url:
        with closing(sqlite3.connect(url)) as connection:
            yield connection
        return
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


class Databases(Subject):
    syncs = "the database's"

    def __init__(self, how: str) -> None:
        super().__init__()
        self.name = {"atio": "atio.write", "pandas": "DataFrame.to_sql"}[how]
        self._frame = pd.DataFrame()

    def open(self, root: Path) -> Any:
        raise NotImplementedError

    def append(self, handle: Any, table: Any) -> None:
        raise NotImplementedError

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        raise NotImplementedError

    def do_table(self, url: str, name: str, rows: int) -> float:
        """Make a new table with so many rows; seconds."""
        if len(self._frame) != rows:
            self._frame = frame(rows)
        with opened(url) as con:
            gc.collect()
            os.sync()  # nobody pays for what another left to be written
            start = time.perf_counter()
            if self.name == "atio.write":
                atio.write(self._frame, format="sql", name=name, con=con)
            else:
                self._frame.to_sql(name, con)
            seconds = time.perf_counter() - start
            found = pd.read_sql(f"SELECT COUNT(*) AS n FROM {name}", con)["n"][0]
        if found != rows:
            raise AssertionError(f"{found} rows of {rows}")
        return seconds


if __name__ == "__main__":
    serve(Databases(sys.argv[1]))
