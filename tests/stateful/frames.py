"""The same rows as different kinds of frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

Row = dict[str, Any]

WIDE = {
    "id": pa.int64(),
    "word": pa.string(),
    "cat": pa.dictionary(pa.int32(), pa.string()),
    "n": pa.null(),
}
"""``n`` is null until the first number comes."""
THIN = {"id": pa.string(), "x": pa.float64()}


def arrow(rows: list[Row], names: list[str], types: dict[str, pa.DataType]) -> pa.Table:
    columns = {}
    for name in names:
        values = [row[name] for row in rows]
        kind = types[name]
        if pa.types.is_null(kind) and any(value is not None for value in values):
            kind = pa.int64()
        if pa.types.is_dictionary(kind):
            columns[name] = pa.array(values, kind.value_type).dictionary_encode()
        else:
            columns[name] = pa.array(values, kind)
    return pa.table(columns)


def _pandas(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def _half(table: pa.Table) -> Any:
    middle = table.num_rows // 2
    return iter([table.slice(0, middle), table.slice(middle)])


KINDS: dict[str, Callable[[pa.Table], Any]] = {
    "arrow": lambda t: t,
    "reader": lambda t: t.to_reader(),
    "iterator": _half,
    "pandas": _pandas,
    "polars": pl.from_arrow,
    "lazy": lambda t: pl.from_arrow(t).lazy(),
    "columns": lambda t: {name: t[name].to_pylist() for name in t.column_names},
    "records": lambda t: t.to_pylist(),
}
SAFE_WHEN_EMPTY = ("arrow", "reader", "iterator")
"""Kinds that keep their types without rows; a list of no records has no columns at all."""
