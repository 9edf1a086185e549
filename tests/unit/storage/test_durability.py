"""What is synced when, and what a failing disk leaves behind."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from atio.errors import (
    AtioError,
    OutcomeUnknownError,
    StorageError,
    StorageFullError,
)
from atio.storage import LocalStorage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX semantics")

# -- what is synced --------------------------------------------------------------------------------


def test_create_syncs_the_file_and_every_new_folder(tmp_path: Path, syncs) -> None:
    """A new object is on disk, and so is every entry on the way to it, from the first existing folder."""
    LocalStorage(tmp_path / "new" / "table").create("data/p=1/x", b"content")
    top = str(tmp_path)
    assert syncs.done == [
        top,
        f"{top}/new",
        f"{top}/new/table",
        f"{top}/new/table/data",
        f"{top}/new/table/data/p=1/x",
        f"{top}/new/table/data/p=1",
    ]


def test_known_folders_cost_nothing(storage: LocalStorage, root: Path, syncs) -> None:
    """From the second object on: one sync of the file, one of its folder."""
    storage.create("data/x", b"")
    syncs.done.clear()
    storage.create("data/y", b"content")
    assert syncs.done == [f"{root}/data/y", f"{root}/data"]


def test_folders_of_others_are_synced_once(storage: LocalStorage, root: Path, syncs) -> None:
    """Whoever made the folders may not have synced them yet; an acknowledgement must not rely on it."""
    (root / "data").mkdir(parents=True)
    storage.create("data/x", b"content")
    assert syncs.done == [str(root.parent), str(root), f"{root}/data/x", f"{root}/data"]


def test_what_a_killed_writer_left_is_synced(storage: LocalStorage, root: Path, syncs) -> None:
    """Files, their folders and the way to them; nothing if syncs were waived."""
    waived = LocalStorage(root, durable=False)
    for path in ("data/x", "data/y", "z"):
        waived.create(path, b"content")
    waived.sync(["data/x", "z"])
    assert syncs.done == []
    storage.sync(["data/x", "data/y", "z"])
    files = [f"{root}/data/x", f"{root}/data/y", f"{root}/z"]
    assert syncs.done[:3] == files
    assert set(syncs.done) == {*files, f"{root}/data", str(root), str(root.parent)}
    syncs.fail = lambda name: name.endswith("/x")
    with pytest.raises(StorageError):
        storage.sync(["data/y", "data/x"])
    assert [entry.path for entry in storage.list() if entry.path != ".lock"] == ["z"], "never synced again"
    syncs.fail = lambda name: name == str(root)
    with pytest.raises(StorageError):
        storage.sync(["z"])
    assert list(storage.list("z")) == []
    assert not (root / "z").exists()


def test_swap_syncs_the_new_pointer_before_and_the_folder_after(
    storage: LocalStorage, root: Path, syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content first, then the rename, then the rename's folder."""
    token = storage.swap("current", b"first", None)
    replace = os.replace

    def recorded(source: str, target: str) -> None:
        syncs.done.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "replace", recorded)
    syncs.done.clear()
    storage.swap("current", b"second", token)
    assert syncs.done[0].startswith(f"{root}/.current.")
    assert syncs.done[1:] == ["replace", str(root)]


def test_a_sink_syncs_when_closed(storage: LocalStorage, root: Path, syncs) -> None:
    """Nothing is synced piecemeal."""
    storage.create("data/x", b"")
    syncs.done.clear()
    sink = storage.sink("data/y")
    sink.write(b"x" * 1_000_000)
    assert syncs.done == []
    sink.close()
    assert syncs.done == [f"{root}/data/y", f"{root}/data"]


def test_not_durable_syncs_nothing(root: Path, syncs) -> None:
    """``durable=False`` is said in the capabilities and saves every sync."""
    storage = LocalStorage(root, durable=False)
    storage.create("data/x", b"")
    storage.swap("current", b"", None)
    assert not storage.capabilities.durable
    assert syncs.done == []


def test_a_removed_table_is_made_anew(storage: LocalStorage, root: Path, syncs) -> None:
    """Folders that vanished behind the storage's back are made, and synced, again."""
    storage.create("data/x", b"first")
    storage.swap("current", b"first", None)
    for write in (
        lambda: storage.create("data/x", b"second"),
        lambda: storage.swap("current", b"second", None),
        lambda: storage.swap("refs/a", b"second", None),
        lambda: storage.lease("writer").release(),
    ):
        shutil.rmtree(root)
        write()
    storage.swap("refs/a", b"third", None)
    shutil.rmtree(root / "refs")
    storage.swap("refs/a", b"fourth", None)
    syncs.done.clear()
    shutil.rmtree(root)
    storage.create("data/x", b"third")
    assert syncs.done == [str(root.parent), str(root), f"{root}/data/x", f"{root}/data"]
    assert storage.read("data/x") == b"third"


# -- failing syncs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["data/x", "data"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_failed_sync_is_a_failed_create(
    storage: LocalStorage,
    root: Path,
    syncs,
    victim: str,
    streamed: bool,
    names: Callable[[Path], set[str]],
) -> None:
    """No retry, no acknowledgement, nothing left; a new name works."""
    storage.create("data/before", b"")
    syncs.done.clear()
    syncs.fail = lambda name: name == f"{root}/{victim}"

    def write() -> None:
        if streamed:
            sink = storage.sink("data/x")
            sink.write(b"content")
            sink.close()
        else:
            storage.create("data/x", b"content")

    with pytest.raises(StorageError, match="data/x") as caught:
        write()
    assert isinstance(caught.value.__cause__, OSError)
    assert syncs.done.count(f"{root}/{victim}") == 1
    assert names(root) == {"data", "data/before"}
    syncs.fail = lambda _: False
    storage.create("data/y", b"content")


def test_a_failed_sync_of_a_sink_stays_failed(storage: LocalStorage, syncs) -> None:
    """Closing again does not turn the failure into a success."""
    sink = storage.sink("data/x")
    sink.write(b"content")
    syncs.fail = lambda _: True
    for _ in range(2):
        with pytest.raises(StorageError):
            sink.close()
        syncs.fail = lambda _: False
    assert not Path(storage.url, "data/x").exists()


def test_a_folder_that_could_not_be_synced_is_not_trusted(
    storage: LocalStorage, root: Path, syncs, names: Callable[[Path], set[str]]
) -> None:
    """The next attempt makes and syncs it anew instead of taking it for safe."""
    storage.create("metadata/x", b"")
    syncs.fail = lambda name: name == str(root)
    with pytest.raises(StorageError):
        storage.create("data/x", b"content")
    assert names(root) == {"metadata", "metadata/x"}
    syncs.fail = lambda _: False
    syncs.done.clear()
    storage.create("data/x", b"content")
    assert syncs.done == [str(root), f"{root}/data/x", f"{root}/data"]


def test_a_folder_on_a_disk_that_cannot_sync_folders(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EINVAL of a folder means "no such operation here"; of a file it is a failure."""
    fsync = os.fsync

    def folders_unsupported(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "no")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", folders_unsupported)
    storage.create("data/x", b"content")
    storage.swap("current", b"content", None)

    def files_unsupported(fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "fsync", files_unsupported)
    with pytest.raises(StorageError):
        storage.create("data/y", b"content")


def test_a_pointer_whose_bytes_could_not_be_synced(
    storage: LocalStorage, root: Path, syncs, names: Callable[[Path], set[str]]
) -> None:
    """Surely failed: the old one stays, and nothing is left beside it."""
    token = storage.swap("current", b"first", None)
    syncs.done.clear()
    syncs.fail = lambda name: name.endswith(".tmp")
    with pytest.raises(StorageError, match="current"):
        storage.swap("current", b"second", token)
    assert len(syncs.done) == 1
    assert names(root) == {"current"}
    syncs.fail = lambda _: False
    storage.swap("current", b"third", token)


def test_a_pointer_whose_folder_could_not_be_synced(
    storage: LocalStorage, root: Path, syncs, names: Callable[[Path], set[str]]
) -> None:
    """The rename has happened but may not survive: unknown, neither success nor failure."""
    token = storage.swap("current", b"first", None)
    syncs.done.clear()
    syncs.fail = lambda name: name == str(root)
    with pytest.raises(OutcomeUnknownError, match="current"):
        storage.swap("current", b"second", token)
    assert syncs.done.count(str(root)) == 1
    assert storage.read("current") == b"second"
    assert names(root) == {"current"}


# -- failing writes --------------------------------------------------------------------------------


def test_short_writes_and_reads(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system call that does part of the work is called again for the rest."""
    write, pread = os.write, os.pread
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:997]))
    monkeypatch.setattr(os, "pread", lambda fd, length, at: pread(fd, min(length, 991), at))
    data = os.urandom(300_001)
    storage.create("data/x", data)
    sink = storage.sink("data/y")
    for start in range(0, len(data), 50_000):
        sink.write(data[start : start + 50_000])
    sink.close()
    storage.swap("current", data, None)
    for path in ("data/x", "data/y", "current"):
        assert storage.read(path) == data
    assert storage.read("data/x", 1_000, 150_000) == data[1_000:151_000]


def test_a_disk_that_takes_nothing(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch, names: Callable[[Path], set[str]]
) -> None:
    """No endless loop over writes of zero bytes."""
    monkeypatch.setattr(os, "write", lambda fd, data: 0)
    with pytest.raises(StorageError):
        storage.create("data/x", b"content")
    assert names(root) == {"data"}


@pytest.mark.parametrize("fits", [0, 70_000])
def test_a_full_disk(
    storage: LocalStorage,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    fits: int,
    names: Callable[[Path], set[str]],
) -> None:
    """Its own error, nothing left, and a sink that failed once does not close."""
    token = storage.swap("current", b"first", None)
    write = os.write
    room = fits

    def full(fd: int, data: memoryview) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(fd, data[:room])
        room -= count
        return count

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFullError, match="data/x"):
        storage.create("data/x", b"x" * 100_000)
    room = fits
    sink = storage.sink("data/y")
    with pytest.raises(StorageFullError, match="data/y"):
        sink.write(b"x" * 100_000)
    room = 10**9
    with pytest.raises(AtioError):
        sink.close()
    room = 0
    with pytest.raises(StorageFullError):
        storage.swap("current", b"second", token)
    assert names(root) == {"current", "data"}
    assert storage.read("current") == b"first"


def test_an_interrupt_leaves_nothing(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch, names: Callable[[Path], set[str]]
) -> None:
    """Control-C while writing removes what was begun, and frees the lock."""
    token = storage.swap("current", b"first", None)

    def interrupted(fd: int, data: memoryview) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupted)
        for write in (
            lambda: storage.create("data/x", b"content"),
            lambda: storage.swap("current", b"second", token),
        ):
            with pytest.raises(KeyboardInterrupt):
                write()
    assert names(root) == {"current", "data"}
    LocalStorage(root, lock_timeout=0).swap("current", b"third", token)
