"""Which rows a change of rows is about: found beforehand, and looked for again in what is new by then."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa

from atio.commit.delete import DeleteRows, Touched
from atio.commit.state import Draft, State, file_schema, put_schema
from atio.errors import ConflictError
from atio.metadata import history, vectors
from atio.metadata.objects import Objects
from atio.model.snapshot import DataFile, Snapshot
from atio.predicate import Bound
from atio.schema.bound import BoundSchema
from atio.table.matching import Matching
from atio.table.planning import Planned, plan

MOST_AGAIN = 32 * 2**20
"""Bytes of new data files that are looked at while others wait for the lock."""

Ask = Callable[[BoundSchema], Bound]


class Found(msgspec.Struct, frozen=True, eq=False):
    """What was found in a data file.

    Attributes
    ----------
    mask
        The rows that matched, by position; None if all do.
    digest
        Of the vector of those that were deleted before.
    noted
        What the finder was asked to note of each part of them.
    """

    touched: Touched
    mask: pa.BooleanArray | None
    digest: str | None
    noted: tuple[Any, ...] = ()


class View(msgspec.Struct, frozen=True):
    """The rows to look at: those of a version, or of one that is being made."""

    objects: Objects
    snapshot: Snapshot
    bound: BoundSchema

    def source(self, file: DataFile) -> BoundSchema:
        """The schema a file was written with."""
        return file_schema(self.objects, file, self.bound, self.snapshot.schemas[1:])


class Finder:
    """Finds the rows that match in one version after another; what it has seen it does not read again.

    Parameters
    ----------
    ask
        Makes the condition for the columns that there are.
    note
        Is given the condition's columns of rows that match, a part at a time; what it returns is kept.
    """

    def __init__(self, ask: Ask, note: Callable[[pa.Table], Any] | None = None) -> None:
        self._ask = ask
        self._note = note
        self._bound: BoundSchema | None = None
        self._known: dict[tuple[str, str | None], Found | None] = {}

    def look(self, view: View, most: int | None = None) -> list[Found]:
        """The data files that have rows which match.

        Raises
        ------
        ConflictError
            More than ``most`` bytes would have to be looked at.
        """
        if self._bound is None or not self._bound.same_structure(view.bound):
            self._known = {}  # What a condition means depends on the columns.
        self._bound = view.bound
        condition = self._ask(view.bound)
        sure = self._note is None  # What is to be noted has to be read.
        planned = list(plan(view.objects, view.snapshot, view.bound, condition, sure=sure))
        keys = [_key(view.objects, one.file) for one in planned]
        new = [one for one, key in zip(planned, keys, strict=True) if key not in self._known]
        if most is not None and sum(one.file.size for one in new) > most:
            raise ConflictError(
                "other commits rewrote much of the table while rows were looked for",
                hint="try again when fewer write at once",
            )
        matching = Matching(view.objects, view.bound, (), condition)
        for one, found in zip(new, self._in_parallel(view, matching, new), strict=True):
            self._known[_key(view.objects, one.file)] = found
        known = ((one.file, self._known[key]) for one, key in zip(planned, keys, strict=True))
        return [_now(found, file) for file, found in known if found is not None]

    def _in_parallel(self, view: View, matching: Matching, new: list[Planned]) -> Iterator[Found | None]:
        if len(new) < 2:
            yield from (self._found(view, matching, one, threads=True) for one in new)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(len(new), os.cpu_count() or 1)) as pool:
            yield from pool.map(lambda one: self._found(view, matching, one, threads=False), new)

    def _found(self, view: View, matching: Matching, planned: Planned, *, threads: bool) -> Found | None:
        file = planned.file
        digest = _key(view.objects, file)[1]
        if planned.sure:
            return Found(Touched(file, None, 0), None, digest)
        noted: list[Any] = []
        note = self._note
        seen = None if note is None else lambda rows: noted.append(note(rows))
        mask = matching.hits(file, view.source(file), threads=threads, seen=seen)
        if mask is None:
            return None
        return Found(_touched(view.objects, file, mask), mask, digest, tuple(noted))


def _key(objects: Objects, file: DataFile) -> tuple[str, str | None]:
    """The rows of a file: which they are, wherever it is written which are deleted."""
    vector = vectors.load(objects, file)
    return file.path, None if vector is None else vector.digest


def _same(some: list[Found], others: list[Found]) -> bool:
    def is_same(one: Found, other: Found) -> bool:
        if one is other:
            return True
        if one.touched.file.path != other.touched.file.path or (one.mask is None) != (other.mask is None):
            return False
        # All rows of a file are others when some of them were deleted.
        return one.digest == other.digest if one.mask is None else one.mask.equals(other.mask)

    return len(some) == len(others) and all(map(is_same, some, others))


def _now(found: Found, file: DataFile) -> Found:
    """What was found, of the entry that the file has now."""
    if found.touched.file == file:
        return found
    return msgspec.structs.replace(found, touched=msgspec.structs.replace(found.touched, file=file))


def _touched(objects: Objects, file: DataFile, mask: pa.BooleanArray) -> Touched:
    import pyarrow.compute as pc

    vector = vectors.load(objects, file)
    dead = mask if vector is None else pc.or_(mask, vector.dead(0, file.rows))
    count = dead.true_count
    return Touched(file, None, 0) if count == file.rows else Touched(file, vectors.encode(dead), count)


def noting(rows: pa.Table) -> pa.Table:
    """What to note of rows whose keys are wanted: their keys, to be looked up all at once."""
    return rows


class Finding:
    """A change that looks for rows in the state that it is applied to.

    Attributes
    ----------
    since
        What the table was when rows were found that must be the same: in other files they still are. None: in
        the same files.
    """

    since: State | None = None

    def prepare(self, view: View) -> None:
        """Look beforehand, while nobody waits."""
        raise NotImplementedError


class DeleteFound(Finding):
    """A commit's change: delete the rows that match in the state it builds upon, whatever that is.

    Parameters
    ----------
    only
        The rows must be these: what else the commit does was made of them.

    Attributes
    ----------
    found
        What was deleted by the last state that this was applied to.
    """

    def __init__(self, finder: Finder, only: list[Found] | None = None) -> None:
        self._finder = finder
        self._only = only
        self.found: list[Found] = []

    @property
    def rows(self) -> int:
        """How many rows were deleted."""
        return sum(one.touched.rows for one in self.found)

    def prepare(self, view: View) -> None:
        self._finder.look(view)

    def apply(self, draft: Draft) -> Draft:
        self.look(draft)
        return DeleteRows(tuple(one.touched for one in self.found)).apply(draft)

    def look(self, draft: Draft) -> None:
        """Find the rows in the version that is being made."""
        self.found = self._finder.look(view_of(draft), MOST_AGAIN)
        if self._only is None or _same(self.found, self._only):
            return
        if not (self.rows == sum(one.touched.rows for one in self._only) and self._none_is_gone(draft)):
            raise ConflictError(
                "other commits changed the rows that this one changes",
                hint="try again when fewer write at once",
            )

    def _none_is_gone(self, draft: Draft) -> bool:
        """Whether others took no rows away: they appended, and moved rows to other files."""
        since, base = self.since, draft.base
        if since is None or base is None or not base.schema.same_structure(since.schema):
            return False
        line = history.find(draft.objects, base.pointer.history, since.version)
        is_ancestor = line is not None and line.id == since.snapshot.id
        return is_ancestor and base.snapshot.summary.removed == since.snapshot.summary.removed


class StillSo(Finding):
    """A requirement of a commit: the rows that match are those that were found."""

    def __init__(self, finder: Finder, found: list[Found]) -> None:
        self._question = DeleteFound(finder, found)

    def prepare(self, view: View) -> None:
        self._question.prepare(view)

    def apply(self, draft: Draft) -> Draft:
        self._question.since = self.since
        self._question.look(draft)
        return draft


def view_of(draft: Draft) -> View:
    """The rows of a version that is being made."""
    base = draft.base
    if base is not None and draft.schema is base.schema:
        snapshot = base.snapshot
        if draft.files is snapshot.files and draft.manifests is snapshot.manifests:
            return View(draft.objects, snapshot, base.schema)
    assert draft.schema is not None
    schema = put_schema(draft.objects, draft.schema)
    assert schema.ref is not None
    made = Snapshot(
        version=draft.version, id="0" * 24, time=0, operation="", schemas=(schema.ref, *draft.older_schemas),
        summary=draft.summary, files=draft.files, manifests=draft.manifests,
    )  # fmt: skip
    return View(draft.objects, made, schema)
