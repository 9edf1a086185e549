"""delta-rs through its Python package; the table object is kept between appends."""

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from benchmarks.workers.base import Root, Subject, serve


class DeltaLake(Subject):
    name = "deltalake"
    syncs = "0"
    cold = (
        "import sys; from deltalake import DeltaTable; "
        "assert len(DeltaTable(sys.argv[1]).to_pyarrow_table()) == 1"
    )

    def open(self, root: Root) -> list[DeltaTable | Root]:
        return [DeltaTable(root) if DeltaTable.is_deltatable(str(root)) else root]

    def append(self, handle: list[DeltaTable | Root], table: pa.Table) -> None:
        write_deltalake(handle[0], table, mode="append")
        if not isinstance(handle[0], DeltaTable):
            handle[0] = DeltaTable(handle[0])

    def read(self, root: Root, version: int | None = None) -> pa.Table:
        return DeltaTable(root, version=None if version is None else version - 1).to_pyarrow_table()

    def compact(self, root: Root) -> None:
        DeltaTable(root).optimize.compact()

    def probe(self, root: Root) -> None:
        DeltaTable(root)

    def conflict(self, error: Exception) -> bool:
        return isinstance(error, CommitFailedError)


if __name__ == "__main__":
    serve(DeltaLake())
