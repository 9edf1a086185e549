"""What attacks on tables share."""

from __future__ import annotations

from typing import Any

from atio import Table
from atio.commit.state import load_state
from atio.metadata.objects import Objects
from atio.storage.base import Storage
from atio.table.reach import needed

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


def content(storage: Storage) -> dict[str, Any] | None:
    """Everything a user can see of a table: rows by version, tags, properties; None without a table."""
    if storage.load("current") is None:
        return None
    table = Table(storage)
    return {
        "versions": _versions(table),
        "tags": table.tags,
        "properties": table.properties,
        "branches": {name: _versions(Table(storage, branch=name)) for name in table.branches},
    }


def _versions(table: Table) -> dict[int, Any]:
    return {s.version: (s.operation, s.message, _token(s.token), rows(s)) for s in table.history()}
