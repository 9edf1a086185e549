"""The rows of some partitions, as a condition: what an overwrite of partitions replaces (spec/commit.md).

Files that record a partition of the table's are decided by their records; those of older layouts by bounds of
the columns, or by looking at these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import msgspec
import pyarrow as pa

from atio.commit.state import Draft
from atio.errors import ContendedError
from atio.metadata.objects import Objects
from atio.model.pointer import PartitionField
from atio.model.snapshot import DataFile, Snapshot
from atio.predicate import Bound
from atio.predicate.bound import Const, Field, Op, Value
from atio.predicate.load import load
from atio.predicate.tree import Literal
from atio.predicate.types import loaded, plain
from atio.schema.bound import BoundSchema
from atio.schema.scalars import JsonValue
from atio.schema.transforms import decoded, recorded_as
from atio.table.layout import Layout, Part, Partition, recorded_since

Line = tuple[JsonValue, ...]
_UNKNOWN = Op("coalesce", (), pa.bool_())
"""A condition of which statistics tell nothing."""


class SameLayout(msgspec.Struct, frozen=True):
    """A requirement: the table is parted as it was when rows were written for it."""

    partitioning: tuple[PartitionField, ...]

    def apply(self, draft: Draft) -> Draft:
        if draft.catalog.partitioning != self.partitioning:
            raise _moved()
        return draft


class Partitions:
    """The partitions that the rows of new files are of.

    Parameters
    ----------
    layout
        The table's when they were written.
    """

    def __init__(self, layout: Layout, files: Iterable[DataFile]) -> None:
        self.parts = layout.parts
        self.lines = list(dict.fromkeys(tuple(value[2] for value in file.partition) for file in files))
        """Of each partition its values, as metadata keep them."""
        self._written = layout.schema
        self._values = [
            decoded([line[place] for line in self.lines], part.transform, _kind(part, layout.schema))
            for place, part in enumerate(self.parts)
        ]
        self._distinct = [values.unique() for values in self._values]
        self._pairs: list[pa.Array] = []
        """By part but the first, the codes that the parts up to it have together."""
        self._codes(self._values, learn=True)

    def matches(self, columns: Sequence[pa.ChunkedArray]) -> pa.BooleanArray:
        """Which rows are of one of the partitions; a column a part."""
        if not self.lines:
            return pa.repeat(False, len(columns[0]))
        found = [part.transform.apply(column) for part, column in zip(self.parts, columns, strict=True)]
        return self._codes(found).is_valid()

    def _codes(self, columns: Sequence[pa.Array], *, learn: bool = False) -> pa.Array:
        """For each row a number that its partition alone has; null for one that is none of these."""
        import pyarrow.compute as pc

        codes = None
        for place, (column, distinct) in enumerate(zip(columns, self._distinct, strict=True)):
            here = pc.index_in(column, value_set=distinct).cast(pa.int64())
            if codes is None:
                codes = here
                continue
            pairs = pc.add(pc.multiply(codes, len(distinct)), here)
            if learn:
                self._pairs.append(pairs.unique())
            codes = pc.index_in(pairs, value_set=self._pairs[place - 1], skip_nulls=True).cast(pa.int64())
        return codes

    def condition(self, bound: BoundSchema) -> Bound:
        """The condition that a row is of one of the partitions.

        Raises
        ------
        ContendedError
            The columns have other partitions for the same values by now.
        """
        names: list[str] = []
        roots: list[Value] = []
        for part, values in zip(self.parts, self._distinct, strict=True):
            path = bound.paths.get(part.id)
            if path is None or recorded_as(_kind(part, bound)) != recorded_as(_kind(part, self._written)):
                raise _moved()
            names.append(path[0])
            roots.append(_among(part, values, path[0], bound))
        if len(self.lines) < prod(map(len, self._distinct)):
            roots.append(_UNKNOWN)  # Each value may be one of them, and the partition none.
        root = Op("and", tuple(roots), pa.bool_()) if self.lines else Const(pa.scalar(False))
        return OfPartitions(Literal("bool", True), root, self, tuple(names))


class OfPartitions(Bound, frozen=True, eq=False, dict=True):
    """Decided by the transforms; what may be skipped, or goes whole, is decided part by part.

    ``names`` are those of the parts' columns.
    """

    partitions: Partitions
    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.names))

    def __repr__(self) -> str:
        return f"partition in {len(self.partitions.lines)}"

    def evaluate(self, table: pa.Table | pa.RecordBatch) -> pa.BooleanArray:
        return self.partitions.matches([_chunked(table.column(name)) for name in self.names])

    def records(self, objects: Objects, snapshot: Snapshot, bound: BoundSchema) -> Records:
        """What decides by the partitions that files record."""
        ids: list[Partition] = [tuple((part.id,) for part in self.partitions.parts)]
        return Records(self.partitions, recorded_since(objects, bound, snapshot.schemas[1:], ids))


class Records:
    """Tells by the partition that a file records whether its rows are of one of ``partitions``.

    ``since`` is the least schema id of files whose records mean what they would mean now.
    """

    is_of_use = True

    def __init__(self, partitions: Partitions, since: int) -> None:
        self._lines = partitions.lines
        self._parts = [(part.id, str(part.transform)) for part in partitions.parts]
        self._since = since
        self._projected: dict[tuple[int, ...], set[Line]] = {}
        self._answers: dict[Partition, bool | None] = {}

    def told(self, partitions: Sequence[Partition], schema_ids: Sequence[int]) -> list[bool | None]:
        """By file: all its rows are (True), none of them is (False), or the record does not tell."""
        return [
            self._told(partition) if partition and identity >= self._since else None
            for partition, identity in zip(partitions, schema_ids, strict=True)
        ]

    def _told(self, partition: Partition) -> bool | None:
        if partition not in self._answers:
            recorded = {(line[0], line[1]): line[2] for line in partition if len(line) > 2}
            places = tuple(place for place, part in enumerate(self._parts) if part in recorded)
            values = tuple(recorded[self._parts[place]] for place in places)
            answer = None if values in self._of(places) else False
            self._answers[partition] = True if answer is None and len(places) == len(self._parts) else answer
        return self._answers[partition]

    def _of(self, places: tuple[int, ...]) -> set[Line]:
        """What the partitions have in some of their parts."""
        if places not in self._projected:
            self._projected[places] = {tuple(line[place] for place in places) for line in self._lines}
        return self._projected[places]


def _kind(part: Part, bound: BoundSchema) -> pa.DataType:
    return bound.arrow.field(bound.paths[part.id][0]).type


def _among(part: Part, values: pa.Array, name: str, bound: BoundSchema) -> Value:
    """The condition that a column's part is one of some values, as far as its bounds can tell."""
    kind = bound.public.field(name).type
    field = Field((name,), (), kind, loaded(kind))
    inner = plain(kind)
    if part.transform.name == "bucket" or pa.types.is_floating(inner) or pa.types.is_date64(inner):
        return _UNKNOWN
    present = load(values.drop_null())
    among = Op("in", (Op("part", (field,), present.type, part.transform),), pa.bool_(), present)
    if not values.null_count:
        return among
    return Op("or", (among, Op("is_null", (field,), pa.bool_())), pa.bool_())


def _chunked(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _moved() -> ContendedError:
    return ContendedError(
        "another commit changed the table's partitions while rows were written for them",
        hint="overwrite again: the rows are parted as the table is by now",
    )
