"""What a table asks of the place it lives in.

The interface suits disks and object stores alike: objects are written once and whole, one
object (the pointer) is replaced by a conditional swap, nothing is renamed and listing is needed
only by maintenance. ``spec/storage.md`` states the rules; ``atio.storage.conformance`` tests them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import msgspec

from atio.errors import StorageError

Buffer = bytes | bytearray | memoryview

_PIECE = 8 << 20


class Capabilities(msgspec.Struct, frozen=True):
    """What a storage promises beyond reading and writing.

    Attributes
    ----------
    swap
        ``swap`` is atomic among all writers; without it only one declared writer may write.
    durable
        What a write acknowledged survives a power cut.
    lock
        ``exclusive`` keeps other writers out, so a commit cannot meet a conflict.
    leases
        ``lease`` tells live writers from dead ones.
    parallel
        Every operation waits for an answer, and many may be under way at once.
    """

    swap: bool
    durable: bool
    lock: bool
    leases: bool
    parallel: bool = False


class Value(msgspec.Struct, frozen=True):
    """A replaceable object's content and the token that a swap from it needs."""

    data: bytes
    token: str


class Entry(msgspec.Struct, frozen=True):
    """One object of a listing: path relative to the root, size in bytes, mtime in seconds (UTC)."""

    path: str
    size: int
    modified: float


class Cache(Protocol):
    """Keeps immutable objects nearer than they are; see :class:`atio.storage.remote.cache.DiskCache`."""

    def get(self, *identity: str) -> bytes | None: ...
    def put(self, data: bytes, *identity: str) -> None: ...
    def drop(self, *identity: str) -> None: ...


class Sink(Protocol):
    """A new object being written. Nothing is acknowledged before ``close`` returns."""

    def write(self, data: Buffer, /) -> int: ...
    def close(self) -> None:
        """Make the object durable (capability permitting). Raises if that failed."""

    def abort(self) -> None:
        """Give the object up and remove what was written; never raises; harmless after close."""


class Lease(Protocol):
    """Proof that a writer lives; gone when its process is."""

    def release(self) -> None: ...


class Request(Protocol):
    """What a waiting writer asks whoever holds the lock to do for it."""

    def wait(self) -> None:
        """Sleep until the lock may be free or the request answered.

        Raises
        ------
        LockTimeoutError
            It took too long.
        """

    def withdraw(self) -> bool:
        """Take it back; False if a holder of the lock has taken it."""

    def answer(self) -> bytes | None:
        """What the holder that took it answered; None if it has not, or never did."""

    def close(self) -> None:
        """Wait no more."""


class Received(Protocol):
    """A waiting writer's request, in the hands of the holder of the lock."""

    @property
    def data(self) -> bytes: ...

    def take(self) -> bool:
        """Make it nobody else's; False if it was withdrawn."""

    def answer(self, data: bytes, /) -> None:
        """Tell the writer what became of it. Never raises: the writer can find out without."""

    def wake(self) -> None:
        """Tell the writer that the lock is free."""


class Storage(ABC):
    """One folder or bucket prefix. Paths are relative, ``/``-separated and free of ``..``.

    All methods are safe to call from several threads. Errors are of :mod:`atio.errors`:
    ``NotFoundError`` for a missing object, ``ExistsError``, ``AccessError``, ``StorageFullError``,
    ``StorageError``; only ``swap`` may raise ``ConflictError`` and ``OutcomeUnknownError``.
    """

    @property
    @abstractmethod
    def url(self) -> str:
        """Where this is, for messages; never holds credentials."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities: ...

    @property
    def cache(self) -> Cache | None:
        """Where metadata may be kept that was read from here."""
        return None

    @property
    def identity(self) -> str:
        """What tells this place from all others, unlike ``url``, which may leave out the server."""
        return self.url

    # -- objects that are written once -----------------------------------------------------

    @abstractmethod
    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes ``offset … offset+length`` (or to the end). Short only where the object ends."""

    def read_into(self, path: str, offset: int, into: memoryview) -> None:
        """Fill ``into`` with the bytes from ``offset`` on; ``StorageError`` if there are not so many."""
        data = self.read(path, offset, len(into))
        if len(data) != len(into):
            raise StorageError("it ends early", file=f"{self.url}/{path}")
        into[:] = data

    @abstractmethod
    def size(self, path: str) -> int:
        """Size in bytes; ``NotFoundError`` when missing."""

    @abstractmethod
    def create(self, path: str, data: Buffer) -> None:
        """Write a new object, whole and durable when this returns. ``ExistsError`` if it is there.

        If this raises, the object is absent or is an unreferenced remnant; never retried under
        the same name.
        """

    def create_all(self, objects: Mapping[str, Buffer]) -> None:
        """Write several new objects, as ``create``; if this raises, any of them may be a remnant."""
        for path, data in objects.items():
            self.create(path, data)

    @abstractmethod
    def sink(self, path: str) -> Sink:
        """Write a new object piece by piece."""

    def pieces(self, path: str) -> Iterator[bytes]:
        """All of an object in order, some MiB at a time; ``StorageError`` if it is replaced meanwhile."""
        size, start = self.size(path), 0
        while start < size:
            piece = self.read(path, start, min(_PIECE, size - start))
            if not piece:
                raise StorageError("it was replaced while it was read", file=f"{self.url}/{path}")
            yield piece
            start += len(piece)

    @abstractmethod
    def delete(self, paths: Iterable[str]) -> None:
        """Remove objects; a missing one is no error."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every object below the folder ``prefix`` ("" is everything), in any order.

        Objects removed meanwhile may or may not appear. A missing folder lists nothing.
        """

    def sync(self, paths: Iterable[str]) -> None:
        """Make objects durable that a writer left who was killed and acknowledged nothing.

        Where an object can be seen only when it is durable there is nothing to do. If this raises
        ``StorageError``, the objects are gone: a sync that failed is never repeated.
        """
        del paths

    def local_path(self, path: str) -> str | None:
        """A path the operating system can open for reading, or None."""
        del path
        return None

    # -- the one object that is replaced ---------------------------------------------------

    @abstractmethod
    def load(self, path: str) -> Value | None:
        """Content and token from one response; None when the object does not exist."""

    @abstractmethod
    def swap(self, path: str, data: Buffer, expected: str | None) -> str:
        """Replace the object if its token is still ``expected`` (None: if it does not exist).

        Returns
        -------
        str
            The token of what was written.

        Raises
        ------
        ConflictError
            The object was another one: surely not written.
        OutcomeUnknownError
            The object may or may not have been written.
        AtioError
            Any other error: surely not written.
        """

    # -- writers among each other ----------------------------------------------------------

    def exclusive(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Keep other writers out for a moment, where the storage can; else do nothing.

        Raises
        ------
        LockTimeoutError
            Others hold the lock, for too long or, without ``wait``, at all.
        """
        del wait
        return nullcontext()

    def post(self, data: bytes) -> Request | None:
        """Leave a request for whoever holds the lock, valid while this process lives; None: it cannot."""
        del data
        return None

    def received(self) -> Iterable[Received]:
        """Requests of living writers who wait."""
        return ()

    def lease(self, name: str) -> Lease | None:
        """Declare a live writer whose objects' names start with ``name``."""
        del name
        return None

    def live_leases(self) -> frozenset[str]:
        """Names of the leases whose writers live; leases of dead writers are removed."""
        return frozenset()
