"""SQLite with `synchronous=FULL`: an append updates one row of a table. The argument is the journal mode."""

import sqlite3
import sys
from pathlib import Path

import pyarrow as pa

from benchmarks.workers.base import Subject, serve


class Sqlite(Subject):
    def __init__(self, journal: str) -> None:
        super().__init__()
        self.journal = journal
        self.name = f"SQLite, journal {journal}"
        self.syncs = {"delete": "4", "wal": "1"}[journal]

    def open(self, root: Path) -> sqlite3.Connection:
        handle = sqlite3.connect(root, isolation_level=None)
        mode = handle.execute(f"PRAGMA journal_mode={self.journal}").fetchone()[0]
        assert mode == self.journal
        handle.execute("PRAGMA synchronous=FULL")
        handle.execute("CREATE TABLE IF NOT EXISTS stored (id INTEGER PRIMARY KEY, number INTEGER)")
        handle.execute("INSERT OR IGNORE INTO stored VALUES (1, 0)")
        return handle

    def prepare(self, table: pa.Table) -> int:
        return table["id"][0].as_py()

    def append(self, handle: sqlite3.Connection, number: int) -> None:
        handle.execute("UPDATE stored SET number = ? WHERE id = 1", (number,))

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        raise NotImplementedError


if __name__ == "__main__":
    serve(Sqlite(sys.argv[1]))
