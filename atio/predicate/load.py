"""Columns of any Arrow type as the types that kernels compare."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from pyarrow import types as pt

from atio.predicate.bound import Field
from atio.predicate.types import loaded


def column(table: pa.Table | pa.RecordBatch, field: Field) -> pa.ChunkedArray | pa.Array:
    """The values of a column, or of a field of its structs: null also where the struct is."""
    found = raw(table, field)
    if found.type == field.type:
        return found
    if isinstance(found, pa.ChunkedArray):
        return pa.chunked_array([load(chunk) for chunk in found.chunks], field.type)
    return load(found)


def raw(table: pa.Table | pa.RecordBatch, field: Field) -> pa.ChunkedArray | pa.Array:
    """The values as they are in the table."""
    found = table.column(field.path[0])
    if not field.places:
        return found
    import pyarrow.compute as pc

    return pc.struct_field(found, list(field.places))


def load(array: pa.Array) -> pa.Array:
    """The same values as :func:`~atio.predicate.types.loaded` of their type."""
    kind = array.type
    if pt.is_dictionary(kind):
        return load(array.dictionary).take(array.indices)
    if pt.is_run_end_encoded(kind):
        return _runs(array, load)
    if isinstance(kind, pa.BaseExtensionType):
        return load(array.storage)
    # Dates of milliseconds need not be whole days; the day counts.
    return array if kind == loaded(kind) else array.cast(loaded(kind), safe=not pt.is_date64(kind))


def _runs(array: pa.Array, step: Callable[[pa.Array], pa.Array]) -> pa.Array:
    import pyarrow.compute as pc

    compact = pa.concat_arrays([array])  # a slice's values are all of them: only its runs count
    return pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(compact.run_ends, step(compact.values)))
