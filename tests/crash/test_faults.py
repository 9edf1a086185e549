"""Every storage operation of every public operation fails once, and from then on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from atio import Table
from atio.commit.loop import RetryPolicy
from atio.errors import AtioError, OutcomeUnknownError, StorageError
from atio.storage import MemoryStorage, Storage
from tests.faulty import Faults, FaultyStorage, Kind, copied
from tests.support.tables import content, listing, required

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
    """A table whose rows have keys and partitions, and some of whose rows were deleted."""
    storage = MemoryStorage()
    how = {"partition_by": "truncate(4, id)", "key": "id", "properties": {"append.merge": "false"}}
    Table.create(storage, frame(0).schema, **how)
    table = opened(storage, FAR - 10**9)
    for i in range(4):
        table.append(frame(4 * i, 4))
    table.delete("id = 5")
    table.expire(timedelta(0), keep_last=3)
    return storage


def transact(table: Table) -> None:
    with table.transaction() as tx:
        tx.delete("id = 6")
        tx.append(stream())
        tx.update({"word": "moved"}, "id between 8 and 202")


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
    "overwrite a part": Operation(lambda t: t.overwrite(frame(4, 3), "id between 4 and 7")),
    "overwrite partitions": Operation(lambda t: t.overwrite(frame(4, 3), partitions=True), keyed),
    "delete": Operation(lambda t: t.delete("id % 3 = 0")),
    "delete whole files": Operation(lambda t: t.delete("id < 8")),
    "delete nothing": Operation(lambda t: t.delete("id < 0"), reads=True),
    "update": Operation(lambda t: t.update({"word": "w3"}, "id % 3 = 0")),
    "upsert": Operation(lambda t: t.upsert(frame(3, 20), on="id")),
    "upsert a stream": Operation(lambda t: t.upsert(stream(), on="id")),
    "merge": Operation(
        lambda t: t.merge(
            frame(3, 20), "id", when_matched={"word": "w4"}, when_not_matched_by_source="delete"
        )
    ),
    "append by key": Operation(lambda t: t.append(frame(100)), keyed),
    "append what is not there": Operation(lambda t: t.append(frame(12, 8), on_conflict="ignore"), keyed),
    "transaction": Operation(transact),
    "create": Operation(lambda t: t._writer.create(frame(0).schema, {"user.a": "b"}), MemoryStorage),
    "stage and commit": Operation(lambda t: t.commit(t.stage(frame(100)), t.stage(frame(200)))),
    "commit an overwrite": Operation(lambda t: t.commit(t.stage(frame(9), overwrite=True), overwrite=True)),
    "write a manifest": Operation(lambda t: t.append(frame(100)), lambda: many_files(12)),
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
    "count": Operation(lambda t: t.snapshot().count("id > 3"), reads=True),
    "explain": Operation(lambda t: t.snapshot().scan(where="id > 3").explain(), reads=True),
    "read in batches": Operation(lambda t: list(t.snapshot().to_batches(["id"])), reads=True),
    "read some rows": Operation(lambda t: t.to_arrow(["word"], where="id > 3"), reads=True),
    "read as of a time": Operation(lambda t: t.snapshot(as_of=datetime(2099, 12, 31, 23, 59)), reads=True),
    "schema": Operation(lambda t: t.schema, reads=True),
    "tags and properties": Operation(lambda t: (t.tags, t.properties), reads=True),
    "history": Operation(lambda t: t.history(), reads=True),
    "changes": Operation(lambda t: t.changes(2).read_all(), reads=True),
    "changes with deleted rows": Operation(lambda t: t.changes(3).read_all(), keyed, reads=True),
    "get": Operation(lambda t: t.get(6), keyed, reads=True),
    "diff": Operation(lambda t: t.diff(2, 7), reads=True),
    "plan an expiry": Operation(lambda t: t.expire(timedelta(0), dry_run=True), reads=True),
    "plan a vacuum": Operation(lambda t: t.vacuum(timedelta(0), dry_run=True), reads=True),
    "plan a repair": Operation(lambda t: t.repair(dry_run=True), reads=True),
    "verify": Operation(lambda t: t.verify(), reads=True),
    "repair": Operation(lambda t: t.repair(), damaged, sound=False),
    "repair nothing": Operation(lambda t: t.repair()),
}
_MEMORY: dict[str, tuple[MemoryStorage, Any, Any, int]] = {}


def prepared(
    name: str, *, lock: bool = True, swaps_only: bool = False
) -> tuple[MemoryStorage, Any, Any, int]:
    """The table before, its content before and after a faultless run, and how many calls that makes."""
    operation = OPERATIONS[name]
    key = f"{name} {lock} {swaps_only}"
    if key not in _MEMORY:
        start = operation.setup()
        old = visible(start, operation)
        storage = copied(start)
        faults = Faults(swaps_only=swaps_only)
        operation.run(opened(FaultyStorage(storage, faults, lock=lock)))
        _MEMORY[key] = (start, old, visible(storage, OPERATIONS["read"]), faults.count)
    return _MEMORY[key]


def visible(storage: MemoryStorage, operation: Operation) -> Any:
    return content(storage) if operation.sound else "damaged"


def attacked(name: str, faults: Faults, *, lock: bool = True) -> None:
    """Run with faults; afterwards the table is the old or the new one, and it works."""
    operation = OPERATIONS[name]
    start, old, new, _ = prepared(name, lock=lock, swaps_only=faults.swaps_only)
    storage = copied(start)
    table = opened(FaultyStorage(storage, faults, lock=lock))
    error: AtioError | None = None
    result = None
    try:
        result = operation.run(table)
    except AtioError as caught:
        error = caught
    where = f"{name}: {faults}, {type(error).__name__}: {error}"
    if faults.failed is None:
        pytest.fail(f"{where}: no fault was injected")
    if operation.reads:
        assert storage._place.objects == start._place.objects, where
        assert error is None or error.kind == "storage", where
        # What could not be read is told; nothing else passes for a result.
        assert error is not None or getattr(result, "problems", ()), where
        return
    if faults.kind is Kind.REMNANT and faults.failed not in ("create", "close", "delete"):
        return  # The same as failing before.
    if storage._place.objects == start._place.objects:
        # Not a byte changed, so the table is the old one.
        assert error is not None or old == new, where
        return
    if not operation.sound and storage.load("current") == start.load("current"):
        assert error is not None, where
        opened(storage).repair()
        found = new
    else:
        found = content(storage)
    if error is None:
        assert found == new, where
    elif isinstance(error, OutcomeUnknownError):
        assert found in (old, new), where
        assert faults.failed == "swap", f"{where}: what is unknown about it?"
    elif operation.cleans_up:
        assert found in (old, new), where
    else:
        assert found in ((old, new) if not operation.sound else (old,)), where
    survives(storage, found, where)


def survives(storage: MemoryStorage, found: dict[str, Any] | None, where: str) -> None:
    """A fresh handle appends and cleans up, and nothing that was there is lost."""
    fresh = opened(storage)
    wide = found is None or "word" in fresh.schema.names
    appended = fresh.append(frame(1000) if wide else pa.table({"z": [2.5]}))
    assert fresh.verify(deep=False).ok, where
    fresh.vacuum(timedelta(0))
    assert listing(storage) == required(storage), where
    after = content(storage)
    assert after is not None
    before = found or {"versions": {}, "tags": {}, "properties": {}}
    newest = max(before["versions"], default=0)
    assert appended.version == newest + 1, where
    assert {v: r for v, r in after["versions"].items() if v != appended.version} == before["versions"], where
    old_rows = before["versions"][newest][3] if before["versions"] else []
    new_rows = after["versions"][appended.version][3]
    assert new_rows[: len(old_rows)] == old_rows, where
    assert len(new_rows) == len(old_rows) + (2 if wide else 1), where


PLANS = [
    Faults(kind=Kind.BEFORE),
    Faults(kind=Kind.BEFORE, for_ever=True),
    Faults(kind=Kind.REMNANT),
]


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "plan", PLANS, ids=lambda p: f"{p.kind.name.lower()}{'-for-ever' if p.for_ever else ''}"
)
def test_every_operation_fails(name: str, plan: Faults) -> None:
    count = prepared(name)[3]
    assert count > 0
    for number in range(1, count + 1):
        attacked(name, replace(plan, at=number))


SWAPPING = [
    name
    for name in OPERATIONS
    if not OPERATIONS[name].reads and name not in ("vacuum", "repair nothing", "replay a token")
]
SWAP_PLANS = [
    Faults(at=1, kind=kind, for_ever=for_ever, swaps_only=True)
    for kind in Kind
    if kind is not Kind.REMNANT
    for for_ever in (False, True)
]


@pytest.mark.parametrize("lock", [True, False], ids=["lock", "no-lock"])
@pytest.mark.parametrize("name", SWAPPING)
def test_every_swap_fails(name: str, lock: bool) -> None:
    """Refused, landed, or not landed, with and without an answer."""
    for plan in SWAP_PLANS:
        attacked(name, replace(plan), lock=lock)


@pytest.mark.parametrize("name", [n for n in SWAPPING if n != "repair"])
@pytest.mark.parametrize("kind", [Kind.RESPONSE_LANDED, Kind.RESPONSE_LOST])
def test_one_lost_answer_is_no_failure(name: str, kind: Kind) -> None:
    """The commit finds out by itself what became of it."""
    start, _, new, _ = prepared(name, lock=False)
    storage = copied(start)
    faulty = FaultyStorage(storage, Faults(at=1, kind=kind, swaps_only=True), lock=False)
    OPERATIONS[name].run(opened(faulty))
    assert faulty.faults.failed == "swap"
    assert content(storage) == new


class OthersGoOn(FaultyStorage):
    """Once the fault has happened, others append so many times before anyone looks at the pointer."""

    def __init__(self, storage: Storage, faults: Faults, later: int) -> None:
        super().__init__(storage, faults, lock=False)
        self.later = later
        self.others: list[int] = []

    def load(self, path: str) -> Any:
        if self.faults.failed and not self.others:
            for i in range(self.later):
                self.others.append(opened(self.inner).append(frame(500 + 2 * i)).version)
        return super().load(path)


@pytest.mark.parametrize("later", [1, 3, 20])
def test_a_lost_answer_is_found_below_later_commits(later: int) -> None:
    """The commit landed, its answer was lost, and others have gone on since."""
    storage = grown()
    faults = Faults(at=1, kind=Kind.RESPONSE_LANDED, swaps_only=True)
    lossy = OthersGoOn(storage, faults, later)
    made = opened(lossy).append(frame(100))
    assert made.version == 9
    assert made.rows == 16
    assert lossy.others == list(range(10, 10 + later))
    ids = opened(storage).to_arrow()["id"].to_pylist()
    assert ids.count(100) == 1


@pytest.mark.parametrize("later", [1, 3, 20])
def test_a_commit_that_did_not_land_is_made_again(later: int) -> None:
    """The request was lost, and another writer's commit proves it."""
    storage = grown()
    faults = Faults(at=1, kind=Kind.RESPONSE_LOST, swaps_only=True)
    lossy = OthersGoOn(storage, faults, later)
    made = opened(lossy).append(frame(100))
    assert made.version == 9 + later
    assert opened(storage).to_arrow()["id"].to_pylist().count(100) == 1


def test_nothing_is_deleted_while_the_outcome_is_unknown() -> None:
    """Cleaning up after an ambiguous commit is how others lost live data."""
    for kind in (Kind.UNKNOWN_LANDED, Kind.UNKNOWN_LOST, Kind.RESPONSE_LOST, Kind.RESPONSE_LANDED):
        faulty = FaultyStorage(grown(), Faults(at=1, kind=kind, for_ever=True, swaps_only=True), lock=False)
        try:
            opened(faulty).append(frame(100))
        except OutcomeUnknownError:
            assert kind is not Kind.RESPONSE_LANDED
        assert faulty.deleted == []


def test_files_that_an_expiry_cannot_remove_are_left_to_vacuum(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    table = Table(storage)
    for i in range(5):
        table.overwrite(pa.table({"id": [i]}))

    def refuse(*_: object) -> None:
        raise StorageError("injected")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryStorage, "delete", refuse)
        with pytest.raises(StorageError, match=r"are expired.*injected(.|\n)*vacuum"):
            table.expire(timedelta(0))
    assert [snapshot.version for snapshot in table.history()] == [5]
    table.vacuum(timedelta(0))
    assert listing(storage) == required(storage)
