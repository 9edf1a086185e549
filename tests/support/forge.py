"""Rewriting a table's metadata as somebody who means harm would: every checksum is right again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import xxhash

from atio.storage import MemoryStorage


def hashed(data: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(data)


def put(storage: MemoryStorage, path: str, data: bytes) -> None:
    """Replace an object, whatever it is."""
    storage._place.objects.pop(path, None)
    if path == "current":
        storage.swap(path, data, None)
    else:
        storage.create(path, data)


def sealed(line: bytes) -> bytes:
    return b"%s\n%s\n" % (line, hashed(line).encode())


def pointer(storage: MemoryStorage, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the pointer's JSON."""
    found = json.loads(storage.read("current").partition(b"\n")[0])
    edit(found)
    put(storage, "current", sealed(json.dumps(found).encode()))


def snapshot(storage: MemoryStorage, edit: Callable[[dict[str, Any]], object]) -> str:
    """Edit the newest snapshot's JSON; returns its path."""

    def change(text: bytes) -> bytes:
        found = json.loads(text)
        edit(found)
        return json.dumps(found).encode()

    return raw_snapshot(storage, change)


def raw_snapshot(storage: MemoryStorage, change: Callable[[bytes], bytes]) -> str:
    """Edit the newest snapshot's bytes; returns its path."""
    line = json.loads(storage.read("current").partition(b"\n")[0])["snapshot"]
    path = f"metadata/{line[2]}.json"
    data = change(storage.read(path))
    put(storage, path, data)
    pointer(storage, lambda p: p.update(snapshot=[*line[:3], len(data), hashed(data)]))
    return path


def schema(storage: MemoryStorage, change: Callable[[bytes], bytes]) -> str:
    """Edit the newest schema's bytes; returns its path."""
    found: list[str] = []

    def edit(snap: dict[str, Any]) -> None:
        ref = snap["schemas"][0]
        data = change(storage.read(ref["path"]))
        put(storage, ref["path"], data)
        ref.update(size=len(data), hash=hashed(data))
        found.append(ref["path"])

    snapshot(storage, edit)
    return found[0]
