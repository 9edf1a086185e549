"""Putting data files in the place of others that hold the same rows (spec/commit.md)."""

from __future__ import annotations

import msgspec

from atio.commit.entries import replaced
from atio.commit.state import Draft
from atio.errors import ConflictError
from atio.model.snapshot import DataFile
from atio.schema.bound import BoundSchema


class Replacement(msgspec.Struct, frozen=True):
    """The rows of ``old`` (as read, in row order) are in ``new``, which take the place of the first."""

    old: tuple[DataFile, ...]
    new: tuple[DataFile, ...]


class Rewrite(msgspec.Struct, frozen=True):
    """Replace files. The rows stay those they were, so that none is added or removed.

    ``schema`` is the one that the new files were written with. ``in_order``: so does the order of rows,
    and nothing may stand between the files of a replacement.
    """

    replacements: tuple[Replacement, ...]
    schema: BoundSchema
    in_order: bool

    def apply(self, draft: Draft) -> Draft:
        identity = self._schema_id(draft)
        made: dict[str, tuple[DataFile, ...]] = {}
        for one in self.replacements:
            made.update({file.path: () for file in one.old})
            made[one.old[0].path] = tuple(f.replace(added=draft.version, schema_id=identity) for f in one.new)
        result, found = replaced(draft, made)
        self._check({entry.path: (place, entry) for place, entry in found})
        return result

    def _schema_id(self, draft: Draft) -> int:
        current = draft.schema
        assert current is not None
        if self.schema.ref in (current.ref, *draft.older_schemas):
            return self.schema.spec.id  # Columns that were changed since are found by their ids.
        if self.schema.same_structure(current):
            return current.spec.id
        raise ConflictError("another commit changed the columns of files that were rewritten")

    def _check(self, found: dict[str, tuple[int, DataFile]]) -> None:
        for one in self.replacements:
            before = None
            for file in one.old:
                path = file.path
                if path not in found:
                    raise ConflictError(f"another commit removed {path} while it was rewritten", file=path)
                place, entry = found[path]
                if entry.deleted != file.deleted:
                    raise ConflictError(
                        f"another commit deleted rows of {path} while it was rewritten", file=path
                    )
                if self.in_order and before is not None and place != before + 1:
                    raise ConflictError(f"another commit put rows before those of {path}", file=path)
                before = place
