"""A storage in memory: the reference for what the others must do, and a home for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec

from atio.errors import ExistsError, InputError, LockTimeoutError, NotFoundError, StorageError
from atio.model.paths import check_path
from atio.storage.base import Buffer, Capabilities, Entry, Storage, Value
from atio.storage.failures import conflict


class _Object(msgspec.Struct, frozen=True):
    data: bytes
    modified: float
    token: str


class _Place(msgspec.Struct):
    """What all handles of one place share."""

    guard: threading.Lock = msgspec.field(default_factory=threading.Lock)
    objects: dict[str, _Object] = msgspec.field(default_factory=dict)
    leases: set[str] = msgspec.field(default_factory=set)
    writer: threading.Lock = msgspec.field(default_factory=threading.Lock)
    swaps: int = 0


class MemoryStorage(Storage):
    """Objects in a dictionary, gone with the process.

    Every instance is a handle: ``MemoryStorage()`` makes a new place, ``MemoryStorage.named(name)``
    leads to the same place each time.

    Parameters
    ----------
    lock_timeout
        Seconds to wait for another writer's lock before ``LockTimeoutError``.
    """

    def __init__(self, *, lock_timeout: float = 30.0) -> None:
        self._name = ""
        self._place = _Place()
        self._timeout = min(lock_timeout, threading.TIMEOUT_MAX)
        self._threads = threading.RLock()
        self._depth = 0

    @classmethod
    def named(cls, name: str) -> MemoryStorage:
        """Return a handle of the place with this name, made on first use and kept for good."""
        handle = cls()
        handle._name = name
        with _naming:
            handle._place = _named.setdefault(name, handle._place)
        return handle

    @staticmethod
    def forget(name: str) -> None:
        """Let go of a named place; handles that are out keep theirs."""
        with _naming:
            _named.pop(name, None)

    def handle(self) -> MemoryStorage:
        """Return another handle of the same place, as another process would have."""
        other = MemoryStorage(lock_timeout=self._timeout)
        other._name, other._place = self._name, self._place
        return other

    def __repr__(self) -> str:
        return f"<MemoryStorage {self.url}>"

    @property
    def url(self) -> str:
        return f"memory://{self._name}"

    @property
    def identity(self) -> str:
        return f"{self.url} {id(self._place)}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(swap=True, durable=False, lock=True, leases=True)

    # -- objects that are written once -----------------------------------------------------

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if offset < 0 or (length is not None and length < 0):
            raise InputError(f"cannot read {length} bytes at {offset}", file=path)
        data = self._get(path).data
        return data[offset:] if length is None else data[offset : offset + length]

    def size(self, path: str) -> int:
        return len(self._get(path).data)

    def _get(self, path: str) -> _Object:
        _check(path)
        try:
            return self._place.objects[path]
        except KeyError:
            raise NotFoundError("no such object", file=path) from None

    def create(self, path: str, data: Buffer) -> None:
        _check(path)
        new = _Object(bytes(data), time.time(), "")
        with self._place.guard:
            if path in self._place.objects:
                raise _exists(path)
            self._place.objects[path] = new

    def sink(self, path: str) -> MemorySink:
        _check(path)
        if path in self._place.objects:
            raise _exists(path)
        return MemorySink(self, path)

    def delete(self, paths: Iterable[str]) -> None:
        names = list(paths)
        for path in names:
            _check(path)
        with self._place.guard:
            for path in names:
                self._place.objects.pop(path, None)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = prefix.removesuffix("/")
        if folder:
            _check(folder)
            folder += "/"
        with self._place.guard:
            found = [
                Entry(path, len(item.data), item.modified)
                for path, item in self._place.objects.items()
                if path.startswith(folder)
            ]
        return iter(found)

    # -- the one object that is replaced ---------------------------------------------------

    def load(self, path: str) -> Value | None:
        _check(path)
        found = self._place.objects.get(path)
        return None if found is None else Value(found.data, found.token)

    def swap(self, path: str, data: Buffer, expected: str | None) -> str:
        _check(path)
        content = bytes(data)
        with self.exclusive(), self._place.guard:
            found = self._place.objects.get(path)
            if (None if found is None else found.token) != expected:
                raise conflict(path, expected=expected, found=found is not None)
            self._place.swaps += 1
            token = str(self._place.swaps)
            self._place.objects[path] = _Object(content, time.time(), token)
        return token

    # -- writers among each other ----------------------------------------------------------

    def exclusive(self, *, wait: bool = True) -> AbstractContextManager[None]:
        return self._held(self._timeout if wait else 0)

    @contextmanager
    def _held(self, timeout: float) -> Iterator[None]:
        if not self._threads.acquire(timeout=timeout):
            raise self._too_long(timeout)
        try:
            if self._depth == 0 and not self._place.writer.acquire(timeout=timeout):
                raise self._too_long(timeout)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._place.writer.release()
        finally:
            self._threads.release()

    def _too_long(self, timeout: float) -> LockTimeoutError:
        return LockTimeoutError(
            f"waited {timeout:g} s for the lock that another thread or handle holds",
            file=self.url,
            hint="try again",
        )

    def lease(self, name: str) -> MemoryLease:
        _check(name)
        if "/" in name:
            raise InputError(f"{name!r} is no name for a lease: it has a slash")
        return MemoryLease(self._place, name)

    def live_leases(self) -> frozenset[str]:
        with self._place.guard:
            return frozenset(self._place.leases)


class MemorySink:
    """A new object being written; there once closed."""

    def __init__(self, storage: MemoryStorage, path: str) -> None:
        self._storage = storage
        self._path = path
        self._data = bytearray()
        self._state = "open"

    def write(self, data: Buffer, /) -> int:
        if self._state != "open":
            raise InputError(f"cannot write: the sink is {self._state}", file=self._path)
        view = memoryview(data)
        self._data += view.tobytes()
        return view.nbytes

    def close(self) -> None:
        if self._state == "closed":
            return
        if self._state != "open":
            raise StorageError("was given up: nothing was written", file=self._path)
        try:
            self._storage.create(self._path, self._data)
        except BaseException:
            self.abort()
            raise
        self._state = "closed"
        self._data = bytearray()

    def abort(self) -> None:
        if self._state == "open":
            self._state = "given up"
            self._data = bytearray()


class MemoryLease:
    """A name in the set of live ones."""

    def __init__(self, place: _Place, name: str) -> None:
        self._place = place
        self._name = name
        with place.guard:
            if name in place.leases:
                raise LockTimeoutError("a live writer has this name", file=name, hint="choose a new one")
            place.leases.add(name)
        self._live = True

    def release(self) -> None:
        with self._place.guard:
            if self._live:
                self._live = False
                self._place.leases.discard(self._name)


_naming = threading.Lock()
_named: dict[str, _Place] = {}


def _check(path: str) -> None:
    try:
        check_path(path)
    except ValueError as error:
        raise InputError(str(error)) from None


def _exists(path: str) -> ExistsError:
    return ExistsError("is there already", file=path, hint="objects are written once: choose a new name")
