"""Leases: files in a folder, locked for as long as their writers live."""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH108, PTH118, PTH208

from __future__ import annotations

import contextlib
import os
import sys

from atio.errors import LockTimeoutError
from atio.storage.failures import translating
from atio.storage.files import discard, is_real_folder
from atio.storage.locking import LockedFile, Waiting, lock_file


class FileLease:
    """A locked file; the operating system drops the lock when the process ends, however it ends."""

    def __init__(self, path: str, waiting: Waiting) -> None:
        try:
            self._file = lock_file(path, waiting)
        except LockTimeoutError:
            raise  # it is somebody's
        except BaseException:
            discard(path)
            raise

    def release(self) -> None:
        """End the lease; harmless when repeated, and nothing at all in a forked child."""
        if self._file.is_ours:
            _remove(self._file)


def live_leases(folder: str) -> frozenset[str]:
    """Names of the leases in the folder whose writers live; files of the dead are removed."""
    with translating(folder):
        try:
            if not is_real_folder(folder):
                return frozenset()
            names = os.listdir(folder)
        except FileNotFoundError:
            return frozenset()
    return frozenset(name for name in names if _lives(os.path.join(folder, name)))


def _lives(path: str) -> bool:
    try:
        file = LockedFile(path, create=False)
    except FileNotFoundError:
        return False
    except OSError:
        # Not ours to open, or no lease at all: only who has the lock can call a writer dead.
        return True
    try:
        if not file.try_lock():
            return True
        # Locked means dead, or so young that its writer has not locked it yet: that writer will
        # find its file gone and make another. Unlinking under the lock keeps successors safe.
        if file.is_there():
            _remove(file)
        return False
    finally:
        file.release()


def _remove(file: LockedFile) -> None:
    if sys.platform == "win32":  # an open file cannot be unlinked there
        file.release()
        with contextlib.suppress(OSError):
            os.unlink(file.path)
    else:
        discard(file.path)
        file.release()
