"""Records (dicts, dataclasses, pydantic models, named tuples) and dicts of columns → Arrow."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from atio.errors import InputError
from atio.frames import numpy, polars
from atio.frames.base import Incoming, empty_columns
from atio.frames.pandas import column as pandas_column
from atio.frames.pandas import is_column as is_pandas_column
from atio.frames.values import convert


def is_record(obj: object) -> bool:
    """Tell whether an item of a list or iterator is one row."""
    return _reader(obj) is not None


def _reader(obj: object) -> Callable[[Any], Mapping[Any, Any]] | None:
    if isinstance(obj, Mapping):
        return lambda record: record
    if isinstance(obj, type):
        return None
    if hasattr(type(obj), "model_fields") and hasattr(obj, "model_dump"):
        return lambda record: record.model_dump()
    if dataclasses.is_dataclass(obj):
        return dataclasses.asdict
    if isinstance(obj, tuple) and hasattr(obj, "_asdict"):
        return lambda record: record._asdict()
    return None


def from_records(records: Sequence[Any], first_row: int = 0) -> pa.Table:
    """Build a table; its columns are the keys in order of appearance, a missing key is null."""
    rows = [_row(record, first_row + i) for i, record in enumerate(records)]
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"the key {name!r} of a record is no string", hint="name columns by str keys")
    if not names:
        return empty_columns(len(rows))
    return pa.table({name: convert([row.get(name) for row in rows], name).array for name in names})


def _row(record: Any, row: int) -> Mapping[Any, Any]:
    if type(record) is dict:
        return record
    reader = _reader(record)
    if reader is None:
        raise InputError(
            f"item {row} is a {type(record).__qualname__}, the ones before it are records",
            hint="hand over items of one kind: dicts, dataclasses, pydantic models or named tuples",
        )
    return reader(record)


def from_columns(columns: Mapping[Any, Any]) -> Incoming:
    """Take a dict of columns: lists, or arrays of NumPy, pandas, Polars or pyarrow, by position."""
    _check_columns(columns)
    arrays, fields = [], []
    for name, values in columns.items():
        array, field = _column(values, name)
        arrays.append(array)
        fields.append(field)
    lengths = {name: len(array) for name, array in zip(columns, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r}: {length}" for name, length in list(lengths.items())[:10])
        raise InputError(f"the columns differ in length ({shown})", hint="give every column one value a row")
    return Incoming.of(pa.Table.from_arrays(arrays, schema=pa.schema(fields)))


def _check_columns(columns: Mapping[Any, Any]) -> None:
    if not columns:
        raise InputError("an empty dict has no columns", hint='hand over {"name": values, …}')
    for name in columns:
        if not isinstance(name, str):
            raise InputError(f"the column name {name!r} is no string", hint="use str keys as column names")
    scalars = [name for name, values in columns.items() if not _is_column(values)]
    if scalars:
        raise InputError(
            f"a dict must hold columns, but {', '.join(map(repr, scalars[:10]))} "
            f"{'is a single value' if len(scalars) == 1 else 'are single values'}",
            column=scalars[0],
            hint="for one record hand over [record]; for columns give each a list of values",
        )


def _is_column(values: object) -> bool:
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping | set | frozenset):
        return False
    return hasattr(values, "__len__") and getattr(values, "ndim", 1) > 0


def _column(values: Any, name: str) -> tuple[pa.Array, pa.Field]:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values, pa.field(name, values.type)
    if polars.is_series(values):
        return polars.column(values, name)
    np = sys.modules.get("numpy")
    if is_pandas_column(values):
        array = pandas_column(values, name)
    elif np is not None and isinstance(values, np.ndarray):
        array = numpy.column(values, name)
    else:
        array = convert(list(values), name).array
    return array, pa.field(name, array.type)
