"""Rows of a data file -> the columns of a version, by field id."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from atio.model import schema as spec
from atio.schema import scalars
from atio.schema.bound import BoundSchema
from atio.schema.types import field_to_arrow

# Arrow has few functions for views.
_PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def reader(
    source: BoundSchema, target: BoundSchema, columns: Sequence[str]
) -> Callable[[pa.Table], pa.Table]:
    """What turns rows of a file written with ``source`` into columns of ``target``, by field id."""
    if not columns:
        return lambda table: table.select([])
    if source is target and not target.has_dictionaries:
        given = target.public.remove_metadata()
        found = given if list(columns) == given.names else pa.schema([given.field(name) for name in columns])
        return lambda table: pa.Table.from_arrays(table.columns, schema=found)
    known = {field.id: field for field in source.spec.fields}
    by_name = {field.name: field for field in target.spec.fields}
    wanted = [by_name[name] for name in columns]
    arrow = [field_to_arrow(field) for field in wanted]
    plain = pa.schema([target.public.field(name) for name in columns])
    if not any(pa.types.is_dictionary(field.type) for field in arrow) and source.same_structure(target):
        return lambda table: pa.Table.from_arrays(table.columns, schema=plain)

    def read(table: pa.Table) -> pa.Table:
        made = []
        for field, to in zip(wanted, arrow, strict=True):
            old = known.get(field.id)
            if old is None:
                made.append(pa.chunked_array([default(field, table.num_rows, to.type)]))
            elif field.name in target.categories:
                kept = target.categories[field.name]
                chunks = [_reindexed(chunk, kept, to.type) for chunk in table.column(old.name).chunks]
                made.append(pa.chunked_array(chunks, to.type))
            else:
                made.append(_conformed(table.column(old.name), old, field, to))
        return pa.Table.from_arrays(made, schema=plain)

    return read


def default(field: spec.Field, rows: int, kind: pa.DataType) -> pa.Array:
    """The value of rows that were written without the field."""
    if field.default is None:
        return pa.nulls(rows, kind)
    value = pa.array([scalars.decode(field.default, kind)], kind)
    return value.take(pa.repeat(0, rows))


def _conformed(column: pa.ChunkedArray, old: spec.Field, new: spec.Field, to: pa.Field) -> pa.ChunkedArray:
    """The column of a file as the version has it: its type, and the parts that structs have by now."""
    from atio.schema.cast import cast

    if not isinstance(new.type, spec.StructType) or old.structure() == new.structure():
        return cast(column, to)
    chunks = [_struct(chunk, old, new, to.type) for chunk in column.chunks]
    return pa.chunked_array(chunks, to.type)


def _struct(chunk: pa.StructArray, old: spec.Field, new: spec.Field, kind: pa.StructType) -> pa.StructArray:
    assert isinstance(old.type, spec.StructType)
    assert isinstance(new.type, spec.StructType)
    places = {field.id: place for place, field in enumerate(old.type.fields)}
    children = []
    for field, to in zip(new.type.fields, kind.fields, strict=True):
        place = places.get(field.id)
        if place is None:
            children.append(default(field, len(chunk), to.type))
            continue
        part = pa.chunked_array([chunk.field(place)])
        found = _conformed(part, old.type.fields[place], field, to.with_nullable(True))
        children.append(found.combine_chunks())
    return pa.StructArray.from_arrays(children, fields=list(kind.fields), mask=chunk.is_null())


def source_columns(source: BoundSchema, target: BoundSchema, columns: Sequence[str]) -> list[str]:
    """Names, in the file, of the table's columns that it has."""
    if source is target:
        return list(columns)
    names = {field.id: field.name for field in source.spec.fields}
    ids = {field.name: field.id for field in target.spec.fields}
    return [names[ids[column]] for column in columns if ids[column] in names]


def _reindexed(chunk: pa.Array, kept: pa.Array, kind: pa.DictionaryType) -> pa.Array:
    """The same values, as indices into the table's categories."""
    if not pa.types.is_dictionary(chunk.type):
        indices = positions(chunk, kept)
    elif chunk.dictionary.equals(kept):
        indices = chunk.indices
    else:
        found = chunk.dictionary if chunk.dictionary.type == kept.type else chunk.dictionary.cast(kept.type)
        indices = positions(found, kept).take(chunk.indices)
    return pa.DictionaryArray.from_arrays(indices.cast(kind.index_type), kept, ordered=kind.ordered)


def positions(values: pa.Array, kept: pa.Array) -> pa.Array:
    """Where each value stands among the kept ones; null where it does not."""
    import pyarrow.compute as pc

    return pc.index_in(plain(values), value_set=plain(kept))


def plain(values: pa.Array) -> pa.Array:
    """The values as a type that Arrow can look up, filter and sort."""
    kind = _PLAIN.get(values.type)
    return values if kind is None else values.cast(kind)
