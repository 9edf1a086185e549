"""Python's values as literals of the tree."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from atio.errors import InputError
from atio.predicate.tree import Kind, Literal

NULL = Literal("null")


def literal(value: object) -> Literal:
    """The value as a literal.

    Takes None, bool, int, float, Decimal, str, bytes, date, time, datetime, timedelta, and the scalars of
    Arrow, NumPy and pandas that stand for them. Raises ``InputError`` for others.
    """
    try:
        return _literal(value)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{value!r} cannot be compared with a column: {error}") from error


def options(values: Iterable[Any]) -> tuple[Literal, ...]:
    """The values of an IN; a null among them would never match, and is refused."""
    found = tuple(literal(value) for value in values)
    if any(value.kind == "null" for value in found):
        raise InputError(
            "None among the values of an IN matches nothing, and with NOT IN hides every row",
            hint="test for it apart: … | col(…).is_null()",
        )
    return found


def _literal(value: object) -> Literal:  # noqa: C901 one line a type
    match value:
        case Literal():
            return value
        case None:
            return NULL
        case str():
            return _text(value)
        case bool():
            return Literal("bool", value)
        case int():
            return Literal("int", int(value))
        case float():
            return _float(float(value))
        case Decimal():
            return _decimal(value)
        case bytes() | bytearray() | memoryview():
            return Literal("binary", base64.b64encode(value).decode())
        case dt.datetime():  # pandas' too, which has nanoseconds
            return _moment("timestamp", value.isoformat())
        case dt.date():
            return Literal("date", value.isoformat())
        case dt.time():
            return _time(value)
        case dt.timedelta():
            return duration(_nanoseconds(value))
        case pa.Scalar():
            return from_scalar(value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return _numpy(value)
    raise InputError(
        f"a {type(value).__name__} cannot be compared with a column",
        hint="give a number, text, bytes, bool, date, time, datetime, timedelta or Decimal",
    )


def _text(value: str) -> Literal:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{value!r} is no valid text: {error}") from error
    return Literal("string", str(value))


def _float(value: float) -> Literal:
    return Literal("float", value if math.isfinite(value) else str(value))


def _decimal(value: Decimal) -> Literal:
    return Literal("decimal", format(value, "f") if value.is_finite() else str(value))


def _time(value: dt.time) -> Literal:
    if value.tzinfo is not None:
        raise InputError("a time of day with a zone has no date to convert it by", hint="drop its tzinfo")
    return Literal("time", value.isoformat())


def _moment(kind: Kind, text: str) -> Literal:
    return NULL if text == "NaT" else Literal(kind, text)


def _nanoseconds(value: dt.timedelta) -> int:
    whole = (value.days * 86_400 + value.seconds) * 10**9 + value.microseconds * 1000
    return whole + int(getattr(value, "nanoseconds", 0))  # pandas' Timedelta


def duration(nanoseconds: int) -> Literal:
    # From digits: arithmetic on decimals would round to the context's 28.
    digits = Decimal((int(nanoseconds < 0), tuple(map(int, str(abs(nanoseconds)))), -9))
    return Literal("duration", format(digits, "f").rstrip("0").rstrip("."))


def _numpy(value: Any) -> Literal:
    name = type(value).__name__
    if name == "datetime64":
        return _moment("timestamp", str(value))
    if name == "timedelta64":
        return NULL if str(value) == "NaT" else duration(int(value.astype("timedelta64[ns]").astype(int)))
    return _literal(value.item())


def from_scalar(scalar: pa.Scalar) -> Literal:
    """An Arrow scalar, exactly."""
    kind, is_ = scalar.type, pa.types
    if not scalar.is_valid:
        return NULL
    if is_.is_dictionary(kind):
        return from_scalar(scalar.dictionary[scalar.index.as_py()])
    if is_.is_timestamp(kind):
        # As text by Arrow: Python's datetime has no nanoseconds.
        zoned = scalar.cast(pa.timestamp(kind.unit, "UTC")) if kind.tz else scalar
        return Literal("timestamp", zoned.cast(pa.string()).as_py())
    if is_.is_date(kind) or is_.is_time(kind):
        return Literal("date" if is_.is_date(kind) else "time", scalar.cast(pa.string()).as_py())
    if is_.is_duration(kind):
        return duration(scalar.value * {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[kind.unit])
    if is_.is_nested(kind):
        raise InputError(f"a {kind} cannot be compared with a column")
    return _literal(scalar.as_py())
