"""Atomic, durable replacement of one local file.

The new content goes into a hidden file in the folder of the target, is synced, and takes the target's
place in one step. Readers see the old file or the new one, whole, at any instant.

The hidden file is called ``.NAME.N.atio.tmp`` (N counts from 0, hexadecimal) and is locked for as long as
its writer lives. Whoever writes the same target next removes the unlocked ones: their writers were
killed. Names are counted, not random, so that this takes no listing of a folder that may be large. Backup
tools exclude ``.*.atio.tmp``.
"""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH105, PTH118, PTH123

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Self

from atio.errors import AtioError, InputError, NotFoundError, OutcomeUnknownError, StorageError
from atio.storage.base import Buffer
from atio.storage.failures import translated, translating
from atio.storage.files import Folder, NewFile, discard, patiently, sync_file, write_all
from atio.storage.locking import LockedFile

BACKUP = ".bak"
"""What follows the target's name in the name of its backup."""
SUFFIX = ".atio.tmp"
"""How the names of all temporary files end."""

_PROBED = 8
"""Names looked at for leftovers, and beyond them as long as there are any without a gap."""
_LONGEST = 220
"""Bytes of the target's name that go into the temporary one; a name may have 255."""
_LINK_TRIES = 1000
_LARGE = 4 << 20
"""Bytes of a replaced file from which on giving back its space takes long enough to do it beside."""
_YOUNG = 3600.0
_BUFFER = 1 << 18
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
)


def replace_file(
    path: str | os.PathLike[str], data: Buffer, *, durable: bool = True, backup: bool = False
) -> None:
    """Write a whole file, or change nothing. See :class:`Replacement`."""
    with Replacement(path, durable=durable, backup=backup) as new:
        new.write(data)


class Replacement:
    """A file being written that takes the place of another when the ``with`` block ends well.

    Inside the block write to ``file``, to ``write``, or to the file called ``path`` (which must stay the
    same file: libraries may truncate it, not replace it). On any exception, also of the block, the
    temporary file is removed and the target is as it was.

    Parameters
    ----------
    path
        The target. Links are followed: what they lead to is replaced, they stay. Mode, owner and access
        list of an existing file are kept (the owner where the system lets us).
    durable
        Sync file and folder, so that a power cut after the block finds the new file.
    backup
        Keep the previous file as ``NAME.bak``.

    Attributes
    ----------
    target
        Full path of the file that is replaced.
    path
        Full path of the temporary file; set inside the block.

    Raises
    ------
    NotFoundError
        The folder does not exist.
    InputError
        The target is a folder or a device.
    AccessError, StorageFullError, StorageError
        The system refused; the target is as it was.
    OutcomeUnknownError
        The file was replaced, or may have been, but that may not survive a power cut.
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = True, backup: bool = False) -> None:
        self._lock: LockedFile | None = None
        self._new: NewFile | None = None
        self._buffered: io.BufferedWriter | None = None
        self._raw: _Raw | None = None
        self._end: Callable[[], object] = int
        self._folder: Folder | None = None
        self._pid = os.getpid()
        self._durable = durable
        self._backup = backup
        self.target = _resolved(os.fsdecode(path))
        self.path = ""

    # -- inside the block --------------------------------------------------------------------

    @property
    def file(self) -> io.BufferedWriter:
        """The temporary file as a binary stream that can seek. Closing it is harmless, not needed."""
        if self._buffered is None:
            # A descriptor of its own: whatever a library does to it later reaches nothing else.
            with translating(self.target):
                fd = os.dup(self._open().fileno())
                try:
                    raw = _Raw(fd, "wb", closefd=False)
                    self._buffered = io.BufferedWriter(raw, _BUFFER)
                except BaseException:
                    os.close(fd)
                    raise
            self._raw = raw
            self._end = weakref.finalize(raw, os.close, fd)
        return self._buffered

    def write(self, data: Buffer) -> None:
        """Write more bytes, unbuffered; not to be mixed with ``file``."""
        try:
            write_all(self._open().fileno(), data)
        except OSError as error:
            raise translated(error, self.target) from error

    def flush(self) -> None:
        """Hand what ``file`` still holds to the system."""
        if self._buffered is not None and not self._buffered.closed:
            self._buffered.flush()

    @property
    def failure(self) -> OSError | None:
        """The last error of the disk that ``file`` met."""
        return self._raw.failure if self._raw is not None else None

    def size(self) -> int:
        """Bytes written so far, as far as they have left the libraries' buffers."""
        with translating(self.target):
            return os.fstat(self._open().fileno()).st_size

    def _open(self) -> NewFile:
        if self._new is None:
            raise InputError("is not being written: use it in a with block", file=self.target)
        return self._new

    # -- the block ---------------------------------------------------------------------------

    def __enter__(self) -> Self:
        parent, name = os.path.split(self.target)
        _Outlived.wait()
        try:
            found = _status(self.target)
            # Opened before anything happens: if this fails, nothing has.
            self._folder = Folder(parent if self._durable else None)
            self._new, self._lock = _claim(os.path.join(parent, f".{_shortened(name)}"))
            self.path = self._new.path
            if found is not None:
                self._adopt(found)  # now: what is secret stays so while it is written
        except BaseException as error:
            self._give_up()
            if isinstance(error, OSError) and not isinstance(error, AtioError):
                raise _refused(error, self.target) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._is_ours:
                self._commit()
        except AtioError:
            raise
        except OSError as failure:
            raise _refused(failure, self.target) from failure
        finally:
            self._give_up()

    @property
    def _is_ours(self) -> bool:
        """False in a forked child: there it is the parent's."""
        return self._pid == os.getpid()

    def __del__(self) -> None:
        if self._new is not None or self._lock is not None:  # an interrupt came at an unlucky moment
            self._give_up()

    def _give_up(self) -> None:
        """Remove the temporary file if it is still there, and let go of everything. May be repeated."""
        if self._buffered is not None and not self._buffered.closed:
            _divert(self._buffered)
        self._buffered = self._raw = None
        if self._new is not None:
            with contextlib.suppress(OSError):  # What cannot be looked at stays, for the next writer.
                # The name alone proves nothing: once free, it may be another writer's.
                if self._is_ours and (self._lock is None or self._lock.is_there()):
                    _empty(self._new)
                    if sys.platform == "win32":  # an open file cannot be removed there
                        self._new.release()
                    discard(_companion(self._new.path))
                    discard(self._new.path)
            self._new.release()
            self._new = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._folder is not None:
            self._folder.__exit__()
            self._folder = None

    # -- the replacement ---------------------------------------------------------------------

    def _commit(self) -> None:
        new, folder = self._open(), self._folder
        assert folder is not None
        if self._buffered is not None:
            self._buffered.close()
            self._end()
        if self._lock is not None and not self._lock.is_there():
            raise StorageError(
                "its temporary file was removed or replaced while it was written",
                file=self.target,
                hint="write it again: nothing took effect",
            )
        found = _status(self.target)
        if found is not None:
            self._adopt(found)
        new.finish(durable=self._durable)
        if self._backup and found is not None:
            self._keep(found)
            folder.sync()  # The old content has its new name for good before it loses the other.
        with _Outlived(self.target, found):
            try:
                _move(self.path, self.target)
            except OSError as error:
                self._settle(error)
            self._new = None
            try:
                folder.sync()
            except OSError as error:
                raise _unknown(self.target, "its folder could not be synced") from error

    def _settle(self, error: OSError) -> None:
        """Find out what a failed replacement did. Returns if it landed, raises otherwise.

        On network disks the answer can get lost, not the rename.
        """
        if self._lock is None:
            raise error
        try:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(self.target), os.fstat(self._lock.fileno())):
                    return
            is_there = self._lock.is_there()
        except OSError:
            raise _unknown(self.target, "replacing it failed, and so did looking") from error
        if is_there:
            raise error
        raise _unknown(self.target, "replacing it failed, and it is another one now") from error

    def _adopt(self, found: os.stat_result) -> None:
        new = self._open()
        new.adopt(found)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # not every file system has attributes
                for name in os.listxattr(self.target):
                    if name.startswith("user.") or name == "system.posix_acl_access":
                        os.setxattr(new.fileno(), name, os.getxattr(self.target, name))

    def _keep(self, found: os.stat_result) -> None:
        """Give the previous file a second name. The target keeps its own: it is never missing."""
        aside = _companion(self.path)
        try:
            _link(self.target, aside)
        except FileNotFoundError:
            return  # removed meanwhile: there is nothing to keep
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _copy(self.target, aside, found, durable=self._durable)
        else:
            if self._durable:
                _sync(aside)
        _move(aside, self.target + BACKUP)
        # POSIX: renaming a file to another name of the same file does nothing.
        discard(aside)


class _Outlived:
    """Keeps a large file open while it is replaced: the last to close it pays for giving back its space.

    That takes as long as the rest of the replacement, so a thread of its own does it.
    """

    _last: ClassVar[threading.Thread | None] = None

    def __init__(self, path: str, status: os.stat_result | None) -> None:
        self._fd = -1
        if status is not None and status.st_size >= _LARGE and sys.platform != "win32":
            with contextlib.suppress(OSError):  # without it the replacement takes longer, that is all
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)

    @classmethod
    def wait(cls) -> None:
        """Wait until the space of the last one is free: on a disk that is nearly full the next needs it."""
        if cls._last is not None:
            cls._last.join()
            cls._last = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            thread = threading.Thread(target=os.close, args=(self._fd,), name="atio-free")
            try:
                thread.start()
            except RuntimeError:  # no thread to be had, or the interpreter is ending
                os.close(self._fd)
            else:
                _Outlived._last = thread


def _empty(file: NewFile) -> None:
    """Free the space of a file at once, though a library may hold it open until it is collected."""
    with contextlib.suppress(OSError):
        os.ftruncate(file.fileno(), 0)


class _Raw(io.FileIO):
    """Remembers what the disk said: libraries tend to say something else."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # Not the error itself: its traceback leads back here, and would keep the descriptor open.
            self.failure = OSError(error.errno, error.strerror)
            raise


def _divert(file: io.BufferedWriter) -> None:
    """Send what libraries still write to nowhere, and free the space of what they wrote.

    Some finish their file when they are collected; a closed file would make them complain.
    """
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, file.fileno(), inheritable=False)
        finally:
            os.close(nowhere)


# -- the target ----------------------------------------------------------------------------------


def _resolved(path: str) -> str:
    if not path or "\0" in path:
        raise InputError(f"{path!r} does not name a file", hint="give the path of a file")
    if path.endswith(("/", os.sep)):
        raise InputError("names a folder, not a file", file=path)
    return os.path.realpath(path)


def _status(target: str) -> os.stat_result | None:
    """The status of the file to replace; None if there is none."""
    try:
        status = os.lstat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(status.st_mode):
        return status
    if stat.S_ISDIR(status.st_mode):
        raise InputError("is a folder, not a file", file=target)
    if stat.S_ISLNK(status.st_mode):
        raise InputError("is a link that leads nowhere but to itself", file=target)
    raise InputError("is not a regular file, so it cannot be replaced", file=target)


def _shortened(name: str) -> str:
    raw = os.fsencode(name)
    return name if len(raw) <= _LONGEST else raw[:_LONGEST].decode("utf-8", "ignore")


def _refused(error: OSError, target: str) -> AtioError:
    parent = os.path.dirname(target)  # noqa: PTH120
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFoundError(
            f"there is no folder {parent!r}", file=target, hint="make the folder first, or check the path"
        )
    return translated(error, target)


def _unknown(target: str, why: str) -> AtioError:
    return OutcomeUnknownError(
        f"the write may or may not have taken effect: {why}",
        file=target,
        hint="look at the file before writing again; it is whole, the old one or the new one",
    )


def _move(source: str, target: str) -> None:
    patiently(lambda: os.replace(source, target), time.monotonic, time.sleep)


# -- temporary files -----------------------------------------------------------------------------


def _claim(stem: str) -> tuple[NewFile, LockedFile | None]:
    """Make and lock the first of the target's temporary files that is free; remove those of the dead."""
    mine: tuple[NewFile, LockedFile | None] | None = None
    try:
        for number in itertools.count():
            path = f"{stem}.{number:x}{SUFFIX}"
            is_there = os.path.lexists(path)  # What cannot be looked at is no reason not to write.
            if is_there:
                _remove_if_dead(path)
            if mine is None:
                mine = _make(path)
                if mine is not None:
                    discard(_companion(path))  # A power cut may leave it alone.
            elif number >= _PROBED and not is_there:
                break
    except BaseException:
        if mine is not None:
            mine[0].abort()
            if mine[1] is not None:
                mine[1].release()
        # An interrupt may have come when a file was made, but not yet known to be.
        for number in range(_PROBED):
            _remove_if_dead(f"{stem}.{number:x}{SUFFIX}")
        raise
    assert mine is not None
    return mine


def _make(path: str) -> tuple[NewFile, LockedFile | None] | None:
    """Make and lock the file; None if it is another writer's, or was taken for a dead one's."""
    try:
        new = NewFile(path)
    except FileExistsError:
        return None
    if sys.platform == "win32":
        return new, None  # an open file cannot be removed there: that is the lock
    lock = None
    try:
        lock = LockedFile(path, create=False)
        if _lock(lock) and lock.is_there() and os.path.samestat(_stat(lock), _stat(new)):
            return new, lock
    except FileNotFoundError:
        pass
    except BaseException:
        new.abort()
        raise
    new.release()
    if lock is not None:
        lock.release()
    return None


def _stat(file: NewFile | LockedFile) -> os.stat_result:
    return os.fstat(file.fileno())


def _lock(lock: LockedFile) -> bool:
    """Say that the writer lives.

    Shared, because the lock is on the target for a moment after the replacement: HDF5 locks what it
    reads. Where the file system has no locks, nobody can tell a dead writer from a living one, so nothing
    is removed.
    """
    try:
        return lock.try_lock(shared=True)
    except StorageError:
        return True


def _remove_if_dead(path: str) -> None:
    """Remove a leftover of a killed writer."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            # The young one may have been closed just now, to be renamed.
            if time.time() - os.lstat(path).st_mtime > _YOUNG:
                discard(_companion(path))
                discard(path)
        return
    try:
        lock = LockedFile(path, create=False)
    except OSError:
        return  # gone, or not ours to judge
    try:
        # Locked means dead, or so young that its writer has not locked it yet: that one will notice.
        if lock.try_lock() and lock.is_there():
            discard(_companion(path))
            discard(path)
    except OSError:
        pass
    finally:
        lock.release()


# -- backups -------------------------------------------------------------------------------------


def _companion(path: str) -> str:
    """The second temporary file that belongs to the writer of the first: the backup in the making."""
    return path.removesuffix(SUFFIX) + BACKUP + SUFFIX


def _link(source: str, path: str) -> None:
    """Give a file another name, while others may be replacing it.

    Linux says that there is no such file if it was replaced between looking up the name and linking.
    """
    for _ in range(_LINK_TRIES):
        try:
            return os.link(source, path)
        except FileNotFoundError:
            os.lstat(source)  # says it again if it is so
    return os.link(source, path)


def _copy(source: str, path: str, like: os.stat_result, *, durable: bool) -> None:
    """Copy where the file system has no links."""
    new = NewFile(path)
    try:
        new.adopt(like)
        with open(source, "rb") as old:
            while piece := old.read(_BUFFER):
                new.write(piece)
        new.finish(durable=durable)
    except BaseException:
        new.abort()
        raise


def _sync(path: str) -> None:
    """The previous file may have been written by something that does not sync."""
    with open(path, "rb") as file:
        sync_file(file.fileno())
