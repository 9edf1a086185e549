"""What every storage must do, as tests.

Subclass :class:`StorageConformance` in a test module and say how to make an empty storage::

    class TestMine(StorageConformance):
        @pytest.fixture
        def storage(self):
            return MyStorage(...)

        def reopen(self, storage):
            return MyStorage(...)  # the same place, as another process would open it

Needs pytest; nothing else in atio imports this module.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from atio.errors import (
    AtioError,
    ConflictError,
    ExistsError,
    InputError,
    LockTimeoutError,
    NotFoundError,
)
from atio.storage.base import Buffer, Storage

T = TypeVar("T")

BAD_PATHS = (
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "data/../../x",
    "data/..",
    ".",
    "./x",
    "data/./x",
    "data//x",
    "data/",
    "data\\x",
    "C:/x",
    "C:x",
    "x:stream",
    "file:///x",
    "nul\0byte",
    "lone\ud800surrogate",
)
NAMES = (
    "a",
    "data/a.parquet",
    "data/p=1/q=ä/x",
    "ünïcode/日本語 🐍",
    "with space/%41+&=#?",
    ".hidden",
    "a.b/...",
)


class StorageConformance:
    """Tests of one storage; each starts with an empty one."""

    @pytest.fixture
    def storage(self) -> Storage:
        """An empty storage. Override."""
        raise NotImplementedError

    def reopen(self, storage: Storage) -> Storage:
        """Return a second, independent handle of the same place. Override."""
        raise NotImplementedError

    # -- create and read -------------------------------------------------------------------

    @pytest.mark.parametrize("path", NAMES)
    def test_what_is_created_is_read(self, storage: Storage, path: str) -> None:
        """An object comes back as it was written, through any handle."""
        storage.create(path, b"content")
        for handle in (storage, self.reopen(storage)):
            assert handle.read(path) == b"content"
            assert handle.size(path) == 7

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer(self, storage: Storage, kind: Callable[[bytes], Buffer]) -> None:
        """Every buffer type is written whole, and copied: later changes do not show."""
        data = kind(b"content")
        storage.create("a", data)
        if isinstance(data, bytearray):
            data[:] = b"changed"
        assert storage.read("a") == b"content"

    def test_wide_and_sliced_buffers(self, storage: Storage) -> None:
        """A view's bytes count, not its items, also when it skips some."""
        storage.create("wide", memoryview(b"12345678").cast("q"))
        storage.create("sliced", memoryview(b"12345678")[::2])
        storage.create("none", memoryview(b"").cast("q"))
        assert [storage.read(name) for name in ("wide", "sliced", "none")] == [b"12345678", b"1357", b""]

    def test_empty_object(self, storage: Storage) -> None:
        """No bytes are an object too."""
        storage.create("data/empty", b"")
        assert storage.read("data/empty") == b""
        assert storage.read("data/empty", 0, 10) == b""
        assert storage.size("data/empty") == 0
        assert [entry.size for entry in storage.list()] == [0]

    def test_big_object(self, storage: Storage) -> None:
        """Sizes beyond every buffer come back whole and in any part."""
        data = bytes(range(256)) * 33_000  # 8.4 MB, of no round size
        storage.create("big", data)
        assert storage.read("big") == data
        assert storage.read("big", len(data) - 5) == data[-5:]
        assert storage.read("big", 4_000_001, 3) == data[4_000_001:4_000_004]

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [
            (0, None, b"0123456789"),
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (3, None, b"3456789"),
            (8, 10**18, b"89"),
            (10, 5, b""),
            (99, 5, b""),
            (99, None, b""),
            (0, 0, b""),
        ],
    )
    def test_ranges(self, storage: Storage, offset: int, length: int | None, expected: bytes) -> None:
        """A range is short only where the object ends; a lying length costs no memory."""
        storage.create("a", b"0123456789")
        assert storage.read("a", offset, length) == expected

    @pytest.mark.parametrize(("offset", "length"), [(-1, None), (0, -1)])
    def test_negative_ranges(self, storage: Storage, offset: int, length: int | None) -> None:
        """Counting from the end is not offered."""
        storage.create("a", b"0123456789")
        with pytest.raises(InputError):
            storage.read("a", offset, length)

    def test_missing(self, storage: Storage) -> None:
        """A missing object is an error that names it, whether or not its folder is there."""
        storage.create("data/there", b"x")
        for path in ("data/missing", "nowhere/missing", "missing"):
            for call in (storage.read, storage.size):
                with pytest.raises(NotFoundError, match="missing"):
                    call(path)

    def test_create_is_exclusive(self, storage: Storage) -> None:
        """What is there is never written over."""
        storage.create("data/a", b"first")
        for handle in (storage, self.reopen(storage)):
            with pytest.raises(ExistsError, match="data/a"):
                handle.create("data/a", b"second")
        assert storage.read("data/a") == b"first"

    def test_create_race(self, storage: Storage) -> None:
        """Of many that create the same object, one wins and its bytes are there."""
        for turn in range(10):

            def attempt(number: int, path: str = f"data/{turn}") -> int | None:
                try:
                    self.reopen(storage).create(path, str(number).encode() * 1000)
                except ExistsError:
                    return None
                return number

            winners = [number for number in _together(attempt, 4) if number is not None]
            assert len(winners) == 1
            assert storage.read(f"data/{turn}") == str(winners[0]).encode() * 1000

    # -- sinks -----------------------------------------------------------------------------

    def test_sink(self, storage: Storage) -> None:
        """Pieces of every size arrive in order; each write says how many bytes it took."""
        pieces = [b"a" * 10, b"", b"b" * 100_000, b"c" * 3, b"d" * 400_000, b"e"] + [b"f" * 999] * 500
        sink = storage.sink("data/streamed")
        assert [sink.write(piece) for piece in pieces] == [len(piece) for piece in pieces]
        assert sink.write(memoryview(b"12345678").cast("q")) == 8
        sink.close()
        assert self.reopen(storage).read("data/streamed") == b"".join(pieces) + b"12345678"

    def test_sink_copies(self, storage: Storage) -> None:
        """A buffer may be used again as soon as ``write`` returns."""
        data = bytearray(b"before")
        sink = storage.sink("a")
        sink.write(data)
        data[:] = b"after!"
        sink.close()
        assert storage.read("a") == b"before"

    def test_empty_sink(self, storage: Storage) -> None:
        """A sink that nothing was written to makes an empty object."""
        storage.sink("a").close()
        assert storage.read("a") == b""

    @pytest.mark.parametrize("size", [0, 10, 1_000_000])
    def test_sink_aborted(self, storage: Storage, size: int) -> None:
        """An abort leaves nothing, may be repeated, and is final."""
        sink = storage.sink("data/gone")
        sink.write(b"x" * size)
        sink.abort()
        sink.abort()
        assert [entry.path for entry in storage.list("data")] == []
        with pytest.raises(AtioError):
            sink.write(b"more")
        with pytest.raises(AtioError):
            sink.close()
        with pytest.raises(NotFoundError):
            storage.read("data/gone")

    def test_sink_closed(self, storage: Storage) -> None:
        """After ``close`` nothing can be added or undone."""
        sink = storage.sink("a")
        sink.write(b"content")
        sink.close()
        sink.abort()
        sink.close()
        with pytest.raises(AtioError):
            sink.write(b"more")
        assert storage.read("a") == b"content"

    def test_sink_is_exclusive(self, storage: Storage) -> None:
        """A sink does not write over an object, and its failure does not remove it."""
        storage.create("a", b"first")

        def write() -> None:
            sink = storage.sink("a")
            try:
                sink.write(b"second")
                sink.close()
            finally:
                sink.abort()

        with pytest.raises(ExistsError):
            write()
        assert storage.read("a") == b"first"

    # -- list and delete -------------------------------------------------------------------

    def test_list(self, storage: Storage) -> None:
        """Everything is listed, at any depth, with size and time; folders are not."""
        before = time.time()
        for number, path in enumerate(NAMES):
            storage.create(path, b"x" * number)
        storage.swap("current", b"pointer", None)
        entries = {entry.path: entry for entry in self.reopen(storage).list()}
        assert {*NAMES, "current"} <= entries.keys()
        assert [entries[path].size for path in NAMES] == list(range(len(NAMES)))
        for path in NAMES:  # clocks of disks and servers are coarse
            assert before - 60 < entries[path].modified < time.time() + 60

    def test_list_below_a_folder(self, storage: Storage) -> None:
        """A prefix is a folder: neighbours whose names merely start so are not in it."""
        for path in ("data/a", "data/b/c", "data2/a", "datafile", "x/data/a"):
            storage.create(path, b"")
        assert {entry.path for entry in storage.list("data")} == {"data/a", "data/b/c"}
        assert {entry.path for entry in storage.list("data/b")} == {"data/b/c"}
        assert list(storage.list("nothing")) == []
        assert list(storage.list("nothing/at/all")) == []
        assert list(storage.list("datafile")) == []

    def test_list_of_nothing(self, storage: Storage) -> None:
        """A place that was never written to lists nothing."""
        assert list(storage.list()) == []

    def test_delete(self, storage: Storage) -> None:
        """Objects go; missing ones are no error, and the rest goes all the same."""
        for path in ("data/a", "data/b", "data/c"):
            storage.create(path, b"x")
        storage.delete(path for path in ("data/a", "data/missing", "nowhere/at/all", "data/b", "data/a"))
        assert {entry.path for entry in storage.list("data")} == {"data/c"}
        with pytest.raises(NotFoundError):
            storage.read("data/a")
        storage.delete([])

    def test_sync(self, storage: Storage) -> None:
        """What is there is as it was, and there are no others."""
        storage.create("data/a", b"x")
        storage.create("b", b"y")
        storage.sync(path for path in ("data/a", "b"))
        self.reopen(storage).sync(["data/a"])
        storage.sync([])
        assert (storage.read("data/a"), storage.read("b")) == (b"x", b"y")
        assert {entry.path for entry in storage.list("data")} == {"data/a"}

    def test_a_deleted_name_is_free(self, storage: Storage) -> None:
        """Deleting the last object of a folder does not break the folder."""
        storage.create("data/p=1/a", b"first")
        storage.delete(["data/p=1/a"])
        storage.create("data/p=1/a", b"second")
        assert storage.read("data/p=1/a") == b"second"

    # -- paths -----------------------------------------------------------------------------

    @pytest.mark.parametrize("path", BAD_PATHS)
    def test_bad_paths(self, storage: Storage, path: str) -> None:
        """Nothing reads or writes a path that could lead out; nothing is left behind either."""
        storage.create("data/a", b"x")
        before = {entry.path for entry in storage.list()}
        calls: list[Callable[[], object]] = [
            lambda: storage.read(path),
            lambda: storage.size(path),
            lambda: storage.create(path, b"x"),
            lambda: storage.sink(path),
            lambda: storage.delete(["data/a", path]),
            lambda: storage.load(path),
            lambda: storage.swap(path, b"x", None),
        ]
        if storage.local_path("data/a") is not None:
            calls.append(lambda: storage.local_path(path))
        for call in calls:
            with pytest.raises(InputError):
                call()
        assert {entry.path for entry in storage.list()} - {".lock"} == before

    def test_bad_prefix(self, storage: Storage) -> None:
        """A listing does not lead out either."""
        with pytest.raises(InputError):
            list(storage.list("../x"))

    def test_local_path(self, storage: Storage) -> None:
        """Where there is a local path, the operating system finds the same bytes there."""
        storage.create("data/a", b"content")
        path = storage.local_path("data/a")
        if path is None:
            pytest.skip("not on a local disk")
        with open(path, "rb") as file:  # noqa: PTH123 - what others will do with it
            assert file.read() == b"content"

    # -- load and swap ---------------------------------------------------------------------

    def test_load_of_nothing(self, storage: Storage) -> None:
        """A missing pointer is None, not an error."""
        assert storage.load("current") is None
        storage.create("data/a", b"x")
        assert storage.load("current") is None

    def test_swap(self, storage: Storage) -> None:
        """A swap from the newest token takes effect for every handle at once."""
        other = self.reopen(storage)
        token = None
        seen = set()
        for number in range(5):
            content = b"commit %d" % number
            token = storage.swap("current", content, token)
            assert token not in seen
            seen.add(token)
            for handle in (storage, other):
                value = handle.load("current")
                assert value is not None
                assert (value.data, value.token) == (content, token)
                assert handle.read("current") == content

    def test_swap_from_nothing(self, storage: Storage) -> None:
        """``None`` swaps only where there is nothing yet."""
        token = storage.swap("current", b"first", None)
        for handle in (storage, self.reopen(storage)):
            with pytest.raises(ConflictError):
                handle.swap("current", b"second", None)
        value = storage.load("current")
        assert value is not None
        assert (value.data, value.token) == (b"first", token)

    def test_swap_from_an_old_token(self, storage: Storage) -> None:
        """A token that another writer's swap has made old changes nothing."""
        other = self.reopen(storage)
        old = storage.swap("current", b"first", None)
        new = other.swap("current", b"second", old)
        with pytest.raises(ConflictError, match="current"):
            storage.swap("current", b"third", old)
        value = storage.load("current")
        assert value is not None
        assert (value.data, value.token) == (b"second", new)

    def test_swap_of_what_vanished(self, storage: Storage) -> None:
        """A pointer that was deleted is a conflict, not made anew."""
        token = storage.swap("current", b"first", None)
        storage.delete(["current"])
        with pytest.raises(ConflictError):
            storage.swap("current", b"second", token)
        assert storage.load("current") is None

    def test_a_failed_swap_leaves_no_remnant(self, storage: Storage) -> None:
        """Neither swaps nor conflicts pile up files."""
        token = storage.swap("current", b"first", None)
        before = {entry.path for entry in storage.list()}
        for _ in range(3):
            with pytest.raises(ConflictError):
                storage.swap("current", b"other", None)
        storage.swap("current", b"second", token)
        assert {entry.path for entry in storage.list()} == before

    def test_any_name_and_size_can_be_swapped(self, storage: Storage) -> None:
        """The pointer is not special: values in folders, of any size, are swapped as well."""
        for path, content in (("refs/ä", b""), ("refs/b", b"x" * 3_000_000)):
            token = storage.swap(path, content, None)
            storage.swap(path, bytearray(b"small"), token)
            value = storage.load(path)
            assert value is not None
            assert value.data == b"small"

    def test_racing_swaps(self, storage: Storage) -> None:
        """Writers that count up with nothing but swaps lose no count."""
        if not storage.capabilities.swap:
            pytest.skip("declares that it cannot swap among several writers")
        writers, each = 4, 25

        def count(number: int) -> None:
            handle = self.reopen(storage) if number % 2 else storage
            for turn in range(each):
                _count_up(handle, b"%d.%d" % (number, turn))

        _together(count, writers)
        value = storage.load("current")
        assert value is not None
        assert int(value.data.split()[0]) == writers * each

    def test_racing_first_swaps(self, storage: Storage) -> None:
        """Of many first commits one lands."""
        if not storage.capabilities.swap:
            pytest.skip("declares that it cannot swap among several writers")

        def first(number: int) -> int | None:
            try:
                self.reopen(storage).swap("current", b"%d" % number, None)
            except ConflictError:
                return None
            return number

        winners = [number for number in _together(first, 6) if number is not None]
        assert len(winners) == 1
        assert storage.read("current") == b"%d" % winners[0]

    def test_readers_see_whole_values(self, storage: Storage) -> None:
        """While writers swap, a reader always finds a value, whole, with its own token."""
        size = 5_000
        tokens = {1: storage.swap("current", b"1" * size, None)}
        done = threading.Event()

        def read(_: int) -> list[tuple[bytes, str]]:
            found = []
            while not done.is_set():
                value = storage.load("current")
                assert value is not None
                assert len(set(value.data)) == 1
                assert len(value.data) == size
                found.append((value.data[:1], value.token))
            return found

        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(read, 0)
            try:
                for number in range(2, 10):
                    tokens[number] = storage.swap("current", b"%d" % number * size, tokens[number - 1])
            finally:
                done.set()
            for digit, token in reader.result():
                assert tokens[int(digit)] == token

    # -- writers among each other ----------------------------------------------------------

    def test_swap_inside_exclusive(self, storage: Storage) -> None:
        """The holder of the lock may swap, and enter again."""
        with storage.exclusive(), storage.exclusive():
            token = storage.swap("current", b"first", None)
            storage.swap("current", b"second", token)
        with storage.exclusive():
            assert storage.read("current") == b"second"

    def test_exclusive_ends_with_an_error(self, storage: Storage) -> None:
        """An error inside comes out and frees the lock."""

        def fail() -> None:
            with storage.exclusive():
                raise KeyError("inside")

        with pytest.raises(KeyError, match="inside"):
            fail()
        with self.reopen(storage).exclusive():
            pass

    def test_exclusive_keeps_others_out(self, storage: Storage) -> None:
        """Neither another thread nor another handle is inside at the same time."""
        if not storage.capabilities.lock:
            pytest.skip("declares no lock")
        shared = self.reopen(storage)
        inside: list[int] = []
        meetings = []
        never = threading.Event()

        def enter(number: int) -> None:
            handle = shared if number < 2 else self.reopen(storage)
            for _ in range(3):
                with handle.exclusive():
                    inside.append(number)
                    never.wait(0.002)  # an open door: long enough for all others to come in
                    meetings.append(len(inside))
                    inside.remove(number)

        _together(enter, 4)
        assert meetings == [1] * 12

    def test_exclusive_without_waiting(self, storage: Storage) -> None:
        """Asked not to wait, it says at once that others hold the lock."""
        if not storage.capabilities.lock:
            pytest.skip("declares no lock")
        other = self.reopen(storage)
        with storage.exclusive(wait=False), pytest.raises(LockTimeoutError), other.exclusive(wait=False):
            pass
        with other.exclusive(wait=False):
            pass

    def test_a_request_is_taken_or_withdrawn(self, storage: Storage) -> None:
        """Whoever holds the lock sees what waits, takes it and answers; never after it was withdrawn."""
        asked, withdrawn, left = (self.reopen(storage).post(b"request %d" % i) for i in range(3))
        if asked is None or withdrawn is None or left is None:
            pytest.skip("takes no requests")
        found = {received.data: received for received in storage.received()}
        assert set(found) == {b"request 0", b"request 1", b"request 2"}
        assert withdrawn.withdraw()
        assert not found[b"request 1"].take()
        assert found[b"request 0"].take()
        assert not asked.withdraw()
        assert asked.answer() is None
        found[b"request 0"].answer(b"done")
        asked.wait()
        assert asked.answer() == b"done"
        assert [received.data for received in storage.received()] == [b"request 2"]
        for request in (asked, withdrawn, left):
            request.close()
        assert list(storage.received()) == []

    def test_leases(self, storage: Storage) -> None:
        """A lease is seen by all until it is released."""
        if not storage.capabilities.leases:
            pytest.skip("declares no leases")
        other = self.reopen(storage)
        assert storage.live_leases() == frozenset()
        first, second = storage.lease("writer-1"), other.lease("writer-ä")
        assert first is not None
        assert second is not None
        for handle in (storage, other):
            assert handle.live_leases() == {"writer-1", "writer-ä"}
        first.release()
        first.release()
        for handle in (storage, other):
            assert handle.live_leases() == {"writer-ä"}
        second.release()
        assert storage.live_leases() == frozenset()
        again = storage.lease("writer-1")
        assert again is not None
        assert other.live_leases() == {"writer-1"}
        again.release()

    @pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\\b", "a:b", "a\0b"])
    def test_bad_lease_names(self, storage: Storage, name: str) -> None:
        """A lease's name is one part of a path."""
        if not storage.capabilities.leases:
            pytest.skip("declares no leases")
        with pytest.raises(InputError):
            storage.lease(name)

    def test_url(self, storage: Storage) -> None:
        """Messages can say where this is."""
        assert storage.url
        assert storage.url == self.reopen(storage).url


def _count_up(storage: Storage, tag: bytes) -> None:
    while True:
        value = storage.load("current")
        count = 0 if value is None else int(value.data.split()[0])
        try:
            storage.swap("current", b"%d %s" % (count + 1, tag), None if value is None else value.token)
        except ConflictError:
            continue
        return


def _together(action: Callable[[int], T], threads: int) -> list[T]:
    """Run ``action(0) … action(threads - 1)`` at the same moment; return what they return."""
    start = threading.Barrier(threads)

    def run(number: int) -> T:
        start.wait()
        return action(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))
