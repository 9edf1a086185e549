"""Every storage operation of every public operation fails once, and from then on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from atio import Table
from atio.errors import AtioError, OutcomeUnknownError, StorageError
from atio.storage import MemoryStorage, Storage
from tests.crash.operations import OPERATIONS, Operation, frame, grown, opened
from tests.faulty import Faults, FaultyStorage, Kind, copied
from tests.support.tables import content, listing, required, rows_once

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


def seen(storage: MemoryStorage) -> Any:
    return content(storage, rows_once)


def visible(storage: MemoryStorage, operation: Operation) -> Any:
    return seen(storage) if operation.sound else "damaged"


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
        found = seen(storage)
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
    after = seen(storage)
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
    assert seen(storage) == new


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
