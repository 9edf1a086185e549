"""Two writers' schemas of one table, brought together."""

from __future__ import annotations

import pyarrow as pa

from atio.errors import ConflictError, SchemaError
from atio.schema.bound import BoundSchema
from atio.schema.fit import Fitter


def reconcile(current: BoundSchema, staged: BoundSchema, last_schema_id: int) -> BoundSchema:
    """The schema of a table that is at ``current`` when files written with ``staged`` arrive.

    Files of equal structure are read alike whatever their categories, so only those are united.

    Raises
    ------
    ConflictError
        The files do not have the columns that the table has by now: write them anew.
    """
    if staged.spec == current.spec:
        return current
    if not staged.same_structure(current):
        raise ConflictError(
            "another commit changed the table's columns after these rows were written for it",
            hint="write the rows again",
        )
    try:
        fitter = Fitter(current, last_schema_id=last_schema_id)
        fitter.fit(_categories_only(staged))
    except SchemaError as error:
        raise ConflictError(str(error), hint="write the rows again") from error
    return fitter.schema()


def _categories_only(schema: BoundSchema) -> pa.Table:
    """No rows, and all categories."""
    columns = {}
    for name, values in schema.categories.items():
        kind = schema.arrow.field(name).type
        indices = pa.array([], kind.index_type)
        columns[name] = pa.DictionaryArray.from_arrays(indices, values, ordered=kind.ordered)
    arrays = [columns.get(field.name, pa.array([], field.type)) for field in schema.arrow]
    return pa.Table.from_arrays(arrays, schema=schema.arrow)
