"""Metadata files as checked, cached objects."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import TypeVar, cast

import xxhash

from atio.errors import AtioError, DamagedError, NotFoundError
from atio.model.base import Model, Ref, new_id
from atio.storage.base import Buffer, Storage

M = TypeVar("M", bound=Model)
T = TypeVar("T")

MAX_METADATA = 256 * 2**20
"""No metadata file is larger; a reference that says so is refused before anything is read."""
_CACHED = 512
_CACHED_SIZE = 2**20


def digest(data: Buffer) -> str:
    """XXH3-64 as 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(data)


def check(ref: Ref, data: Buffer) -> None:
    """Raise ``DamagedError`` unless ``data`` is what the reference vouches for."""
    if len(data) != ref.size:
        raise DamagedError(
            f"{ref.path} has {len(data)} bytes where the table's metadata say {ref.size}",
            file=ref.path,
            hint="run verify() to see the extent, repair() to return to the last intact version",
        )
    if digest(data) != ref.hash:
        raise DamagedError(
            f"{ref.path} is not what was written: its checksum differs",
            file=ref.path,
            hint="run verify() to see the extent, repair() to return to the last intact version",
        )


def missing(ref: Ref) -> DamagedError:
    return DamagedError(
        f"{ref.path} is missing",
        file=ref.path,
        hint="run verify() to see the extent, repair() to return to the last intact version",
    )


class Objects:
    """The metadata files of one table.

    Files are immutable and their names unique, so what was read once stays true; small ones are kept.

    Parameters
    ----------
    branch
        The line of versions that is read and written by way of them; None is the table's own.
    fresh
        Read from the storage itself, as whoever looks for damage must.
    """

    def __init__(self, storage: Storage, branch: str | None = None, *, fresh: bool = False) -> None:
        self.storage = storage
        self.branch = branch
        self._fresh = fresh
        self._cache: OrderedDict[tuple[str, str, type], object] = OrderedDict()
        self._lock = threading.Lock()
        self._created: list[str] | None = None
        self._pending: dict[str, Buffer] = {}
        self._below: Objects | None = None

    def recorder(self, below: Objects | None = None) -> Objects:
        """The same objects, keeping back what is written through it until ``flush``.

        What the recorder ``below`` keeps back is read and flushed with it, and is not its to discard.
        """
        twin = copy(self)
        twin._created = []  # noqa: SLF001
        twin._pending = {}  # noqa: SLF001
        twin._below = below  # noqa: SLF001
        return twin

    def create(self, path: str, data: Buffer) -> None:
        """Write a new file, durably; a recorder does so when it is flushed."""
        if self._created is None:
            self.storage.create(path, data)
        else:
            self._created.append(path)
            self._pending[path] = data

    def kept(self, path: str) -> Buffer | None:
        """The content of a file that is kept back."""
        found = self._pending.get(path)
        return self._below.kept(path) if found is None and self._below is not None else found

    def flush(self) -> None:
        """Write, durably and together, what was kept back."""
        pending = self._released()
        if pending:
            self.storage.create_all(pending)

    def _released(self) -> dict[str, Buffer]:
        pending, self._pending = self._pending, {}
        return pending if self._below is None else self._below._released() | pending  # noqa: SLF001

    def mark(self) -> int:
        """A point that ``discard`` can return to."""
        return len(self._created or ())

    def discard(self, mark: int = 0) -> None:
        """Remove what a recorder saw written since ``mark``. Only for what surely did not land."""
        assert self._created is not None
        gone = self._created[mark:]
        del self._created[mark:]
        with suppress(AtioError):
            self.storage.delete([path for path in gone if self._pending.pop(path, None) is None])

    def fetch(self, ref: Ref) -> bytes:
        """Return the file's content, checked."""
        kept = self.kept(ref.path)
        if kept is not None:
            return bytes(kept)
        if ref.size > MAX_METADATA:
            raise DamagedError(f"{ref.path} is said to have {ref.size} bytes", file=ref.path)
        cache = None if self._fresh or ref.path.startswith("data/") else self.storage.cache
        if cache is None:
            return self._read(ref)
        identity = (self.storage.identity, ref.path, str(ref.size), ref.hash)
        near = cache.get(*identity)
        if near is not None:
            try:
                check(ref, near)
            except DamagedError:
                cache.drop(*identity)
            else:
                return near
        data = self._read(ref)
        cache.put(data, *identity)
        return data

    def _read(self, ref: Ref) -> bytes:
        try:
            data = self.storage.read(ref.path, 0, ref.size + 1)  # However long the file is by now.
        except NotFoundError:
            raise missing(ref) from None
        check(ref, data)
        return data

    def get(self, ref: Ref, model: type[M]) -> M:
        return self.parsed(ref, model, model.decode)

    def parsed(self, ref: Ref, kind: type[T], parse: Callable[[bytes], T]) -> T:
        """The file's content as ``parse`` makes it (a ``kind``), from memory if it was read before."""
        key = (ref.path, ref.hash, kind)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return cast(T, self._cache[key])
        data = self.fetch(ref)
        try:
            value = parse(data)
        except AtioError:
            raise
        except ValueError as error:
            raise DamagedError(
                f"{ref.path} is not valid: {error}",
                file=ref.path,
                hint="repair() returns to the last intact version",
            ) from error
        self.remember(ref, value)
        return value

    def would_keep(self, ref: Ref, kind: type) -> bool:
        """Whether reading the file (as a ``kind``) would add it to those in memory."""
        with self._lock:
            return ref.size <= _CACHED_SIZE and (ref.path, ref.hash, kind) not in self._cache

    def remember(self, ref: Ref, value: object) -> None:
        if ref.size > _CACHED_SIZE:
            return
        with self._lock:
            self._cache[ref.path, ref.hash, type(value)] = value
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)

    def put(self, folder: str, data: bytes, *, identity: str | None = None, suffix: str = ".json") -> Ref:
        """``create`` under a name of its own."""
        path = f"{folder}/{identity or new_id()}{suffix}"
        self.create(path, data)
        return Ref(path=path, size=len(data), hash=digest(data))
