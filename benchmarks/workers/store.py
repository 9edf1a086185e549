"""atio.store, durable as it is by default: an append is a commit of a value of one number."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from atio import store
from benchmarks.data import large_value
from benchmarks.workers.base import Subject, lap, serve


class StoreSubject(Subject):
    name = "atio.store"
    syncs = "2"

    def open(self, root: Path) -> Any:
        return store.open(root, default={"number": 0})

    def prepare(self, table: pa.Table) -> int:
        return table["id"][0].as_py()

    def append(self, handle: Any, number: int) -> None:
        handle.value["number"] = number
        handle.commit()

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        raise NotImplementedError

    def do_large(self, root: str, count: int) -> list[float]:
        """Commit a value of 10 MB so many times; a first time is not counted, as for json.dump."""
        handle = store.open(root, default=large_value())
        handle.commit()
        laps = []
        for number in range(count):
            handle.value[0]["id"] = number
            laps.append(lap(handle.commit)[0])
        return laps


if __name__ == "__main__":
    serve(StoreSubject())
