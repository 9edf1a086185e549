"""A folder on a local disk: synced writes, and a pointer swapped under a lock."""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH100, PTH105, PTH108, PTH112, PTH114, PTH118

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager

import xxhash

from atio.errors import AtioError, InputError, OutcomeUnknownError, StorageError
from atio.model.paths import check_path
from atio.storage.base import Buffer, Capabilities, Entry, Storage, Value
from atio.storage.failures import conflict, translating
from atio.storage.files import (
    Clock,
    Content,
    Folder,
    NewFile,
    Sleep,
    discard,
    flat,
    patiently,
    read_all,
    read_range,
    regular,
    sync_folder,
    sync_old,
)
from atio.storage.folders import Folders, walk
from atio.storage.leases import FileLease, live_leases
from atio.storage.locking import FolderLock, Waiting
from atio.storage.parallel import each
from atio.storage.requests import FileRequest, ReceivedFile, post, received

_LOCK = ".lock"
_LEASES = "leases"
_REQUESTS = "requests"
_DELETERS = 4
"""Threads that delete many files: half the time of one, measured on ext4."""
_FEW = 256
"""Files that are not worth another thread."""
_LARGEST = 1 << 28
"""Bytes of the object that is replaced. Whatever is longer is damaged, and must not fill the memory."""
_SMALL = 1 << 16
_BUFFER = 1 << 18


class LocalStorage(Storage):
    """A folder on a local disk.

    Parameters
    ----------
    root
        The folder; made by the first write. May itself be a link, but nothing below it is followed
        if it is one.
    durable
        Sync every file and folder before a write is acknowledged.
    lock_timeout
        Seconds to wait for another writer's lock before ``LockTimeoutError``.
    clock, sleep
        What waiting goes by; for tests.

    Raises
    ------
    InputError
        The root is no name that a folder could have.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        durable: bool = True,
        lock_timeout: float = 30.0,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        name = os.fspath(root)
        if not name or "\0" in name:
            raise InputError(f"{name!r} does not name a folder", hint="give the path of a folder")
        if not lock_timeout >= 0:
            raise InputError(f"lock_timeout is {lock_timeout}, which is not a time to wait")
        # Absolute from here on: a later chdir must not move the table.
        self._root = os.path.abspath(name)
        self._prefix = os.path.join(self._root, "")
        self._durable = durable
        self._folders = Folders(self._root, durable=durable)
        self._waiting = Waiting(lock_timeout, clock, sleep)
        self._lock = FolderLock(self._prefix + _LOCK, self._waiting, lambda: self._folders.again(""))

    def __repr__(self) -> str:
        return f"LocalStorage({self._root!r})"

    @property
    def url(self) -> str:
        return self._root

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(swap=True, durable=self._durable, lock=True, leases=True)

    def _place(self, path: str) -> tuple[str, str]:
        """Split into the folder relative to the root and the full path; refuses bad paths."""
        try:
            check_path(path)
        except ValueError as error:
            raise InputError(str(error)) from None
        return path.rpartition("/")[0], self._prefix + path

    # -- objects that are written once -----------------------------------------------------

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if offset < 0 or (length is not None and length < 0):
            raise InputError(f"cannot read {length} bytes at {offset}", file=path)
        folder, full = self._place(path)
        with translating(full):
            self._folders.check(folder)
            return read_range(full, offset, length)

    def size(self, path: str) -> int:
        folder, full = self._place(path)
        with translating(full):
            self._folders.check(folder)
            return regular(full).st_size

    def local_path(self, path: str) -> str:
        """Return the full path; a missing object or a link is an error here, not later in a reader."""
        self.size(path)
        return self._prefix + path

    def create(self, path: str, data: Buffer) -> None:
        folder, full = self._place(path)
        with translating(full):
            file, parent = self._begin(folder, full)
            file.write(data)
            file.publish(parent)

    def create_all(self, objects: Mapping[str, Buffer]) -> None:
        # All are written before the first is synced: the file system then has less to do for the others.
        places = {self._place(path): data for path, data in objects.items()}
        files: list[NewFile] = []
        folders: dict[str, None] = {}
        try:
            for (folder, full), data in places.items():
                with translating(full):
                    file, parent = self._begin(folder, full)
                    files.append(file)
                    file.write(data)
                    if parent is not None:
                        folders[parent] = None
            for file in files:
                with translating(file.path):
                    file.finish(durable=self._durable)
            for parent in folders:
                with translating(parent):
                    sync_folder(parent)
        except BaseException:
            for file in files:
                file.abort()
            raise

    def sink(self, path: str) -> LocalSink:
        folder, full = self._place(path)
        with translating(full):
            return LocalSink(*self._begin(folder, full))

    def _begin(self, folder: str, full: str) -> tuple[NewFile, str | None]:
        """Open a new file; the folder comes with it if its entry is to be synced."""
        return self._folders.within(folder, lambda parent: (NewFile(full), parent if self._durable else None))

    def sync(self, paths: Iterable[str]) -> None:
        if not self._durable:
            return
        places = [self._place(path) for path in paths]
        try:
            for folder, full in places:
                with translating(full):
                    self._folders.check(folder)
                    sync_old(full)
            for folder in dict(places):
                with translating(self._prefix + folder):
                    sync_folder(self._folders.make(folder))
        except StorageError:
            # Another sync would succeed over lost bytes, and nobody could tell.
            for _, full in places:
                discard(full)
            raise

    def delete(self, paths: Iterable[str]) -> None:
        places = [self._place(path) for path in paths]  # All are judged before the first object goes.
        shares = min(_DELETERS, len(places) // _FEW + 1)
        each(self._delete, [places[share::shares] for share in range(shares)])

    def _delete(self, places: Iterable[tuple[str, str]]) -> None:
        for folder, full in places:
            with translating(full), contextlib.suppress(FileNotFoundError):
                self._folders.check(folder)
                try:
                    os.unlink(full)
                except PermissionError as error:
                    if os.path.isdir(full) and not os.path.islink(full):  # POSIX leaves the choice
                        raise IsADirectoryError(errno.EISDIR, "is a folder", full) from error
                    raise

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """List all there is, also the lock, leases, leftovers, and links (as what they are).

        Names that a path must not have (``check_path``) are listed too: they are not atio's.
        """
        prefix = prefix.removesuffix("/")
        full = self._place(prefix)[1] if prefix else self._root
        with translating(full):
            try:
                self._folders.check(prefix)
            except FileNotFoundError:
                return iter(())
            except NotADirectoryError:
                if os.path.isdir(self._root):
                    return iter(())  # an object is no folder
                raise
        return walk(full, f"{prefix}/" if prefix else "")

    # -- the one object that is replaced ---------------------------------------------------

    def load(self, path: str) -> Value | None:
        folder, full = self._place(path)
        content = self._content(folder, full)
        return None if content is None else Value(content.data, _token(content.data))

    def swap(self, path: str, data: Buffer, expected: str | None) -> str:
        folder, full = self._place(path)
        view = flat(data)
        with self._lock.held(), translating(full):
            found = self._content(folder, full)
            if (None if found is None else _token(found.data)) != expected:
                raise conflict(full, expected=expected, found=found is not None)
            parent = self._folders.make(folder) if found else self._folders.again(folder)
            self._replace(full, parent, view, found)
        return _token(view)

    def _content(self, folder: str, full: str) -> Content | None:
        with translating(full):
            try:
                self._folders.check(folder)
                return patiently(lambda: read_all(full, _LARGEST), self._waiting.clock, self._waiting.sleep)
            except FileNotFoundError:
                return None

    def _replace(self, full: str, parent: str, data: memoryview, found: Content | None) -> None:
        head, name = os.path.split(full)
        aside = os.path.join(head, f".{name}.{os.urandom(8).hex()}.tmp")
        # Opened first: if this fails, nothing has happened yet.
        with Folder(parent if self._durable else None) as folder:
            file = NewFile(aside)
            try:
                if found is not None:
                    file.adopt(found.status)
                file.write(data)
                file.finish(durable=self._durable)
            except BaseException:
                file.abort()
                raise
            try:
                patiently(lambda: os.replace(aside, full), self._waiting.clock, self._waiting.sleep)
            except OSError as error:
                self._settle(full, aside, data, found, error)
            except BaseException:
                discard(aside)  # gone already if the interrupt came after the replacement
                raise
            try:
                folder.sync()
            except OSError as error:
                raise _unknown(full, "its folder could not be synced") from error

    def _settle(self, full: str, aside: str, data: memoryview, found: Content | None, error: OSError) -> None:
        """Find out what a failed replacement did. Returns if it landed, raises otherwise."""
        try:
            now: bytes | None = read_all(full, _LARGEST).data
        except FileNotFoundError:
            now = None
        except OSError:
            raise _unknown(full, "replacing it failed, and so did looking") from error
        if now == bytes(data):
            return  # NFS: the answer was lost, not the rename
        if now != (None if found is None else found.data):
            raise _unknown(full, "replacing it failed, and it is another one now") from error
        discard(aside)
        raise error

    # -- writers among each other ----------------------------------------------------------

    def exclusive(self, *, wait: bool = True) -> AbstractContextManager[None]:
        return self._lock.held(wait=wait)

    def post(self, data: bytes) -> FileRequest | None:
        with contextlib.suppress(OSError):
            return self._folders.within(
                _REQUESTS, lambda folder: post(folder, data, self._waiting), durable=False
            )
        return None

    def received(self) -> Iterator[ReceivedFile]:
        return received(self._prefix + _REQUESTS)

    def lease(self, name: str) -> FileLease:
        folder, full = self._place(f"{_LEASES}/{name}")
        if folder != _LEASES:
            raise InputError(f"{name!r} is no name for a lease: it has a slash")
        with translating(full):
            return self._folders.within(folder, lambda _: FileLease(full, self._waiting), durable=False)

    def live_leases(self) -> frozenset[str]:
        return live_leases(self._prefix + _LEASES)


class LocalSink:
    """A new file being written; small pieces are gathered into larger ones."""

    def __init__(self, file: NewFile, parent: str | None) -> None:
        self._file = file
        self._parent = parent
        self._gathered = bytearray()
        self._state = "open"

    def write(self, data: Buffer, /) -> int:
        if self._state != "open":
            raise InputError(f"cannot write: the sink is {self._state}", file=self._file.path)
        view = flat(data)
        try:
            with translating(self._file.path):
                if len(view) < _SMALL:
                    self._gathered += view
                if len(view) >= _SMALL or len(self._gathered) >= _BUFFER:
                    self._flush()
                if len(view) >= _SMALL:
                    self._file.write(view)
        except BaseException:
            self.abort()
            raise
        return len(view)

    def close(self) -> None:
        if self._state == "closed":
            return
        if self._state != "open":
            raise StorageError("was given up: nothing was written", file=self._file.path)
        try:
            with translating(self._file.path):
                self._flush()
                self._file.publish(self._parent)
        except BaseException:
            self.abort()
            raise
        self._state = "closed"

    def abort(self) -> None:
        if self._state == "open":
            self._state = "given up"
            self._gathered = bytearray()
            self._file.abort()

    def _flush(self) -> None:
        if self._gathered:
            self._file.write(self._gathered)
            self._gathered = bytearray()


def _token(data: Buffer) -> str:
    """Hash of the content; no two pointers are the same bytes, so none goes back to an old token."""
    return xxhash.xxh3_128_hexdigest(data)


def _unknown(full: str, why: str) -> AtioError:
    return OutcomeUnknownError(
        f"the write may or may not have taken effect: {why}",
        file=full,
        hint="read it and look for your own commit before writing again; remove nothing until then",
    )
