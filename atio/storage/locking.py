"""Locks on files that die with their process.

``flock`` on POSIX: it belongs to the open file, so it is safe among threads that each open their
own descriptor, and closing another descriptor of the file does not drop it (a POSIX ``fcntl``
lock would vanish). ``msvcrt.locking`` on Windows.
"""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH116, PTH123

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from atio.errors import LockTimeoutError, StorageError
from atio.storage.failures import translating
from atio.storage.files import NOFOLLOW, Clock, Sleep

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_SHORTEST, _LONGEST = 0.0002, 0.005


class Waiting(msgspec.Struct, frozen=True):
    """How long to wait for a lock, and by which clock."""

    timeout: float
    clock: Clock
    sleep: Sleep


# -- one locked file -----------------------------------------------------------------------------


class LockedFile:
    """An open lock file. Held until ``release``, garbage collection or the end of the process."""

    __slots__ = ("_fd", "_pid", "path")

    def __init__(self, path: str, *, create: bool) -> None:
        self.path = path
        self._fd = -1
        self._pid = os.getpid()
        with _forking:  # a fork between the two lines would leave the child with a stray copy
            self._fd = _open(path, create=create)
            _open_fds.add(self._fd)

    @property
    def is_ours(self) -> bool:
        """False after ``release`` and in forked children: there it is the parent's."""
        return self._fd >= 0 and self._pid == os.getpid()

    def fileno(self) -> int:
        return self._fd

    def try_lock(self, *, shared: bool = False) -> bool:
        """Lock if nobody else does. Whether the file is still the one at ``path``: see ``is_there``.

        A shared lock goes with other shared ones, not with an exclusive one (Windows knows no such lock).
        """
        try:
            _lock(self._fd, shared=shared)
        except OSError as error:
            if error.errno in _HELD:
                return False
            if error.errno in _NO_LOCKS:
                raise StorageError(
                    f"the file system offers no locks ({error.strerror})",
                    file=self.path,
                    hint="mount it with locks, or keep the table on a local disk or in a bucket",
                ) from error
            raise
        return True

    def lock(self) -> None:
        """Wait as long as it takes."""
        _lock(self._fd, wait=True)

    def is_there(self) -> bool:
        """Tell whether the path still leads to this very file, not to a successor or nothing."""
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; POSIX only, as is ``write``."""
        return os.pread(self._fd, length, offset)

    def write(self, data: bytes, offset: int) -> None:
        os.pwrite(self._fd, data, offset)

    def release(self) -> None:
        """Unlock and close; harmless when repeated, and nothing at all in a forked child."""
        if not self.is_ours:
            return
        fd, self._fd = self._fd, -1
        with contextlib.suppress(OSError):
            # Said aloud: a copy of the descriptor, say in a child being started, would keep the lock.
            _unlock(fd)
        _open_fds.discard(fd)
        with contextlib.suppress(OSError):
            os.close(fd)

    def __del__(self) -> None:
        self.release()


def _open(path: str, *, create: bool) -> int:
    flags = _CLOEXEC | NOFOLLOW | _NONBLOCK
    try:
        return os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | flags, 0o666)
    except PermissionError as refused:
        # Another user's lock file: local disks lock a read-only descriptor as well (NFS does not).
        try:
            return os.open(path, os.O_RDONLY | flags)
        except FileNotFoundError:
            raise refused from None


if sys.platform == "win32":
    _QUEUES = False

    def _lock(fd: int, *, wait: bool = False, shared: bool = False) -> None:
        del shared
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    _QUEUES = True

    def _lock(fd: int, *, wait: bool = False, shared: bool = False) -> None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(fd, kind | (0 if wait else fcntl.LOCK_NB))

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


# -- waiting -------------------------------------------------------------------------------------


def lock_file(path: str, waiting: Waiting) -> LockedFile:
    """Create the file if need be and lock it.

    Raises
    ------
    LockTimeoutError
        Somebody else held it for too long.
    """
    start = waiting.clock()
    while (file := _attempt(path)) is None:
        waited = waiting.clock() - start
        if _QUEUES and waiting.clock is time.monotonic and waited < waiting.timeout:
            file = _queue(path, waiting.timeout - waited)
            if file is not None:
                return file
            continue
        if waited >= waiting.timeout:
            raise _timeout(path, waiting.timeout, holder(path))
        # In proportion to the wait so far: short waits end at once, long ones cost no CPU.
        pause = min(max(waited / 8, _SHORTEST), _LONGEST)
        waiting.sleep(pause * (0.5 + os.urandom(1)[0] / 256))
    return file


def _queue(path: str, timeout: float) -> LockedFile | None:
    """Wait in the system's own queue; None when time is up or the file was removed meanwhile.

    Six processes that poll keep the one that holds the lock from its processor; this way they sleep. A
    thread waits, because the call itself knows no timeout: a thread left behind unlocks as soon as it is
    its turn.
    """
    file = LockedFile(path, create=True)
    waiting = _Turn(file)
    if waiting.wait(timeout) and file.is_there():
        return file
    return None


class _Turn:
    def __init__(self, file: LockedFile) -> None:
        self._file = file
        self._guard = threading.Lock()
        self._done = threading.Event()
        self._failed = self._left = False
        threading.Thread(target=self._run, name="atio-lock", daemon=True).start()

    def _run(self) -> None:
        try:
            self._file.lock()
        except OSError:
            self._failed = True
        with self._guard:
            if self._left:
                self._file.release()
            self._done.set()

    def wait(self, timeout: float) -> bool:
        try:
            self._done.wait(timeout)
        finally:
            with self._guard:
                self._left = not self._done.is_set()
        if self._failed:
            self._file.release()
        return not (self._left or self._failed)


def _attempt(path: str) -> LockedFile | None:
    file = LockedFile(path, create=True)
    try:
        # Removed (and perhaps made anew) between open and lock, it would exclude nobody.
        if file.try_lock() and file.is_there():
            return file
    except BaseException:
        file.release()
        raise
    file.release()
    return None


def _timeout(path: str, timeout: float, who: str) -> LockTimeoutError:
    return LockTimeoutError(
        f"waited {timeout:g} s for the lock that {who} holds",
        file=path,
        hint="try again, or find out why that writer hangs; the lock is freed when its process ends",
    )


def holder(path: str) -> str:
    """Say who holds the lock, as far as the system tells.

    Read from Linux's table of locks, so that taking a lock need not write down who took it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = os.stat(path)
            place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
            with open("/proc/locks", encoding="ascii") as table:
                rows = [row.split() for row in table]
            pid = next((int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == place), 0)
            if pid == os.getpid():
                return "another thread or handle of this process"
            if pid > 0:  # 0: beyond this container
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                    return f"process {pid} ({comm.read().strip()})"
    return "another process"


# -- a lock for threads and processes ------------------------------------------------------------


class FolderLock:
    """Keeps other threads and processes out; a thread that holds it may enter again.

    Parameters
    ----------
    path
        The lock file; never removed.
    prepare
        Makes the folder of the lock file when it is missing.
    """

    def __init__(self, path: str, waiting: Waiting, prepare: Callable[[], object]) -> None:
        self._path = path
        self._waiting = waiting
        self._prepare = prepare
        self._reset()
        _locks.add(self)

    def _reset(self) -> None:
        self._threads = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self, *, wait: bool = True) -> Iterator[None]:
        threads = self._threads
        timeout = min(self._waiting.timeout, threading.TIMEOUT_MAX) if wait else 0
        if not threads.acquire(timeout=timeout):
            raise _timeout(self._path, timeout, "another thread of this process")
        try:
            depth = self._depth
            file = self._take(wait=wait) if depth == 0 else None
            try:
                self._depth = depth + 1
                yield
            finally:
                # A child forked meanwhile has a state of its own, and the file is its parent's.
                if threads is self._threads:
                    self._depth = depth
                if file is not None:
                    file.release()
        finally:
            threads.release()

    def _take(self, *, wait: bool) -> LockedFile:
        take = self._wait if wait else self._try
        with translating(self._path):
            try:
                return take()
            except FileNotFoundError:
                self._prepare()
                return take()

    def _wait(self) -> LockedFile:
        return lock_file(self._path, self._waiting)

    def _try(self) -> LockedFile:
        file = _attempt(self._path)
        if file is None:
            raise LockTimeoutError("another writer holds the lock", file=self._path, hint="try again")
        return file

    def forget(self) -> None:
        """Start afresh in a forked child, where the threads that held it do not exist."""
        self._reset()


# -- forks ---------------------------------------------------------------------------------------
# A child shares its parent's open files and with them the locks: it would keep them beyond the
# parent's death. So it closes its copies, which does not unlock (only LOCK_UN would).

_forking = threading.RLock()
_open_fds: set[int] = set()
_locks: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _before_fork() -> None:
    _forking.acquire()


def _after_fork_in_parent() -> None:
    _forking.release()


def _after_fork_in_child() -> None:
    global _forking  # noqa: PLW0603 - the child needs a lock that no lost thread holds
    _forking = threading.RLock()
    for fd in _open_fds:
        with contextlib.suppress(OSError):
            os.close(fd)
    _open_fds.clear()
    for lock in tuple(_locks):
        lock.forget()


if sys.platform != "win32":
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
