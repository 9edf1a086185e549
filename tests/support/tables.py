"""What attacks on tables share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atio import Table
from atio.commit.state import load_state
from atio.metadata.objects import Objects
from atio.storage.base import Storage
from atio.table.reach import Reach, needed

NEVER_FILES = (".lock",)


def listing(storage: Storage) -> set[str]:
    """All objects, but for the lock and empty-handed leases."""
    return {e.path for e in storage.list() if e.path not in NEVER_FILES}


def required(storage: Storage) -> set[str]:
    """What the table needs, by a handle that knows nothing yet."""
    objects = Objects(storage)
    state = load_state(objects)
    return needed(objects, state) if state else set()


def rows(snapshot: Any) -> list[dict[str, Any]]:
    return snapshot.to_arrow().to_pylist()


def _token(token: str | None) -> str | None:
    """Staged files make tokens of their own, different in each run."""
    return "staged" if token is not None and token.startswith("staged:") else token


Read = Callable[[Any], list[dict[str, Any]]]


def content(storage: Storage, read: Read = rows) -> dict[str, Any] | None:
    """Everything a user can see of a table: rows by version, tags, properties; None without a table.

    ``read`` gives the rows of a snapshot.
    """
    if storage.load("current") is None:
        return None
    table = Table(storage)
    return {
        "versions": _versions(table, read),
        "tags": table.tags,
        "properties": table.properties,
        "branches": {name: _versions(Table(storage, branch=name), read) for name in table.branches},
    }


def _versions(table: Table, read: Read) -> dict[int, Any]:
    return {s.version: (s.operation, s.message, _token(s.token), read(s)) for s in table.history()}


_ONCE: dict[Any, list[dict[str, Any]]] = {}


def rows_once(snapshot: Any) -> list[dict[str, Any]]:
    """The rows of a snapshot in memory, not read again as long as all files of it have the same bytes."""
    reach = Reach(snapshot._objects)
    reach.add_snapshot(snapshot._model)
    objects = snapshot._objects.storage._place.objects
    if not reach.sizes.keys() <= objects.keys():
        return rows(snapshot)
    key = (snapshot.id, *((path, objects[path].data) for path in sorted(reach.sizes)))
    if key not in _ONCE:
        _ONCE[key] = rows(snapshot)
    return _ONCE[key]
