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
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._cache: OrderedDict[tuple[str, str, type], object] = OrderedDict()
        self._lock = threading.Lock()
        self._created: list[str] | None = None
        self._pending: dict[str, bytes] = {}

    def recorder(self) -> Objects:
        """The same objects, keeping back what is written through it until ``flush``."""
        twin = copy(self)
        twin._created = []  # noqa: SLF001
        twin._pending = {}  # noqa: SLF001
        return twin

    def note(self, path: str) -> None:
        """Record a file written by other means."""
        if self._created is not None:
            self._created.append(path)

    def flush(self) -> None:
        """Write, durably, what was kept back."""
        pending, self._pending = self._pending, {}
        if pending:
            self.storage.create_all(pending)

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
        if ref.path in self._pending:
            return self._pending[ref.path]
        if ref.size > MAX_METADATA:
            raise DamagedError(f"{ref.path} is said to have {ref.size} bytes", file=ref.path)
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

    def remember(self, ref: Ref, value: object) -> None:
        if ref.size > _CACHED_SIZE:
            return
        with self._lock:
            self._cache[ref.path, ref.hash, type(value)] = value
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)

    def put(self, folder: str, data: bytes, *, identity: str | None = None, suffix: str = ".json") -> Ref:
        """Write a new file, durably; a recorder does so when it is flushed."""
        path = f"{folder}/{identity or new_id()}{suffix}"
        self.note(path)
        if self._created is None:
            self.storage.create(path, data)
        else:
            self._pending[path] = data
        return Ref(path=path, size=len(data), hash=digest(data))
