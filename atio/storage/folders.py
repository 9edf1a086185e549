"""The folders of one storage: made durably, checked for links, walked."""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH102, PTH106, PTH112, PTH118, PTH120

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from atio.storage.base import Entry
from atio.storage.failures import translating
from atio.storage.files import is_junction, is_real_folder, sync_folder

T = TypeVar("T")

_CLOSED_TO_US = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Folders:
    """Makes and checks folders once and remembers them, so that later uses cost nothing.

    Folders are named by their path relative to the root; ``""`` is the root. The root may be a
    link, whatever is below it may not. The check is done once a folder: it stops a prepared table
    from leading readers astray, not somebody who swaps folders while they read.
    """

    def __init__(self, root: str, *, durable: bool) -> None:
        self._root = root
        self._prefix = os.path.join(root, "")
        self._durable = durable
        self._checked = {""}
        self._ready: set[str] = set()

    def check(self, folder: str) -> None:
        """Raise unless every part of ``folder`` is a folder of its own; links raise ELOOP."""
        if folder in self._checked:
            return
        self.check(folder.rpartition("/")[0])
        full = self._prefix + folder
        if not is_real_folder(full):
            raise NotADirectoryError(errno.ENOTDIR, "is no folder", full)
        self._checked.add(folder)

    def make(self, folder: str, *, durable: bool = True) -> str:
        """Make the folder and those above it where missing; return its full path.

        Its entry is synced even if it exists: whoever made it may not have come to that yet.
        ``durable=False`` leaves that out, for what need not survive a power cut.
        """
        full = self._prefix + folder if folder else self._root
        if folder in self._ready:
            return full
        durable = durable and self._durable
        if folder and not durable and folder in self._checked:
            return full
        if folder:
            above = self.make(folder.rpartition("/")[0], durable=durable)
            _make(full, above, durable=durable, link_is_fine=False)
        else:
            self._make_root(durable=durable)
        self._checked.add(folder)
        if durable or not self._durable:
            self._ready.add(folder)
        return full

    def again(self, folder: str) -> str:
        """Make the folder without trust in what is remembered: it was removed, or may have been."""
        self._ready.clear()
        self._checked = {""}
        return self.make(folder)

    def within(self, folder: str, action: Callable[[str], T], *, durable: bool = True) -> T:
        """Return ``action(full path)``, tried once more if the folder was removed since its first use."""
        try:
            return action(self.make(folder, durable=durable))
        except FileNotFoundError:
            return action(self.again(folder))

    def _make_root(self, *, durable: bool) -> None:
        above = os.path.dirname(self._root)
        if not os.path.isdir(self._root):
            missing = [self._root]
            while not os.path.isdir(above) and above != os.path.dirname(above):
                missing.append(above)
                above = os.path.dirname(above)
            for full in reversed(missing):
                _make(full, os.path.dirname(full), durable=durable, link_is_fine=True)
        elif durable:
            try:
                sync_folder(above)
            except OSError as error:
                # Where we may not look we did not make it either.
                if error.errno not in _CLOSED_TO_US:
                    raise


def _make(full: str, above: str, *, durable: bool, link_is_fine: bool) -> None:
    try:
        os.mkdir(full)
        is_new = True
    except FileExistsError:
        is_new = False
        if not (os.path.isdir(full) if link_is_fine else is_real_folder(full)):
            raise NotADirectoryError(errno.ENOTDIR, "is no folder", full) from None
    if durable:
        try:
            sync_folder(above)
        except BaseException:
            if is_new:  # so that the next attempt does not take it for safe
                with contextlib.suppress(OSError):
                    os.rmdir(full)
            raise


def walk(full: str, prefix: str) -> Iterator[Entry]:
    """Every file below ``full``, links not followed; ``prefix`` goes before each path."""
    todo = [(full, prefix)]
    while todo:
        full, prefix = todo.pop()
        with translating(full):
            try:
                entries = os.scandir(full)
            except FileNotFoundError:
                continue  # removed meanwhile
            with entries:
                for entry in entries:
                    try:
                        if _is_folder(entry):
                            todo.append((entry.path, f"{prefix}{entry.name}/"))
                            continue
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield Entry(prefix + entry.name, status.st_size, status.st_mtime)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not is_junction(entry.path)
