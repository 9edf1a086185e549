"""Where tables live: :class:`Storage`, its implementations, and the way from a URL to one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from atio.errors import InputError, UnsupportedError
from atio.storage.base import Storage
from atio.storage.local import LocalStorage

if TYPE_CHECKING:
    from atio.storage.memory import MemoryStorage

__all__ = ["URL", "LocalStorage", "MemoryStorage", "Storage", "open_storage"]

# Two letters at least: one is a drive of Windows. fsspec has chains, such as simplecache::ftp://host/path.
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+(?:::[A-Za-z][A-Za-z0-9+.-]+)*)://(.*)", re.DOTALL)
_BROKEN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\](?![/\\])")


def open_storage(
    url: str | os.PathLike[str] | Storage,
    *,
    durable: bool = True,
    storage_options: Mapping[str, object] | None = None,
    filesystem: object | None = None,
) -> Storage:
    """Return the storage that a path or URL names; nothing is read or made yet.

    Parameters
    ----------
    url
        A path (``~`` is expanded), ``file:///path``, ``memory://name``, ``s3://bucket/path``, ``gs://``,
        ``az://``, any URL that fsspec knows, or a storage, which is returned as it is.
    durable
        See :class:`LocalStorage`.
    storage_options
        For what is elsewhere: as fsspec's file systems (s3fs, gcsfs, adlfs …) take them.
    filesystem
        An fsspec file system that ``url`` is a path in.

    Raises
    ------
    UnsupportedError
        A URL of another kind.
    InputError
        A path or URL that names nothing, or options that nothing here takes.
    """
    options = storage_options or {}
    if filesystem is not None:
        from atio.storage.remote import open_filesystem

        if isinstance(url, Storage):
            raise InputError("a storage is no path in a file system")
        if not hasattr(filesystem, "_strip_protocol"):
            raise InputError(
                f"filesystem is {type(filesystem).__name__}, not a file system of fsspec",
                hint="fsspec.implementations.arrow.ArrowFSWrapper makes one of a pyarrow.fs.FileSystem",
            )
        return open_filesystem(filesystem, os.fspath(url), options, durable=durable)
    if isinstance(url, Storage):
        return url
    text = os.fspath(url)
    match = URL.fullmatch(text)
    if match and match[1].lower() not in _SCHEMES:
        from atio.storage.remote import open_url

        return open_url(match[1].lower(), match[2], options)
    if options:
        raise InputError("storage_options are for buckets and other places that are elsewhere")
    if match:
        return _SCHEMES[match[1].lower()](match[2], durable)
    if _BROKEN_URL.match(text):
        raise UnsupportedError(
            f"{text!r} looks like a URL that lost a slash",
            hint='give URLs as text, not as a Path; write "./" before a path that has a colon',
        )
    return _open_path(text, durable)


def _open_path(path: str, durable: bool) -> Storage:
    return LocalStorage(os.path.expanduser(path), durable=durable)  # noqa: PTH111 - keeps an unknown ~user


def _open_file(rest: str, durable: bool) -> Storage:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise InputError(
            f"file://{rest} names another machine", hint="write file:///path, with three slashes"
        )
    from urllib.parse import unquote

    path = unquote(path, errors="surrogateescape")
    drive = re.match(r"[A-Za-z]:(/|$)", path) if os.name == "nt" else None
    return LocalStorage(path if drive else "/" + path, durable=durable)


def _open_memory(rest: str, durable: bool) -> Storage:
    del durable  # nothing in memory survives a power cut
    if not rest:
        raise InputError("memory:// has no name", hint="write memory://name")
    from atio.storage.memory import MemoryStorage

    return MemoryStorage.named(rest)


_SCHEMES: dict[str, Callable[[str, bool], Storage]] = {"file": _open_file, "memory": _open_memory}


def __getattr__(name: str) -> Any:
    if name == "MemoryStorage":  # loaded on first use: a process that reads a folder has none
        from atio.storage.memory import MemoryStorage

        return MemoryStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
