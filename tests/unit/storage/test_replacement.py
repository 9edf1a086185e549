"""The moment in which the pointer is replaced, and its three outcomes."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from atio.errors import (
    AccessError,
    OutcomeUnknownError,
    StorageError,
    StorageFullError,
)
from atio.storage import LocalStorage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX semantics")


@pytest.fixture
def replacing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Callable[[], None], str], None]], None]:
    """Put ``action(the real replacement, target)`` in place of ``os.replace``."""
    replace = os.replace

    def install(action: Callable[[Callable[[], None], str], None]) -> None:
        monkeypatch.setattr(
            os, "replace", lambda source, target: action(lambda: replace(source, target), target)
        )

    return install


def test_a_replacement_that_failed(
    storage: LocalStorage, root: Path, replacing, names: Callable[[Path], set[str]]
) -> None:
    """Looked at and found not done: surely failed, cleaned up."""
    token = storage.swap("current", b"first", None)

    def fail(really, target):
        raise OSError(errno.EIO, "failed")

    replacing(fail)
    with pytest.raises(StorageError):
        storage.swap("current", b"second", token)
    assert storage.read("current") == b"first"
    with pytest.raises(StorageError):
        storage.swap("other", b"second", None)
    assert names(root) == {"current"}


def test_a_replacement_whose_answer_was_lost(
    storage: LocalStorage, root: Path, replacing, syncs, names: Callable[[Path], set[str]]
) -> None:
    """NFS: an error, yet done. Looked at and found done: a success, synced like one."""
    token = storage.swap("current", b"first", None)

    def land_and_fail(really, target):
        really()
        raise OSError(errno.EIO, "answer lost")

    replacing(land_and_fail)
    syncs.done.clear()
    token = storage.swap("current", b"second", token)
    assert syncs.done[-1] == str(root)
    value = storage.load("current")
    assert (value.data, value.token) == (b"second", token)
    assert names(root) == {"current"}


@pytest.mark.parametrize("landed", [False, True])
def test_a_replacement_that_cannot_be_looked_at(
    storage: LocalStorage,
    root: Path,
    replacing,
    monkeypatch: pytest.MonkeyPatch,
    landed: bool,
    names: Callable[[Path], set[str]],
) -> None:
    """An error, and then no way to see: unknown, and nothing is removed."""
    token = storage.swap("current", b"first", None)
    pread = os.pread

    def fail(really, target):
        if landed:
            really()
        monkeypatch.setattr(os, "pread", lambda *_: pread(-1, 1, 0))
        raise OSError(errno.EIO, "failed")

    replacing(fail)
    with pytest.raises(OutcomeUnknownError):
        storage.swap("current", b"second", token)
    monkeypatch.setattr(os, "pread", pread)
    assert storage.read("current") == (b"second" if landed else b"first")
    assert len(names(root)) == (1 if landed else 2)


def test_a_replacement_overtaken(storage: LocalStorage, root: Path, replacing) -> None:
    """An error, and a third content: ours may have been there for a moment. Unknown."""
    token = storage.swap("current", b"first", None)

    def overtaken(really, target):
        Path(target).write_bytes(b"somebody else's")
        raise OSError(errno.EIO, "failed")

    replacing(overtaken)
    with pytest.raises(OutcomeUnknownError):
        storage.swap("current", b"second", token)


def test_an_interrupted_replacement(storage: LocalStorage, root: Path, replacing, names) -> None:
    """Control-C just before the rename leaves the old pointer and nothing beside it."""
    token = storage.swap("current", b"first", None)

    def interrupted(really, target):
        raise KeyboardInterrupt

    replacing(interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.swap("current", b"second", token)
    assert storage.read("current") == b"first"
    assert names(root) == {"current"}


def test_a_failure_before_the_first_byte(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch, names
) -> None:
    """A disk that fails while the mode is set is a failed swap like any other."""
    token = storage.swap("current", b"first", None)
    (root / "current").chmod(0o600)

    def fail(fd: int, mode: int) -> None:
        raise OSError(errno.EIO, "failed")

    monkeypatch.setattr(os, "fchmod", fail)
    with pytest.raises(StorageError):
        storage.swap("current", b"second", token)
    assert storage.read("current") == b"first"
    assert names(root) == {"current"}


class Sharing(PermissionError):
    """What Windows raises when another process has the file open."""

    winerror = 32

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "being used by another process")


def test_windows_patience(root: Path, fake, replacing) -> None:
    """A file that others hold for a moment is replaced when they let go."""
    storage = LocalStorage(root, clock=fake.clock, sleep=fake.sleep)
    token = storage.swap("current", b"first", None)

    def busy(really, target):
        if len(fake.pauses) < 3:
            raise Sharing
        really()

    replacing(busy)
    storage.swap("current", b"second", token)
    assert fake.pauses == [0.001, 0.002, 0.004]
    assert storage.read("current") == b"second"


def test_windows_patience_ends(root: Path, fake, replacing, names: Callable[[Path], set[str]]) -> None:
    """After two seconds it is an error that surely changed nothing; never a copy."""
    storage = LocalStorage(root, clock=fake.clock, sleep=fake.sleep)
    token = storage.swap("current", b"first", None)

    def busy(really, target):
        raise Sharing

    replacing(busy)
    with pytest.raises(AccessError):
        storage.swap("current", b"second", token)
    assert 2 <= fake.now < 2.2
    assert storage.read("current") == b"first"
    assert names(root) == {"current"}


def test_closing_troubles_come_too_late_to_matter(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the folder is synced the commit stands; an error of ``close`` must not deny it."""
    token = storage.swap("current", b"first", None)
    close = os.close
    failures = []

    def troubled(fd: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        close(fd)
        if is_folder:
            failures.append(fd)
            raise OSError(errno.EIO, "too late")

    monkeypatch.setattr(os, "close", troubled)
    token = storage.swap("current", b"second", token)
    assert len(failures) == 1
    value = storage.load("current")
    assert (value.data, value.token) == (b"second", token)


def test_a_file_that_fails_to_close(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch, names
) -> None:
    """A network disk may find out only then that it could not write: surely failed."""
    token = storage.swap("current", b"first", None)
    close = os.close

    def troubled(fd: int) -> None:
        is_new = os.fstat(fd).st_size == len(b"second")
        close(fd)
        if is_new:
            raise OSError(errno.EDQUOT, "over quota")

    monkeypatch.setattr(os, "close", troubled)
    with pytest.raises(StorageFullError):
        storage.swap("current", b"second", token)
    with pytest.raises(StorageFullError):
        storage.create("x", b"second")
    assert names(root) == {"current"}
    assert storage.read("current") == b"first"
