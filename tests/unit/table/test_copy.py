"""Copies of tables: complete or no table, checked on their way, resumed where they ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from atio import Table
from atio.commit.state import load_state
from atio.errors import (
    AtioError,
    DamagedError,
    ExistsError,
    InputError,
    LockTimeoutError,
    NewerFormatError,
    NotFoundError,
    OutcomeUnknownError,
    StorageError,
    VersionNotFoundError,
)
from atio.metadata import history
from atio.metadata.objects import Objects
from atio.model.pointer import Features
from atio.storage import LocalStorage, MemoryStorage, Storage
from atio.table import copy as copying
from tests.faulty import Faults, FaultyStorage, Kind
from tests.support.tables import content, listing, required

SECOND = 1_000_000


def fill(place: Storage, versions: int = 24) -> Table:
    """A table with all that a pointer can refer to: pieces of versions and tokens, a manifest, a catalog."""
    times = iter(range(SECOND, 10**9 * SECOND, SECOND))
    table = Table(place, clock=lambda: next(times))
    table.append({"x": [0], "name": ["zero"]}, token="0")
    table.set_properties({"append.merge": "false", "user.owner": "me"})
    for number in range(1, versions - 2):
        table.append({"x": [number], "name": [str(number)]}, token=str(number), message=f"m{number}")
    table.tag("middle", version=versions // 2)
    table.overwrite({"x": [100, 200], "name": ["a", None]})
    table.add_column("y", pa.int64(), default=7)
    table.tag("end")
    return table


def all_bytes(storage: Storage, paths: set[str] | None = None) -> dict[str, bytes]:
    return {path: storage.read(path) for path in paths or listing(storage)}


def assert_copied(source: Storage, target: Storage) -> None:
    """The copy is byte for byte what the source needs, and nothing else is there."""
    assert all_bytes(target) == all_bytes(source, required(source))
    assert content(target) == content(source)
    assert Table(target).verify().ok


@pytest.fixture
def source() -> MemoryStorage:
    place = MemoryStorage()
    fill(place)
    return place


# -- everything --------------------------------------------------------------------------------------


def test_from_disk_to_memory_and_back(tmp_path: Path) -> None:
    """Whatever lies between, the copy of a copy is the table: rows, tags, properties, tokens, bytes."""
    first = LocalStorage(tmp_path / "a", durable=False)
    table = fill(first)
    between = MemoryStorage()
    there = table.copy_to(between)
    assert there.url == between.url
    assert_copied(first, between)
    back = there.copy_to(tmp_path / "b", durable=False)
    assert_copied(first, LocalStorage(tmp_path / "b"))
    assert back.tags == {"middle": 12, "end": 24}
    assert back.append({"x": [5], "name": ["5"], "y": [5]}, token="5").version == 6, "it was there"
    assert back.append({"x": [5], "name": ["5"], "y": [5]}).version == 25
    assert table.version == 24


def test_orphans_and_expired_versions_stay_behind(source: MemoryStorage) -> None:
    """Only what the table needs is copied."""
    table = Table(source)
    table.stage({"x": [1], "name": ["never committed"]})
    table.expire(timedelta(0), keep_last=3)
    assert listing(source) > required(source)
    target = MemoryStorage()
    made = table.copy_to(target)
    assert_copied(source, target)
    assert [s.version for s in made.history()] == [24, 23, 22, 12]


@pytest.mark.parametrize("small", [0, 300, 2**22])
def test_large_files_are_streamed(
    source: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    """Files above the limit go through a sink, block by block, and none is read at once."""
    monkeypatch.setattr(copying, "_SMALL", small)
    monkeypatch.setattr("atio.table.datafiles._CHUNK", 100)
    monkeypatch.setattr(copying, "_BATCH_BYTES", 1000)
    target = LocalStorage(tmp_path / "t", durable=False)
    lengths = []
    read = MemoryStorage.read

    def noted(self: MemoryStorage, path: str, offset: int = 0, length: int | None = None) -> bytes:
        data = read(self, path, offset, length)
        if path.startswith("data/"):
            lengths.append(len(data))
        return data

    monkeypatch.setattr(MemoryStorage, "read", noted)
    Table(source).copy_to(target)
    if small == 0:
        assert max(lengths) == 100
    assert_copied(source, target)


def test_a_table_without_rows_or_columns(tmp_path: Path) -> None:
    for number, columns in enumerate([None, pa.schema([("x", "int8")])]):
        table = Table.create(MemoryStorage(), columns)
        made = table.copy_to(tmp_path / str(number))
        assert (made.version, made.schema) == (0, table.schema)
        assert made.verify().ok


# -- one version -------------------------------------------------------------------------------------


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize("asked", [{"version": 12}, {"version": "middle"}, {"as_of": None}])
def test_one_version(source: MemoryStorage, asked: dict[str, object]) -> None:
    """It is the only one, under its number, with its tags, the properties and the tokens up to it."""
    table = Table(source)
    if "as_of" in asked:
        asked = {"as_of": table.snapshot(12).time}
    target = MemoryStorage()
    made = table.copy_to(target, **asked)  # type: ignore[arg-type]
    assert listing(target) == required(target)
    assert [s.version for s in made.history()] == [12]
    assert made.to_arrow().equals(table.snapshot(12).to_arrow())
    assert made.tags == {"middle": 12}
    assert made.properties == table.properties
    assert made.verify().ok
    pointer = load_state(Objects(target)).pointer  # type: ignore[union-attr]
    assert [t.version for t in history.all_tokens(Objects(target), pointer.tokens)] == list(range(1, 12))
    with pytest.raises(VersionNotFoundError, match="never was a version 11"):
        made.snapshot(11)
    row = {"x": [1], "name": ["again"]}
    assert made.append(row, token="11").rows == 12, "that row is there"
    assert made.append(row, token="12").version == 13, "that row came later"
    assert made.append(row).version == 14
    made.expire(timedelta(0))
    assert made.verify().ok
    assert sorted(s.version for s in made.history()) == [12, 14]


def test_one_version_is_a_table_of_its_own(source: MemoryStorage) -> None:
    """Its later versions are not those of the source: what was staged for one is refused by the other."""
    table, target = Table(source), MemoryStorage()
    staged = table.stage({"x": [1], "name": ["1"], "y": [1]})
    made = table.copy_to(target, version=24)
    with pytest.raises(InputError, match="another table"):
        made.commit(staged)
    ids = [load_state(Objects(place)).pointer.table_id for place in (source, target)]  # type: ignore[union-attr]
    assert ids[0] != ids[1]


def test_a_version_without_tags_and_properties(tmp_path: Path) -> None:
    """There is no catalog then, as in a new table."""
    table = Table(MemoryStorage())
    table.append({"x": [1]})
    table.append({"x": [2]})
    made = table.copy_to(tmp_path / "t", version=1)
    assert load_state(Objects(LocalStorage(tmp_path / "t"))).pointer.catalog is None  # type: ignore[union-attr]
    assert made.to_arrow()["x"].to_pylist() == [1]


# -- refusals ----------------------------------------------------------------------------------------


def test_nothing_is_copied_over_a_table(source: MemoryStorage, tmp_path: Path) -> None:
    """Not over another, an older copy, a damaged one, nor itself."""
    Table.open(tmp_path / "other").append({"x": [1]})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "current").write_bytes(b"")
    table = Table(source)
    for place in (tmp_path / "other", tmp_path / "damaged", source, source.handle()):
        before = all_bytes(place) if isinstance(place, MemoryStorage) else sorted(place.rglob("*"))
        with pytest.raises(ExistsError, match="there is a table already") as caught:
            table.copy_to(place)
        assert caught.value.table == (place.url if isinstance(place, MemoryStorage) else str(place))
        assert before == (all_bytes(place) if isinstance(place, MemoryStorage) else sorted(place.rglob("*")))


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"version": 99}, VersionNotFoundError),
        ({"version": "nothing"}, VersionNotFoundError),
        ({"version": 1, "as_of": moment(5)}, InputError),
        ({"storage_options": {"key": "x"}}, InputError),
    ],
)
def test_a_bad_request_makes_nothing(
    source: MemoryStorage, tmp_path: Path, asked: dict[str, object], error: type[AtioError]
) -> None:
    with pytest.raises(error):
        Table(source).copy_to(tmp_path / "t", **asked)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="there is no table here"):
        Table(MemoryStorage()).copy_to(tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_table_that_may_need_unknown_files_is_refused(source: MemoryStorage) -> None:
    """What cannot be written to here cannot be copied: which files it needs is not known."""
    state = load_state(Objects(source))
    assert state is not None
    newer = state.pointer.replace(features=Features(write=("folders-of-tomorrow",)))
    source.swap("current", newer.encode(), state.token)
    target = MemoryStorage()
    with pytest.raises(NewerFormatError, match="folders-of-tomorrow"):
        Table(source).copy_to(target)
    assert listing(target) == set()


def kinds(storage: Storage) -> list[str]:
    """One file of each kind that the table needs."""
    found = {path.partition("/")[0]: path for path in sorted(required(storage)) if "/" in path}
    pointer = load_state(Objects(storage)).pointer  # type: ignore[union-attr]
    catalog = [pointer.catalog.path] if pointer.catalog else []
    pieces = [piece.ref.path for piece in (*pointer.history.pieces, *pointer.tokens.pieces)]
    return [*found.values(), *catalog, *pieces]


@pytest.mark.parametrize("small", [0, 2**22])
@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "empty", "missing"])
def test_a_damaged_source_is_refused(
    source: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, small: int
) -> None:
    """The error names the file, whatever is wrong with which of them, and there is no table."""
    monkeypatch.setattr(copying, "_SMALL", small)
    assert {path.partition("/")[0] for path in kinds(source)} == {"data", "manifests", "schemas", "metadata"}
    for number, path in enumerate(kinds(source)):
        data = source.read(path)
        bad = {
            "flip": data[:-3] + bytes([data[-3] ^ 4]) + data[-2:],
            "cut": data[:-1],
            "longer": data + b"\0",
            "empty": b"",
        }
        source.delete([path])
        if damage != "missing":
            source.create(path, bad[damage])
        target = LocalStorage(tmp_path / str(number), durable=False)
        with pytest.raises(DamagedError) as caught:
            Table(source).copy_to(target)
        assert caught.value.file == path
        assert target.load("current") is None
        assert path not in listing(target)
        source.delete([path])
        source.create(path, data)


# -- failures and what is left of them ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.BEFORE, Kind.REMNANT])
@pytest.mark.parametrize("small", [0, 2**22])
def test_every_operation_fails(kind: Kind, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each failure there is no table or a whole one; the copy that is repeated is complete."""
    monkeypatch.setattr(copying, "_SMALL", small)
    source = MemoryStorage()
    fill(source, 10)
    for number in range(1, 1000):
        inner = MemoryStorage()
        faults = Faults(at=number, kind=kind)
        try:
            Table(source).copy_to(FaultyStorage(inner, faults))
        except StorageError:
            assert inner.load("current") is None
            Table(source).copy_to(inner)
        assert_copied(source, inner)
        if faults.failed is None:
            assert number > 30
            return
    raise AssertionError


def test_what_is_there_is_kept(source: MemoryStorage, tmp_path: Path) -> None:
    """Whole files are left alone, remnants are replaced, and of the rest nothing is missing."""
    needed = sorted(required(source) - {"current"})
    there = LocalStorage(tmp_path / "t")
    for place, path in enumerate(needed):
        data = source.read(path)
        if place % 4 == 0:
            there.create(path, data)
        elif place % 4 == 1:
            there.create(path, data[:-1])
        elif place % 4 == 2:
            there.create(path, bytes(len(data)))
    times = {p: (tmp_path / "t" / p).stat().st_mtime_ns for p in needed[::4]}
    inodes = {p: (tmp_path / "t" / p).stat().st_ino for p in needed[::4]}
    Table(source).copy_to(tmp_path / "t")
    assert_copied(source, there)
    assert times == {p: (tmp_path / "t" / p).stat().st_mtime_ns for p in times}
    assert inodes == {p: (tmp_path / "t" / p).stat().st_ino for p in inodes}


def test_what_is_there_is_not_read_again(source: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a copy that ended before its swap left, nothing is read again but what it takes to plan."""
    target = MemoryStorage()
    with pytest.raises(StorageError):
        Table(source).copy_to(FaultyStorage(target, Faults(at=1, swaps_only=True)))
    assert listing(target) == required(source) - {"current"}
    asked: list[str] = []
    read = MemoryStorage.read

    def noted(self: MemoryStorage, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if self is source:
            asked.append(path)
        return read(self, path, offset, length)

    monkeypatch.setattr(MemoryStorage, "read", noted)
    monkeypatch.setattr(target, "create", lambda *_: pytest.fail("it was there"))
    Table(source).copy_to(target)
    assert not [path for path in asked if path.startswith("data/")]
    assert len(asked) == len(set(asked))
    assert_copied(source, target)


def test_what_is_kept_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who left it was killed, perhaps before it was durable; the copy is acknowledged and must be."""
    source = MemoryStorage()
    Table(source).append({"x": [1]})
    there = LocalStorage(tmp_path / "t", durable=False)
    for path in required(source) - {"current"}:
        there.create(path, source.read(path))
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc/self/fd")
    monkeypatch.setattr(os, "fsync", noted)
    Table(source).copy_to(tmp_path / "t")
    root = str(tmp_path / "t")
    files = {f"{root}/{path}" for path in required(source) - {"current"}}
    assert files | {f"{root}/{path.partition('/')[0]}" for path in required(source) if "/" in path} <= set(
        synced
    )
    assert max(map(synced.index, files)) < next(i for i, p in enumerate(synced) if ".current." in p)


@pytest.mark.parametrize("lock", [True, False])
@pytest.mark.parametrize("kind", [Kind.RESPONSE_LANDED, Kind.RESPONSE_LOST])
@pytest.mark.parametrize("version", [None, 3])
def test_a_lost_answer(source: MemoryStorage, kind: Kind, lock: bool, version: int | None) -> None:
    """It is looked up: the copy is there in the end."""
    target = MemoryStorage()
    storage = FaultyStorage(target, Faults(at=1, kind=kind, swaps_only=True), lock=lock)
    made = Table(source).copy_to(storage, version=version)
    assert made.verify().ok
    assert made.version == (version or 24)


@pytest.mark.parametrize("kind", [Kind.UNKNOWN_LANDED, Kind.UNKNOWN_LOST])
def test_an_unknown_outcome(source: MemoryStorage, kind: Kind) -> None:
    """It is told, and no file goes."""
    target = MemoryStorage()
    with pytest.raises(OutcomeUnknownError):
        Table(source).copy_to(FaultyStorage(target, Faults(at=1, kind=kind, swaps_only=True)))
    assert listing(target) | {"current"} == required(source)


# -- among others --------------------------------------------------------------------------------------


class Watched(FaultyStorage):
    """Lets others act before one read of a data file."""

    def __init__(self, inner: Storage, act: Callable[[], object]) -> None:
        super().__init__(inner)
        self._act: Callable[[], object] | None = act
        self.data = 0

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self.data += path.startswith("data/")
        if path.startswith("data/") and self._act is not None:
            act, self._act = self._act, None
            act()
        return super().read(path, offset, length)


def test_appends_meanwhile_are_not_copied(source: MemoryStorage) -> None:
    """The copy is what the table was when it began."""
    before = content(source)
    writer = Table(source.handle())
    watched = Watched(source, lambda: writer.append({"x": [1], "name": [""], "y": [2]}))
    target = MemoryStorage()
    made = Table(watched).copy_to(target)
    assert content(target) == before
    assert made.verify().ok
    assert writer.version == 25


@pytest.mark.parametrize("version", [None, "end"])
def test_versions_that_expire_meanwhile(source: MemoryStorage, version: str | None) -> None:
    """The copy begins anew with what is left, and keeps what it has."""
    writer = Table(source.handle())

    def act() -> None:
        writer.append({"x": [1], "name": [""], "y": [2]})
        writer.tag("end", move=True)
        writer.untag("middle")
        writer.expire(timedelta(0))

    target = MemoryStorage()
    made = Table(Watched(source, act)).copy_to(target, version=version)
    assert made.verify().ok
    assert [s.version for s in made.history()] == [25]
    assert content(target) == content(source)


@pytest.mark.parametrize("small", [0, 2**22])
def test_what_was_brought_is_kept_when_it_begins_anew(monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    """Data files that the versions left over still need are not read, nor written, twice."""
    monkeypatch.setattr(copying, "_SMALL", small)
    place, target = MemoryStorage(), MemoryStorage()
    writer = Table(place)
    for number in range(6):
        writer.append({"x": [number]})

    def act() -> None:
        writer.append({"x": [6]})
        writer.expire(timedelta(0))

    watched = Watched(place, act)
    made = Table(watched).copy_to(target)
    assert [s.version for s in made.history()] == [7]
    assert made.to_arrow()["x"].to_pylist() == list(range(7))
    assert made.verify().ok
    assert watched.data == len(made.snapshot().files())


def test_a_version_that_expires_meanwhile_is_gone(source: MemoryStorage) -> None:
    """Asked for by number there is nothing else to copy; no table is made."""
    writer = Table(source.handle())
    target = MemoryStorage()
    with pytest.raises(VersionNotFoundError, match="expired"):
        Table(Watched(source, lambda: writer.expire(timedelta(0)))).copy_to(target, version=5)
    assert target.load("current") is None


def test_while_appends_go_on(tmp_path: Path) -> None:
    """Each copy is one of the states that the table had, whole."""
    table = Table.open(tmp_path / "source", durable=False)
    table.append({"x": [1]})
    stop = threading.Event()

    def write() -> None:
        writer = Table.open(tmp_path / "source", durable=False)
        while not stop.is_set():
            made = writer.append({"x": [1]})
            if made.version % 5 == 0:
                writer.expire(timedelta(0), keep_last=2)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(12):
            low = table.version
            made = table.copy_to(tmp_path / f"copy{number}", durable=False)
            assert low <= made.version <= table.version
            assert made.verify().ok
            assert made.snapshot().rows == made.version == len(made.to_arrow())
    finally:
        stop.set()
        thread.join()


def test_one_copy_at_a_time(source: MemoryStorage) -> None:
    """What another copy is writing must not be taken for a remnant."""
    target = MemoryStorage()
    with target.exclusive(), pytest.raises(LockTimeoutError):
        Table(source).copy_to(target.handle())
    assert listing(target) == set()


@pytest.mark.parametrize("version", [None, 3])
@pytest.mark.parametrize("lock", [True, False])
def test_a_table_that_appears_meanwhile(source: MemoryStorage, lock: bool, version: int | None) -> None:
    """It stays as it is."""
    target = MemoryStorage()
    storage = FaultyStorage(target, lock=lock, before_swap=lambda: _start(target))
    with pytest.raises(ExistsError, match="there is a table already"):
        Table(source).copy_to(storage, version=version)
    assert Table(target).to_arrow().to_pydict() == {"mine": [1]}


def _start(target: MemoryStorage) -> None:
    """Another's first append, which did not wait for the lock."""
    made = MemoryStorage()
    Table(made).append({"mine": [1]})
    for path in listing(made) - {"current"}:
        target.create(path, made.read(path))
    pointer = made.load("current")
    assert pointer is not None
    target.swap("current", pointer.data, None)


def test_buckets_have_no_remnants(source: MemoryStorage) -> None:
    """What is another file there is not removed: without a lock it might be somebody's."""
    path = min(required(source) - {"current"})
    target = MemoryStorage()
    target.create(path, b"other")
    with pytest.raises(ExistsError) as caught:
        Table(source).copy_to(FaultyStorage(target, lock=False))
    assert caught.value.file == path
    assert all_bytes(target) == {path: b"other"}


# -- repeated ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, 3])
def test_a_copy_that_is_there(source: MemoryStorage, version: int | None) -> None:
    """Is made again by doing nothing, until there is something else on either side."""
    target = MemoryStorage()
    table = Table(source)
    table.copy_to(target, version=version)
    before = all_bytes(target)
    made = table.copy_to(target, version=version)
    assert all_bytes(target) == before
    for other in (None, 2, 3):
        if other != version:
            with pytest.raises(ExistsError, match="there is a table already"):
                table.copy_to(target, version=other)
    made.append(made.to_arrow().slice(0, 0))
    with pytest.raises(ExistsError, match="there is a table already"):
        table.copy_to(target, version=version)
    assert made.verify().ok


def test_a_source_that_went_on(source: MemoryStorage) -> None:
    """The older copy stays as it is."""
    own, target = MemoryStorage(), MemoryStorage()
    table = Table(source).copy_to(own)
    table.copy_to(target)
    before = all_bytes(target)
    table.append(table.to_arrow().slice(0, 1))
    with pytest.raises(ExistsError, match="there is a table already"):
        table.copy_to(target)
    assert all_bytes(target) == before
