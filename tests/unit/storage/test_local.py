"""Local folders: what the contract cannot ask of every storage."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from atio.errors import (
    AtioError,
    ConflictError,
    InputError,
    NotFoundError,
)
from atio.storage import LocalStorage, local

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX semantics")


def test_leftovers_are_listed(storage: LocalStorage, root: Path) -> None:
    """Vacuum needs to see the lock, leases and the remnants of killed writers."""
    storage.swap("current", b"first", None)
    (root / ".current.0123.tmp").write_bytes(b"half")
    lease = storage.lease("writer")
    assert {entry.path for entry in storage.list()} == {
        "current",
        ".lock",
        ".current.0123.tmp",
        "leases/writer",
    }
    lease.release()


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later chdir does not move the table."""
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage("table")
    storage.create("x", b"content")
    monkeypatch.chdir("/")
    assert storage.read("x") == b"content"
    assert storage.url == str(tmp_path / "table")


@pytest.mark.parametrize("name", ["", "nul\0byte"])
def test_no_root_at_all(name: str) -> None:
    """An empty path would be the current folder: surely not meant."""
    with pytest.raises(InputError):
        LocalStorage(name)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_no_time_to_wait(root: Path, timeout: float) -> None:
    """Refused where it is said, not where it is used."""
    with pytest.raises(InputError):
        LocalStorage(root, lock_timeout=timeout)


def test_an_abandoned_listing(storage: LocalStorage) -> None:
    """A listing never begun, or left halfway, holds nothing open (warnings are errors)."""
    storage.create("x", b"")
    storage.create("y", b"")
    storage.list()
    next(storage.list())


def test_an_abandoned_sink(
    storage: LocalStorage, root: Path, names: Callable[[Path], set[str]], count_descriptors: Callable[[], int]
) -> None:
    """Forgotten without close or abort: no descriptor leaks, the remnant is vacuum's."""
    before = count_descriptors()
    storage.sink("data/x").write(b"content")
    assert count_descriptors() == before
    assert names(root) == {"data", "data/x"}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc/self/fd")
def test_no_descriptor_leaks(tmp_path: Path, root: Path, count_descriptors: Callable[[], int]) -> None:
    """Thousands of operations, a good part of them failing, leave as many descriptors open as before."""
    storage = LocalStorage(root, durable=False)
    token = storage.swap("current", b"0", None)
    storage.create("data/there", b"")
    os.mkfifo(root / "data/pipe")
    (root / "data/link").symlink_to(tmp_path)
    before = count_descriptors()
    for number in range(200):
        storage.create(f"data/{number}", b"x")
        storage.read(f"data/{number}")
        token = storage.swap("current", b"x%d" % number, token)
        with storage.exclusive():
            storage.live_leases()
        storage.lease("writer").release()
        storage.sink(f"data/s{number}").abort()
        for call in (
            lambda: storage.create("data/there", b""),
            lambda: storage.read("data/missing"),
            lambda: storage.read("data/pipe"),
            lambda: storage.read("data/link"),
            lambda: storage.swap("current", b"", None),
        ):
            with pytest.raises((AtioError, ConflictError, NotFoundError)):
                call()
    assert count_descriptors() == before


def test_a_pointer_of_a_terabyte_does_not_fill_the_memory(root: Path) -> None:
    """A sparse file costs nothing to make: it is damage, and a repair may swap it away."""
    storage = LocalStorage(root)
    storage.create("x", b"")
    with (root / "current").open("wb") as file:
        file.truncate(2**40)
    value = storage.load("current")
    assert value is not None
    storage.swap("current", b"small", value.token)
    assert storage.read("current") == b"small"


def test_many_are_deleted_by_several_threads(root: Path) -> None:
    """All but what cannot be, and what is missing is no error."""
    storage = LocalStorage(root, durable=False)
    names = [f"data/{number}" for number in range(2 * local._FEW)]
    for name in names:
        storage.create(name, b"x")
    (root / "data" / "folder").mkdir()
    with pytest.raises(InputError, match="folder"):
        storage.delete(["data/folder", *names, "data/missing"])
    left = {path.name for path in (root / "data").iterdir()}
    assert "folder" in left
    assert len(left) < len(names)  # the others' threads went on
    storage.delete(names)
    assert [path.name for path in (root / "data").iterdir()] == ["folder"]
