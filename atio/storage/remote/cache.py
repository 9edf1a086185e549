"""Immutable metadata of tables that are elsewhere, kept on the local disk.

Files are named by a hash of where the original is and of its own checksum, so what is found is what was
asked for or nothing. Many processes share a folder: a file appears there whole, by renaming. Nothing is
synced, since whoever takes a file out compares its checksum. A cache that fails is one that has nothing.
"""

# Paths stay text, as in atio.storage.
# ruff: noqa: PTH103, PTH105, PTH108, PTH118, PTH123

from __future__ import annotations

import hashlib
import os
import random
import stat
import time
from collections.abc import Iterator
from contextlib import suppress

from atio.errors import InputError

MOST_BYTES = 256 << 20
MOST_FILES = 20_000
_LARGEST = 16 << 20
_KEPT = 0.75
"""Of the bounds, what a sweep leaves."""
_SWEEP_AFTER = 500
"""Files: how often, on average, a sweep follows; by chance, so that short lives take their turn, too."""
_STALE = 3600.0
"""Seconds: a temporary file of that age has lost its writer; and how exact the times of last use are."""
_TEMPORARY = ".tmp"


class DiskCache:
    """A folder of at most about so many bytes and files; those not used for longest go first.

    Raises
    ------
    InputError
        Others may write there: what they put in could pass for the table's own.
    """

    def __init__(self, folder: str, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES) -> None:
        self._folder = folder
        self._most = (most_bytes, most_files)
        with suppress(OSError):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            found = os.stat(folder)  # noqa: PTH116
            if os.name == "posix" and (
                found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            ):
                raise InputError(
                    "others may write to the folder of the metadata cache",
                    file=folder,
                    hint="name a folder of your own that only you may write to",
                )

    def get(self, *identity: str) -> bytes | None:
        """What was put in under this identity; to be checked by the caller."""
        path = self._path(identity)
        try:
            with open(path, "rb") as file:
                data = file.read(_LARGEST + 1)
                if time.time() - os.fstat(file.fileno()).st_mtime > _STALE:
                    os.utime(path)
        except OSError:
            return None
        return data

    def put(self, data: bytes, *identity: str) -> None:
        if len(data) > _LARGEST:
            return
        path = self._path(identity)
        temporary = f"{path}.{os.urandom(6).hex()}{_TEMPORARY}"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH120
            with open(temporary, "xb") as file:
                file.write(data)
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
        if random.random() < 1 / _SWEEP_AFTER:  # noqa: S311
            self.sweep()

    def drop(self, *identity: str) -> None:
        """Remove what was found to be damaged."""
        with suppress(OSError):
            os.unlink(self._path(identity))

    def sweep(self) -> None:
        """Bring the cache down if it is above its bounds; others may be doing the same."""
        now = time.time()
        found: list[tuple[float, int, str]] = []
        for entry in _files(self._folder):
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if not entry.name.endswith(_TEMPORARY):
                    found.append((status.st_mtime, status.st_size, entry.path))
                elif now - status.st_mtime > _STALE:
                    os.unlink(entry.path)
        size, count = sum(one[1] for one in found), len(found)
        if size <= self._most[0] and count <= self._most[1]:
            return
        for _, bytes_, path in sorted(found):
            if size <= _KEPT * self._most[0] and count <= _KEPT * self._most[1]:
                return
            with suppress(OSError):
                os.unlink(path)
            size, count = size - bytes_, count - 1

    def _path(self, identity: tuple[str, ...]) -> str:
        name = hashlib.sha256("\n".join(identity).encode("utf-8", "surrogatepass")).hexdigest()
        return os.path.join(self._folder, name[:2], name[2:])


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError):
        for below in os.scandir(folder):
            if len(below.name) == 2 and below.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    yield from os.scandir(below.path)


def default_folder() -> str:
    """The user's folder for such things."""
    home = os.path.expanduser("~")  # noqa: PTH111
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return os.path.join(base, "atio", "metadata")
