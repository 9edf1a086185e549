"""Whether two tables hold the same bits.

Arrow's ``equals`` takes no NaN for equal to itself, both zeros for equal, and two dictionaries of the
same values in another order for different. Here the rows count, bit by bit, and the whole schema.
"""

from __future__ import annotations

import pyarrow as pa
from pyarrow import types as pt

from atio.formats import recode
from atio.formats.recode import Recoding, keep
from atio.formats.validate import validate


def difference(left: pa.Table, right: pa.Table) -> str | None:
    """What differs first, or None. Chunks and the content of dictionaries may differ.

    Raises ``ArrowInvalid`` if ``left`` is not even a valid table.
    """
    if not left.schema.equals(right.schema, check_metadata=True):
        return f"schemas: {left.schema.to_string()} / {right.schema.to_string()}"
    if left.num_rows != right.num_rows:
        return f"rows: {left.num_rows} / {right.num_rows}"
    validate(left)
    for field, ours, theirs in zip(left.schema, left.columns, right.columns, strict=True):
        if ours.type != theirs.type:
            return f"column {field.name!r}: {ours.type} / {theirs.type}"
        if not _bits(ours).equals(_bits(theirs)):
            return f"column {field.name!r}: {ours} / {theirs}"
    return None


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as a type whose ``equals`` means the same bits."""
    recoding = _rule(column.type)
    encode = recoding.encode
    return column if encode is None else pa.chunked_array([encode(c) for c in column.chunks], recoding.stored)


def _rule(type_: pa.DataType) -> Recoding:
    if pt.is_floating(type_):
        return recode.relabel(type_, {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[type_.bit_width])
    if isinstance(type_, pa.BaseExtensionType):
        return recode.extension(type_, _rule(type_.storage_type))
    if pt.is_run_end_encoded(type_):
        return recode.run_ends(type_, _rule(type_.value_type))
    if pt.is_dictionary(type_):
        value = _rule(type_.value_type)
        step = value.encode or (lambda array: array)
        return Recoding(
            type_, value.stored, lambda array: recode.taken(step(array.dictionary), array.indices)
        )
    if pt.is_nested(type_) and not pt.is_union(type_) and not (pt.is_struct(type_) and not type_.num_fields):
        return recode.nested(type_, _rule)
    return keep(type_)
