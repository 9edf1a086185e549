"""Which files a version needs: the question expire, vacuum, verify and repair share."""

from __future__ import annotations

from collections.abc import Iterable

from atio.commit.state import POINTER, State, every_line
from atio.metadata import manifests
from atio.metadata.objects import Objects
from atio.model.base import Ref
from atio.model.pointer import Version
from atio.model.snapshot import DataFile, Snapshot
from atio.table.lookup import all_lines


class Reach:
    """Paths, sizes and hashes of what some versions need. Manifests that versions share are read once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._seen: set[tuple[str, tuple[int, ...]]] = set()
        self.sizes: dict[str, int] = {}
        self.hashes: dict[str, str] = {}

    def add(self, lines: Iterable[Version]) -> None:
        for line in lines:
            self._add(line.ref)
            self.add_snapshot(self._objects.get(line.ref, Snapshot))

    def add_snapshot(self, snapshot: Snapshot) -> None:
        for ref in snapshot.schemas:
            self._add(ref)
        for manifest in snapshot.manifests:
            self._add(manifest)
            key = (manifest.path, manifest.removed)
            if key not in self._seen:
                self._seen.add(key)
                self._add_files(manifests.live(self._objects, manifest))
        self._add_files(snapshot.files)
        # The rows that a version added stay readable as such, even if it merged them at once.
        self._add_files(snapshot.changes.merged)
        self._add_files(snapshot.changes.touched)

    def _add_files(self, files: Iterable[DataFile]) -> None:
        for file in files:
            if file.size:
                self._add(file)
            if file.deleted is not None:
                self._add(file.deleted)

    def _add(self, file: Ref | DataFile) -> None:
        self.sizes[file.path] = file.size
        self.hashes[file.path] = file.hash


def pointer_refs(state: State) -> list[Ref]:
    """What the pointer and its branches refer to, apart from versions."""
    pieces = [p for line in every_line(state).values() for p in (*line.history.pieces, *line.tokens.pieces)]
    refs = {piece.ref.path: piece.ref for piece in pieces}
    return [*refs.values(), *([state.stored.catalog] if state.stored.catalog else [])]


def pointer_files(state: State) -> dict[str, int]:
    """Path and size of what the pointer and its branches refer to, apart from versions."""
    return {ref.path: ref.size for ref in pointer_refs(state)}


def needed(objects: Objects, state: State) -> set[str]:
    """Every file that a retained version, of the table or a branch, or the pointer needs."""
    reach = Reach(objects)
    reach.add(all_lines(objects, state))
    return {POINTER, *reach.sizes, *pointer_files(state)}
