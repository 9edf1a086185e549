"""The floor of one durable append (`benchmarks.floor`) as a worker; `loose` leaves its syncs out."""

import sys
from pathlib import Path

import pyarrow as pa

from benchmarks.floor import Floor
from benchmarks.workers.base import Subject, serve


class FloorSubject(Subject):
    def __init__(self, *, durable: bool) -> None:
        super().__init__()
        self.durable = durable
        self.name = "floor, durable" if durable else "floor, not durable"
        self.syncs = "7" if durable else "0"
        self.version = 0

    def open(self, root: Path) -> Floor:
        return Floor(root, durable=self.durable)

    def append(self, handle: Floor, table: pa.Table) -> None:
        self.version += 1
        handle.append(table, self.version)

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        raise NotImplementedError


if __name__ == "__main__":
    serve(FloorSubject(durable="loose" not in sys.argv))
