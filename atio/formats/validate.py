"""Whether decoded arrays can be used without crashing: offsets, indices, text."""

from __future__ import annotations

import pyarrow as pa
from pyarrow import types as pt


def validate(table: pa.Table) -> None:
    """Raise ``ArrowInvalid`` for arrays that point outside of themselves or hold text that is not UTF-8."""
    for column in table.columns:
        # Full validation also rejects date64 with a time of day, which files do hold.
        column.validate(full=not _holds_date64(column.type))


def _holds_date64(type_: pa.DataType) -> bool:
    if pt.is_dictionary(type_):
        return _holds_date64(type_.value_type)
    return bool(pt.is_date64(type_)) or any(
        _holds_date64(type_.field(i).type) for i in range(type_.num_fields)
    )
