"""DuckLake with a DuckDB catalog, which one process at a time can hold; the extension is a wheel."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import duckdb_extension_ducklake
import pyarrow as pa

from benchmarks.workers.base import Subject, serve

EXTENSION = next(Path(duckdb_extension_ducklake.__path__[0]).rglob("ducklake.duckdb_extension"))
LOAD = f"LOAD '{EXTENSION}'"
ATTACH = "ATTACH 'ducklake:{0}/catalog.ducklake' AS lake (DATA_PATH '{0}/data/')"


@dataclass
class Handle:
    exists: bool


class DuckLake(Subject):
    """One connection for the process, with the extension loaded: to open a table is to attach its catalog."""

    name = "DuckLake"
    syncs = "1, the catalog"
    cold = (
        f"import sys, duckdb; c = duckdb.connect(); c.execute({LOAD!r}); "
        f"c.execute({ATTACH!r}.format(sys.argv[1])); "
        "assert len(c.execute('FROM lake.t').to_arrow_table()) == 1"
    )

    def __init__(self) -> None:
        super().__init__()
        self.connection = duckdb.connect()
        self.connection.execute(LOAD)

    @contextmanager
    def attached(self, root: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        self.connection.execute(ATTACH.format(root))
        try:
            yield self.connection
        finally:
            self.connection.execute("DETACH lake")

    def open(self, root: Path) -> Handle:
        root.mkdir(exist_ok=True)
        self.connection.execute(ATTACH.format(root))
        return Handle(exists=bool(self.connection.execute("SHOW TABLES FROM lake").fetchall()))

    def append(self, handle: Handle, table: pa.Table) -> None:
        self.connection.register("batch", table)
        verb = "INSERT INTO lake.t" if handle.exists else "CREATE TABLE lake.t AS"
        self.connection.execute(f"{verb} FROM batch")
        handle.exists = True

    def close(self, handle: Handle) -> None:
        del handle
        self.connection.unregister("batch")
        self.connection.execute("DETACH lake")

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        at = "" if version is None else f" AT (VERSION => {version})"
        with self.attached(root) as connection:
            return connection.execute("FROM lake.t" + at).to_arrow_table()

    def lookup(self, root: Path, column: str, value: int) -> pa.Table:
        with self.attached(root) as connection:
            return connection.execute(f"FROM lake.t WHERE {column} = {value}").to_arrow_table()

    def compact(self, root: Path) -> None:
        with self.attached(root) as connection:
            connection.execute("CALL ducklake_merge_adjacent_files('lake')")

    def probe(self, root: Path) -> None:
        with self.attached(root) as connection:
            connection.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchone()


if __name__ == "__main__":
    serve(DuckLake())
