"""Checking that every retained version is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from atio.commit.state import POINTER, decode_pointer, load_schema, on_branch, pointer_token
from atio.errors import AccessError, AtioError, DamagedError, NotFoundError, RetryError
from atio.metadata import manifests, vectors
from atio.metadata.objects import Objects, missing
from atio.model.base import Model, Ref
from atio.model.pointer import Catalog, Pointer, TokenList, Version, Versions
from atio.model.snapshot import DataFile, Snapshot
from atio.storage.parallel import THREADS, ordered
from atio.table.datafiles import verify_file

M = TypeVar("M", bound=Model)
_AHEAD = 256
"""Versions whose files are looked at together, where that saves time."""
_SMALL = 4 * 2**20
_STREAMS = 2
"""Files above so many bytes that are read at once: each takes 16 MiB of memory."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A damaged or missing file, what is wrong, and the versions that it takes with it."""

    file: str
    error: str
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of ``Table.verify``: ``files`` and ``bytes`` were checked."""

    problems: tuple[Problem, ...]
    versions: int
    files: int
    bytes: int
    deep: bool

    @property
    def ok(self) -> bool:
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok


def verify(objects: Objects, *, deep: bool) -> Report:
    """See ``Table.verify``."""
    while True:
        report, token = _verified(objects, deep=deep)
        if report.ok or token == pointer_token(objects):
            return report
        # Others commit and expire: what is missing may belong to no version any more.


def _verified(objects: Objects, *, deep: bool) -> tuple[Report, str]:
    check = Check(
        Objects(objects.storage, fresh=True), deep=deep
    )  # A new cache: what was read before may differ now.
    value = objects.storage.load(POINTER)
    if value is None:
        raise NotFoundError("there is no table here")
    lines: list[Version] = []
    try:
        pointer = decode_pointer(value.data)
    except AtioError as error:
        check.note(POINTER, error, ())
    else:
        lines = [*check.pointer(pointer), *check.branches(pointer)]
    check.files += 1
    check.bytes += len(value.data)
    for start in range(0, len(lines), _AHEAD):
        check.look_ahead(lines[start : start + _AHEAD])
        for line in lines[start : start + _AHEAD]:
            check.version(line)
    return check.report(len(lines)), value.token


class Check:
    """Goes through files, each once, and remembers which versions each problem concerns.

    Unless it is ``lenient``, files that cannot be read (a failing disk, no rights) raise: they may be whole.
    """

    def __init__(self, objects: Objects, *, deep: bool, lenient: bool = True) -> None:
        self._objects = objects
        self._deep = deep
        self._lenient = lenient
        self._results: dict[tuple[str, str], str | None] = {}
        self._ahead: dict[tuple[str, str], AtioError | None] = {}
        self._problems: dict[str, tuple[str, list[int]]] = {}
        self.files = self.bytes = 0

    def report(self, count: int) -> Report:
        problems = tuple(
            Problem(file, error, tuple(sorted(set(found))))
            for file, (error, found) in sorted(self._problems.items())
        )
        return Report(problems, count, self.files, self.bytes, self._deep)

    def note(self, path: str, error: AtioError | str, concerned: Iterable[int]) -> None:
        text = error if isinstance(error, str) else error.message
        self._problems.setdefault(path, (text, []))[1].extend(concerned)

    def pointer(self, pointer: Pointer) -> list[Version]:
        """Check what the pointer refers to; returns the versions that can be found."""
        lines: list[Version] = []
        for piece in pointer.history.pieces:
            # The newest million: what a piece claims to hold can be anything.
            found = self._get(piece.ref, Versions, range(piece.first, piece.last + 1)[-(2**20) :])
            lines.extend(found.versions if found else ())
        for piece in pointer.tokens.pieces:
            self._get(piece.ref, TokenList, ())
        if pointer.catalog is not None:
            self._get(pointer.catalog, Catalog, ())
        return [*lines, *pointer.history.tail, pointer.snapshot]

    def branches(self, pointer: Pointer) -> list[Version]:
        """Check what the pointer's branches refer to; returns the versions that can be found."""
        catalog = self._get(pointer.catalog, Catalog, ()) if pointer.catalog else None
        names = [name for name, _ in catalog.branches] if catalog else []
        views = (on_branch(pointer, catalog, name).replace(catalog=None) for name in names if catalog)
        return [line for view in views for line in self.pointer(view)]

    def look_ahead(self, lines: Sequence[Version]) -> None:
        """Ask about the data files of these versions at once, where each question is a round trip.

        What comes of it is counted and noted by :meth:`version`.
        """
        storage = self._objects.storage
        if not storage.capabilities.parallel:
            return
        files: dict[tuple[str, str], DataFile | Ref] = {}
        for found in ordered(self._files, lines):
            files.update(((file.path, file.hash), file) for file in found)
        unknown = [file for key, file in files.items() if key not in self._results]
        small = [file for file in unknown if file.size <= _SMALL or not self._deep]
        large = [file for file in unknown if file.size > _SMALL and self._deep]
        for some, threads in ((small, THREADS), (large, _STREAMS)):
            for file, error in zip(some, ordered(self._trouble, some, threads), strict=True):
                self._ahead[file.path, file.hash] = error

    def _files(self, line: Version) -> list[DataFile | Ref]:
        """The data files of a version, as far as they can be told."""
        found: list[DataFile | Ref] = []
        with suppress(AtioError):
            snapshot = self._objects.get(line.ref, Snapshot)
            files = [*snapshot.files, *snapshot.changes.merged, *snapshot.changes.touched]
            for manifest in snapshot.manifests:
                files.extend(manifests.live(self._objects, manifest))
            found.extend(file for file in files if file.size)
            found.extend(file.deleted for file in files if file.deleted is not None)
        return found

    def _trouble(self, file: DataFile | Ref) -> AtioError | None:
        try:
            verify_file(self._objects.storage, file, deep=self._deep)
        except AtioError as error:
            return error
        return None

    def version(self, line: Version, *, rows_only: bool = False) -> bool:
        """Check all that one version needs; ``rows_only``: to read its rows, not what it added to them."""
        concerned = (line.version,)
        snapshot = self._get(line.ref, Snapshot, concerned)
        if snapshot is None:
            return False
        whole = True
        if (snapshot.version, snapshot.id) != (line.version, line.id):
            self.note(line.ref.path, f"it is version {snapshot.version}, not {line.version}", concerned)
            whole = False
        for ref in snapshot.schemas:
            whole &= self._try(ref, partial(load_schema, self._objects, ref), concerned)
        done = snapshot.changes
        files = [*snapshot.files, *(() if rows_only else (*done.merged, *done.touched))]
        for manifest in snapshot.manifests:
            if self._try(manifest, partial(manifests.read, self._objects, manifest), concerned):
                files.extend(manifests.live(self._objects, manifest))
            else:
                whole = False
        for file in files:
            if file.size:
                whole &= self._try(
                    Ref(path=file.path, size=file.size, hash=file.hash),
                    partial(verify_file, self._objects.storage, file, deep=self._deep),
                    concerned,
                )
            if file.deleted is not None:
                whole &= self._vector(file, concerned)
        return whole

    def _vector(self, file: DataFile, concerned: Iterable[int]) -> bool:
        """Check the deleted rows of a file, which may share their own file with those of others."""
        assert file.deleted is not None
        ref = Ref(path=file.deleted.path, size=file.deleted.size, hash=file.deleted.hash)
        if not self._try(ref, partial(verify_file, self._objects.storage, ref, deep=self._deep), concerned):
            return False
        if self._deep:
            try:
                vector = vectors.load(self._objects, file)
                assert vector is not None
                vector.check()
            except DamagedError as error:
                self.note(ref.path, error, concerned)
                return False
        return True

    def _get(self, ref: Ref, model: type[M], concerned: Iterable[int]) -> M | None:
        whole = self._try(ref, lambda: self._objects.get(ref, model), concerned)
        return self._objects.get(ref, model) if whole else None

    def _try(self, ref: Ref, action: Callable[[], object], concerned: Iterable[int]) -> bool:
        key = (ref.path, ref.hash)
        if key not in self._results:
            self.files += 1
            self.bytes += ref.size
            try:
                if key not in self._ahead:
                    action()
                elif (known := self._ahead.pop(key)) is not None:
                    raise known
            except NotFoundError:
                self._results[key] = missing(ref).message
            except AtioError as error:
                if not self._lenient and isinstance(error, RetryError | AccessError):
                    raise
                self._results[key] = error.message
            else:
                self._results[key] = None
        error_text = self._results[key]
        if error_text is not None:
            self.note(ref.path, error_text, concerned)
        return error_text is None
