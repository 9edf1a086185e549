"""Which files' partitions a condition rules out (spec/partitioning.md).

Bounds of the columns tell it for everything but buckets: a hash has no order, so a file's bucket itself is
compared with those of the values looked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from atio.commit.state import load_schema
from atio.metadata.objects import Objects
from atio.model.snapshot import PartitionValue, Snapshot
from atio.predicate import Bound
from atio.predicate.bound import Const, Field, Op, Value
from atio.schema.bound import BoundSchema
from atio.schema.scalars import JsonValue
from atio.schema.transforms import Transform, encoded, hashed_as

Partition = tuple[PartitionValue, ...]


class Parted:
    """Tells of partitions whether rows of one may match.

    Parameters
    ----------
    snapshot
        Names the schemas of older files: what was hashed as another type then says nothing now.
    """

    def __init__(self, objects: Objects, snapshot: Snapshot, bound: BoundSchema, condition: Bound) -> None:
        self._root = condition.root
        self._ids = {bound.leaf_ids.get(field.path) for field in _sought_in(condition.root)} - {None}
        self._bound = bound
        self._since = self._hashed_alike_since(objects, snapshot) if self._ids else {}
        self._answers: dict[tuple[Partition, frozenset[int]], bool] = {}
        self._buckets: dict[tuple[int, str], set[JsonValue]] = {}

    @property
    def is_of_use(self) -> bool:
        """Partitions may rule files out."""
        return bool(self._ids)

    def told(self, partitions: Sequence[Partition], schema_ids: Sequence[int]) -> list[bool | None]:
        """By file False if its partition rules it out, else None; ``schema_ids`` are those of the files."""
        return [
            None if not partition or self._answer(partition, identity) else False
            for partition, identity in zip(partitions, schema_ids, strict=True)
        ]

    def _answer(self, partition: Partition, schema_id: int) -> bool:
        unknown = frozenset(column for column, since in self._since.items() if schema_id < since)
        key = (partition, unknown)
        if key not in self._answers:
            told = [line for line in partition if len(line) > 2 and line[0] in self._ids - unknown]
            buckets = {(line[0], str(line[1])): line[2] for line in told if _is_bucket(line[1])}
            self._answers[key] = self._may(self._root, buckets)
        return self._answers[key]

    def _may(self, value: Value, buckets: dict[tuple[JsonValue, str], JsonValue]) -> bool:
        """Whether a condition may be true of a row in these buckets of columns."""
        if isinstance(value, Op) and value.name == "and":
            return all(self._may(arg, buckets) for arg in value.args)
        if isinstance(value, Op) and value.name == "or":
            return any(self._may(arg, buckets) for arg in value.args)
        found = _sought(value)
        if found is None:
            return True
        field, values = found
        identity = self._bound.leaf_ids.get(field.path)
        return all(
            bucket in self._of(value, transform, values)
            for (column, transform), bucket in buckets.items()
            if column == identity and hashed_as(field.kind) == hashed_as(values.type)
        )

    def _of(self, op: Value, transform: str, values: pa.Array) -> set[JsonValue]:
        """The buckets of the values that an operation looks for."""
        key = (id(op), transform)
        if key not in self._buckets:
            found = Transform.parse(transform).apply(pa.chunked_array([values]))
            self._buckets[key] = set(encoded(found))
        return self._buckets[key]

    def _hashed_alike_since(self, objects: Objects, snapshot: Snapshot) -> dict[int, int]:
        """By column, the least schema id of files in which equal values have the hash they have now."""
        since: dict[int, int] = {}
        now = {field.id: field.type for field in self._bound.spec.fields if field.id in self._ids}
        for ref in snapshot.schemas[1:]:
            older = load_schema(objects, ref)
            for field, kind in zip(older.spec.fields, older.arrow.types, strict=True):
                if field.id not in now or field.type == now[field.id]:
                    continue
                path = self._bound.paths[field.id]
                if hashed_as(kind) != hashed_as(self._bound.arrow.field(path[0]).type):
                    since[field.id] = max(since.get(field.id, 0), ref.id + 1)
        return since


def _is_bucket(transform: JsonValue) -> bool:
    try:
        return isinstance(transform, str) and Transform.parse(transform).name == "bucket"
    except ValueError:
        return False  # of a later version: it says nothing


def _sought_in(value: Value) -> list[Field]:
    """Columns that a condition wants to have one of some values, somewhere."""
    if isinstance(value, Op) and value.name in ("and", "or"):
        return [field for arg in value.args for field in _sought_in(arg)]
    found = _sought(value)
    return [] if found is None else [found[0]]


def _sought(value: Value) -> tuple[Field, pa.Array] | None:
    """The column, and the values one of which it must have, of ``=``, ``in`` and ``is_null``."""
    if not isinstance(value, Op) or not value.args:
        return None
    if value.name == "eq":
        for field, other in (value.args, value.args[::-1]):
            if isinstance(field, Field) and isinstance(other, Const) and field.type == other.type:
                return field, pa.repeat(other.value, 1)
    field = value.args[0]
    if isinstance(field, Field) and value.name == "in" and value.option.type == field.type:
        return field, value.option
    if isinstance(field, Field) and value.name == "is_null":
        return field, pa.nulls(1, field.type)
    return None
