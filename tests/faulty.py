"""A storage that fails where it is told to: the N-th operation, once or from then on.

SQLite's tests do the same: fail the N-th call of everything, until a run comes through clean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Any

from atio.errors import OutcomeUnknownError, ResponseLostError, StorageError
from atio.storage import MemoryStorage
from atio.storage.base import Buffer, Capabilities, Entry, Lease, Sink, Storage, Value


class Kind(Enum):
    """What the failing operation does before it raises."""

    BEFORE = "nothing took effect"
    REMNANT = "it took effect where the contract allows a remnant (create, sink, delete), then failed"
    UNKNOWN_LANDED = "a swap lands and its outcome is unknown"
    UNKNOWN_LOST = "a swap does not land and its outcome is unknown"
    RESPONSE_LANDED = "a swap lands and the answer is lost"
    RESPONSE_LOST = "a swap does not land and no answer comes"


@dataclass(slots=True)
class Faults:
    """Counts operations; fails number ``at`` (from 1), and all later ones when ``for_ever``."""

    at: int = 0
    kind: Kind = Kind.BEFORE
    for_ever: bool = False
    count: int = 0
    failed: str | None = None
    swaps_only: bool = False

    def hit(self, operation: str) -> bool:
        if self.swaps_only and operation != "swap":
            return False
        self.count += 1
        due = self.at and (self.count >= self.at if self.for_ever else self.count == self.at)
        if due and self.failed is None:
            self.failed = operation
        return bool(due)


class FaultyStorage(Storage):
    """Passes everything on to ``inner``, apart from the failures of ``faults``.

    Parameters
    ----------
    lock
        False makes it a store without a lock, as object stores are.
    before_swap
        Called before every swap: where another writer can slip in.
    """

    def __init__(
        self,
        inner: Storage,
        faults: Faults | None = None,
        *,
        lock: bool = True,
        before_swap: Callable[[], object] = lambda: None,
    ) -> None:
        self.inner = inner
        self.faults = faults or Faults()
        self.before_swap = before_swap
        self.deleted: list[str] = []
        self._lock = lock

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(swap=True, durable=False, lock=self._lock, leases=self._lock)

    def _do(self, operation: str, action: Callable[[], Any]) -> Any:
        if self.faults.hit(operation):
            if self.faults.kind is Kind.REMNANT and operation in ("create", "close", "delete"):
                action()
            raise StorageError(f"injected: {operation} number {self.faults.count}")
        return action()

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._do("read", lambda: self.inner.read(path, offset, length))

    def size(self, path: str) -> int:
        return self._do("size", lambda: self.inner.size(path))

    def create(self, path: str, data: Buffer) -> None:
        self._do("create", lambda: self.inner.create(path, data))

    def sink(self, path: str) -> Sink:
        return _FaultySink(self, self._do("sink", lambda: self.inner.sink(path)))

    def delete(self, paths: Iterable[str]) -> None:
        names = list(paths)
        self.deleted += names
        self._do("delete", lambda: self.inner.delete(names))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        return self._do("list", lambda: self.inner.list(prefix))

    def load(self, path: str) -> Value | None:
        return self._do("load", lambda: self.inner.load(path))

    def swap(self, path: str, data: Buffer, expected: str | None) -> str:
        self.before_swap()
        if not self.faults.hit("swap"):
            return self.inner.swap(path, data, expected)
        kind = self.faults.kind
        if kind in (Kind.UNKNOWN_LANDED, Kind.RESPONSE_LANDED):
            self.inner.swap(path, data, expected)
        if kind in (Kind.UNKNOWN_LANDED, Kind.UNKNOWN_LOST):
            raise OutcomeUnknownError("injected: nobody knows")
        if kind in (Kind.RESPONSE_LANDED, Kind.RESPONSE_LOST):
            raise ResponseLostError("injected: the answer is lost")
        raise StorageError("injected: swap")

    def exclusive(self, *, wait: bool = True) -> Any:
        if not self._lock:
            return nullcontext()
        return self._held(wait)

    @contextmanager
    def _held(self, wait: bool) -> Iterator[None]:
        if self.faults.hit("exclusive"):
            raise StorageError("injected: lock")
        with self.inner.exclusive(wait=wait):
            yield

    def lease(self, name: str) -> Lease | None:
        return self._do("lease", lambda: self.inner.lease(name)) if self._lock else None

    def live_leases(self) -> frozenset[str]:
        return self._do("live_leases", self.inner.live_leases) if self._lock else frozenset()


class _FaultySink:
    def __init__(self, owner: FaultyStorage, inner: Sink) -> None:
        self._owner = owner
        self._inner = inner

    def write(self, data: Buffer, /) -> int:
        return self._owner._do("write", lambda: self._inner.write(data))

    def close(self) -> None:
        self._owner._do("close", self._inner.close)

    def abort(self) -> None:
        self._inner.abort()


def copied(storage: MemoryStorage) -> MemoryStorage:
    """A new place with the same objects."""
    twin = MemoryStorage()
    twin._place.objects.update(storage._place.objects)
    twin._place.swaps = storage._place.swaps
    return twin
