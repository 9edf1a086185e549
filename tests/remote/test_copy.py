"""Tables copied into buckets, out of them, and between them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atio import Table
from atio.errors import AtioError, StorageError, UnsupportedError
from atio.storage import LocalStorage, MemoryStorage, Storage
from atio.storage.remote.generic import FsspecStorage
from atio.table import copy
from tests.faulty import Faults, FaultyStorage
from tests.remote.proxy import Fault, Message, Proxy
from tests.remote.servers import QUICK, Server
from tests.support.tables import content, listing, required


@pytest.fixture(scope="module")
def source() -> MemoryStorage:
    """A dozen versions of small files, and one of 20 MB that does not compress."""
    place = MemoryStorage()
    table = Table(place)
    table.append({"x": [0], "bytes": [b""]}, token="first")
    table.set_properties({"append.merge": "false", "user.a": "b"})
    for number in range(12):
        table.append({"x": [number], "bytes": [b""]})
    table.append({"x": [1] * 20, "bytes": [random.Random(n).randbytes(1 << 20) for n in range(20)]})
    table.tag("v1", version=4)
    return place


def assert_copied(source: Storage, target: Storage) -> None:
    needed = required(source)
    assert listing(target) == needed
    assert all(source.read(path) == target.read(path) for path in needed)


def test_into_a_bucket_and_out_of_it(
    server: Server, folder: str, source: MemoryStorage, tmp_path: Path
) -> None:
    """By URL and storage options; on the way back from one bucket folder to another."""
    there = server.url(folder)
    made = Table(source).copy_to(there, storage_options=server.storage_options)
    assert made.url == there
    assert_copied(source, server.storage(folder))
    assert made.verify().ok
    Table(source).copy_to(there, storage_options=server.storage_options)
    assert_copied(source, server.storage(folder))
    again = made.copy_to(server.url(folder + "-2"), storage_options=server.storage_options)
    again.copy_to(tmp_path / "back")
    assert_copied(source, LocalStorage(tmp_path / "back"))
    assert content(LocalStorage(tmp_path / "back")) == content(source)
    one = made.copy_to(server.url(folder + "-3"), version="v1", storage_options=server.storage_options)
    assert (one.version, one.snapshot().rows, one.tags) == (4, 4, {"v1": 4})
    assert one.append({"x": [1], "bytes": [b""]}).version == 5


def test_a_copy_goes_on(server: Server, proxy: Proxy, folder: str, source: MemoryStorage) -> None:
    """What an earlier one brought is read for its checksum and not written again."""
    storage = server.at(proxy.port).storage(folder)
    with pytest.raises(StorageError):
        Table(source).copy_to(FaultyStorage(storage, Faults(at=1, swaps_only=True), lock=False))
    assert listing(storage) == required(source) - {"current"}
    proxy.log.clear()
    Table(source).copy_to(storage)
    written = [one for one in proxy.log.seen if one.method in ("PUT", "POST")]
    assert len(written) < 10 < len(required(source)), "the pointer, and the trial of conditions"
    assert_copied(source, storage)


def test_requests_are_not_in_a_row(server: Server, proxy: Proxy, folder: str) -> None:
    """Small files come and go many at once, whatever their number."""
    table = Table(MemoryStorage())
    table.append({"x": [0]})
    table.set_properties({"append.merge": "false"})
    for number in range(25):
        table.append({"x": [number]})
    proxy.latency = 0.02
    storage = server.at(proxy.port).storage(folder)
    table.copy_to(storage)
    assert proxy.log.depth <= proxy.log.total / 2
    proxy.log.clear()
    Table(storage).copy_to(MemoryStorage())
    assert proxy.log.depth <= proxy.log.total / 2


@pytest.mark.parametrize("fault", [Fault.DROP_RESPONSE, Fault.CUT_REQUEST, Fault.DUPLICATE])
def test_faults_on_the_way(
    server: Server, folder: str, source: MemoryStorage, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third write goes wrong, the swap of the pointer too; the copy is complete."""
    if server.scheme == "gs":  # Its test server cannot resume uploads, and makes half objects of them.
        monkeypatch.setattr(copy, "_SMALL", 2**25)

    def plan(message: Message) -> Fault:
        bad = message.method in ("PUT", "POST") and (message.number % 3 == 0 or message.writes_pointer)
        return fault if bad and message.number < 60 else Fault.NONE

    with Proxy(server.port, plan) as proxy:
        storage = server.at(proxy.port).storage(folder, QUICK)
        for _ in range(5):
            try:
                Table(source).copy_to(storage)
            except StorageError:
                continue  # It gave up; what is there is kept.
            break
        assert proxy.done[fault] > 3
    assert_copied(source, server.storage(folder))


def test_two_copies_at_once(
    server: Server, folder: str, source: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They bring the same files: neither harms the other's, and in the end the table is there."""
    monkeypatch.setattr(copy, "_BATCH_FILES", 2)

    def run(_: int) -> str:
        try:
            return Table(source.handle()).copy_to(server.storage(folder)).url
        except AtioError as error:
            assert error.kind in ("exists", "storage")
            return error.kind

    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(run, range(3)))
    if set(ends) <= {"storage"}:
        Table(source).copy_to(server.storage(folder))
    assert_copied(source, server.storage(folder))
    assert Table(server.storage(folder)).verify().ok


def test_by_way_of_fsspec(source: MemoryStorage, tmp_path: Path) -> None:
    """Where files are written in place, half ones are replaced; who may not write is told at once."""
    fs = pytest.importorskip("fsspec").filesystem("file")
    with pytest.raises(UnsupportedError, match="can only be read"):
        Table(source).copy_to(FsspecStorage(fs, str(tmp_path / "t")))
    assert not (tmp_path / "t").exists()
    storage = FsspecStorage(fs, str(tmp_path / "t"), single_writer=True)
    for path in sorted(required(source) - {"current"})[::2]:
        storage.create(path, source.read(path)[:-5])
    made = Table(source).copy_to(storage)
    assert_copied(source, storage)
    made.copy_to(tmp_path / "back")
    assert_copied(source, LocalStorage(tmp_path / "back"))


def test_memory_is_bounded(
    server: Server, folder: str, source: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No large file is read at once, on either way."""
    asked: list[int] = []
    for kind in (MemoryStorage, type(server.storage(folder))):
        read = kind.read

        def noted(
            self: Storage, path: str, offset: int = 0, length: int | None = None, read: object = read
        ) -> bytes:
            data: bytes = read(self, path, offset, length)  # type: ignore[operator]
            asked.append(len(data))
            return data

        monkeypatch.setattr(kind, "read", noted)
    made = Table(source).copy_to(server.storage(folder))
    made.copy_to(MemoryStorage())
    assert max(asked) == 16 << 20
    assert sum(asked) > 40 << 20
