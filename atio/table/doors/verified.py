"""Data files that an engine may read by itself: hashed whole, once a process.

An engine's own reader verifies nothing. What it opens is therefore compared with the checksum in the
metadata before. Data files never change, so a file is hashed again only if its status (size, inode, times)
says that it is not the one that was.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence

from atio.errors import DamagedError, NotFoundError
from atio.metadata.objects import check, missing
from atio.model.base import Ref
from atio.model.snapshot import DataFile
from atio.storage.base import Storage
from atio.storage.failures import translating

_REMEMBERED = 2**16

Identity = tuple[str, int, int, int, int, int]


class _Seen:
    """Files that were verified, by their hashes; the least recently used are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hashes: OrderedDict[Identity, str] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, item: tuple[Identity, str]) -> bool:
        identity, wanted = item
        with self._lock:
            known = self._hashes.get(identity) == wanted
            if known:
                self._hashes.move_to_end(identity)
            return known

    def add(self, identity: Identity, hash: str) -> None:
        with self._lock:
            self._hashes[identity] = hash
            while len(self._hashes) > self._most:
                self._hashes.popitem(last=False)


_seen = _Seen(_REMEMBERED)


def verified(storage: Storage, files: Sequence[DataFile]) -> list[str] | None:
    """Local paths of the files, each what the metadata say it is; None if the storage has no such paths.

    Raises
    ------
    DamagedError
        A file is missing, has another size or another checksum.
    """
    paths: list[str] = []
    for file in files:
        path = _path(storage, file)
        if path is None:
            return None
        paths.append(path)
    new = [(path, file) for path, file in zip(paths, files, strict=True) if not _known(path, file)]
    if len(new) < 2:
        for path, file in new:
            _verify(path, file)
        return paths
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(new), os.cpu_count() or 1)) as pool:
        for _ in pool.map(_verify, *zip(*new, strict=True)):
            pass  # the first error is raised here
    return paths


def _path(storage: Storage, file: DataFile) -> str | None:
    try:
        return storage.local_path(file.path)
    except NotFoundError:
        raise missing(_ref(file)) from None


def _ref(file: DataFile) -> Ref:
    return Ref(path=file.path, size=file.size, hash=file.hash)


def _known(path: str, file: DataFile) -> bool:
    try:
        return (_identity(path, os.stat(path)), file.hash) in _seen  # noqa: PTH116 a path as text
    except OSError:
        return False  # to be said when it is opened


def _identity(path: str, status: os.stat_result) -> Identity:
    return path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _verify(path: str, file: DataFile) -> None:
    try:
        with translating(path):
            identity = _hashed(path, file)
    except NotFoundError:
        raise missing(_ref(file)) from None
    if identity is not None:
        _seen.add(identity, file.hash)


def _hashed(path: str, file: DataFile) -> Identity | None:
    """What the file was while it was hashed; None if somebody wrote to it meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        before = os.fstat(descriptor)
        if before.st_size != file.size:
            raise DamagedError(f"{file.path} has {before.st_size} bytes, not {file.size}", file=file.path)
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
            check(_ref(file), view)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    found = _identity(path, after)
    return found if found == _identity(path, before) else None
