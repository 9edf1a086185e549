"""Links and other strange files: nothing leads out of the folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from atio.errors import (
    AccessError,
    AtioError,
    InputError,
)
from atio.storage import LocalStorage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX semantics")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder


def test_a_link_to_a_file_is_not_followed(
    storage: LocalStorage, root: Path, outside: Path, names: Callable[[Path], set[str]]
) -> None:
    """Neither for reading nor for writing, wherever it leads."""
    storage.create("data/x", b"content")
    (root / "data/link").symlink_to(outside / "secret")
    (root / "data/near").symlink_to(root / "data/x")
    (root / "data/dangling").symlink_to(outside / "new")
    (root / "current").symlink_to(outside / "secret")
    for path in ("data/link", "data/near", "data/dangling", "current"):
        for call in (storage.read, storage.size, storage.local_path, storage.load):
            with pytest.raises(AccessError, match="link"):
                call(path)
    for path in ("data/link", "data/dangling"):
        with pytest.raises(AtioError):
            storage.create(path, b"overwritten")
    with pytest.raises(AccessError):
        storage.swap("current", b"overwritten", None)
    assert names(outside) == {"secret"}
    assert (outside / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("path", ["data/secret", "data/deep/secret", "x/data/secret"])
def test_a_link_to_a_folder_is_not_followed(
    root: Path, outside: Path, path: str, names: Callable[[Path], set[str]]
) -> None:
    """At no depth, by no operation, and nothing is made behind it."""
    folder = root / path.rpartition("/")[0]
    folder = folder.parent if path == "data/deep/secret" else folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(outside)
    if path == "data/deep/secret":
        (outside / "deep").mkdir()
        (outside / "deep/secret").write_bytes(b"secret")
    before = names(outside)
    storage = LocalStorage(root)
    for call in (
        lambda: storage.read(path),
        lambda: storage.size(path),
        lambda: storage.local_path(path),
        lambda: storage.load(path),
        lambda: storage.create(f"{path}2", b"x"),
        lambda: storage.sink(f"{path}2"),
        lambda: storage.swap(f"{path}2", b"x", None),
        lambda: storage.delete([path]),
        lambda: list(storage.list(path.rpartition("/")[0])),
    ):
        with pytest.raises(AccessError, match="link"):
            call()
    assert names(outside) == before


def test_links_of_the_lock_and_the_leases(
    storage: LocalStorage, root: Path, outside: Path, names: Callable[[Path], set[str]]
) -> None:
    """These files are made without being asked for; they do not lead out either."""
    storage.create("data/x", b"")
    (root / ".lock").symlink_to(outside / "lock")
    (root / "leases").symlink_to(outside)
    for call in (
        storage.exclusive().__enter__,
        lambda: storage.lease("writer"),
        storage.live_leases,
    ):
        with pytest.raises(AccessError, match="link"):
            call()
    assert names(outside) == {"secret"}


def test_links_are_listed_as_what_they_are(
    storage: LocalStorage, root: Path, outside: Path, names: Callable[[Path], set[str]]
) -> None:
    """Vacuum sees them and may remove them; what they lead to stays."""
    storage.create("data/x", b"")
    (root / "data/link").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "dangling").symlink_to(outside / "nothing")
    sizes = {entry.path: entry.size for entry in storage.list()}
    assert sizes.keys() == {"data/x", "data/link", "folder", "dangling"}
    assert sizes["data/link"] == len(str(outside / "secret"))
    storage.delete(["data/link", "folder", "dangling"])
    assert {entry.path for entry in storage.list()} == {"data/x"}
    assert names(outside) == {"secret"}


def test_the_root_may_be_a_link(tmp_path: Path, root: Path, names: Callable[[Path], set[str]]) -> None:
    """A table on another disk, reached through a link, is a table."""
    (tmp_path / "elsewhere").mkdir()
    root.symlink_to(tmp_path / "elsewhere")
    storage = LocalStorage(root)
    storage.create("data/x", b"content")
    storage.swap("current", b"first", None)
    assert storage.read("data/x") == b"content"
    assert {entry.path for entry in storage.list()} == {"data/x", "current", ".lock"}
    assert names(tmp_path / "elsewhere") == {"data", "data/x", "current"}


def test_a_pipe_does_not_hang_a_reader(storage: LocalStorage, root: Path) -> None:
    """What is not a regular file is refused, at once."""
    storage.create("data/x", b"")
    os.mkfifo(root / "data/pipe")
    for call in (storage.read, storage.size, storage.local_path, storage.load):
        with pytest.raises(AccessError, match="data/pipe"):
            call("data/pipe")


def test_a_folder_is_no_object(storage: LocalStorage, root: Path, names: Callable[[Path], set[str]]) -> None:
    """Reading, replacing or deleting a folder says so."""
    storage.create("data/deep/x", b"")
    for call in (
        lambda: storage.read("data"),
        lambda: storage.load("data"),
        lambda: storage.swap("data", b"x", None),
        lambda: storage.delete(["data/deep"]),
    ):
        with pytest.raises(InputError, match="is a folder"):
            call()
    assert names(root) == {"data", "data/deep", "data/deep/x"}


@pytest.mark.parametrize("below", ["", "sub/table"])
def test_the_root_is_a_file(root: Path, below: str) -> None:
    """``Table.open("data.parquet")``: the message says what is wrong and names the file."""
    root.write_bytes(b"PAR1")
    storage = LocalStorage(root / below)
    for call in (
        lambda: storage.load("current"),
        lambda: storage.read("data/x"),
        lambda: storage.size("x"),
        lambda: storage.create("data/x", b""),
        lambda: storage.create("x", b""),
        lambda: storage.swap("current", b"", None),
        lambda: list(storage.list()),
        lambda: list(storage.list("data")),
        storage.exclusive().__enter__,
        lambda: storage.lease("writer"),
        storage.live_leases,
    ):
        with pytest.raises(InputError, match="is a file, not a table folder") as caught:
            call()
        assert caught.value.file == str(root)
    assert root.read_bytes() == b"PAR1"


def test_a_name_too_long(storage: LocalStorage) -> None:
    """Not a failing disk: a name to be chosen anew."""
    for call in (lambda: storage.create("x" * 300, b""), lambda: storage.read("x" * 300)):
        with pytest.raises(InputError, match="shorter"):
            call()
