"""pyiceberg with a SQLite catalog inside the table's folder; the table object is kept between appends."""

from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from sqlalchemy.exc import OperationalError

from benchmarks.workers.base import Subject, serve

NAME = "bench.t"


def catalog(root: Path) -> SqlCatalog:
    return SqlCatalog("bench", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}")


class PyIceberg(Subject):
    name = "pyiceberg"
    syncs = "4, only SQLite"
    cold = (
        "import sys; from pyiceberg.catalog.sql import SqlCatalog; "
        "c = SqlCatalog('bench', uri=f'sqlite:///{sys.argv[1]}/catalog.db', "
        "warehouse=f'file://{sys.argv[1]}'); "
        "assert len(c.load_table('bench.t').scan().to_arrow()) == 1"
    )

    def open(self, root: Path) -> list[Table | SqlCatalog]:
        root.mkdir(exist_ok=True)
        found = catalog(root)
        found.create_namespace_if_not_exists("bench")
        return [found.load_table(NAME) if found.table_exists(NAME) else found]

    def append(self, handle: list[Table | SqlCatalog], table: pa.Table) -> None:
        if isinstance(handle[0], SqlCatalog):
            handle[0] = handle[0].create_table(NAME, schema=table.schema)
        handle[0].append(table)

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        table = catalog(root).load_table(NAME)
        if version is None:
            return table.scan().to_arrow()
        return table.scan(snapshot_id=table.metadata.snapshots[version - 1].snapshot_id).to_arrow()

    def probe(self, root: Path) -> None:
        catalog(root).load_table(NAME)

    def conflict(self, error: Exception) -> bool:
        return isinstance(error, CommitFailedException | OperationalError)


if __name__ == "__main__":
    serve(PyIceberg())
