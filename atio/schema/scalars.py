"""Single values of a column <-> JSON, exactly (spec/schema.md, "Values")."""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa

JsonValue = bool | int | float | str | None


def encode(value: Any) -> JsonValue:
    """A value as JSON can hold it. Temporal values are given, and kept, as integers of their unit."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def decode(value: JsonValue, kind: pa.DataType) -> Any:
    """What ``pa.scalar(…, kind)`` accepts."""
    if not isinstance(value, str):
        return float(value) if isinstance(value, int) and pa.types.is_floating(kind) else value
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_decimal(kind):
        return Decimal(value)
    if _is_binary(kind):
        return base64.b64decode(value, validate=True)
    return value


def to_json(array: pa.Array) -> tuple[JsonValue, ...] | None:
    """Distinct values of a dictionary; None when its type has no exact JSON form."""
    kind = array.type
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        array = array.view(width)
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or _is_string(kind)
        or _is_binary(kind)
    ):
        return None
    return tuple(encode(value) for value in array.to_pylist())


_BINARY_MARK = "base64:"


def text(data: bytes) -> str:
    """Arrow metadata, which are bytes and nearly always text, as a string."""
    try:
        plain = data.decode()
    except UnicodeDecodeError:
        plain = _BINARY_MARK
    return _BINARY_MARK + base64.b64encode(data).decode() if plain.startswith(_BINARY_MARK) else plain


def untext(value: str) -> bytes:
    if value.startswith(_BINARY_MARK):
        return base64.b64decode(value[len(_BINARY_MARK) :])
    return value.encode()


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )
