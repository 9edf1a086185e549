"""Which Arrow types compare with which, and as what."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import pyarrow as pa
from pyarrow import types as pt

from atio.errors import InputError, meant

Family = Literal[
    "null", "bool", "int", "float", "decimal", "text", "binary", "date", "time", "timestamp", "duration"
]

WIDEST = 38
"""Digits of a decimal that every engine can compute with."""
_TESTS: dict[Family, Callable[[pa.DataType], bool]] = {
    "null": pt.is_null,
    "bool": pt.is_boolean,
    "int": pt.is_integer,
    "float": pt.is_floating,
    "decimal": pt.is_decimal,
    "date": pt.is_date,
    "time": pt.is_time,
    "timestamp": pt.is_timestamp,
    "duration": pt.is_duration,
}
_TEXTS = (pa.string(), pa.large_string(), pa.string_view())
_BINARIES = (pa.binary(), pa.large_binary(), pa.binary_view())
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Of a second."""


def family(kind: pa.DataType) -> Family | None:
    """None for types without an order: lists, structs, maps, intervals."""
    if kind in _TEXTS:
        return "text"
    if kind in _BINARIES or pt.is_fixed_size_binary(kind):
        return "binary"
    return next((name for name, test in _TESTS.items() if test(kind)), None)


def plain(kind: pa.DataType) -> pa.DataType:
    """The type of the values, without dictionaries, runs and extensions around them."""
    if pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        return plain(kind.value_type)
    return plain(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


def loaded(kind: pa.DataType) -> pa.DataType:
    """The type as which a column's values are compared: the same values, in a type all kernels know."""
    kind = plain(kind)
    if kind == pa.string_view():
        return pa.large_string()
    if kind == pa.binary_view() or pt.is_large_binary(kind):
        return pa.large_binary()
    if pt.is_fixed_size_binary(kind):
        return pa.binary()
    if pt.is_float16(kind):
        return pa.float32()
    if pt.is_date64(kind):
        return pa.date32()
    return _whole(kind) if pt.is_decimal(kind) else kind


def _whole(kind: pa.DataType) -> pa.DataType:
    precision, scale = kind.precision - min(kind.scale, 0), max(kind.scale, 0)
    if precision > WIDEST or pt.is_decimal256(kind):
        return pa.decimal256(min(precision, 76), scale)
    return pa.decimal128(precision, scale)


# -- one type for two values -------------------------------------------------------------------


def common(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """The type that two compare as; None if they do not.

    Integers and decimals compare exactly, integers and decimals with floating numbers as doubles.
    """
    if left == right or pt.is_null(right):
        return left
    if pt.is_null(left):
        return right
    families = {family(left), family(right)}
    if families == {"int"}:
        return _integers(left, right)
    if families <= {"int", "decimal"}:
        return _decimals(as_decimal(left), as_decimal(right))
    if families <= {"int", "float", "decimal"}:
        return pa.float64()
    if families == {"text"}:
        return pa.large_string()
    if families == {"binary"}:
        return pa.large_binary()
    return _temporal(left, right, families)


def _integers(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    return pa.decimal128(20, 0) if pa.uint64() in (left, right) else pa.int64()


def _decimals(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    scale = max(left.scale, right.scale)
    precision = scale + max(left.precision - left.scale, right.precision - right.scale)
    if precision > WIDEST:
        raise InputError(
            f"{left} and {right} together need {precision} digits; at most {WIDEST} can be compared",
            hint="cast one of them, e.g. to a double",
        )
    return pa.decimal128(precision, scale)


def as_decimal(kind: pa.DataType) -> pa.DataType:
    """The decimal that holds every value of an integer type."""
    if pt.is_decimal(kind):
        return kind
    return pa.decimal128({8: 3, 16: 5, 32: 10, 64: 20 if pt.is_uint64(kind) else 19}[kind.bit_width], 0)


def _temporal(left: pa.DataType, right: pa.DataType, families: set[Family | None]) -> pa.DataType | None:
    if families == {"date", "timestamp"}:
        stamp = left if pt.is_timestamp(left) else right
        return None if stamp.tz else stamp
    if len(families) > 1 or families & {None, "null", "bool"}:
        return None
    if families == {"timestamp"}:
        if (left.tz is None) != (right.tz is None):
            return None
        zone = left.tz if left.tz == right.tz else "UTC"
        return pa.timestamp(_finer(left, right), zone)
    if families == {"duration"}:
        return pa.duration(_finer(left, right))
    return pa.time64("ns") if families == {"time"} else pa.date32()


def _finer(left: pa.DataType, right: pa.DataType) -> str:
    return str(max(left.unit, right.unit, key=UNITS.__getitem__))


# -- casts -------------------------------------------------------------------------------------

CASTS = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float": "REAL",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "date32[day]": "DATE",
    "timestamp[s]": "TIMESTAMP_S",
    "timestamp[ms]": "TIMESTAMP_MS",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[ns]": "TIMESTAMP_NS",
}
"""Types that a condition can cast to, and their names in SQL; decimals besides."""
_ALIASES = {"str": "string", "text": "string", "date": "date32[day]", "date32": "date32[day]"}
_DECIMAL = re.compile(r"decimal(?:128)?\((\d{1,2}), ?(\d{1,2})\)")


def cast_name(kind: object) -> str:
    """The name in the tree of a type to cast to: an Arrow type, or its name."""
    name = str(kind)
    name = _ALIASES.get(name, name)
    if name not in CASTS and not _DECIMAL.fullmatch(name):
        try:
            name = str(pa.type_for_alias(name))  # float64 and the like
        except (ValueError, KeyError):
            name = str(kind)
    return str(cast_type(name))


def cast_type(name: str) -> pa.DataType:
    """The Arrow type of a cast's name; ``InputError`` if there is no such cast."""
    if match := _DECIMAL.fullmatch(name):
        precision, scale = int(match[1]), int(match[2])
        if 1 <= precision <= WIDEST and scale <= precision:
            return pa.decimal128(precision, scale)
    elif name in CASTS:
        return pa.type_for_alias(name)
    raise InputError(
        f"a condition cannot cast to {name}",
        hint=meant(name, CASTS) or f"types are {', '.join(CASTS)}, decimal128(p, s)",
    )
