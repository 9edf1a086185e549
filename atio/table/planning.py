"""Which data files, and which row groups of a file, a condition needs (spec/predicate.md).

Decided from statistics alone, vectorised over the files of a manifest: its columns are compared as
they are, and only the files that are needed become objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa

from atio.columns import column, scalar
from atio.commit.state import load_schema
from atio.errors import DamagedError
from atio.formats.base import Parts
from atio.metadata import manifests
from atio.metadata.objects import Objects
from atio.model.snapshot import DataFile, ManifestRef, Snapshot
from atio.predicate import Bound, ColumnBounds, Statistics, matches, may_match
from atio.schema.bound import BoundSchema
from atio.table.parted import Parted
from atio.table.partitions import OfPartitions, Records

Path = tuple[str, ...]


class Planned(msgspec.Struct, frozen=True):
    """A file to read. ``sure``: all its rows match, so that none need be looked at."""

    file: DataFile
    sure: bool


def plan(
    objects: Objects, snapshot: Snapshot, bound: BoundSchema, condition: Bound, *, sure: bool = True
) -> Iterator[Planned]:
    """The files that may have matching rows, in row order; ``sure``: find those that match whole, too."""
    since = _comparable_since(objects, snapshot, bound, condition)
    if isinstance(condition, OfPartitions):
        parted: Parted | Records = condition.records(objects, snapshot, bound)
    else:
        parted = Parted(objects, snapshot, bound, condition)
    for ref in snapshot.manifests:
        yield from _of_manifest(objects, ref, bound, condition, since, parted, sure=sure)
    if snapshot.files:
        statistics = _OfFiles(snapshot.files, bound, since)
        may, whole = (mask.to_pylist() for mask in _matches(condition, statistics, sure=sure))
        told = parted.told([f.partition for f in snapshot.files], [f.schema_id for f in snapshot.files])
        lines = zip(snapshot.files, may, told, whole, strict=True)
        yield from (Planned(f, sure and (t is True or w)) for f, m, t, w in lines if m and t is not False)


def _comparable_since(
    objects: Objects, snapshot: Snapshot, bound: BoundSchema, condition: Bound
) -> dict[int, int]:
    """By field id, the least schema id of files whose bounds count in the unit that the column has now.

    Of the condition's columns: others may be thousands.
    """
    since: dict[int, int] = {}
    leaves = [(path, bound.leaf_ids.get(path)) for path in condition.paths]
    now = {identity: _leaf_type(bound.arrow, path) for path, identity in leaves if identity is not None}
    now = {identity: kind for identity, kind in now.items() if pa.types.is_temporal(kind)}
    for ref in snapshot.schemas[1:] if now else ():
        older = load_schema(objects, ref)
        for identity, kind in now.items():
            path = older.paths.get(identity)
            if path is not None and _leaf_type(older.arrow, path) != kind:
                since[identity] = max(since.get(identity, 0), ref.id + 1)
    return since


def _of_manifest(
    objects: Objects,
    ref: ManifestRef,
    bound: BoundSchema,
    condition: Bound,
    since: dict[int, int],
    parted: Parted | Records,
    *,
    sure: bool,
) -> Iterator[Planned]:
    import pyarrow.compute as pc

    entries = manifests.entries(objects, ref)
    try:
        statistics = _OfManifest(entries, bound, since)
        may, surely = _matches(condition, statistics, sure=sure)
        gone = set(ref.removed)
        places = [place for place in pc.indices_nonzero(may).to_pylist() if place not in gone]
        told = _told(entries, places, parted)
        places = [place for place in places if told.get(place) is not False]
        if not places:
            return
        whole = [False] * len(places)
        if sure:
            found = surely.take(column(places, pa.int64())).to_pylist()
            whole = [told.get(place) is True or each for place, each in zip(places, found, strict=True)]
        files = entries.files(places)
    except ValueError as error:
        raise DamagedError(f"{ref.path} is not valid: {error}", file=ref.path) from error
    yield from map(Planned, files, whole)


def _matches(
    condition: Bound, statistics: Statistics, *, sure: bool
) -> tuple[pa.BooleanArray, pa.BooleanArray]:
    if sure:
        return matches(condition, statistics)
    may = may_match(condition, statistics)
    return may, pa.repeat(scalar(False, pa.bool_()), len(may))


def _told(entries: manifests.Entries, places: list[int], parted: Parted | Records) -> dict[int, bool | None]:
    """By place what the partitions of entries tell."""
    found = entries.column("partition") if parted.is_of_use and places else None
    if found is None:
        return {}
    ids = entries.column("schema_id")
    assert ids is not None
    at = column(places, pa.int64())
    partitions = [manifests.partition(text) for text in found.take(at).to_pylist()]
    return dict(zip(places, parted.told(partitions, ids.take(at).to_pylist()), strict=True))


class _OfManifest:
    """``predicate.Statistics`` of a manifest's entries."""

    def __init__(self, entries: manifests.Entries, bound: BoundSchema, since: dict[int, int]) -> None:
        self._entries = entries
        self._bound = bound
        self._since = since
        self.rows = _array(entries.column("rows"))

    def column(self, path: Path) -> ColumnBounds | None:
        identity = self._bound.leaf_ids.get(path)
        if identity is None:
            return None
        kinds = ("lower", "upper", "nulls", "nans")
        lower, upper, nulls, nans = (_array(self._entries.column(f"{identity}.{kind}")) for kind in kinds)
        kind = manifests.statistics_type(_leaf_type(self._bound.arrow, path))
        lower, upper = (self._comparable(bound, kind, identity) for bound in (lower, upper))
        return ColumnBounds(lower, upper, nulls, nans)

    def _comparable(self, bound: pa.Array | None, kind: pa.DataType, identity: int) -> pa.Array | None:
        """The bounds as the column's type has them now; null for files where they meant something else."""
        import pyarrow.compute as pc

        if bound is None or pa.types.is_null(kind):
            return None
        if identity in self._since:
            same = pc.greater_equal(_array(self._entries.column("schema_id")), self._since[identity])
            bound = pc.if_else(same, bound, pa.nulls(1, bound.type)[0])
        return bound if bound.type == kind else bound.cast(kind)


def _array(found: pa.ChunkedArray | None) -> pa.Array | None:
    if found is None:
        return None
    return found.chunk(0) if found.num_chunks == 1 else found.combine_chunks()


class _OfFiles:
    """``predicate.Statistics`` of files that a snapshot lists itself."""

    def __init__(self, files: Sequence[DataFile], bound: BoundSchema, since: dict[int, int]) -> None:
        self._files = files
        self._bound = bound
        self._since = since
        self.rows = column([file.rows for file in files], pa.int64())

    def column(self, path: Path) -> ColumnBounds | None:
        identity = self._bound.leaf_ids.get(path)
        since = self._since.get(identity or 0, 0)
        lines = [
            next((line for line in file.stats if line[0] == identity and file.schema_id >= since), ())
            for file in self._files
        ]
        if not any(lines):
            return None
        kind = manifests.statistics_type(_leaf_type(self._bound.arrow, path))

        def each(place: int) -> list[object]:
            return [line[place] if place < len(line) else None for line in lines]

        assert identity is not None
        lower, upper = (
            None if pa.types.is_null(kind) else manifests.statistics(identity, each(place), kind)
            for place in (1, 2)
        )
        nulls = manifests.statistics(identity, each(3), pa.int64())
        counted = any(len(line) > 4 for line in lines)
        nans = manifests.statistics(identity, each(4), pa.int64()) if counted else None
        return ColumnBounds(lower, upper, nulls, nans)


def _leaf_type(schema: pa.Schema, path: Path) -> pa.DataType:
    kind = schema.field(path[0]).type
    for name in path[1:]:
        kind = kind.field(name).type
    return kind


class GroupStatistics:
    """``predicate.Statistics`` of a file's row groups; ``source`` is the schema it was written with."""

    def __init__(self, parts: Parts, source: BoundSchema, target: BoundSchema) -> None:
        self._parts = parts
        self._source = source
        self._target = target
        self.rows = column(parts.rows, pa.int64())

    def column(self, path: Path) -> ColumnBounds | None:
        identity = self._target.leaf_ids.get(path)
        there = next((p for p, known in self._source.leaf_ids.items() if known == identity), None)
        found = None if there is None else self._parts.stats(there)
        if there is None or not found:
            return None
        kind = manifests.statistics_type(_leaf_type(self._source.arrow, there))
        nulls = column([one.nulls for one in found], pa.int64())
        if pa.types.is_null(kind):
            return ColumnBounds(nulls=nulls)
        if pa.types.is_temporal(_leaf_type(self._target.arrow, path)) and not self._is_alike(path, there):
            return ColumnBounds(nulls=nulls)
        wanted = manifests.statistics_type(_leaf_type(self._target.arrow, path))
        lower, upper = (
            column(bounds, kind).cast(wanted)
            for bounds in zip(*((s.lower, s.upper) for s in found), strict=True)
        )
        return ColumnBounds(lower, upper, nulls)

    def _is_alike(self, path: Path, there: Path) -> bool:
        return bool(_leaf_type(self._target.arrow, path) == _leaf_type(self._source.arrow, there))
