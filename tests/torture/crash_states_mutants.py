"""Implementations with one mistake each: what a careless change to atio could make of it."""

# System calls on text paths, as those who are watched make them.
# ruff: noqa: PTH104, PTH105

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from atio.commit.together import Joined
from atio.storage import files, folders, local
from atio.storage.files import NewFile
from atio.storage.local import LocalStorage


def _files_unsynced() -> None:
    finish = NewFile.finish
    NewFile.finish = lambda self, *, durable: finish(self, durable=False)  # type: ignore[method-assign]


def _folders_unsynced() -> None:
    files._sync_entries = lambda fd: None


def _new_folders_unsynced() -> None:
    folders.sync_folder = lambda path: None  # type: ignore[attr-defined]


def _entries_unsynced() -> None:
    NewFile.publish = lambda self, folder: self.finish(durable=True)  # type: ignore[method-assign]


def _written_unsynced() -> None:
    local.sync_folder = lambda path: None  # type: ignore[attr-defined]


def _replacing(steps: Callable[[str, str, str, bytes], object]) -> Callable[[], None]:
    """A pointer that is replaced in another order of steps."""

    def change() -> None:
        def replace(self: Any, full: str, parent: str, data: memoryview, found: Any) -> None:
            steps(full, parent, f"{parent}/.current.{os.urandom(8).hex()}.tmp", bytes(data))

        LocalStorage._replace = replace  # type: ignore[method-assign]

    return change


def _write(path: str, data: bytes, *, durable: bool = True) -> None:
    file = NewFile(path)
    file.write(data)
    file.finish(durable=durable)


def _synced_after_rename(full: str, parent: str, aside: str, data: bytes) -> None:
    file = NewFile(aside)
    file.write(data)
    os.replace(aside, full)
    file.finish(durable=True)
    files.sync_folder(parent)


def _folder_before_rename(full: str, parent: str, aside: str, data: bytes) -> None:
    _write(aside, data)
    files.sync_folder(parent)
    os.replace(aside, full)


def _written_in_place(full: str, parent: str, aside: str, data: bytes) -> None:
    fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    files.sync_folder(parent)


def _renamed_away_first(full: str, parent: str, aside: str, data: bytes) -> None:
    _write(aside, data)
    if os.path.lexists(full):
        os.rename(full, full + ".old")
    os.rename(aside, full)
    files.sync_folder(parent)


def _answered_too_early() -> None:
    build = Joined.build

    def build_and_answer(self: Joined, *args: Any) -> Any:
        state = build(self, *args)
        self.landed()
        for thread in set(threading.enumerate()) - {threading.current_thread()}:
            thread.join()  # They tell their users at once.
        return state

    Joined.build = build_and_answer  # type: ignore[method-assign]


MISTAKES: dict[str, tuple[str, Callable[[], None]]] = {
    "files are not synced": ("append", _files_unsynced),
    "folders are not synced": ("append", _folders_unsynced),
    "new folders are not synced": ("first append", _new_folders_unsynced),
    "the folders of streamed data files are not synced": ("append a stream", _entries_unsynced),
    "the folders of what a commit writes are not synced": ("append", _written_unsynced),
    "the pointer is synced after its rename": ("append", _replacing(_synced_after_rename)),
    "the folder is synced before the rename": ("append", _replacing(_folder_before_rename)),
    "the pointer is written in place": ("append", _replacing(_written_in_place)),
    "the old pointer is moved away first": ("append", _replacing(_renamed_away_first)),
    "waiting writers are answered before the swap": ("several writers in one swap", _answered_too_early),
    "a file is not synced before it takes its place": ("write over a file", _files_unsynced),
    "the folder of a file is not synced": ("store a value", _folders_unsynced),
}
"""Mistakes, each with a scenario that suffers from it."""
