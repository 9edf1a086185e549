"""What a transaction writes, over the storage that it will be written to: in memory until then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from atio.errors import ConflictError
from atio.storage.base import Buffer, Capabilities, Entry, Lease, Sink, Storage, Value


class Overlay(Storage):
    """One writer's view of a storage: its own objects and pointer, and below them what is there.

    Small objects stay in memory. Those that are written piece by piece go to the storage below, where nothing
    refers to them.

    Attributes
    ----------
    streamed
        Paths of the latter.
    """

    def __init__(self, below: Storage) -> None:
        self._below = below
        self._held: dict[str, bytes] = {}
        self._pointers: dict[str, Value] = {}
        self._tokens = (f"held-{number}" for number in count())
        self.streamed: list[str] = []

    def held(self, paths: Iterable[str]) -> dict[str, Buffer]:
        """Those of the objects that are in memory."""
        return {path: self._held[path] for path in paths if path in self._held}

    def pin(self, path: str) -> bool:
        """Keep what the storage below has for this pointer now; False if there is none."""
        found = self._below.load(path)
        if found is not None:
            self._pointers[path] = found
        return found is not None

    @property
    def url(self) -> str:
        return self._below.url

    @property
    def capabilities(self) -> Capabilities:
        return self._below.capabilities

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        held = self._held.get(path)
        if held is None:
            return self._below.read(path, offset, length)
        return held[offset:] if length is None else held[offset : offset + length]

    def size(self, path: str) -> int:
        held = self._held.get(path)
        return self._below.size(path) if held is None else len(held)

    def create(self, path: str, data: Buffer) -> None:
        self._held[path] = bytes(data)

    def create_all(self, objects: Mapping[str, Buffer]) -> None:
        for path, data in objects.items():
            self.create(path, data)

    def sink(self, path: str) -> Sink:
        self.streamed.append(path)
        return self._below.sink(path)

    def delete(self, paths: Iterable[str]) -> None:
        self._below.delete([path for path in paths if self._held.pop(path, None) is None])

    def list(self, prefix: str = "") -> Iterator[Entry]:
        return self._below.list(prefix)

    def local_path(self, path: str) -> str | None:
        return None if path in self._held else self._below.local_path(path)

    def load(self, path: str) -> Value | None:
        return self._pointers.get(path) or self._below.load(path)

    def swap(self, path: str, data: Buffer, expected: str | None) -> str:
        found = self.load(path)
        if (found.token if found else None) != expected:
            raise ConflictError("another commit came while the transaction began", hint="begin it again")
        token = next(self._tokens)
        self._pointers[path] = Value(bytes(data), token)
        return token

    def lease(self, name: str) -> Lease | None:
        return self._below.lease(name)
