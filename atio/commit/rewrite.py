"""Putting data files in the place of others that hold the same rows (spec/commit.md)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from atio.commit.state import INLINE, Draft
from atio.errors import ConflictError
from atio.metadata import manifests
from atio.model.snapshot import DataFile, ManifestRef
from atio.schema.bound import BoundSchema


class Replacement(msgspec.Struct, frozen=True):
    """The rows of ``old`` (paths, in row order) are in ``new``, which take the place of the first."""

    old: tuple[str, ...]
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
        made = {
            one.old[0]: tuple(f.replace(added=draft.version, schema_id=identity) for f in one.new)
            for one in self.replacements
        }
        gone = frozenset(path for one in self.replacements for path in one.old)
        places: dict[str, int] = {}
        old: list[DataFile] = []
        # What is to be a manifest again is written last: it may be short enough for the snapshot.
        kept: list[ManifestRef | list[DataFile]] = []
        start = 0

        def replaced(entries: Sequence[DataFile]) -> list[DataFile]:
            result: list[DataFile] = []
            for place, entry in enumerate(entries, start):
                if entry.path not in gone:
                    result.append(entry)
                    continue
                places[entry.path] = place
                old.append(entry)
                result += made.get(entry.path, ())
            return result

        for ref in draft.manifests:
            entries = manifests.live(draft.objects, ref)
            before = len(old)
            found = replaced(entries)
            kept.append(found if len(old) > before else ref)
            start += len(entries)
        files = replaced(draft.files)
        self._check(places)
        while kept:
            last = kept[-1]
            if len(files) + (len(last) if isinstance(last, list) else last.live) > INLINE:
                break
            files[:0] = last if isinstance(last, list) else manifests.live(draft.objects, last)
            kept.pop()
        written = (draft.write_manifest(tuple(one)) if isinstance(one, list) else one for one in kept if one)
        new = [file for files in made.values() for file in files]
        return msgspec.structs.replace(
            draft,
            files=tuple(files),
            manifests=tuple(written),
            summary=draft.summary.replace(
                bytes=draft.summary.bytes + sum(f.size for f in new) - sum(f.size for f in old),
                files=draft.summary.files + len(new) - len(old),
            ),
        )

    def _schema_id(self, draft: Draft) -> int:
        current = draft.schema
        assert current is not None
        if self.schema.ref in (current.ref, *draft.older_schemas):
            return self.schema.spec.id  # Columns that were changed since are found by their ids.
        if self.schema.same_structure(current):
            return current.spec.id
        raise ConflictError("another commit changed the columns of files that were rewritten")

    def _check(self, places: dict[str, int]) -> None:
        for one in self.replacements:
            for before, path in zip((None, *one.old), one.old, strict=False):
                if path not in places:
                    raise ConflictError(f"another commit removed {path} while it was rewritten", file=path)
                if self.in_order and before is not None and places[path] != places[before] + 1:
                    raise ConflictError(f"another commit put rows before those of {path}", file=path)
