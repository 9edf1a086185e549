"""Incoming structs get the parts that the table's have, as tables get columns: by name."""

from __future__ import annotations

import pyarrow as pa

from atio.errors import SchemaError, meant
from atio.model import schema as spec
from atio.schema.read import default
from atio.schema.types import Ids, field_from_arrow


def completed(column: pa.ChunkedArray, field: spec.Field, kind: pa.DataType) -> pa.ChunkedArray:
    """The column with the parts of ``field``, in their order; missing ones have their default, or null.

    Parameters
    ----------
    kind
        The type of the field; only the names and the parts of structs are looked at.

    Raises
    ------
    SchemaError
        A part that the table does not have, or one is missing that may not be null.
    """
    if not _is_incomplete(column.type, kind):
        return column
    chunks = [_completed(chunk, field, kind, field.name) for chunk in column.chunks]
    if not chunks:
        chunks = [_completed(pa.array([], column.type), field, kind, field.name)]
    return pa.chunked_array(chunks)


def grown(kind: spec.StructType, found: pa.StructType, ids: Ids) -> spec.StructType:
    """The struct with the parts of ``found`` that it does not have behind its own, nullable."""
    known = {field.name for field in kind.fields}
    fresh = tuple(
        field_from_arrow(field.with_nullable(True), ids) for field in found.fields if field.name not in known
    )
    return kind.replace(fields=(*kind.fields, *fresh)) if fresh else kind


def _is_incomplete(found: pa.DataType, kind: pa.DataType) -> bool:
    if not (pa.types.is_struct(found) and pa.types.is_struct(kind)):
        return False
    names = [field.name for field in found.fields]
    if len(set(names)) < len(names):
        return False  # Which of two is meant nobody knows.
    if set(names) != {field.name for field in kind.fields}:
        return True
    return any(_is_incomplete(found.field(field.name).type, field.type) for field in kind.fields)


def _completed(array: pa.Array, field: spec.Field, kind: pa.DataType, path: str) -> pa.Array:
    if not _is_incomplete(array.type, kind):
        return array
    assert isinstance(field.type, spec.StructType)
    known = [part.name for part in field.type.fields]
    for part in array.type.fields:
        if part.name not in known:
            name = f"{path}.{part.name}"
            raise SchemaError(
                f"column {name!r} ({part.type}) is not in the table",
                column=name,
                hint=meant(part.name, known) or "add it with schema_mode='merge', or drop it from the data",
            )
    arrays = [
        _part(array, part, to, f"{path}.{part.name}")
        for part, to in zip(field.type.fields, kind.fields, strict=True)
    ]
    fields = [pa.field(name, made.type) for name, made in zip(known, arrays, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=array.is_null())


def _part(array: pa.StructArray, part: spec.Field, to: pa.Field, path: str) -> pa.Array:
    place = array.type.get_field_index(part.name)
    if place >= 0:
        return _completed(array.field(place), part, to.type, path)
    if not part.nullable and part.default is None:
        raise SchemaError(
            f"column {path!r} ({to.type}) is missing in the data and may not be null",
            column=path,
            hint="add it to the data",
        )
    return default(part, len(array), to.type)
