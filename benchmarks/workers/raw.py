"""Plain Parquet files without any metadata: what the columns alone cost. Runs in atio's environment."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.workers.base import Subject, lap, serve


def settings(rows: pa.Table) -> tuple[dict[str, Any], int]:
    """What atio gives pyarrow's writer, and its rows a row group: a bulk write differs only by the table."""
    from atio.formats.parquet.plan import ParquetPlan
    from atio.formats.parquet.write import encodings, settings

    found = settings(frozenset())
    return found.properties | encodings([rows], ParquetPlan(rows.schema)), found.row_group_rows


class Raw(Subject):
    name = "raw"
    syncs = "0"

    def open(self, root: Path) -> Any:
        root.mkdir(exist_ok=True)
        return (root / f"{number:06d}.parquet" for number in itertools.count())

    def append(self, handle: Iterator[Path], table: pa.Table) -> None:
        pq.write_table(table, next(handle))

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        files = sorted(root.glob("**/*.parquet"))
        return ds.dataset(files[:version]).to_table()

    def stream(self, root: Path, reader: pa.RecordBatchReader) -> None:
        held = [reader.read_next_batch()]
        properties, group_rows = settings(pa.Table.from_batches(held))
        root.mkdir()
        with pq.ParquetWriter(root / "0.parquet", reader.schema, **properties) as writer:
            for batch in reader:
                held.append(batch)
                if sum(map(len, held)) >= group_rows:
                    writer.write_table(pa.Table.from_batches(held), group_rows)
                    held.clear()
            writer.write_table(pa.Table.from_batches(held, reader.schema), group_rows)

    def batches(self, root: Path) -> Iterator[pa.RecordBatch]:
        return ds.dataset(sorted(root.glob("**/*.parquet"))).to_batches()

    def do_write(self, root: str, source: str) -> float:
        """One file, one fsync, with the settings atio writes with."""
        table = pq.read_table(source)
        properties, group_rows = settings(table)
        Path(root).mkdir()
        os.sync()

        def write() -> None:
            with Path(root, "0.parquet").open("wb") as sink:
                pq.write_table(table, sink, row_group_size=group_rows, **properties)
                sink.flush()
                os.fsync(sink.fileno())

        return lap(write)[0]

    def do_one_by_one(self, root: str) -> float:
        files = sorted(Path(root).glob("**/*.parquet"))
        return lap(lambda: pa.concat_tables([ds.dataset(file).to_table() for file in files]))[0]

    def do_unlink(self, root: str, files: list[str]) -> float:
        def unlink() -> None:
            for file in files:
                Path(root, file).unlink()

        os.sync()
        return lap(unlink)[0]


if __name__ == "__main__":
    serve(Raw())
