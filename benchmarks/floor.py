"""The floor of one durable append: what any table on this disk must pay.

Encode 100 rows x 4 columns as Parquet; then three durable writes (data file, snapshot, pointer), each
synced with its folder, and the rename of the pointer under a lock. `make bench` measures it beside the
append, in the same run and on the same disk; alone:

    python -m benchmarks.floor [APPENDS]
"""

import fcntl
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import CACHE, small


class Floor:
    """A folder that takes appends at the least cost; `durable=False` leaves the syncs out."""

    def __init__(self, root: Path, *, durable: bool) -> None:
        self.durable = durable
        self.root, self.data, self.metadata = root, root / "data", root / "metadata"
        for folder in (root, self.data, self.metadata):
            folder.mkdir(exist_ok=True)
        self.folders = {f: os.open(f, os.O_RDONLY) for f in (root, self.data, self.metadata)}
        self.lock = os.open(root / "lock", os.O_CREAT | os.O_RDWR)

    def append(self, table: pa.Table, version: int) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        self._put(self.data / f"{uuid.uuid4()}.parquet", sink.getvalue())
        snapshot = json.dumps({"version": version, "files": ["x" * 60], "stats": {"id": [1, 2]}}).encode()
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self._put(self.metadata / f"{version}.json", snapshot)
        self._put(self.root / ".next", snapshot)
        (self.root / ".next").rename(self.root / "current")
        self._sync(self.folders[self.root])
        fcntl.flock(self.lock, fcntl.LOCK_UN)

    def _put(self, path: Path, body: bytes | pa.Buffer) -> None:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(fd, body)
        self._sync(fd)
        os.close(fd)
        self._sync(self.folders[path.parent])

    def _sync(self, fd: int) -> None:
        if self.durable:
            os.fsync(fd)


def main(appends: int) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        floors = {d: Floor(Path(folder, str(d)), durable=d) for d in (True, False)}
        laps: dict[bool, list[float]] = {True: [], False: []}
        for number in range(appends):
            table = small(number)
            for durable, floor in floors.items():
                start = time.perf_counter()
                floor.append(table, number)
                laps[durable].append(time.perf_counter() - start)
    durable, loose = (statistics.median(laps[d]) * 1e3 for d in (True, False))
    print(f"durable {durable:.3f} ms   not durable {loose:.3f} ms")


if __name__ == "__main__":
    CACHE.mkdir(exist_ok=True)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
