"""How a table's rows are laid out in files: by partition, and sorted (spec/partitioning.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from atio.commit.state import load_schema
from atio.errors import InputError, NewerFormatError, SchemaError, meant
from atio.metadata.objects import Objects
from atio.model.pointer import Catalog, PartitionField, SortField
from atio.model.snapshot import PartitionValue, SchemaRef
from atio.schema.bound import BoundSchema

if TYPE_CHECKING:  # brought in by tables that have a layout
    from atio.schema.transforms import Transform
    from atio.table.ordering import Ordering, SortBy

Partition = tuple[PartitionValue, ...]
PartitionBy = str | Sequence[str]

MOST_PARTITIONS = 10_000
"""Of one write: each is a file, and a table of countless files serves nobody."""
SMALL_BYTES = 8 * 2**20
"""Decoded: what is no larger is sorted, and encoded, in one piece."""
_CALL = re.compile(r"([a-z]+)\(\s*(?:(\d+)\s*,\s*)?(.+?)\s*\)")


class Part(msgspec.Struct, frozen=True):
    """A column and what makes partitions of its values."""

    id: int
    column: str
    transform: Transform

    def __str__(self) -> str:
        if self.transform.name == "identity":
            return self.column
        width = f"{self.transform.width}, " if self.transform.width else ""
        return f"{self.transform.name}({width}{self.column})"


class Layout(msgspec.Struct, frozen=True):
    """What a table's catalog asks of its files, in the columns of one schema."""

    schema: BoundSchema
    parts: tuple[Part, ...] = ()
    order: Ordering | None = None

    @property
    def is_plain(self) -> bool:
        """Rows go into files as they come."""
        return not self.parts and self.order is None

    def has(self, partition: Partition) -> bool:
        """Whether a file's partition is one of this layout."""
        return [tuple(value[:2]) for value in partition] == [(p.id, str(p.transform)) for p in self.parts]

    def arranged(self, tables: Iterable[pa.Table], memory: int) -> Iterator[tuple[Partition, pa.Table]]:
        """The rows by partition, and sorted within each; ``memory`` decoded bytes are held at once."""
        if self.is_plain:
            yield from (((), table) for table in tables)
            return
        for table in self._sorted(iter(tables), memory):
            yield from self.cut(table)

    def sorted_within(self, table: pa.Table) -> pa.Table:
        """A small table's rows in the table's order."""
        order = self.order
        return table if order is None else _sorted(table, order.sortables(table, self.schema), order)

    def _sorted(self, tables: Iterator[pa.Table], memory: int) -> Iterator[pa.Table]:
        first = next(tables, None)
        if first is None:
            return
        second = next(tables, None)
        directions = self._directions()
        if second is None and first.nbytes <= SMALL_BYTES:
            yield _taken_in_order(first, self._keys(first), directions)
            return
        from atio.table.sorting import External

        rest = (table for table in (first, second) if table is not None)
        sorter = External(first.schema.remove_metadata(), self._keys, directions, memory)
        yield from sorter.sorted(_chained(rest, tables))

    def _directions(self) -> list[str]:
        order = () if self.order is None else self.order.key_directions
        return [*("ascending" for _ in self.parts), *order]

    def _values(self, table: pa.Table) -> list[pa.Array]:
        return [part.transform.apply(table.column(part.column)) for part in self.parts]

    def partition_keys(self, table: pa.Table) -> list[pa.ChunkedArray]:
        """The values of each row's partition, to sort by."""
        return [pa.chunked_array([values]) for values in self._values(table)]

    def _keys(self, table: pa.Table) -> list[pa.ChunkedArray]:
        keys = self.partition_keys(table)
        return keys if self.order is None else [*keys, *self.order.sortables(table, self.schema)]

    def cut(self, table: pa.Table) -> Iterator[tuple[Partition, pa.Table]]:
        """Sorted rows where a partition ends."""
        if not self.parts:
            yield (), table
            return
        from atio.schema.transforms import encoded

        if not table.num_rows:
            return
        values = self._values(table)
        starts = _starts(values)
        lines = zip(*(encoded(column.take(pa.array(starts, pa.int64()))) for column in values), strict=True)
        for start, end, line in zip(starts, [*starts[1:], table.num_rows], lines, strict=True):
            partition = tuple((p.id, str(p.transform), v) for p, v in zip(self.parts, line, strict=True))
            yield partition, table.slice(start, end - start)


def _chained(first: Iterable[pa.Table], rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    yield from first
    yield from rest


def _sorted(table: pa.Table, keys: list[pa.ChunkedArray], order: Ordering) -> pa.Table:
    return _taken_in_order(table, keys, order.key_directions)


def _taken_in_order(table: pa.Table, keys: list[pa.ChunkedArray], directions: Sequence[str]) -> pa.Table:
    import pyarrow.compute as pc

    from atio.predicate.keep import taken

    names = [f"k{number}" for number in range(len(keys))]
    keyed = pa.Table.from_arrays(keys, names=names).combine_chunks()
    places = pc.sort_indices(keyed, sort_keys=list(zip(names, directions, strict=True)))
    if places.equals(pa.arange(0, len(places)).cast(places.type)):
        return table
    return taken(table.unify_dictionaries(), places)


def _starts(columns: list[pa.Array]) -> list[int]:
    """Where rows begin that differ from those before, in any column; NaN and null are values like others."""
    import pyarrow.compute as pc

    codes: pa.Array | None = None
    for column in columns:
        found = column.dictionary_encode(null_encoding="encode")
        code = found.indices.cast(pa.int64())
        if codes is not None:
            code = pc.add(pc.multiply(codes, pa.scalar(len(found.dictionary), pa.int64())), code)
            code = code.dictionary_encode().indices.cast(pa.int64())  # small again: it cannot overflow
        codes = code
    ends = pc.run_end_encode(codes).run_ends.to_pylist()
    return [0, *ends[:-1]] if ends else []


def recorded_since(
    objects: Objects, schema: BoundSchema, older: Iterable[SchemaRef], partitions: Iterable[Partition]
) -> int:
    """The least schema id of files whose records of these partitions mean what they would mean now.

    A column that was widened may have other buckets for the same values.
    """
    ids = {value[0] for partition in partitions for value in partition}
    if not ids:
        return 0
    from atio.schema.transforms import recorded_as

    now = {
        f.id: recorded_as(k)
        for f, k in zip(schema.spec.fields, schema.arrow.types, strict=True)
        if f.id in ids
    }
    since = 0
    for ref in older:
        then = load_schema(objects, ref)
        for field, kind in zip(then.spec.fields, then.arrow.types, strict=True):
            if field.id in now and recorded_as(kind) != now[field.id]:
                since = max(since, ref.id + 1)
    return since


# -- from and to the catalog -----------------------------------------------------------------------


def layout_of(catalog: Catalog, schema: BoundSchema) -> Layout:
    """The table's layout.

    Raises
    ------
    SchemaError
        A column of it is not there.
    """
    if not catalog.partitioning and not catalog.sorting:
        return Layout(schema)
    from atio.table.ordering import ordering

    names = {field.id: field.name for field in schema.spec.fields}
    parts = tuple(
        Part(one.id, _named(one.id, names, "partition"), _transform(one.transform))
        for one in catalog.partitioning
    )
    for part in parts:
        part.transform.check(schema.public.field(part.column).type, part.column)
    by = [(_named(one.id, names, "sort"), one.direction) for one in catalog.sorting]
    return Layout(schema, parts, ordering(by, None, schema) if by else None)


def _transform(text: str) -> Transform:
    from atio.schema.transforms import Transform

    try:
        return Transform.parse(text)
    except ValueError as error:
        raise NewerFormatError(f"the table is partitioned by {error}", hint="upgrade atio") from None


def _named(identity: int, names: dict[int, str], what: str) -> str:
    if identity not in names:
        raise SchemaError(
            f"the table's {what} column (field {identity}) would be gone",
            hint=f"change it first: set_{'partitioning' if what == 'partition' else 'sorting'}(None)",
        )
    return names[identity]


def partition_fields(asked: PartitionBy | None, schema: BoundSchema) -> tuple[PartitionField, ...]:
    """What the user asked for, ``"month(date)"`` or ``["bucket(16, id)", "country"]``, as metadata."""
    if asked is None:
        return ()
    made = [_partition_field(one, schema) for one in ([asked] if isinstance(asked, str) else asked)]
    if len(set(made)) < len(made):
        raise InputError("partition_by names the same partition twice")
    return tuple(made)


def _partition_field(asked: object, schema: BoundSchema) -> PartitionField:
    if not isinstance(asked, str):
        raise InputError(
            f"partition_by: {asked!r} is no text", hint='write "month(date)", "bucket(16, id)" or "country"'
        )
    from atio.schema.transforms import NAMES, Transform

    known = schema.arrow.names
    name, call = asked, _CALL.fullmatch(asked)
    transform = Transform("identity")
    if asked not in known and call is not None and (call[1] in NAMES or call[3] in known):
        name = call[3]
        try:
            transform = Transform.parse(call[1] if call[2] is None else f"{call[1]}[{call[2]}]")
        except ValueError as error:
            raise InputError(
                f"partition_by: {asked!r} cannot be: {error}",
                hint='write "month(date)", "bucket(16, id)", "truncate(4, name)" or "country"',
            ) from None
    if name not in known:
        raise InputError(
            f"partition_by: there is no column {name!r}",
            column=name,
            hint=meant(name, known) or f"columns are {', '.join(known[:20]) or 'to be given as a schema'}",
        )
    field = schema.spec.fields[known.index(name)]
    transform.check(schema.public.field(name).type, name)
    return PartitionField(id=field.id, transform=str(transform))


def sort_fields(asked: SortBy | None, schema: BoundSchema) -> tuple[SortField, ...]:
    """What the user asked for, checked, as metadata."""
    from atio.table.ordering import ordering

    order = ordering(asked, None, schema) if asked else None
    if order is None:
        return ()
    ids = {field.name: field.id for field in schema.spec.fields}
    pairs = zip(order.columns, order.directions, strict=True)
    return tuple(
        SortField(id=ids[name], direction="descending" if direction == "descending" else "ascending")
        for name, direction in pairs
    )
