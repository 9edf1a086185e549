"""Types that text files lack: what pyarrow's readers are asked for instead, and what is made of it."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as pt

from atio.errors import InputError

_NAMES = {
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
}


def named_type(text: str) -> pa.DataType:
    """The type of ``--type COLUMN=TYPE``, as ``atio schema`` prints them."""
    if text in _NAMES:
        return _NAMES[text]
    from atio.errors import AtioError
    from atio.schema.types import primitive

    try:
        return pa.type_for_alias(text)
    except ValueError:
        try:
            return primitive(text)
        except AtioError:
            hint = "for example: int64, double, string, bool, date, datetime, decimal128(10, 2)"
            raise InputError(f"there is no type {text!r}", hint=hint) from None


def is_binary(kind: pa.DataType) -> bool:
    tests = (pt.is_binary, pt.is_large_binary, pt.is_binary_view, pt.is_fixed_size_binary)
    return any(test(kind) for test in tests)


def asked_of_csv(kind: pa.DataType) -> pa.DataType | None:
    """The type the CSV reader is asked for instead of ``kind``; None leaves it to guess."""
    stand_in = _stand_in(kind)
    if stand_in is not None:
        return stand_in
    tests = (pt.is_integer, pt.is_floating, pt.is_boolean, pt.is_string, pt.is_large_string,
             pt.is_decimal, pt.is_date, pt.is_time, pt.is_timestamp, pt.is_duration)  # fmt: skip
    return kind if any(test(kind) for test in tests) else None


def asked_of_json(kind: pa.DataType) -> pa.DataType | None:
    """The type the JSON reader is asked for instead of ``kind``; None leaves it to guess."""
    if pt.is_date(kind) or pt.is_time(kind):
        return pa.string()
    if pt.is_duration(kind):
        return pa.int64()
    stand_in = _stand_in(kind)
    if stand_in is not None:
        return stand_in
    if pt.is_list(kind):
        return kind if asked_of_json(kind.value_type) == kind.value_type else None
    if pt.is_large_list(kind):
        return pa.list_(kind.value_type) if asked_of_json(kind.value_type) == kind.value_type else None
    if pt.is_struct(kind):
        return kind if all(asked_of_json(field.type) == field.type for field in kind) else None
    tests = (pt.is_integer, pt.is_floating, pt.is_boolean, pt.is_string, pt.is_large_string,
             pt.is_decimal, pt.is_timestamp)  # fmt: skip
    return kind if any(test(kind) for test in tests) else None


def _stand_in(kind: pa.DataType) -> pa.DataType | None:
    """What both readers lack."""
    if pt.is_dictionary(kind):
        text = pt.is_string(kind.value_type) or pt.is_large_string(kind.value_type)
        return pa.string() if text else None
    if is_binary(kind) or pt.is_string_view(kind):
        return pa.string()
    if pt.is_float16(kind):
        return pa.float64()  # the table looks whether a half holds the value
    if pt.is_decimal32(kind) or pt.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    return None


def made(column: pa.ChunkedArray, kind: pa.DataType, name: str) -> pa.ChunkedArray:
    """``kind`` from what was read in its place. Dictionaries and halves are left to the table."""
    if column.type == kind or pt.is_dictionary(kind) or pt.is_float16(kind):
        return column
    try:
        if is_binary(kind):
            return pa.chunked_array([_unspelled(chunk, kind) for chunk in column.chunks], kind)
        if pt.is_time(kind):
            # Arrow casts text to timestamps, but not to times.
            day = pc.binary_join_element_wise("1970-01-01T", column, "")
            return day.cast(pa.timestamp(kind.unit)).cast(kind)
        return column.cast(kind)
    except (pa.ArrowException, binascii.Error, ValueError) as error:
        text = str(error).partition("\n")[0]
        raise InputError(f"column {name!r} cannot be read as {kind}: {text}", column=name) from error


def _unspelled(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.array([None if v is None else b64decode(v, validate=True) for v in chunk.to_pylist()], kind)


def spelled(column: pa.Array) -> pa.Array:
    """Bytes as base64: what CSV and JSON lines can hold."""
    return pa.array([None if v is None else b64encode(v).decode() for v in column.to_pylist()], pa.string())
