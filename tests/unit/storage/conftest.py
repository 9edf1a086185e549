"""What the tests of local storage share."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from atio.storage import LocalStorage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "table"


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(root)


@pytest.fixture
def names() -> Callable[[Path], set[str]]:
    """Everything below a folder, folders too, but not the lock."""
    return lambda folder: {str(path.relative_to(folder)) for path in folder.rglob("*")} - {".lock"}


@pytest.fixture
def count_descriptors() -> Callable[[], int]:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc/self/fd")
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


class Syncs:
    """Records what is synced, by name; fails where told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fail: Callable[[str], bool] = lambda _: False
        self._fsync = os.fsync

    def __call__(self, fd: int) -> None:
        name = str(Path(f"/proc/self/fd/{fd}").readlink())
        self.done.append(name)
        if self.fail(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(fd)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc/self/fd")
    recorder = Syncs()
    monkeypatch.setattr(os, "fsync", recorder)
    return recorder


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.action: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        self.action()


@pytest.fixture
def fake() -> FakeTime:
    return FakeTime()
