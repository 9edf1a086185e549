"""What a worker is: a process that does named operations on tables and returns how long each took.

One request a line on stdin, `{"op": …, "params": {…}}`; one answer a line on stdout, `{"ok": …}` or
`{"error": traceback}`. The clock is read here, in one place, so the rules are the same for every subject:
input is made and converted before the clock starts, a read ends with all rows in Arrow memory.
Runs in both environments (NumPy and pyarrow only).
"""

import gc
import json
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import numbered, small, upserted

BATCH_ROWS = 65_536  # of a streamed write
Root = Path | str  # text: a URL, whose credentials and endpoint are in the environment


def place(root: str) -> Root:
    return root if "://" in root else Path(root)


class Subject(ABC):
    """One product. Measured are `append`, `probe`, `read` and `stream`; `open` and `prepare` are not."""

    name: str
    syncs: str  # per acknowledged append
    cold = ""  # a program: open the table at argv[1] and read its one row

    @abstractmethod
    def open(self, root: Root) -> Any:
        """A handle to append with, kept for a run of appends. The table need not exist yet."""

    @abstractmethod
    def append(self, handle: Any, table: Any) -> None: ...

    @abstractmethod
    def read(self, root: Root, version: int | None = None) -> pa.Table:
        """Open the table and read all of it: the newest version, or the one that the n-th append made."""

    def probe(self, root: Root) -> None:
        """Open the newest version without reading data."""
        raise NotImplementedError

    def stream(self, root: Path, reader: pa.RecordBatchReader) -> None:
        """Write all batches as one commit."""
        raise NotImplementedError

    def batches(self, root: Path) -> Iterator[pa.RecordBatch]:
        """Read everything, a batch at a time."""
        raise NotImplementedError

    def lookup(self, root: Path, column: str, value: int) -> pa.Table:
        """Open the table and read the rows in which a column has a value."""
        raise NotImplementedError

    def compact(self, root: Path) -> None:
        """Open the table and rewrite its small files into few."""
        raise NotImplementedError

    def prepare(self, table: pa.Table) -> Any:
        """The form of `table` that this product takes natively."""
        return table

    def upsert(self, handle: Any, table: Any) -> None:
        """Insert rows, and replace those of the same `id`."""
        raise NotImplementedError

    def delete(self, handle: Any, where: str) -> None:
        raise NotImplementedError

    def conflict(self, error: Exception) -> bool:
        """Whether a failed append may simply be tried again."""
        del error
        return False

    def replaced(self, root: Root) -> int:
        """Bytes of the files that each commit writes anew under their old names."""
        del root
        return 0

    def close(self, handle: Any) -> None:
        """Let go of the handle, so that a read starts afresh."""
        del handle

    # The operations, as the harness calls them.

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    def do_hello(self) -> dict[str, str]:
        return {"name": self.name, "syncs": self.syncs, "cold": self.cold, "python": sys.executable}

    def do_appends(self, root: str, first: int, count: int) -> dict[str, Any]:
        """Append the batches `first`, …; the handle stays open for the next call."""
        if root not in self._handles:
            self._handles[root] = self.open(place(root))
        handle, laps, retries, replaced = self._handles[root], [], 0, 0
        inputs = [self.prepare(small(number)) for number in range(first, first + count)]
        gc.collect()
        begin = time.perf_counter()
        for table in inputs:
            start = time.perf_counter()
            while True:
                try:
                    self.append(handle, table)
                    break
                except Exception as error:
                    if not self.conflict(error) or time.perf_counter() - begin > 120:
                        raise
                    retries += 1
                    handle = self._handles[root] = self.open(place(root))
            laps.append(time.perf_counter() - start)
            replaced += self.replaced(place(root))
        end = time.perf_counter()
        return {"laps": laps, "begin": begin, "end": end, "retries": retries, "replaced": replaced}

    def do_release(self) -> None:
        while self._handles:
            self.close(self._handles.popitem()[1])
        gc.collect()
        pa.default_memory_pool().release_unused()

    def do_probes(self, root: str, count: int) -> list[float]:
        """Open so many times, each anew, nothing read."""
        self.do_release()
        return [lap(lambda: self.probe(place(root)))[0] for _ in range(count)]

    def do_read(self, root: str, version: int | None = None) -> dict[str, Any]:
        self.do_release()
        seconds, table = lap(lambda: self.read(place(root), version))
        return {"lap": seconds, "rows": table.num_rows}

    def do_ids(self, root: str) -> list[int]:
        return self.read(place(root)).column("id").to_pylist()

    def do_one_row(self, root: str) -> None:
        handle = self.open(Path(root))
        self.append(handle, self.prepare(small(0, rows=1)))
        self.close(handle)

    def do_write(self, root: str, source: str) -> float:
        """Write the Parquet file `source`, loaded before the clock starts, as one append to a new table."""
        table = self.prepare(pq.read_table(source))
        handle = self.open(Path(root))
        gc.collect()
        os.sync()  # nobody pays for what another left to be written
        seconds, _ = lap(lambda: self.append(handle, table))
        self.close(handle)
        self.do_release()
        return seconds

    def do_pieces(self, root: str, source: str, count: int) -> None:
        """Write the Parquet file `source` as so many appends, its rows in order."""
        table = pq.read_table(source)
        step = -(-table.num_rows // count)
        handle = self.open(Path(root))
        for start in range(0, table.num_rows, step):
            self.append(handle, self.prepare(table.slice(start, step)))
        self.close(handle)
        self.do_release()

    def do_lookup(self, root: str, column: str, value: int) -> dict[str, Any]:
        self.do_release()
        seconds, table = lap(lambda: self.lookup(Path(root), column, value))
        return {"lap": seconds, "rows": table.num_rows}

    def do_compact(self, root: str) -> dict[str, float]:
        self.do_release()
        os.sync()
        with Peak() as peak:
            seconds, _ = lap(lambda: self.compact(Path(root)))
        return {"lap": seconds, "peak": peak.grown}

    def do_stream_write(self, root: str, source: str, times: int) -> dict[str, float]:
        """Write `source` so many times over as one stream, and watch the peak of memory."""
        file = pq.ParquetFile(source, pre_buffer=False)

        def batches() -> Iterator[pa.RecordBatch]:
            for _ in range(times):
                yield from file.iter_batches(BATCH_ROWS)

        reader = pa.RecordBatchReader.from_batches(file.schema_arrow, batches())
        with Peak() as peak:
            seconds, _ = lap(lambda: self.stream(place(root), reader))
        return {"lap": seconds, "peak": peak.grown}

    def do_rows(self, root: str, rows: int) -> None:
        """Make a table of so many rows in eight files."""
        handle = self.open(Path(root))
        for part in range(8):
            self.append(handle, self.prepare(numbered(part * rows // 8, rows // 8)))
        self.close(handle)

    def do_upsert(self, root: str, rows: int, kind: str, number: int) -> dict[str, float]:
        handle, table = self.open(Path(root)), self.prepare(upserted(rows, kind, number))
        os.sync()  # of what the copy left to be written
        with Peak() as peak:
            seconds, _ = lap(lambda: self.upsert(handle, table))
        self.close(handle)
        return {"lap": seconds, "peak": peak.grown}

    def do_delete(self, root: str) -> float:
        """Delete one row of a hundred, wherever it is, of TPC-H lineitem."""
        handle = self.open(Path(root))
        os.sync()
        seconds, _ = lap(lambda: self.delete(handle, "(l_orderkey * 7 + l_linenumber) % 100 = 3"))
        self.close(handle)
        return seconds

    def do_stream_read(self, root: str) -> dict[str, float]:
        with Peak() as peak:
            seconds, rows = lap(lambda: sum(batch.num_rows for batch in self.batches(Path(root))))
        return {"lap": seconds, "peak": peak.grown, "rows": rows}


class Peak:
    """Bytes by which the resident memory of this process grew at its highest (Linux)."""

    grown = 0

    def __enter__(self) -> Self:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        self.before = status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.grown = status("VmHWM") - self.before


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def lap(work: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def serve(subject: Subject) -> None:
    """Answer requests until stdin ends. Whatever a product prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(subject, "do_" + request["op"])(**request["params"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)
