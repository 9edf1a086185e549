"""Modes, owners, and what the operating system refuses."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atio.errors import (
    AccessError,
)
from atio.storage import LocalStorage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX semantics")


def test_new_files_heed_the_umask(storage: LocalStorage, root: Path) -> None:
    """No 0600 of a temporary file's."""
    old = os.umask(0o027)
    try:
        storage.create("data/x", b"")
        storage.swap("current", b"", None)
    finally:
        os.umask(old)
    assert {stat.S_IMODE((root / name).stat().st_mode) for name in ("current", "data/x")} == {0o640}
    assert stat.S_IMODE((root / "data").stat().st_mode) == 0o750


def test_the_pointer_keeps_its_mode(storage: LocalStorage, root: Path) -> None:
    """A pointer that its owner opened to the group, or closed to the world, stays so."""
    token = storage.swap("current", b"first", None)
    for mode in (0o660, 0o600, 0o644):
        (root / "current").chmod(mode)
        token = storage.swap("current", b"mode %o" % mode, token)
        assert stat.S_IMODE((root / "current").stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_the_pointer_keeps_its_owner(storage: LocalStorage, root: Path) -> None:
    """Root's maintenance of a user's table leaves it the user's."""
    token = storage.swap("current", b"first", None)
    os.chown(root / "current", 12345, 54321)
    storage.swap("current", b"second", token)
    status = (root / "current").stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)


def test_an_owner_that_cannot_be_kept(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write the folder may commit; the pointer is theirs then."""
    token = storage.swap("current", b"first", None)
    (root / "current").chmod(0o600)
    expected = ["mode"]
    if os.geteuid() == 0:
        os.chown(root / "current", 12345, 54321)
        expected = ["owner", "mode"]
    asked = []

    def refuse(what: str) -> None:
        asked.append(what)
        raise PermissionError(errno.EPERM, "not yours to change")

    monkeypatch.setattr(os, "fchown", lambda *_: refuse("owner"))
    monkeypatch.setattr(os, "fchmod", lambda *_: refuse("mode"))
    storage.swap("current", b"second", token)
    assert asked == expected
    assert storage.read("current") == b"second"


@contextmanager
def without_privileges() -> Iterator[None]:
    """As an ordinary user: root is never refused anything."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users can reach (pytest's own are closed to them)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_table_that_may_only_be_read(public: Path) -> None:
    """Reading needs no right to write; writing is refused with an error that says what to check."""
    storage = LocalStorage(public / "table")
    storage.create("data/x", b"content")
    token = storage.swap("current", b"first", None)
    for folder in ("table", "table/data"):
        (public / folder).chmod(0o555)
    try:
        with without_privileges():
            reader = LocalStorage(public / "table")
            assert reader.read("data/x") == b"content"
            assert reader.load("current").token == token
            assert {entry.path for entry in reader.list()} == {"data/x", "current", ".lock"}
            for write in (
                lambda: reader.create("data/y", b""),
                lambda: reader.create("new/y", b""),
                lambda: reader.swap("current", b"second", token),
                lambda: reader.delete(["data/x"]),
                lambda: reader.lease("writer"),
            ):
                with pytest.raises(AccessError, match="owner and mode"):
                    write()
    finally:
        for folder in ("table", "table/data"):
            (public / folder).chmod(0o755)


def test_a_file_that_may_not_be_read(public: Path) -> None:
    """Refused access is not a missing file."""
    LocalStorage(public / "table").create("data/x", b"content")
    (public / "table/data/x").chmod(0)
    with without_privileges(), pytest.raises(AccessError, match="data/x"):
        LocalStorage(public / "table").read("data/x")


def test_a_lock_file_of_another_user(public: Path) -> None:
    """A lock file that may not be written still locks."""
    table = public / "table"
    storage = LocalStorage(table)
    token = storage.swap("current", b"first", None)
    table.chmod(0o777)
    (table / ".lock").chmod(0o444)
    with without_privileges():
        LocalStorage(table).swap("current", b"second", token)
    assert storage.read("current") == b"second"
