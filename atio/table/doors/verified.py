"""Data files that an engine may read by itself: hashed once a process, whole or the columns it will read.

An engine's own reader verifies nothing. What it opens is therefore compared with the checksums in the
metadata before. Data files never change, so a file is hashed again only if its status (size, inode, times)
says that it is not the one that was.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from atio.errors import DamagedError, NotFoundError
from atio.metadata.objects import check, missing
from atio.model.base import Ref
from atio.model.snapshot import DataFile
from atio.storage.base import Storage
from atio.storage.failures import translating
from atio.table.datafiles import open_parts

if TYPE_CHECKING:
    from atio.table.scan import Scan

_REMEMBERED = 2**16

Identity = tuple[str, int, int, int, int, int]
Names = tuple[str, ...]
"""The columns that are read; none of them: all of the file."""


class _Seen:
    """Files that were verified, by their hashes; the least recently used are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hashes: OrderedDict[tuple[Identity, Names], str] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, item: tuple[Identity, Names, str]) -> bool:
        identity, names, wanted = item
        with self._lock:
            known = self._hashes.get((identity, names)) == wanted
            if known:
                self._hashes.move_to_end((identity, names))
            return known

    def add(self, identity: Identity, names: Names, hash: str) -> None:
        with self._lock:
            self._hashes[identity, names] = hash
            while len(self._hashes) > self._most:
                self._hashes.popitem(last=False)


_seen = _Seen(_REMEMBERED)


def verified(scan: Scan, files: Sequence[DataFile]) -> list[str] | None:
    """Local paths of the files, each what the metadata say it is; None if the storage has no such paths.

    Of a scan of some columns, these: more than they are must not be read.

    Raises
    ------
    DamagedError
        A file is missing, has another size or another checksum.
    """
    storage, names = scan.objects.storage, _names(scan)
    paths: list[str] = []
    for file in files:
        path = _path(storage, file)
        if path is None:
            return None
        paths.append(path)

    def verify(path: str, file: DataFile) -> None:
        _verify(path, file, names, scan)

    new = [(path, file) for path, file in zip(paths, files, strict=True) if not _known(path, file, names)]
    if len(new) < 2:
        for path, file in new:
            verify(path, file)
        return paths
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(new), os.cpu_count() or 1)) as pool:
        for _ in pool.map(verify, *zip(*new, strict=True)):
            pass  # the first error is raised here
    return paths


def _names(scan: Scan) -> Names:
    if scan.columns is None:
        return ()
    tested = () if scan.condition is None else scan.condition.columns
    return tuple(sorted({*scan.columns, *tested}))


def _path(storage: Storage, file: DataFile) -> str | None:
    try:
        return storage.local_path(file.path)
    except NotFoundError:
        raise missing(_ref(file)) from None


def _ref(file: DataFile) -> Ref:
    return Ref(path=file.path, size=file.size, hash=file.hash)


def _known(path: str, file: DataFile, names: Names) -> bool:
    try:
        identity = _identity(path, os.stat(path))  # noqa: PTH116 a path as text
    except OSError:
        return False  # to be said when it is opened
    return any((identity, known, file.hash) in _seen for known in {(), names})


def _identity(path: str, status: os.stat_result) -> Identity:
    return path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _verify(path: str, file: DataFile, names: Names, scan: Scan) -> None:
    try:
        with translating(path):
            identity = _hashed_columns(path, file, names, scan) if names else _hashed(path, file)
    except NotFoundError:
        raise missing(_ref(file)) from None
    if identity is not None:
        _seen.add(identity, names, file.hash)


def _hashed_columns(path: str, file: DataFile, names: Names, scan: Scan) -> Identity | None:
    """As ``_hashed``, of the footer and of these columns."""
    before = os.stat(path)  # noqa: PTH116 a path as text
    with open_parts(scan.objects.storage, file, scan.source(file).arrow) as parts:
        parts.verify(names)
    found = _identity(path, os.stat(path))  # noqa: PTH116 a path as text
    return found if found == _identity(path, before) else None


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
