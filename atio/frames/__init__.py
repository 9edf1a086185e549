"""Any dataframe ↔ Arrow: the only room that knows pandas, Polars and NumPy.

``incoming`` turns whatever a user hands over into Arrow tables, ``to_pandas`` and ``to_polars`` turn Arrow
tables back. What a library knows and Arrow does not (an index, a nullable dtype, column labels that are no
strings) travels in the schema's metadata: under ``pandas`` in the form pandas documents, so that any reader
of pandas metadata understands it, and under ``atio.pandas`` for the rest. A frame without such things has
neither entry. Libraries are imported when they are needed, never to recognise an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atio.frames.base import Incoming, RangeIndex, merge_index

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["Incoming", "RangeIndex", "incoming", "merge_index", "to_pandas", "to_polars"]

# Each way in or out loads its own modules: a process that only reads Arrow needs none of them.


def incoming(obj: object) -> Incoming:
    """See :func:`atio.frames.intake.incoming`."""
    from atio.frames import intake

    return intake.incoming(obj)


def to_pandas(table: pa.Table, index: RangeIndex | None = None, **kwargs: Any) -> pd.DataFrame:
    """See :func:`atio.frames.pandas.read.to_pandas`."""
    from atio.frames.pandas import to_pandas as convert

    return convert(table, index, **kwargs)  # type: ignore[no-any-return]


def to_polars(table: pa.Table) -> pl.DataFrame:
    """See :func:`atio.frames.polars.to_polars`."""
    from atio.frames.polars import to_polars as convert

    return convert(table)
