"""Taking rows out of data files by their positions (spec/commit.md)."""

from __future__ import annotations

import msgspec

from atio.commit.entries import replaced
from atio.commit.state import VECTORS, Draft
from atio.errors import ConflictError
from atio.metadata import vectors
from atio.model.pointer import Features
from atio.model.snapshot import DataFile


class Touched(msgspec.Struct, frozen=True):
    """A data file as it was read, and all its deleted rows from now on.

    ``dead`` is the encoded vector and ``count`` its cardinality; None and 0 if no row is left.
    """

    file: DataFile
    dead: bytes | None
    count: int

    @property
    def rows(self) -> int:
        """Rows that the change deletes."""
        return self.file.live - (self.file.rows - self.count if self.dead is not None else 0)


class DeleteRows(msgspec.Struct, frozen=True):
    """Delete rows of files, which must be as they were when they were looked at."""

    touched: tuple[Touched, ...]

    def apply(self, draft: Draft) -> Draft:
        if not self.touched:
            return draft
        partly = [one for one in self.touched if one.dead is not None]
        made = vectors.write(draft.objects, [(one.dead, one.count) for one in partly if one.dead is not None])
        entries: dict[str, tuple[DataFile, ...]] = {one.file.path: () for one in self.touched}
        entries |= {
            one.file.path: (one.file.replace(deleted=vector),)
            for one, vector in zip(partly, made, strict=True)
        }
        result, found = replaced(draft, entries)
        self._check({entry.path: entry for _, entry in found})
        rows = sum(one.rows for one in self.touched)
        gone = tuple(one.file.path for one in self.touched if one.dead is None)
        before = draft.summary
        return msgspec.structs.replace(
            result,
            index=None,  # Labels that were counted are counted anew.
            summary=result.summary.replace(rows=before.rows - rows, removed=before.removed + rows),
            changes=draft.changes.replace(
                removed=(*draft.changes.removed, *gone),
                deleted=draft.changes.deleted + sum(one.rows for one in partly),
            ),
            touched=draft.touched | {one.file.path for one in partly},
            features=_announced(draft.features) if made else draft.features,
        )

    def _check(self, found: dict[str, DataFile]) -> None:
        for one in self.touched:
            path = one.file.path
            entry = found.get(path)
            if entry is None:
                raise ConflictError(f"another commit removed {path} meanwhile", file=path)
            if entry.deleted != one.file.deleted:
                raise ConflictError(f"another commit deleted rows of {path} meanwhile", file=path)


def _announced(features: Features) -> Features:
    if VECTORS in features.read and VECTORS in features.write:
        return features
    return Features(
        read=tuple(dict.fromkeys((*features.read, VECTORS))),
        write=tuple(dict.fromkeys((*features.write, VECTORS))),
    )
