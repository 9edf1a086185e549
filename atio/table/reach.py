"""Which files a version needs: the question expire, vacuum, verify and repair share."""

from __future__ import annotations

from collections.abc import Iterable

from atio.commit.state import POINTER, State
from atio.metadata import manifests
from atio.metadata.objects import Objects
from atio.model.pointer import Pointer, Version
from atio.model.snapshot import DataFile, Snapshot
from atio.table.lookup import versions


class Reach:
    """Paths and sizes of what some versions need. Manifests that versions share are read once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._seen: set[tuple[str, tuple[int, ...]]] = set()
        self.sizes: dict[str, int] = {}

    def add(self, lines: Iterable[Version]) -> None:
        for line in lines:
            self.sizes[line.ref.path] = line.size
            self.add_snapshot(self._objects.get(line.ref, Snapshot))

    def add_snapshot(self, snapshot: Snapshot) -> None:
        for ref in snapshot.schemas:
            self.sizes[ref.path] = ref.size
        for manifest in snapshot.manifests:
            self.sizes[manifest.path] = manifest.size
            key = (manifest.path, manifest.removed)
            if key not in self._seen:
                self._seen.add(key)
                self._add_files(manifests.live(self._objects, manifest))
        self._add_files(snapshot.files)
        # The rows that a version added stay readable as such, even if it merged them at once.
        self._add_files(snapshot.changes.merged)

    def _add_files(self, files: Iterable[DataFile]) -> None:
        for file in files:
            if file.size:
                self.sizes[file.path] = file.size


def pointer_files(pointer: Pointer) -> dict[str, int]:
    """Path and size of what the pointer itself refers to, apart from versions."""
    pieces = (*pointer.history.pieces, *pointer.tokens.pieces)
    found = {piece.ref.path: piece.size for piece in pieces}
    if pointer.catalog is not None:
        found[pointer.catalog.path] = pointer.catalog.size
    return found


def needed(objects: Objects, state: State) -> set[str]:
    """Every file that a retained version, or the pointer, needs."""
    reach = Reach(objects)
    reach.add(versions(objects, state))
    return {POINTER, *reach.sizes, *pointer_files(state.pointer)}
