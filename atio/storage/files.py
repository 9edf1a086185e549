"""Single files and folders on a local disk: full loops, syncs, replacement.

Plain ``OSError`` comes out of here; :mod:`atio.storage.failures` translates.
"""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH108, PTH114

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable
from typing import Self, TypeVar

import msgspec

from atio.storage.base import Buffer

if sys.platform == "darwin":
    import fcntl

_BINARY = getattr(os, "O_BINARY", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _CLOEXEC | _BINARY
# O_NONBLOCK: a FIFO in place of a file must not hang the reader; regular files do not heed it.
_OLD = _CLOEXEC | _BINARY | NOFOLLOW | getattr(os, "O_NONBLOCK", 0)
_DIRECTORY = os.O_RDONLY | _CLOEXEC | getattr(os, "O_DIRECTORY", 0)
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY})
_NAME_SURROGATE = 0x20000000
"""Windows: the bit of a reparse tag that says "this stands for another place" (link, junction)."""
_BUSY = frozenset({5, 32})
"""Windows: access denied and sharing violation, which another process's open file causes."""
_PATIENCE = 2.0

Clock = Callable[[], float]
Sleep = Callable[[float], object]
T = TypeVar("T")


# -- new files -----------------------------------------------------------------------------------


class NewFile:
    """A file being written that vanishes again unless ``finish`` succeeds.

    An fsync that failed is never tried again: the kernel may have dropped the pages and marked
    them clean, so a second one succeeds over lost data (ATC'20, "Can applications recover from
    fsync failures?"). The file is removed instead.
    """

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._fd = os.open(path, _NEW, 0o666)

    def fileno(self) -> int:
        """The open descriptor; it stays this object's."""
        return self._fd

    def write(self, data: Buffer) -> None:
        try:
            write_all(self._fd, data)
        except BaseException:
            self.abort()
            raise

    def adopt(self, like: os.stat_result) -> None:
        """Take over mode and, where allowed, owner of the file that this one will replace."""
        if sys.platform != "win32":
            mine = os.fstat(self._fd)
            with contextlib.suppress(PermissionError):
                if (mine.st_uid, mine.st_gid) != (like.st_uid, like.st_gid):
                    os.fchown(self._fd, like.st_uid, like.st_gid)
            with contextlib.suppress(PermissionError):
                if stat.S_IMODE(mine.st_mode) != stat.S_IMODE(like.st_mode):
                    os.fchmod(self._fd, stat.S_IMODE(like.st_mode))

    def finish(self, *, durable: bool) -> None:
        try:
            if durable:
                sync_file(self._fd)
            fd, self._fd = self._fd, -1
            os.close(fd)  # may report what a network disk could not write
        except BaseException:
            self.abort()
            raise

    def publish(self, folder: str | None) -> None:
        """Finish, and sync the entry in ``folder`` too; None: no need to survive a power cut."""
        self.finish(durable=folder is not None)
        if folder is not None:
            try:
                sync_folder(folder)
            except BaseException:
                self.abort()
                raise

    def abort(self) -> None:
        self.release()
        discard(self.path)

    def release(self) -> None:
        """Close the descriptor and leave what was written as a remnant."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def __del__(self) -> None:
        # Not abort(): a forked child's copy must not remove what its parent is writing.
        self.release()


def write_all(fd: int, data: Buffer) -> None:
    """Write every byte; a single ``write`` may take fewer."""
    view = flat(data)
    done = os.write(fd, view)
    while done < len(view):
        count = os.write(fd, view[done:])
        if count == 0:
            raise OSError(errno.EIO, "the disk takes no more bytes")
        done += count


def flat(data: Buffer) -> memoryview:
    """Return the bytes of any buffer, without a copy where it is contiguous."""
    view = memoryview(data)
    if view.nbytes == 0 or not view.c_contiguous:
        return memoryview(view.tobytes())
    return view.cast("B")


def discard(path: str) -> None:
    """Try to remove a remnant; what stays is unreferenced and vacuum's."""
    with contextlib.suppress(OSError):
        os.unlink(path)


# -- old files -----------------------------------------------------------------------------------


class Content(msgspec.Struct, frozen=True):
    """A whole file and the status it had when it was opened."""

    data: bytes
    status: os.stat_result


def read_all(path: str, most: int | None = None) -> Content:
    """The file, or as much of it as ``most`` bytes."""
    fd, status = _open_regular(path)
    try:
        size = status.st_size if most is None else min(status.st_size, most)
        return Content(_read_range(fd, 0, size), status)
    finally:
        os.close(fd)


def read_range(path: str, offset: int, length: int | None) -> bytes:
    fd, status = _open_regular(path)
    try:
        rest = max(status.st_size - offset, 0)
        # Never ask for more than there is: the length may come from untrusted metadata.
        return _read_range(fd, offset, rest if length is None else min(length, rest))
    finally:
        os.close(fd)


def regular(path: str) -> os.stat_result:
    """Return the status of a regular file; links, folders and devices are refused."""
    status = os.lstat(path)
    _only_regular(path, status)
    return status


def _open_regular(path: str, mode: int = os.O_RDONLY) -> tuple[int, os.stat_result]:
    if not NOFOLLOW and os.path.islink(path):
        raise OSError(errno.ELOOP, "a link", path)
    fd = os.open(path, mode | _OLD)
    try:
        status = os.fstat(fd)
        _only_regular(path, status)
    except BaseException:
        os.close(fd)
        raise
    return fd, status


def _only_regular(path: str, status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", path)
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "is a link", path)
    raise PermissionError(errno.EACCES, "is not a regular file", path)


def _read_range(fd: int, offset: int, length: int) -> bytes:
    data = _pread(fd, length, offset)
    if len(data) == length:
        return data
    parts = [data]
    missing = length - len(data)
    while missing > 0 and parts[-1]:
        parts.append(_pread(fd, missing, offset + length - missing))
        missing -= len(parts[-1])
    return b"".join(parts)


if sys.platform == "win32":

    def _pread(fd: int, length: int, offset: int) -> bytes:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, length)

else:
    # Looked up at each call, so that tests can put a failing disk in its place.
    def _pread(fd: int, length: int, offset: int) -> bytes:
        return os.pread(fd, length, offset)


# -- folders and links ---------------------------------------------------------------------------


def is_real_folder(path: str) -> bool:
    """Tell a folder from a file. Links and junctions raise ELOOP, a missing one ENOENT."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode) or _stands_for_another(status):
        raise OSError(errno.ELOOP, "is a link", path)
    return stat.S_ISDIR(status.st_mode)


def is_junction(path: str) -> bool:
    """Windows: a folder that stands for another one. Nowhere else is there such a thing."""
    return sys.platform == "win32" and _stands_for_another(os.lstat(path))


def _stands_for_another(status: os.stat_result) -> bool:
    return bool(getattr(status, "st_reparse_tag", 0) & _NAME_SURROGATE)


# -- syncs ---------------------------------------------------------------------------------------


def sync_file(fd: int) -> None:
    """Bring a file's bytes to the medium. Raises if that failed; never call it twice then."""
    if sys.platform == "darwin":
        try:
            # fsync on macOS stops at the drive's cache.
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    os.fsync(fd)


def sync_old(path: str) -> None:
    """Bring the bytes of a file that is there to the medium."""
    fd, _ = _open_regular(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        sync_file(fd)
    finally:
        os.close(fd)


class Folder:
    """An open folder, for syncing its entries; no folder (None) stands for "no need to sync".

    Opened before the entry changes where a failure to open would come too late.
    """

    __slots__ = ("_fd",)

    def __init__(self, path: str | None) -> None:
        self._fd = -1
        if path is not None and sys.platform != "win32":  # Windows can neither open nor sync a folder
            self._fd = os.open(path, _DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            # What happened to the folder is settled: this must not look like a failure of it.
            with contextlib.suppress(OSError):
                os.close(self._fd)

    def sync(self) -> None:
        if self._fd >= 0:
            _sync_entries(self._fd)


def sync_folder(path: str) -> None:
    """Bring the entries of a folder to the medium."""
    if sys.platform != "win32":
        fd = os.open(path, _DIRECTORY)
        try:
            _sync_entries(fd)
        finally:
            os.close(fd)


def _sync_entries(fd: int) -> None:
    try:
        sync_file(fd)
    except OSError as error:
        # Some network file systems have no such thing; their renames are the server's business.
        if error.errno not in _UNSUPPORTED:
            raise
    # An XFS that was shut down tells a folder's fsync that all is well, but not its fstat (xfs_vn_getattr).
    os.fstat(fd)


# -- replacement ---------------------------------------------------------------------------------


def patiently(action: Callable[[], T], clock: Clock, sleep: Sleep) -> T:
    """Return ``action()``; on Windows, try again for two seconds while others have the file open.

    Virus scanners, indexers and readers hold files for moments. Never a copy instead: a copy is
    not atomic.
    """
    end = clock() + _PATIENCE
    pause = 0.001
    while True:
        try:
            return action()
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _BUSY or clock() >= end:
                raise
        sleep(pause)
        pause = min(pause * 2, 0.1)
