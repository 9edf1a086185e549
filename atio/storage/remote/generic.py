"""Whatever fsspec can reach: for reading, and for one writer who has said that there is no other.

Nothing in fsspec's interface replaces an object if and only if it is still the one that was read, and
its exclusive creation is look-then-write. So nothing here can keep two writers apart.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import xxhash

from atio.errors import (
    AccessError,
    AtioError,
    ExistsError,
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    StorageError,
    UnsupportedError,
)
from atio.model.paths import check_path
from atio.storage.base import Buffer, Capabilities, Entry, Storage, Value
from atio.storage.failures import conflict
from atio.storage.files import flat

T = TypeVar("T")

_locks: dict[str, threading.RLock] = {}
_naming = threading.Lock()
_BUFFER = 1 << 20


class FsspecStorage(Storage):
    """A folder of an fsspec file system.

    Parameters
    ----------
    fs
        An ``fsspec.AbstractFileSystem``.
    folder
        In it.
    single_writer
        Promise that no other process writes; without it nothing can be written.
    url
        What the place is called, if not by what the file system tells.
    """

    def __init__(self, fs: Any, folder: str, *, single_writer: bool = False, url: str | None = None) -> None:
        self._fs = fs
        self._folder = folder.rstrip("/")
        self._single = single_writer
        self._url = without_user(url or _named(fs, self._folder)).rstrip("/")
        with _naming:
            self._lock = _locks.setdefault(self._url, threading.RLock())

    def __repr__(self) -> str:
        return f"<FsspecStorage {self._url}>"

    @property
    def url(self) -> str:
        return self._url

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(swap=False, durable=False, lock=False, leases=False)

    def _place(self, path: str) -> str:
        try:
            return f"{self._folder}/{check_path(path)}"
        except ValueError as error:
            raise InputError(str(error)) from None

    def _writable(self) -> None:
        if not self._single:
            raise UnsupportedError(
                f"{self._url} can only be read: nothing in fsspec replaces a file only if it "
                "is unchanged, so two writers would overwrite each other's commits",
                hint="use s3://, gs://, az:// or a local disk; or, if nobody else ever writes to this table, "
                "say storage_options={'single_writer': True}",
            )

    def _tried(self, path: str, action: Callable[[], T]) -> T:
        file = f"{self._url}/{path.partition('?')[0] if self._url.startswith('http') else path}"
        return tried(type(self._fs).__name__, file, action)

    # -- objects that are written once -----------------------------------------------------

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if offset < 0 or (length is not None and length < 0):
            raise InputError(f"cannot read {length} bytes at {offset}", file=path)
        full = self._place(path)
        if offset or length is not None:
            size = self.size(path)  # Beyond the end, file systems differ.
            end = size if length is None else min(size, offset + length)
            if offset >= end:
                return b""
            return bytes(self._tried(path, lambda: self._fs.cat_file(full, start=offset, end=end)))
        return bytes(self._tried(path, lambda: self._fs.cat_file(full)))

    def size(self, path: str) -> int:
        full = self._place(path)
        found = self._tried(path, lambda: self._info(full))
        if found.get("type") == "directory" or found.get("size") is None:
            raise NotFoundError("is no file of a known size", file=f"{self._url}/{path}")
        return int(found["size"])

    def _info(self, full: str) -> Mapping[str, Any]:
        self._fs.invalidate_cache()  # What others did since is to be seen.
        found: Mapping[str, Any] = self._fs.info(full)
        return found

    def create(self, path: str, data: Buffer) -> None:
        sink = self.sink(path)
        try:
            sink.write(data)
            sink.close()
        finally:
            sink.abort()

    def sink(self, path: str) -> FsspecSink:
        full = self._place(path)
        self._writable()
        return FsspecSink(self, path, full)

    def replacement(self, path: str) -> FsspecReplacement:
        """Write the new content of a file, or a new one, piece by piece; it takes its place by renaming."""
        return FsspecReplacement(self, path)

    def begin(self, path: str, full: str) -> Any:
        """Open a new file for writing."""
        with self._lock:
            if self._tried(path, lambda: self._there(full)):
                raise ExistsError(
                    "is there already",
                    file=f"{self._url}/{path}",
                    hint="files are written once: choose a new name",
                )
            return self._tried(path, lambda: self._open(full))

    def _there(self, full: str) -> bool:
        self._fs.invalidate_cache()
        return bool(self._fs.exists(full))

    def _open(self, full: str) -> Any:
        with suppress(OSError, NotImplementedError):  # Where there are no folders, there are none to make.
            self._fs.makedirs(full.rpartition("/")[0], exist_ok=True)
        return self._fs.open(full, "wb")

    def delete(self, paths: Iterable[str]) -> None:
        places = [(path, self._place(path)) for path in paths]
        self._writable()
        for path, full in places:
            with suppress(NotFoundError):
                self._tried(path, partial(self._fs.rm_file, full))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        prefix = prefix.removesuffix("/")
        full = self._place(prefix) if prefix else self._folder
        try:
            found = self._tried(prefix, lambda: self._find(full))
        except NotFoundError:
            found = {}
        start = f"{self._fs._strip_protocol(self._folder)}/".lstrip("/")  # noqa: SLF001 - as file systems do themselves
        below = f"{prefix}/" if prefix else ""
        for name, info in found.items():
            path = name.lstrip("/").removeprefix(start)
            if path.startswith(below) and info.get("type") != "directory":
                yield Entry(path, int(info.get("size") or 0), _modified(info))

    def _find(self, full: str) -> Mapping[str, Mapping[str, Any]]:
        self._fs.invalidate_cache()
        found: Mapping[str, Mapping[str, Any]] = self._fs.find(full, detail=True)
        return found

    # -- the one object that is replaced ---------------------------------------------------

    def load(self, path: str) -> Value | None:
        try:
            data = self.read(path)
        except NotFoundError:
            return None
        return Value(data, xxhash.xxh3_128_hexdigest(data))

    def swap(self, path: str, data: Buffer, expected: str | None) -> str:
        """Compare, write beside it, rename. Of several writers in this process one at a time."""
        self._place(path)
        self._writable()
        content = bytes(flat(data))
        with self._lock:
            now = self.load(path)
            if (None if now is None else now.token) != expected:
                raise conflict(f"{self._url}/{path}", expected=expected, found=now is not None)
            aside = _aside(path)
            self.create(aside, content)
            try:
                self.move(aside, path)
            except AtioError as error:
                self._settle(path, aside, content, now, error)
        return xxhash.xxh3_128_hexdigest(content)

    def move(self, path: str, to: str) -> None:
        """Give a file another name, in the place of what has it."""
        old, new = self._place(path), self._place(to)
        self._tried(to, lambda: self._fs.mv(old, new))

    def _settle(self, path: str, aside: str, content: bytes, before: Value | None, error: AtioError) -> None:
        """Find out what a failed replacement did. Returns if it landed, raises otherwise."""
        try:
            now = self.load(path)
        except AtioError:
            now = Value(b"", "")
        if now is not None and now.data == content:
            return
        if now != before:
            raise OutcomeUnknownError(
                "the write may or may not have taken effect: replacing it failed, and it is another one now",
                file=f"{self._url}/{path}",
                hint="read it and look for your own commit before writing again; remove nothing until then",
            ) from None
        with suppress(AtioError):
            self.delete([aside])
        raise error


class FsspecSink:
    """A new file being written."""

    def __init__(self, storage: FsspecStorage, path: str, full: str) -> None:
        self._storage = storage
        self._path = path
        self._file = storage.begin(path, full)
        self._gathered = bytearray()
        self._state = "open"

    def write(self, data: Buffer, /) -> int:
        if self._state != "open":
            raise InputError(f"cannot write: the sink is {self._state}", file=self._path)
        view = flat(data)
        self._gathered += view
        if len(self._gathered) >= _BUFFER:
            self._flush()
        return view.nbytes

    def _flush(self) -> None:
        data, self._gathered = bytes(self._gathered), bytearray()
        try:
            self._storage._tried(self._path, lambda: self._file.write(data))  # noqa: SLF001 - its other half
        except BaseException:
            self.abort()
            raise

    def close(self) -> None:
        if self._state == "closed":
            return
        if self._state != "open":
            raise StorageError("was given up: nothing was written", file=self._path)
        self._flush()
        try:
            self._storage._tried(self._path, self._file.close)  # noqa: SLF001
        except BaseException:
            self.abort()
            raise
        self._state = "closed"

    def abort(self) -> None:
        if self._state == "open":
            self._state = "given up"
            self._gathered = bytearray()
            with suppress(Exception):
                self._file.close()
            with suppress(AtioError):
                self._storage.delete([self._path])


class FsspecReplacement(FsspecSink):
    """The new content of a file, under another name until it is whole."""

    def __init__(self, storage: FsspecStorage, path: str) -> None:
        self._target = path
        aside = _aside(path)
        super().__init__(storage, aside, storage._place(aside))  # noqa: SLF001 - its other half

    def close(self) -> None:
        if self._state == "closed":
            return
        super().close()
        try:
            self._storage.move(self._path, self._target)
        except StorageError as error:
            self._look(error)

    def _look(self, error: StorageError) -> None:
        """A renaming that failed may have happened."""
        try:
            self._storage.size(self._path)
        except NotFoundError:
            return
        except AtioError:
            raise OutcomeUnknownError(
                f"it may or may not have been replaced: {error.message}",
                file=error.file,
                hint="read it before writing again",
            ) from None
        with suppress(AtioError):
            self._storage.delete([self._path])
        raise error


def _aside(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/" * bool(folder) + f".{name}.{os.urandom(8).hex()}.tmp"


def _modified(info: Mapping[str, Any]) -> float:
    """Seconds since the epoch; where nothing is told, now: too young for any vacuum."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "modified", "modify", "created"):
        value = info.get(name)
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, str):
            with suppress(ValueError):
                return datetime.fromisoformat(value).timestamp()
    return time.time()


def tried(system: str, file: str, action: Callable[[], T]) -> T:
    """Run it; what a file system raises becomes an error of ours, without its text.

    A password may stand there, so the foreign error does not even stay as the context of ours: that is why
    ours is raised when it is handled.
    """
    try:
        return action()
    except AtioError:
        raise
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        found = _translated(system, file, error)
    raise found


def _translated(system: str, file: str, error: Exception) -> AtioError:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            hint = "if it was cleaned up meanwhile, open the table again"
            return NotFoundError("no such object", file=file, hint=hint)
        case NotImplementedError():
            return UnsupportedError(f"{system} cannot do this", file=file, hint="it may be for reading only")
        case ImportError():
            return UnsupportedError(f"{system} needs another library: {error}", file=file)
    if _is_refusal(error):
        return AccessError("access was refused", file=file, hint="check the credentials")
    return StorageError(f"{system} failed: {_why(error)}", file=file)


def _is_refusal(error: Exception) -> bool:
    """Of the operating system, of HTTP, of SSH, of FTP."""
    is_http = getattr(error, "status", None) in (401, 403)
    return (
        isinstance(error, PermissionError)
        or is_http
        or "Authentication" in type(error).__name__
        or str(error).startswith("530")
    )


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


def _named(fs: Any, folder: str) -> str:
    """The URL of a folder of a file system that somebody opened; it may be for one server."""
    host = getattr(fs, "host", None)
    if isinstance(host, str) and "://" not in folder:
        folder = f"{host}/{folder.lstrip('/')}"
    return str(fs.unstrip_protocol(folder))


def without_user(url: str) -> str:
    """The URL, or chain of URLs, without what proves who is asking."""
    return "::".join(map(_bare, url.split("::")))


def _bare(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    authority, slash, path = rest.partition("/")
    return scheme + mark + re.split("[?#]", authority.rpartition("@")[2] + slash + path)[0]
