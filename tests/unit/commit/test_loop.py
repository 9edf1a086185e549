"""The loop that every commit goes through."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from atio import Table
from atio.commit.build import Request
from atio.commit.changes import AddFiles
from atio.commit.loop import Committer, RetryPolicy
from atio.commit.state import load_state
from atio.errors import DamagedError
from atio.metadata.objects import Objects
from atio.storage import MemoryStorage
from atio.storage.base import Capabilities

MERGES = 32
"""Versions after which the next commit merges pieces of the index, and so reads them."""


class Lockless(MemoryStorage):
    """As a bucket: nobody can be kept out."""

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(super().capabilities, lock=False)


def committer(storage: MemoryStorage) -> Committer:
    """One that has nothing in memory."""
    return Committer(Objects(storage), RetryPolicy(sleep=lambda _: None), lambda: 2**50)


@pytest.mark.parametrize("versions", [1, MERGES])
def test_a_base_whose_files_were_expired_is_a_lost_race(versions: int) -> None:
    storage = Lockless()
    table = Table(storage)
    for number in range(versions):
        table.append({"n": [number]})
    staged = table.stage({"n": [-1]})
    seen = load_state(Objects(storage))
    assert seen is not None
    table.append({"n": [-2]})
    table.expire(timedelta(0))
    storage.delete(piece.ref.path for piece in seen.pointer.history.pieces)  # as a vacuum would
    request = Request("append", (AddFiles(staged.files, staged.bound()),))
    assert committer(storage).commit(request, seen).snapshot.version == versions + 2
    assert table.to_arrow()["n"].to_pylist() == [*range(versions), -2, -1]
    assert table.verify().ok


def test_files_that_are_missing_of_the_newest_version_are_damage() -> None:
    storage = Lockless()
    table = Table(storage)
    for number in range(MERGES):
        table.append({"n": [number]})
    staged = table.stage({"n": [-1]})
    seen = load_state(Objects(storage))
    assert seen is not None
    storage.delete(piece.ref.path for piece in seen.pointer.history.pieces)
    request = Request("append", (AddFiles(staged.files, staged.bound()),))
    before = {entry.path for entry in storage.list()}
    with pytest.raises(DamagedError, match="missing"):
        committer(storage).commit(request, seen)
    assert {entry.path for entry in storage.list()} == before
