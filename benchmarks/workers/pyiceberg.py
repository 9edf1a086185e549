"""pyiceberg with a SQLite catalog inside the table's folder; the table object is kept between appends."""

import os
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from sqlalchemy.exc import OperationalError

from benchmarks.workers.base import Root, Subject, serve

NAME = "bench.t"


def catalog(root: Root) -> SqlCatalog:
    if isinstance(root, Path):
        return SqlCatalog("bench", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}")
    # The catalog stays on this machine: its commits cost no round trip.
    folder = Path(os.environ["BENCH_CATALOGS"])
    options = {
        "s3.endpoint": os.environ["AWS_ENDPOINT_URL"],
        "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
        "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "s3.region": os.environ["AWS_REGION"],
    }
    uri = f"sqlite:///{folder}/{root.replace('/', '-').replace(':', '')}.db"
    return SqlCatalog("bench", uri=uri, warehouse=root, **options)


class PyIceberg(Subject):
    name = "pyiceberg"
    syncs = "4, only SQLite"
    cold = (
        "import sys; from pyiceberg.catalog.sql import SqlCatalog; "
        "c = SqlCatalog('bench', uri=f'sqlite:///{sys.argv[1]}/catalog.db', "
        "warehouse=f'file://{sys.argv[1]}'); "
        "assert len(c.load_table('bench.t').scan().to_arrow()) == 1"
    )

    def open(self, root: Root) -> list[Table | SqlCatalog]:
        if isinstance(root, Path):
            root.mkdir(exist_ok=True)
        found = catalog(root)
        found.create_namespace_if_not_exists("bench")
        return [found.load_table(NAME) if found.table_exists(NAME) else found]

    def append(self, handle: list[Table | SqlCatalog], table: pa.Table) -> None:
        if isinstance(handle[0], SqlCatalog):
            handle[0] = handle[0].create_table(NAME, schema=table.schema)
        handle[0].append(table)

    def read(self, root: Root, version: int | None = None) -> pa.Table:
        table = catalog(root).load_table(NAME)
        if version is None:
            return table.scan().to_arrow()
        return table.scan(snapshot_id=table.metadata.snapshots[version - 1].snapshot_id).to_arrow()

    def probe(self, root: Root) -> None:
        catalog(root).load_table(NAME)

    def conflict(self, error: Exception) -> bool:
        return isinstance(error, CommitFailedException | OperationalError)


if __name__ == "__main__":
    serve(PyIceberg())
