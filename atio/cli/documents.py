"""Versions and columns as JSON objects: the same shape in every command's document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from atio.cli.output import Column, Screen, iso, local, size

if TYPE_CHECKING:
    import pyarrow as pa

    from atio.table.snapshot import Snapshot

Document = dict[str, object]


def commit(snapshot: Snapshot, tags: Mapping[str, int]) -> Document:
    return {
        "version": snapshot.version,
        "id": snapshot.id,
        "time": iso(snapshot.time),
        "operation": snapshot.operation,
        "message": snapshot.message,
        "token": snapshot.token,
        "rows": snapshot.rows,
        "bytes": snapshot.bytes,
        "tags": names_of(tags, snapshot.version),
    }


def names_of(tags: Mapping[str, int], version: int) -> list[str]:
    return sorted(name for name, tagged in tags.items() if tagged == version)


def columns(schema: pa.Schema) -> list[Document]:
    return [{"name": f.name, "type": str(f.type), "nullable": f.nullable} for f in schema]


def print_commits(
    screen: Screen, snapshots: Sequence[Snapshot], tags: Mapping[str, int], before: Snapshot | None
) -> None:
    """Print a table of versions, newest first; ``before`` is the one that follows the last of them."""
    previous = [*snapshots[1:], before][: len(snapshots)]
    headings = (
        Column("version", number=True, style="cyan"),
        Column("time", style="dim"),
        Column("operation"),
        Column("rows", number=True),
        Column("change", number=True),
        Column("size", number=True),
        Column("tags", style="yellow"),
        Column("message"),
    )
    screen.table(
        headings,
        [
            (
                str(s.version),
                local(s.time, offset=not screen.terminal),
                s.operation,
                f"{s.rows:,}",
                _change(s, old),
                size(s.bytes),
                ", ".join(names_of(tags, s.version)),
                s.message or "",
            )
            for s, old in zip(snapshots, previous, strict=True)
        ],
    )


def _change(snapshot: Snapshot, old: Snapshot | None) -> str:
    if old is None and snapshot.version > 1:
        return ""  # what was before is forgotten
    return f"{snapshot.rows - (old.rows if old else 0):+,}"
