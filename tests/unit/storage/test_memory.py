"""The storage in memory: what handles of one place share, and what not."""

from __future__ import annotations

import pytest

from atio.errors import LockTimeoutError
from atio.storage import MemoryStorage


def test_handles() -> None:
    """An unnamed place is reached through its handles only."""
    storage = MemoryStorage()
    storage.create("x", b"content")
    assert storage.handle().read("x") == b"content"
    assert list(MemoryStorage().list()) == []


def test_handles_exclude_each_other() -> None:
    """As with processes: one handle's lock keeps another's user out, even in one thread."""
    storage = MemoryStorage(lock_timeout=0)
    other = storage.handle()
    with storage.exclusive(), storage.exclusive():
        with pytest.raises(LockTimeoutError):
            other.swap("current", b"x", None)
        storage.swap("current", b"y", None)
    assert other.read("current") == b"y"


def test_a_lease_name_in_use() -> None:
    """Two live writers cannot have one name."""
    storage = MemoryStorage()
    lease = storage.lease("writer")
    with pytest.raises(LockTimeoutError):
        storage.handle().lease("writer")
    lease.release()
    storage.lease("writer").release()
