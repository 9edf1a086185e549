"""Every file of a table is damaged in turn: errors that name it, never other rows, and a way back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import pyarrow as pa
import pytest

from atio import Table
from atio.commit.state import load_state
from atio.errors import AtioError, DamagedError, NotFoundError
from atio.metadata.objects import Objects
from atio.storage import MemoryStorage
from atio.table.lookup import versions
from atio.table.reach import Reach
from tests.faulty import copied
from tests.support import forge
from tests.support.share import EVERY
from tests.support.tables import content, listing, required, rows

NEWEST = 26


def frame(start: int, count: int = 2) -> pa.Table:
    return pa.table(
        {"id": range(start, start + count), "word": [f"w{i}" for i in range(start, start + count)]}
    )


@cache
def table() -> MemoryStorage:
    """Versions 1-9, an overwrite, then files enough for a manifest; pieces of history and of tokens.

    A row is marked as deleted in versions from 16 on.
    """
    storage = MemoryStorage()
    made = Table(storage)
    for i in range(9):
        made.append(frame(2 * i), token=f"t{i}")
    made.set_properties({"append.merge": "false", "user.a": "b"})
    made.overwrite(pa.table({"id": [0.5, 0.75], "word": ["new", "newer"]}))
    for i in range(NEWEST - 11):
        if i == 5:
            made.delete("id = 0.75")
        made.append(pa.table({"id": [float(i)], "word": [f"x{i}"]}), token=f"u{i}")
    made.tag("keep", 12)
    return storage


@cache
def files_by_version() -> dict[int, frozenset[str]]:
    objects = Objects(table())
    state = load_state(objects)
    assert state is not None
    found = {}
    for line in versions(objects, state):
        reach = Reach(objects)
        reach.add([line])
        found[line.version] = frozenset(reach.sizes)
    return found


@cache
def only_told() -> frozenset[tuple[int, str]]:
    """Version and path of files with what a version added and merged at once: not needed for its rows."""
    return frozenset(
        (s.version, file.path) for s in Table(table()).history() for file in s._model.changes.merged
    )


@cache
def all_rows() -> dict[int, list[dict[str, Any]]]:
    return {s.version: rows(s) for s in Table(table()).history()}


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def empty(data: bytes) -> bytes:
    return b""


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


def flip_the_end(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 0x01])


def lengthen(data: bytes) -> bytes:
    return data + b"\0"


def garble(data: bytes) -> bytes:
    return bytes(reversed(data))


def remove(data: bytes) -> None:
    return None


DAMAGES: list[Callable[[bytes], bytes | None]] = [
    truncate,
    empty,
    flip,
    flip_the_end,
    lengthen,
    garble,
    remove,
]
QUICK = (flip, remove)
LATER = [d for d in DAMAGES if d not in QUICK]
SOME = [d if d in QUICK else pytest.param(d, marks=pytest.mark.slow, id=d.__name__) for d in DAMAGES]


def damaged(path: str, damage: Callable[[bytes], bytes | None]) -> MemoryStorage:
    storage = copied(table())
    data = damage(storage.read(path))
    if data is None:
        storage.delete([path])
    else:
        forge.put(storage, path, data)
    return storage


def referenced() -> list[str]:
    return sorted(required(table()) - {"current"})


def attacked(damage: Callable[[bytes], bytes | None]) -> list[str]:
    """Every file; of the damages that only the long attacks do, the share of them that runs."""
    return referenced() if damage in QUICK else referenced()[LATER.index(damage) % EVERY :: EVERY]


def test_there_is_one_of_everything() -> None:
    """The table under attack has every kind of file."""
    kinds = {path.split("/")[0] for path in referenced()}
    assert kinds == {"metadata", "manifests", "schemas", "data"}
    assert any(path.endswith(".dv") for path in referenced())
    versioned = frozenset().union(*files_by_version().values())
    assert len(set(referenced()) - versioned) >= 3, "pieces of history and tokens, and the catalog"


@pytest.mark.parametrize("damage", SOME, ids=lambda d: d.__name__)
def test_damage_is_an_error_and_never_other_rows(damage: Callable[[bytes], bytes | None]) -> None:
    for path in attacked(damage):
        storage = damaged(path, damage)
        broken = Table(storage)
        hit = {version for version, files in files_by_version().items() if path in files}
        for version, expected in all_rows().items():
            try:
                assert rows(broken.snapshot(version)) == expected, (path, version)
                told = (version, path) in only_told()
                assert version not in hit or told, f"{path}: version {version} reads, but needs it"
            except DamagedError as error:
                assert error.file == path, (path, error)
                assert path in str(error)
                assert "repair" in str(error), error
        report = broken.verify()
        problem = next(p for p in report.problems if p.file == path)
        assert set(problem.versions) >= hit, (path, problem)


@pytest.mark.parametrize("damage", SOME, ids=lambda d: d.__name__)
def test_repair_returns_to_the_newest_intact_version(damage: Callable[[bytes], bytes | None]) -> None:
    for path in attacked(damage):
        storage = damaged(path, damage)
        hit = {version for version, files in files_by_version().items() if path in files}
        intact = [version for version in all_rows() if version not in hit]
        broken = Table(storage)
        before = listing(storage)
        planned = broken.repair(dry_run=True)
        assert listing(storage) == before
        done = broken.repair()
        assert (done.version, done.content, done.lost) == (planned.version, planned.content, planned.lost)
        assert set(done.lost) == hit, path
        assert done.content == max(intact), path
        assert done.version == (NEWEST if max(intact) == NEWEST else NEWEST + 1), path
        fresh = Table(storage)
        assert fresh.verify().ok, path
        assert rows(fresh.snapshot()) == all_rows()[max(intact)]
        for version in intact:
            assert rows(fresh.snapshot(version)) == all_rows()[version]
        made = fresh.append(pa.table({"id": [1000], "word": ["after"]}))
        assert made.version == done.version + 1
        assert rows(made)[-1]["word"] == "after"
        assert not fresh.repair().changed
        if "keep" in fresh.tags and 12 in intact:
            assert rows(fresh.snapshot("keep")) == all_rows()[12]


def test_a_file_that_all_versions_need() -> None:
    """Then nothing is intact, and repair says so and changes nothing."""
    storage = MemoryStorage()
    made = Table(storage)
    made.append(frame(0))
    made.append(frame(2))
    storage.delete([made.snapshot(1).files()[0].path])
    before = dict(storage._place.objects)
    with pytest.raises(DamagedError, match="no version is intact"):
        Table(storage).repair()
    assert storage._place.objects == before


def test_rows_are_not_given_up_for_a_file_that_only_tells_what_was_added() -> None:
    """Eight files became one in the newest version; the one it had added itself is lost."""
    storage = MemoryStorage()
    made = Table(storage)
    for i in range(8):
        made.append(frame(2 * i), token=f"t{i}")
    (told,) = made.snapshot()._model.changes.merged
    storage.delete([told.path])
    done = Table(storage).repair()
    assert (done.version, done.content, done.lost) == (9, 8, (8,))
    fresh = Table(storage)
    assert fresh.verify().ok
    assert fresh.to_arrow()["id"].to_pylist() == list(range(16))
    for i in range(8):
        fresh.append(frame(0), token=f"t{i}")
    assert fresh.version == 9, "a token was forgotten whose rows are there"


def test_tokens_of_lost_versions_below_the_newest_are_kept() -> None:
    """Their rows are in the newest version: a replay must not add them again."""
    storage = MemoryStorage()
    made = Table(storage)
    for i in range(6):
        made.append(frame(2 * i), token=f"t{i}")
    made.overwrite(frame(100), token="last")
    storage.delete([f"metadata/{made.snapshot(3).id}.json", made.snapshot(7).files()[0].path])
    done = Table(storage).repair()
    assert (done.version, done.content, done.lost) == (8, 6, (3, 7))
    fresh = Table(storage)
    for i in range(6):
        fresh.append(frame(2 * i), token=f"t{i}")
    assert fresh.version == 8
    assert fresh.append(frame(100), token="last").version == 9, "its rows were given up"


def test_two_files_at_once() -> None:
    storage = copied(table())
    newest = Table(storage).snapshot()
    storage.delete([newest.files()[-1].path, f"metadata/{Table(storage).snapshot(NEWEST - 1).id}.json"])
    report = Table(storage).verify()
    assert {p.versions for p in report.problems} == {(NEWEST,), (NEWEST - 1,)}
    done = Table(storage).repair()
    assert (done.content, done.version, done.lost) == (NEWEST - 2, NEWEST + 1, (NEWEST - 1, NEWEST))


# -- the pointer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [d for d in DAMAGES if d is not remove], ids=lambda d: d.__name__)
def test_a_damaged_pointer(damage: Callable[[bytes], bytes | None]) -> None:
    """Nothing works but verify and repair, and repair finds every version."""
    storage = damaged("current", damage)
    broken = Table(storage)
    for call in (broken.snapshot, broken.history, lambda: broken.append(frame(0)), lambda: broken.tag("x"),
                 lambda: broken.expire(timedelta(0)), lambda: broken.vacuum(timedelta(0))):  # fmt: skip
        with pytest.raises(DamagedError, match="repair") as caught:
            call()
        assert caught.value.file == "current"
    assert [p.file for p in broken.verify().problems] == ["current"]
    check_repaired(storage)


def test_a_missing_pointer_is_repaired() -> None:
    check_repaired(damaged("current", remove))


def test_a_table_without_its_pointer_is_not_started_anew() -> None:
    """A new first version would bury all that were there."""
    storage = damaged("current", remove)
    before = dict(storage._place.objects)
    lost = Table(storage)
    for call in (lambda: lost.append(frame(0)), lambda: lost.overwrite(frame(0)),
                 lambda: Table.create(storage, frame(0).schema)):  # fmt: skip
        with pytest.raises(DamagedError, match="repair") as caught:
            call()
        assert caught.value.file == "current"
    for call in (lost.snapshot, lost.history, lambda: lost.vacuum(timedelta(0)), lambda: lost.tag("x")):
        with pytest.raises(NotFoundError):
            call()
    assert storage._place.objects == before
    check_repaired(storage)


def test_a_lost_pointer_of_one_version_looks_like_a_writer_that_died() -> None:
    """The two cannot be told apart: the error says what to do in either case."""
    storage = MemoryStorage()
    table = Table(storage)
    with pytest.raises(NotFoundError, match="append") as caught:
        table.snapshot()
    assert "repair" not in str(caught.value)
    table.append(frame(0))
    storage.delete(["current"])
    with pytest.raises(NotFoundError, match="repair"):
        Table(storage).snapshot()
    assert Table(storage).repair().version == 1


def check_repaired(storage: MemoryStorage) -> None:
    done = Table(storage).repair()
    assert (done.version, done.content, done.lost, done.changed) == (NEWEST, NEWEST, (), True)
    assert content(storage) == content(table())
    fresh = Table(storage)
    assert fresh.append(pa.table({"id": [1]}), token="u3").version == 14, "a token was forgotten"
    assert fresh.append(pa.table({"id": [1]})).version == NEWEST + 1
    assert fresh.verify().ok
    fresh.vacuum(timedelta(0))
    assert listing(storage) >= required(storage)


def test_an_old_pointer_put_back() -> None:
    """The table is the old one again, whole; the commits since are strays."""
    storage = MemoryStorage()
    made = Table(storage)
    for i in range(12):
        made.append(frame(2 * i))
    old, before = storage.read("current"), content(storage)
    for i in range(12, 20):
        made.append(frame(2 * i))
    forge.put(storage, "current", old)
    assert content(storage) == before
    assert made.verify().ok
    assert made.append(frame(100)).version == 13
    assert made.to_arrow()["id"].to_pylist()[-2:] == [100, 101]
    Table(storage, clock=lambda: 4 * 10**15).vacuum(timedelta(0))
    assert listing(storage) == required(storage)
    assert made.snapshot(12).rows == 24


def test_repair_does_not_land_what_never_landed() -> None:
    """A failed commit's snapshot lies about; a damaged catalog sends repair looking."""
    storage = copied(table())
    elsewhere = copied(storage)
    Table(elsewhere).append(pa.table({"id": [666], "word": ["never landed"]}))
    for path in listing(elsewhere) - listing(storage):
        storage.create(path, elsewhere.read(path))
    state = load_state(Objects(storage))
    assert state is not None
    assert state.pointer.catalog is not None
    storage.delete([state.pointer.catalog.path])
    done = Table(storage).repair()
    assert (done.version, done.content) == (NEWEST, NEWEST)
    assert rows(Table(storage).snapshot()) == all_rows()[NEWEST]


def test_nothing_at_all_to_repair() -> None:
    storage = MemoryStorage()
    storage.create("metadata/notes.txt", b"hello")
    with pytest.raises(NotFoundError):
        Table(storage).repair()


def test_errors_of_a_damaged_table_say_where() -> None:
    """The table, the version and the file."""
    storage = copied(table())
    path = Table(storage).snapshot().files()[3].path
    storage.delete([path])
    with pytest.raises(AtioError) as caught:
        Table(storage).to_arrow()
    assert (caught.value.table, caught.value.version, caught.value.file) == ("memory://", NEWEST, path)
