"""Recognise what the user handed over."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from atio.errors import InputError, UnsupportedError
from atio.frames.arrow import from_arrow, from_capsule
from atio.frames.base import Incoming
from atio.frames.numpy import from_numpy
from atio.frames.pandas import from_pandas
from atio.frames.polars import from_polars
from atio.frames.records import from_columns, from_records, is_record

CHUNK = 16_384
"""Records taken from an iterator at a time."""

_ACCEPTED = (
    "pandas, Polars (lazy too) or Arrow data, NumPy structured or 2-D arrays, a dict of columns, "
    "a list of records, or an iterator of any of those"
)


def incoming(obj: object) -> Incoming:
    """Turn any dataframe-like object into Arrow tables.

    Dicts inside a list or an iterator are records, one row each; a dict by itself holds columns.

    Parameters
    ----------
    obj
        A pandas DataFrame or Series; a Polars DataFrame, Series or LazyFrame (streamed); ``pa.Table``,
        ``RecordBatch``, ``RecordBatchReader``, struct array, dataset or scanner; anything with
        ``__arrow_c_stream__`` or ``__arrow_c_array__``; a NumPy structured array, or a 2-D array whose
        columns are called ``"0"``, ``"1"``, …; a dict of columns; a list of records (dicts, dataclasses,
        pydantic models, named tuples); an iterator or list of any of these.

    Raises
    ------
    InputError
        Nothing to infer a schema from, duplicate or non-string names, columns of different lengths.
    SchemaError
        A column holds values that have no common type.
    UnsupportedError
        The object, or the type of a column, cannot be stored.
    """
    found = from_arrow(obj) or from_pandas(obj) or from_polars(obj)
    if found is not None:
        return found
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(obj, numpy.ndarray):
        return from_numpy(obj)
    if isinstance(obj, Mapping):
        return from_columns(obj)
    if (found := from_capsule(obj)) is not None:
        return found
    if isinstance(obj, list | tuple) and not is_record(obj):
        return _from_list(obj)
    if isinstance(obj, Iterator) or (isinstance(obj, Iterable) and not isinstance(obj, Sized)):
        return _from_iterator(iter(obj))
    raise _unsupported(obj)


def _unsupported(obj: object) -> UnsupportedError:
    hint = "for one record hand over [record]" if is_record(obj) else f"hand over {_ACCEPTED}"
    cls = type(obj)
    return UnsupportedError(f"cannot read rows from a {cls.__module__}.{cls.__qualname__}", hint=hint)


def _from_list(items: list[Any] | tuple[Any, ...]) -> Incoming:
    if not items:
        raise _empty("list")
    if is_record(items[0]):
        return Incoming.of(from_records(items))
    return _from_iterator(iter(items))


def _empty(kind: str) -> InputError:
    return InputError(
        f"an empty {kind} has no columns to infer a schema from",
        hint="hand over an empty table with its columns, or skip the write",
    )


def _from_iterator(items: Iterator[Any]) -> Incoming:
    """Look at the first item only; the rest is read while the tables are."""
    try:
        first = next(items)
    except StopIteration:
        raise _empty("iterator") from None
    if is_record(first):
        chunks = _chunks(chain((first,), items))
        table = next(chunks)
        return _streamed(table.schema, iter((table,)), chunks)
    try:
        start = incoming(first)
    except UnsupportedError as error:
        raise error.at(hint=f"hand over {_ACCEPTED}") from error
    rest = chain.from_iterable(_item(item, number) for number, item in enumerate(items, 1))
    return _streamed(start.schema, start.tables, rest)


def _item(item: Any, number: int) -> Iterator[pa.Table]:
    try:
        return incoming(item).tables
    except InputError as error:
        error.message = f"item {number} of the iterator: {error.message}"
        raise


def _streamed(schema: pa.Schema, first: Iterator[pa.Table], rest: Iterator[pa.Table]) -> Incoming:
    return Incoming(schema, chain(first, (_align(table, schema) for table in rest)), rows=None, streamed=True)


def _chunks(records: Iterator[Any]) -> Iterator[pa.Table]:
    row = 0
    while chunk := list(islice(records, CHUNK)):
        yield from_records(chunk, row)
        row += len(chunk)


def _align(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring a later table to the first one's schema where only the encoding differs."""
    if table.schema.equals(schema, check_metadata=True) or table.column_names != schema.names:
        return table
    if all(_same_field(have, want) for have, want in zip(table.schema, schema, strict=True)):
        return table.cast(schema)
    return table


def _same_field(have: pa.Field, want: pa.Field) -> bool:
    """Tell a field apart that only looks alike: metadata may define its values, as of a Polars Enum."""
    told = have.metadata == want.metadata or pa.types.is_null(have.type)
    return told and have.nullable == want.nullable and _same_content(have.type, want.type)


def _same_content(have: pa.DataType, want: pa.DataType) -> bool:
    if have == want or pa.types.is_null(have):
        return True
    if _is_text(have) or _is_binary(have):
        return _is_text(want) if _is_text(have) else _is_binary(want)
    if _is_list(have) and _is_list(want):
        return _same_content(have.value_type, want.value_type)
    return False


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
