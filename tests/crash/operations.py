"""Every public operation, as attacks repeat it: what it does, and to which table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa

from atio import Table
from atio.commit.loop import RetryPolicy
from atio.storage import MemoryStorage

FAR = 4_102_444_800_000_000  # The year 2100: every file is old enough to be vacuumed.


def frame(start: int, count: int = 2) -> pa.Table:
    ids = list(range(start, start + count))
    return pa.table({"id": ids, "word": pa.array([f"w{i}" for i in ids], pa.string()).dictionary_encode()})


def opened(storage: Any, now: int = FAR) -> Table:
    retry = RetryPolicy(attempts=4, sleep=lambda _: None)
    return Table(storage, retry=retry, clock=lambda: now)


def grown() -> MemoryStorage:
    """Eight versions of seven files: the next append merges files and moves history to a piece."""
    storage = MemoryStorage()
    table = opened(storage, FAR - 10**9)
    for i in range(8):
        table.append(frame(2 * i, 2 if i else 0), token=f"t{i}")
    table.tag("first", 1)
    table.tag("keep", 3)
    table.set_properties({"user.a": "b"})
    storage.create("data/" + "0" * 24 + ".parquet", b"a stray")
    return storage


def many_files(count: int) -> MemoryStorage:
    """A table of so many data files that the next one goes to a manifest, with all of them."""
    storage = MemoryStorage()
    table = opened(storage, FAR - 10**9)
    table.append(frame(0))
    table.set_properties({"append.merge": "false"})
    for i in range(1, count):
        table.append(frame(2 * i))
    table.expire(timedelta(0), keep_last=2)
    return storage


def damaged() -> MemoryStorage:
    """A table whose newest version lost a file."""
    storage = grown()
    table = opened(storage, FAR - 10**8)
    table.overwrite(frame(0, 3))
    storage.delete([table.snapshot().files()[-1].path])
    return storage


def branched() -> MemoryStorage:
    """A table with a branch of a version of its own."""
    storage = grown()
    table = opened(storage, FAR - 10**8)
    table.create_branch("trial").append(frame(200))
    return storage


def parted() -> MemoryStorage:
    """The same; the table has moved on, too."""
    storage = branched()
    opened(storage, FAR - 10**8).append(frame(300))
    return storage


def keyed() -> MemoryStorage:
    """A table with a key, in three files."""
    storage = MemoryStorage()
    Table.create(storage, frame(0).schema, key="id", properties={"append.merge": "false"})
    for i in range(3):
        opened(storage, FAR - 10**8).append(frame(4 * i, 4))
    return storage


def partitioned() -> MemoryStorage:
    """A table in partitions, sorted, with a condition on its rows; and rows that are marked as deleted."""
    storage = MemoryStorage()
    Table.create(
        storage,
        frame(0).schema,
        partition_by="bucket(2, id)",
        sort_by="id",
        checks={"positive": "id >= 0"},
        properties={"append.merge": "false"},
    )
    table = opened(storage, FAR - 10**8)
    table.append(frame(0, 6))
    table.delete("id = 3")
    return storage


def trial(table: Table) -> Table:
    """The branch, seen through the same storage."""
    return Table(table._objects.storage, branch="trial", retry=table._retry, clock=table._clock)


@dataclass(frozen=True)
class Operation:
    run: Callable[[Table], object]
    setup: Callable[[], MemoryStorage] = grown
    reads: bool = False
    sound: bool = True
    """Whether the table is intact beforehand."""
    cleans_up: bool = False
    """Whether files are removed after the swap, which may fail when all is done already."""


def transact(table: Table) -> None:
    with table.transaction() as tx:
        tx.delete("id = 3")
        tx.append(frame(100))
        tx.append(stream())
        tx.update({"word": "w0"}, "id > 13")


def stream() -> Any:
    return (frame(100 * i, 10) for i in range(3))


OPERATIONS = {
    "append": Operation(lambda t: t.append(frame(100))),
    "append a stream": Operation(lambda t: t.append(stream())),
    "append with a token": Operation(lambda t: t.append(frame(100), token="mine")),
    "replay a token": Operation(lambda t: t.append(frame(100), token="t3")),
    "append to an expected version": Operation(lambda t: t.append(frame(100), expected_version=8)),
    "first append": Operation(lambda t: t.append(frame(0)), MemoryStorage),
    "overwrite": Operation(lambda t: t.overwrite(pa.table({"z": [1.5]}))),
    "create": Operation(lambda t: t._writer.create(frame(0).schema, {"user.a": "b"}), MemoryStorage),
    "stage and commit": Operation(lambda t: t.commit(t.stage(frame(100)), t.stage(frame(200)))),
    "commit an overwrite": Operation(lambda t: t.commit(t.stage(frame(9), overwrite=True), overwrite=True)),
    "write a manifest": Operation(lambda t: t.append(frame(100)), lambda: many_files(12)),
    "delete": Operation(lambda t: t.delete("id = 3")),
    "delete whole files": Operation(lambda t: t.delete("id < 8")),
    "delete nothing": Operation(lambda t: t.delete("id < 0"), reads=True),
    "delete most": Operation(lambda t: t.delete("id < 13")),
    "update": Operation(lambda t: t.update({"word": "w0"}, "id > 12")),
    "upsert": Operation(lambda t: t.upsert(frame(14, 4), on="id")),
    "upsert a stream": Operation(lambda t: t.upsert(stream(), on="id")),
    "overwrite some rows": Operation(lambda t: t.overwrite(frame(3, 1), "id = 3")),
    "overwrite partitions": Operation(lambda t: t.overwrite(frame(4, 3), partitions=True), partitioned),
    "merge": Operation(
        lambda t: t.merge(frame(2, 4), when_matched="delete", when_not_matched_by_source="delete"), keyed
    ),
    "transaction": Operation(transact),
    "append to a key": Operation(lambda t: t.append(frame(100)), keyed),
    "append what is new to a key": Operation(lambda t: t.append(frame(10, 4), on_conflict="ignore"), keyed),
    "append to partitions": Operation(lambda t: t.append(frame(100, 4)), partitioned),
    "compact partitions": Operation(lambda t: t.compact(), partitioned),
    "set partitions": Operation(lambda t: t.set_partitioning("bucket(2, id)")),
    "add a check": Operation(lambda t: t.add_check("small", "id < 5000")),
    "drop a check": Operation(lambda t: t.drop_check("positive"), partitioned),
    "delete on a branch": Operation(lambda t: trial(t).delete("id = 200"), branched),
    "tag": Operation(lambda t: t.tag("new", 5)),
    "move a tag": Operation(lambda t: t.tag("keep", 5, move=True)),
    "untag": Operation(lambda t: t.untag("keep")),
    "properties": Operation(lambda t: t.set_properties({"user.a": None, "user.b": "c"})),
    "restore": Operation(lambda t: t.restore(2, message="back")),
    "expire": Operation(lambda t: t.expire(timedelta(0), keep_last=2), cleans_up=True),
    "expire almost all": Operation(lambda t: t.expire(timedelta(0)), cleans_up=True),
    "compact": Operation(lambda t: t.compact()),
    "compact in an order": Operation(
        lambda t: t.compact(sort_by=[("id", "descending")]), lambda: many_files(12)
    ),
    "add a column": Operation(lambda t: t.add_column("more", pa.int64(), default=7)),
    "reorder columns": Operation(lambda t: t.reorder_columns(["word"])),
    "create a branch": Operation(lambda t: t.create_branch("trial", 4)),
    "append on a branch": Operation(lambda t: trial(t).append(frame(400)), branched),
    "expire a branch": Operation(lambda t: trial(t).expire(timedelta(0)), branched, cleans_up=True),
    "forward to a branch": Operation(lambda t: t.merge_branch("trial"), branched),
    "merge a branch": Operation(lambda t: t.merge_branch("trial"), parted),
    "drop a branch": Operation(lambda t: t.drop_branch("trial"), branched),
    "vacuum": Operation(lambda t: t.vacuum(timedelta(0))),
    "read": Operation(lambda t: t.snapshot().to_arrow(), reads=True),
    "read an old version": Operation(lambda t: t.snapshot("keep").to_arrow(), reads=True),
    "read as pandas": Operation(lambda t: t.to_pandas(), reads=True),
    "read as Polars": Operation(lambda t: t.to_polars(), reads=True),
    "query as Polars": Operation(lambda t: t.to_lazy().filter(pl.col("id") > 3).collect(), reads=True),
    "query in SQL": Operation(lambda t: t.sql("select sum(id) from t where id > 3").to_arrow(), reads=True),
    "read a branch": Operation(lambda t: trial(t).to_arrow(), branched, reads=True),
    "get": Operation(lambda t: t.get(9), keyed, reads=True),
    "changes": Operation(lambda t: t.changes(1).read_all(), partitioned, reads=True),
    "count": Operation(lambda t: t.snapshot().count("id > 3"), reads=True),
    "explain": Operation(lambda t: t.snapshot().scan(where="id > 3").explain(), reads=True),
    "read in batches": Operation(lambda t: list(t.snapshot().to_batches(["id"])), reads=True),
    "read some rows": Operation(lambda t: t.to_arrow(["word"], where="id > 3"), reads=True),
    "read as of a time": Operation(lambda t: t.snapshot(as_of=datetime(2099, 12, 31, 23, 59)), reads=True),
    "schema": Operation(lambda t: t.schema, reads=True),
    "tags and properties": Operation(lambda t: (t.tags, t.properties), reads=True),
    "history": Operation(lambda t: t.history(), reads=True),
    "diff": Operation(lambda t: t.diff(2, 7), reads=True),
    "plan an expiry": Operation(lambda t: t.expire(timedelta(0), dry_run=True), reads=True),
    "plan a vacuum": Operation(lambda t: t.vacuum(timedelta(0), dry_run=True), reads=True),
    "plan a repair": Operation(lambda t: t.repair(dry_run=True), reads=True),
    "verify": Operation(lambda t: t.verify(), reads=True),
    "repair": Operation(lambda t: t.repair(), damaged, sound=False),
    "repair nothing": Operation(lambda t: t.repair()),
}
