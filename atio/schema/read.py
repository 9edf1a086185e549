"""Rows of a data file -> the columns of a version, by field id."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

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
    names = {field.id: field.name for field in source.spec.fields}
    wanted = [(names.get(f.id), f) for f in target.spec.fields if f.name in set(columns)]
    order = {name: i for i, name in enumerate(columns)}
    wanted.sort(key=lambda pair: order[pair[1].name])
    arrow = [field_to_arrow(field) for _, field in wanted]
    plain = pa.schema([target.public.field(field.name) for _, field in wanted])
    if not any(pa.types.is_dictionary(field.type) for field in arrow) and source.same_structure(target):
        return lambda table: pa.Table.from_arrays(table.columns, schema=plain)

    from atio.schema.cast import cast

    def read(table: pa.Table) -> pa.Table:
        made = []
        for (name, _), field in zip(wanted, arrow, strict=True):
            if name is None:
                made.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
            elif field.name in target.categories:
                kept = target.categories[field.name]
                chunks = [_reindexed(chunk, kept, field.type) for chunk in table.column(name).chunks]
                made.append(pa.chunked_array(chunks, field.type))
            else:
                made.append(cast(table.column(name), field))
        return pa.Table.from_arrays(made, schema=plain)

    return read


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
