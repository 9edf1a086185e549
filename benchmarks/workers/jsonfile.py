"""`json.dump` into a plain file and one fsync: what a program without a store does."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.data import large_value
from benchmarks.workers.base import Subject, lap, serve


class JsonFile(Subject):
    name = "json.dump + fsync"
    syncs = "1"

    def open(self, root: Path) -> Path:
        return root

    def prepare(self, table: pa.Table) -> Any:
        return {"number": table["id"][0].as_py()}

    def append(self, handle: Path, value: Any) -> None:
        with handle.open("w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        raise NotImplementedError

    def do_large(self, root: str, count: int) -> list[float]:
        value, path = large_value(), Path(root)
        self.append(path, value)
        laps = []
        for number in range(count):
            value[0]["id"] = number
            laps.append(lap(lambda: self.append(path, value))[0])
        return laps


if __name__ == "__main__":
    serve(JsonFile())
