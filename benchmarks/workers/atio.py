"""atio, durable as it is by default."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from atio import Table, col
from benchmarks.data import numbered, small
from benchmarks.workers.base import Root, Subject, lap, serve, status


class Atio(Subject):
    name = "atio"
    syncs = "all"
    cold = (
        "import sys; from atio import Table; assert len(Table.open(sys.argv[1]).snapshot().to_arrow()) == 1"
    )

    def open(self, root: Root) -> Table:
        return Table.open(root)

    def append(self, handle: Table, table: pa.Table) -> None:
        handle.append(table)

    def read(self, root: Root, version: int | None = None) -> pa.Table:
        table = Table.open(root)
        return (table.snapshot() if version is None else table.snapshot(version)).to_arrow()

    def probe(self, root: Root) -> None:
        Table.open(root).snapshot()

    def upsert(self, handle: Table, table: pa.Table) -> None:
        handle.upsert(table, on="id")

    def delete(self, handle: Table, where: str) -> None:
        handle.delete(where)

    def replaced(self, root: Root) -> int:
        return (root / "current").stat().st_size if isinstance(root, Path) else 0

    def stream(self, root: Root, reader: pa.RecordBatchReader) -> None:
        Table.open(root).append(reader)

    def batches(self, root: Path) -> Iterator[pa.RecordBatch]:
        return iter(Table.open(root).snapshot().to_batches())

    def lookup(self, root: Path, column: str, value: int) -> pa.Table:
        return Table.open(root).to_arrow(where=col(column) == value)

    def compact(self, root: Path) -> None:
        Table.open(root).compact()

    def do_unmerged(self, root: str) -> None:
        """A table whose appends stay files of their own."""
        Table.create(root, small(0).schema, properties={"append.merge": "false"})

    def do_staged(self, root: str, count: int) -> None:
        """A table of so many data files, of one version."""
        table = Table.create(root, small(0).schema, properties={"append.merge": "false"}, durable=False)
        table.commit(*(table.stage(small(number, rows=1)) for number in range(count)))

    def do_named(self, root: str, first: int, count: int) -> None:
        """So many more data files by name alone, each with the statistics of 100 rows of its own."""
        if not Table.exists(root):
            Table.create(root, small(0).schema, durable=False)
        table = Table.open(root, durable=False)
        staged = table.stage(small(0))
        (like,) = staged.files
        identity = next(line[0] for line in like.stats if line[1] == 0)  # of "id"
        others = tuple(line for line in like.stats if line[0] != identity)
        files = tuple(
            like.replace(
                path=f"data/{os.urandom(12).hex()}.parquet",
                stats=((identity, 100 * n, 100 * n + 99, 0), *others),
            )
            for n in range(first, first + count)
        )
        # A commit makes sure that they are there.
        with mock.patch("atio.table.present.StillThere.apply", lambda _, draft: draft):
            table.commit(staged.replace(files=files))

    def do_plan(self, root: str, values: list[int]) -> dict[str, Any]:
        """Open the table and find the files that may have a value, for each anew; the first also imports."""

        def files(value: int) -> int:
            return len(list(Table.open(root).snapshot().scan(where=col("id") == value).files()))

        found = [lap(lambda value=value: files(value)) for value in values]
        return {
            "first": found[0][0],
            "laps": [seconds for seconds, _ in found[1:]],
            "files": [count for _, count in found],
            "peak": status("VmHWM"),
        }

    def do_evolve(self, root: str) -> dict[str, float]:
        """Open the table and change its columns, each change a version."""
        table = Table.open(root)
        return {
            "add": lap(lambda: table.add_column("fresh", pa.int64(), default=1))[0],
            "rename": lap(lambda: table.rename_column("fresh", "old"))[0],
            "drop": lap(lambda: table.drop_column("old"))[0],
        }

    def do_rows(self, root: str, rows: int, key: bool = False) -> None:
        if key:
            Table.create(root, numbered(0, 1).schema, key="id")
        super().do_rows(root, rows)

    def do_gets(self, root: str, rows: int, count: int) -> list[float]:
        """Look up keys all over the table."""
        table = Table.open(root)
        laps = []
        for number in range(count):
            key = 2 * (number * 7919 * 101 % rows)
            seconds, row = lap(lambda key=key: table.get(key))
            assert row["id"] == key
            laps.append(seconds)
        return laps

    def do_feed(self, root: str, versions: int) -> float:
        """Open the table and read what the newest versions changed."""

        def feed() -> int:
            table = Table.open(root)
            return table.changes(since=table.version - versions).read_all().num_rows

        seconds, rows = lap(feed)
        assert rows == versions * 100, rows
        return seconds

    def do_scan(self, root: str, columns: list[str] | None, checked: bool) -> float:
        """Open the table and read columns; without the checks of data files only for comparison."""
        self.do_release()
        with nullcontext() if checked else _unchecked():
            return lap(lambda: Table.open(root).to_arrow(columns))[0]

    def do_expire(self, root: str, keep: int) -> float:
        table = Table.open(root)
        os.sync()  # of what the copy left to be written
        return lap(lambda: table.expire(older_than=timedelta(0), keep_last=keep))[0]

    def do_frame(self, root: str) -> float:
        """Open the table and read all of it into a Polars frame."""
        import polars as pl  # noqa: F401 - not what is measured

        self.do_release()
        return lap(lambda: Table.open(root).snapshot().to_polars())[0]

    def do_files(self, root: str) -> list[str]:
        """URLs of the newest version's data files."""
        return [f"{root}/{file.path}" for file in Table.open(root).snapshot().files()]

    def do_version(self, root: str) -> int:
        return Table.open(root).snapshot().version

    def do_growth(self, root: str) -> list[int]:
        """The number of rows in every version, from the first to the newest."""
        table = Table.open(root)
        newest = table.snapshot().version
        return [table.snapshot(version).to_arrow(columns=["id"]).num_rows for version in range(1, newest + 1)]

    def do_opens(self, root: str, count: int, read: bool) -> dict[str, int]:
        """Open so many times; what the process then holds, in descriptors and in resident bytes."""
        for _ in range(count):
            snapshot = Table.open(root).snapshot()
            if read:
                snapshot.to_arrow(limit=1)
        del snapshot
        gc.collect()
        pa.default_memory_pool().release_unused()
        return {"descriptors": len(list(Path("/proc/self/fd").iterdir())), "resident": status("VmRSS")}


@contextmanager
def _unchecked() -> Iterator[None]:
    with (
        mock.patch("atio.table.datafiles.check"),
        mock.patch("atio.formats.blocks.Blocks.check"),
    ):
        yield


if __name__ == "__main__":
    serve(Atio())
