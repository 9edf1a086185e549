"""What changed between two versions."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from atio.commit.state import State, load_schema
from atio.metadata.objects import Objects
from atio.model.snapshot import Snapshot
from atio.table.lookup import find
from atio.table.scan import live_files


@dataclass(frozen=True, slots=True)
class Diff:
    """From version ``old`` to version ``new``.

    Attributes
    ----------
    rows_added, rows_removed
        Rows that the versions in between added and removed, each counted (an overwrite removes all
        rows and adds its own). Known without reading data.
    files_added, files_removed
        Paths of data files that only one of the two versions has; merged files count as both.
    columns_added, columns_removed, columns_changed
        Column names; changed ones have another type.
    """

    old: int
    new: int
    rows_added: int
    rows_removed: int
    files_added: tuple[str, ...]
    files_removed: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_changed: tuple[str, ...]


def diff(objects: Objects, state: State, old: int | str, new: int | str | None) -> Diff:
    """See ``Table.diff``."""
    return between(objects, find(objects, state, old, None), find(objects, state, new, None))


def between(objects: Objects, old: Snapshot, new: Snapshot) -> Diff:
    if old.version > new.version:
        turned = between(objects, new, old)
        return Diff(
            old.version, new.version, turned.rows_removed, turned.rows_added, turned.files_removed,
            turned.files_added, turned.columns_removed, turned.columns_added, turned.columns_changed,
        )  # fmt: skip
    before = dict.fromkeys(f.path for f in live_files(objects, old))
    after = dict.fromkeys(f.path for f in live_files(objects, new))
    columns = _types(objects, old), _types(objects, new)
    return Diff(
        old=old.version,
        new=new.version,
        rows_added=new.summary.added - old.summary.added,
        rows_removed=new.summary.removed - old.summary.removed,
        files_added=tuple(path for path in after if path not in before),
        files_removed=tuple(path for path in before if path not in after),
        columns_added=tuple(name for name in columns[1] if name not in columns[0]),
        columns_removed=tuple(name for name in columns[0] if name not in columns[1]),
        columns_changed=tuple(n for n, t in columns[1].items() if n in columns[0] and columns[0][n] != t),
    )


def _types(objects: Objects, snapshot: Snapshot) -> dict[str, pa.DataType]:
    return {f.name: f.type for f in load_schema(objects, snapshot.schema_ref).public}
