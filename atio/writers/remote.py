"""Files in buckets, and wherever else fsspec can write: sent while they are made, there when whole."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, cast

from atio.errors import AtioError, InputError, NotFoundError
from atio.storage.base import Sink
from atio.storage.remote import Replaceable, open_folder
from atio.storage.replace import BACKUP
from atio.writers.streams import Forward, Pieces, buffered
from atio.writers.targets import Target

_PIECE = 1 << 20


class RemoteTarget(Target):
    """One object of a storage that is elsewhere."""

    def __init__(self, storage: Replaceable, name: str) -> None:
        self._storage = storage
        self._name = name
        self.url = f"{storage.url}/{name.partition('?')[0]}"

    @contextmanager
    def replacing(self, *, durable: bool, backup: bool) -> Iterator[RemoteDraft]:
        del durable  # what a store acknowledges is as durable as the store
        sink = self._storage.replacement(self._name)
        try:
            draft = RemoteDraft(self.url, sink)
            yield draft
            draft.flush()
            if backup:
                self._back_up()
            sink.close()
        finally:
            sink.abort()

    def _back_up(self) -> None:
        try:
            old = self.stream()
        except NotFoundError:
            return
        sink = self._storage.replacement(self._name + BACKUP)
        try:
            shutil.copyfileobj(old, sink, _PIECE)
            sink.close()
        finally:
            sink.abort()

    def open(self) -> BinaryIO:
        return io.BytesIO(self._storage.read(self._name))

    def stream(self) -> BinaryIO:
        pieces = self._storage.pieces(self._name)
        first = next(pieces, b"")  # now, so that a missing object is known here
        return cast("BinaryIO", io.BufferedReader(Pieces(_chained(first, pieces)), _PIECE))

    def beside(self, name: Callable[[str], str]) -> RemoteTarget:
        return RemoteTarget(self._storage, name(self._name.partition("?")[0]))

    def remove(self) -> None:
        self._storage.delete([self._name])


class RemoteDraft:
    """A stream to the place itself."""

    def __init__(self, url: str, sink: Sink) -> None:
        self.url = url
        self._raw = Forward(sink)
        self.file = buffered(self._raw)

    @property
    def place(self) -> BinaryIO:
        return self.file

    def flush(self) -> None:
        if not self.file.closed:
            self.file.flush()

    def size(self) -> int:
        return self._raw.size

    def trouble(self) -> OSError | AtioError | None:
        error = self._raw.error
        return error if isinstance(error, OSError | AtioError) else None


def open_remote(scheme: str, rest: str, storage_options: Mapping[str, object]) -> RemoteTarget:
    """Return the target of ``scheme://rest``; nothing is sent yet."""
    path, mark, query = rest.partition("?")
    folder, slash, name = path.rpartition("/")
    if not slash or not name:
        raise InputError(f"{scheme}:// names no file", hint=f"write {scheme}://place/name")
    return RemoteTarget(open_folder(scheme, folder, storage_options), name + mark + query)


def _chained(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others
