"""Two writers' schemas of one table, brought together."""

from __future__ import annotations

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
        fitter.fit(staged.empty())
    except SchemaError as error:
        raise ConflictError(str(error), hint="write the rows again") from error
    return fitter.schema()
