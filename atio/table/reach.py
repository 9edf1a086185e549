"""Which files a version needs: the question expire, vacuum, verify and repair share."""

from __future__ import annotations

from collections.abc import Iterable

from atio.commit.state import POINTER, State
from atio.metadata import manifests
from atio.metadata.objects import Objects
from atio.model.base import Ref
from atio.model.pointer import Pointer, Version
from atio.model.snapshot import DataFile, Snapshot
from atio.table.lookup import versions


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

    def _add_files(self, files: Iterable[DataFile]) -> None:
        for file in files:
            if file.size:
                self._add(file)

    def _add(self, file: Ref | DataFile) -> None:
        self.sizes[file.path] = file.size
        self.hashes[file.path] = file.hash


def pointer_refs(pointer: Pointer) -> list[Ref]:
    """What the pointer itself refers to, apart from versions."""
    pieces = (*pointer.history.pieces, *pointer.tokens.pieces)
    return [*(piece.ref for piece in pieces), *([pointer.catalog] if pointer.catalog else [])]


def pointer_files(pointer: Pointer) -> dict[str, int]:
    """Path and size of what the pointer itself refers to, apart from versions."""
    return {ref.path: ref.size for ref in pointer_refs(pointer)}


def needed(objects: Objects, state: State) -> set[str]:
    """Every file that a retained version, or the pointer, needs."""
    reach = Reach(objects)
    reach.add(versions(objects, state))
    return {POINTER, *reach.sizes, *pointer_files(state.pointer)}
