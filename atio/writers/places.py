"""From names to targets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from atio.errors import InputError
from atio.storage import URL, MemoryStorage
from atio.writers.targets import LocalTarget, MemoryStore, StoreTarget, Target


def open_target(
    path: str | os.PathLike[str] | Target, storage_options: Mapping[str, object] | None = None
) -> Target:
    """Return the target that a path or URL names; nothing is touched yet.

    Raises
    ------
    UnsupportedError
        A URL of a kind that nothing here knows.
    InputError
        No path at all, or one that names nothing; options that nothing takes.
    """
    if isinstance(path, Target):
        return path
    if not isinstance(path, str | bytes | os.PathLike):
        raise InputError(
            f"the target is a {type(path).__name__}, not a path", hint="give a path or a URL as text"
        )
    text = os.fsdecode(path)
    match = URL.fullmatch(text)
    scheme = match[1].lower() if match else ""
    if match and scheme not in _SCHEMES:
        from atio.writers.remote import open_remote

        return open_remote(scheme, match[2], storage_options or {})
    if storage_options:
        raise InputError("storage_options are for buckets and other places that are elsewhere", file=text)
    return _SCHEMES[scheme](match[2]) if match else LocalTarget(text)


def _open_file(rest: str) -> Target:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise InputError(
            f"file://{rest} names another machine", hint="write file:///path, with three slashes"
        )
    return LocalTarget("/" + unquote(path, errors="surrogateescape"))


def _open_memory(rest: str) -> Target:
    place, _, key = rest.partition("/")
    if not place or not key:
        raise InputError(f"memory://{rest} names no file", hint="write memory://place/name")
    return StoreTarget(f"memory://{place}/", key, MemoryStore(MemoryStorage.named(place)))


_SCHEMES: dict[str, Callable[[str], Target]] = {"file": _open_file, "memory": _open_memory}
