"""Arrow rows as JSON values: for `head --json`, JSON lines and JSON documents.

=================  ==========================================================================
timestamps         ISO 8601; those with a zone in UTC, with ``Z``
dates, times       ISO 8601
durations          a count of the column's unit
decimals           text, so that no digit is lost
binary             base64
NaN, infinities    null: JSON has none
maps               an object if the keys are text, otherwise a list of ``[key, value]``
=================  ==========================================================================
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as pt

Values = list[Any]


def records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Rows as dicts of JSON values."""
    names = batch.schema.names
    if not names:
        return iter([{} for _ in range(batch.num_rows)])
    columns = [values(column) for column in batch.columns]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def lines(batch: pa.RecordBatch) -> bytes:
    """Rows as JSON lines, UTF-8."""
    return "".join(
        json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
        for row in records(batch)
    ).encode("utf-8", "surrogatepass")


def values(array: pa.Array) -> Values:
    """The values of one column."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _extension(array)
    if pt.is_dictionary(kind):
        return _dictionary(array)
    if pt.is_run_end_encoded(kind):
        return values(pc.run_end_decode(array))
    for test, convert in _KINDS:
        if test(kind):
            return convert(array)
    return [None if value is None else str(value) for value in array.to_pylist()]


def _extension(array: pa.Array) -> Values:
    if array.type.extension_name == "arrow.uuid":
        return [None if value is None else str(value) for value in array.to_pylist()]
    return values(array.storage)


def _dictionary(array: pa.Array) -> Values:
    known = values(array.dictionary)
    return [None if i is None else known[i] for i in array.indices.to_pylist()]


def _plain(array: pa.Array) -> Values:
    found: Values = array.to_pylist()
    return found


def _float(array: pa.Array) -> Values:
    return [value if value is not None and isfinite(value) else None for value in array.to_pylist()]


def _text(array: pa.Array) -> Values:
    return [None if value is None else str(value) for value in array.to_pylist()]


def _binary(array: pa.Array) -> Values:
    return [None if value is None else b64encode(value).decode() for value in array.to_pylist()]


def _timestamp(array: pa.Array) -> Values:
    # Through Arrow: Python's datetimes have neither nanoseconds nor years beyond 9999.
    return _plain(pc.strftime(array, "%Y-%m-%dT%H:%M:%SZ" if array.type.tz else "%Y-%m-%dT%H:%M:%S"))


def _zoned(array: pa.Array) -> Values:
    return _timestamp(array.cast(pa.timestamp(array.type.unit, "UTC")) if array.type.tz else array)


def _date(array: pa.Array) -> Values:
    return _plain(pc.strftime(array, "%Y-%m-%d"))


def _time(array: pa.Array) -> Values:
    return _plain(array.cast(pa.string()))


def _duration(array: pa.Array) -> Values:
    return _plain(array.cast(pa.int64()))


def _list(array: pa.Array) -> Values:
    return [None if item is None else values(item) for item in map(_items, array)]


def _items(scalar: pa.Scalar) -> pa.Array | None:
    return scalar.values if scalar.is_valid else None


def _struct(array: pa.Array) -> Values:
    names = [field.name for field in array.type]
    columns = [values(column) for column in array.flatten()] or [[] for _ in names]
    rows = zip(*columns, strict=True) if columns else [()] * len(array)
    return [
        dict(zip(names, row, strict=True)) if valid else None
        for row, valid in zip(rows, array.is_valid().to_pylist(), strict=True)
    ]


def _map(array: pa.Array) -> Values:
    found: Values = []
    textual = _is_text(array.type.key_type)
    for item in map(_items, array):
        if item is None:
            found.append(None)
            continue
        keys, inner = values(item.field(0)), values(item.field(1))
        # A key that occurs twice would be lost in an object.
        unique = textual and len(set(keys)) == len(keys)
        pairs = zip(keys, inner, strict=True)
        found.append(dict(pairs) if unique else [list(pair) for pair in pairs])
    return found


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pt.is_binary(kind)
        or pt.is_large_binary(kind)
        or pt.is_binary_view(kind)
        or pt.is_fixed_size_binary(kind)
    )


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pt.is_null(kind) or pt.is_boolean(kind) or pt.is_integer(kind) or _is_text(kind))


def _is_list(kind: pa.DataType) -> bool:
    tests = (pt.is_list, pt.is_large_list, pt.is_fixed_size_list, pt.is_list_view, pt.is_large_list_view)
    return any(test(kind) for test in tests)


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], Values]], ...] = (
    (_is_plain, _plain),
    (pt.is_floating, _float),
    (pt.is_decimal, _text),
    (_is_binary, _binary),
    (pt.is_timestamp, _zoned),
    (pt.is_date, _date),
    (pt.is_time, _time),
    (pt.is_duration, _duration),
    (pt.is_struct, _struct),
    (pt.is_map, _map),
    (_is_list, _list),
)
