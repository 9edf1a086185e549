"""Where files go: a local path, or a store of objects; each is replaced whole by one atomic step."""

# Paths stay text, as in atio.storage.
# ruff: noqa: PTH111, PTH123

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Protocol

from atio.errors import AtioError, ConflictError, NotFoundError
from atio.storage import MemoryStorage
from atio.storage.failures import translated, translating
from atio.storage.replace import BACKUP, Replacement

_NOTHING = 1 << 16
"""Free bytes of a disk that is as good as full."""


class TargetDraft(Protocol):
    """New content of a target; see :class:`atio.writers.files.Draft`."""

    @property
    def url(self) -> str: ...

    @property
    def file(self) -> BinaryIO: ...

    @property
    def place(self) -> str | BinaryIO: ...

    def flush(self) -> None:
        """Hand what ``file`` still holds to the system."""

    def size(self) -> int:
        """Bytes written so far."""

    def trouble(self) -> OSError | AtioError | None:
        """What is wrong with the place itself: libraries may say something else when a disk is full."""


class Target(ABC):
    """One file or object.

    Third parties subclass this for their stores: what a store needs is one atomic put.
    """

    url: str

    @abstractmethod
    def replacing(self, *, durable: bool, backup: bool) -> AbstractContextManager[TargetDraft]:
        """Give a draft that takes the target's place, at once, when the block ends well."""

    @abstractmethod
    def open(self) -> BinaryIO:
        """The content, as it is now; ``NotFoundError`` if there is none."""

    def stream(self) -> BinaryIO:
        """As ``open``, to be read from beginning to end in bounded memory."""
        return self.open()

    def path(self) -> str | None:
        """A path of the local file system, if it has one."""
        return None

    @abstractmethod
    def beside(self, name: Callable[[str], str]) -> Target:
        """The target whose name is ``name(this one's name)``, in the same place."""

    @abstractmethod
    def remove(self) -> None:
        """Remove it; nothing happens if it is not there."""


# -- local files -------------------------------------------------------------------------------------


class LocalTarget(Target):
    """A file on a local disk."""

    def __init__(self, path: str) -> None:
        self.url = os.path.expanduser(path)
        self._resolved = ""

    @contextmanager
    def replacing(self, *, durable: bool, backup: bool) -> Iterator[LocalDraft]:
        with Replacement(self.url, durable=durable, backup=backup) as replacement:
            self._resolved = replacement.target
            yield LocalDraft(self.url, replacement)

    def open(self) -> BinaryIO:
        try:
            return open(self.url, "rb")
        except FileNotFoundError as error:
            raise NotFoundError("there is no such file", file=self.url) from error
        except OSError as error:
            raise translated(error, self.url) from error

    def path(self) -> str:
        return os.path.abspath(self.url)  # noqa: PTH100

    def beside(self, name: Callable[[str], str]) -> LocalTarget:
        folder, own = os.path.split(self._resolved or os.path.realpath(self.url))
        return LocalTarget(os.path.join(folder, name(own)))  # noqa: PTH118

    def remove(self) -> None:
        with translating(self.url), contextlib.suppress(FileNotFoundError):
            os.unlink(self.url)  # noqa: PTH108


class LocalDraft:
    """The hidden file beside the target."""

    def __init__(self, url: str, replacement: Replacement) -> None:
        self.url = url
        self._replacement = replacement

    @property
    def file(self) -> BinaryIO:
        return self._replacement.file

    @property
    def place(self) -> str:
        return self._replacement.path

    def flush(self) -> None:
        self._replacement.flush()

    def size(self) -> int:
        return self._replacement.size()

    def trouble(self) -> OSError | None:
        return self._replacement.failure or _full(self.place)


def _full(path: str) -> OSError | None:
    try:
        free = shutil.disk_usage(os.path.dirname(path)).free  # noqa: PTH120
    except OSError as error:
        return error
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if free < _NOTHING else None


# -- object stores -----------------------------------------------------------------------------------


class Store(Protocol):
    """What atio needs of an object store. Both calls are atomic."""

    def put(self, key: str, body: BinaryIO) -> None:
        """Replace the whole object; on return every reader sees the new one."""

    def get(self, key: str) -> bytes | None:
        """The whole object; None if there is none."""

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""


class StoreTarget(Target):
    """An object in a store, written to a local temporary file first and put from there."""

    def __init__(self, prefix: str, key: str, store: Store) -> None:
        self.url = prefix + key
        self._prefix = prefix
        self._key = key
        self._store = store

    @contextmanager
    def replacing(self, *, durable: bool, backup: bool) -> Iterator[StoreDraft]:
        del durable  # a store's put is as durable as the store
        with tempfile.TemporaryDirectory(prefix="atio-", ignore_cleanup_errors=True) as folder:
            path = os.path.join(folder, "object")  # noqa: PTH118
            with open(path, "wb") as file:
                yield StoreDraft(self.url, file)
            if backup and (old := self._store.get(self._key)) is not None:
                self._store.put(self._key + BACKUP, io.BytesIO(old))
            with open(path, "rb") as body:
                self._store.put(self._key, body)

    def open(self) -> BinaryIO:
        body = self._store.get(self._key)
        if body is None:
            raise NotFoundError("there is no such object", file=self.url)
        return io.BytesIO(body)

    def beside(self, name: Callable[[str], str]) -> StoreTarget:
        folder, slash, own = self._key.rpartition("/")
        return StoreTarget(self._prefix, folder + slash + name(own), self._store)

    def remove(self) -> None:
        self._store.delete(self._key)


class StoreDraft:
    """A local temporary file."""

    def __init__(self, url: str, file: BinaryIO) -> None:
        self.url = url
        self.file = file

    @property
    def place(self) -> str:
        return self.file.name

    def flush(self) -> None:
        self.file.flush()

    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def trouble(self) -> OSError | None:
        return _full(self.place)


class MemoryStore:
    """Objects of a :class:`~atio.storage.MemoryStorage`."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage

    def put(self, key: str, body: BinaryIO) -> None:
        data = body.read()
        while True:
            found = self._storage.load(key)
            try:
                self._storage.swap(key, data, found.token if found else None)
            except ConflictError:
                continue
            return

    def get(self, key: str) -> bytes | None:
        found = self._storage.load(key)
        return found.data if found else None

    def delete(self, key: str) -> None:
        self._storage.delete([key])
