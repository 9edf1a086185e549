"""Literals among a type's values, without loss.

A type's values are points on a line; a literal is one of them, or lies between two, or outside. With the
point below it every comparison can be answered exactly: no integer is 1.5, and x > 1.5 is x > 1.
"""

from __future__ import annotations

import base64
import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pyarrow as pa

from atio.columns import scalar
from atio.errors import InputError
from atio.predicate.temporal import DAY, When, fixed_offset, when
from atio.predicate.tree import Literal
from atio.predicate.types import UNITS, family


class Place(msgspec.Struct, frozen=True):
    """Where a literal is among the values of a type.

    Attributes
    ----------
    floor
        The greatest value not above it, as ``pa.scalar(floor, type)`` takes it; None: all are above.
    exact
        The literal is that value.
    last
        It is above all values, NaN too if the type has it.
    """

    floor: Any
    exact: bool = True
    last: bool = False


def fit(literal: Literal, kind: pa.DataType) -> Place | None:
    """Find a literal (no null) among the values of ``kind``; None if the two do not compare.

    ``kind`` is a type as :func:`atio.predicate.types.loaded` gives it, or float16. Raises ``InputError``
    where a zone, or the form of a date, is wrong.
    """
    kinds = {"bool": "bool", "text": "string", "binary": "binary"}
    match family(kind):
        case "bool" | "text" | "binary" as name:
            if literal.kind != kinds[name]:
                return None
            return Place(base64.b64decode(str(literal.value)) if name == "binary" else literal.value)
        case "int" | "decimal" as name:
            value = number(literal)
            return (
                None if value is None else _integer(value, kind) if name == "int" else _decimal(value, kind)
            )
        case "float":
            value = number(literal)
            return None if value is None else _floating(value, kind)
        case "date" | "time" | "timestamp" | "duration":
            return _temporal(literal, kind)
    return None


# -- numbers -----------------------------------------------------------------------------------

Real = Fraction | float
"""A float only for infinities and NaN."""


def number(literal: Literal) -> Real | None:
    """The number it is; None if it is none.

    A float stands for the shortest decimal that names it, as whoever wrote 0.1 meant it; whole ones for
    themselves.
    """
    if literal.kind == "int":
        return Fraction(int(literal.value or 0))
    if literal.kind == "decimal":
        return Fraction(str(literal.value))
    if literal.kind != "float":
        return None
    value = float(literal.value or 0)
    if not math.isfinite(value):
        return value
    return Fraction(value) if value.is_integer() else Fraction(repr(value))


def _on_grid(value: Real, step: Fraction, low: int, high: int) -> Place:
    """The last of the points ``step`` × low … high that is not above ``value``, as a count of steps."""
    if isinstance(value, float):
        # NaN is above everything, as infinity is above what is not floating.
        return Place(None, exact=False) if value < 0 else Place(high, exact=False, last=True)
    steps = value / step
    count = math.floor(steps)
    if count > high:
        return Place(high, exact=False, last=True)
    return Place(count, steps == count) if count >= low else Place(None, exact=False)


def _integer(value: Real, kind: pa.DataType) -> Place:
    signed = pa.types.is_signed_integer(kind)
    low = -(1 << (kind.bit_width - 1)) if signed else 0
    return _on_grid(value, Fraction(1), low, low + (1 << kind.bit_width) - 1)


def _decimal(value: Real, kind: pa.DataType) -> Place:
    largest = 10**kind.precision - 1
    place = _on_grid(value, Fraction(1, 10**kind.scale), -largest, largest)
    if place.floor is None:
        return place
    digits = tuple(map(int, str(abs(place.floor))))
    return Place(Decimal((int(place.floor < 0), digits, -kind.scale)), place.exact, place.last)


_FORMATS = {16: "<e", 32: "<f", 64: "<d"}
_LARGEST = {16: 65504.0, 32: (2 - 2**-23) * 2.0**127, 64: math.ldexp(1 - 2.0**-53, 1024)}


def _floating(value: Real, kind: pa.DataType) -> Place:
    """The nearest value of the type counts as the number itself: 0.1 is 0.1 in every precision."""
    if isinstance(value, float):
        return Place(value)
    width = kind.bit_width
    try:
        return Place(struct.unpack(_FORMATS[width], struct.pack(_FORMATS[width], float(value)))[0])
    except OverflowError:  # beyond all finite values, yet not infinite
        return Place(_LARGEST[width] if value > 0 else -math.inf, exact=False)


# -- dates and times ---------------------------------------------------------------------------


def _temporal(literal: Literal, kind: pa.DataType) -> Place | None:
    name = family(kind)
    if name == "duration":
        if literal.kind != "duration":
            return None
        return _counted(Fraction(str(literal.value)), kind)
    if literal.kind not in ("string", "date", "time", "timestamp"):
        return None
    found = when(str(literal.value))
    if found is None or (found.day is None) != (name == "time"):
        if literal.kind != "string":
            return None
        raise InputError(f"{literal.value!r} is no {name}", hint=f"write it like {_EXAMPLES[name or '']!r}")
    if name == "time":
        return _counted(Fraction(found.nanos or 0, 10**9), kind)
    if name == "date" and literal.kind == "string" and found.nanos:
        raise InputError(
            f"{literal.value!r} has a time of day, the column only dates",
            hint="compare with a date, or write TIMESTAMP '…' to compare with midnight of each date",
        )
    return _counted(_since_epoch(found, kind), kind)


_EXAMPLES = {"date": "2024-12-31", "time": "23:59:59.5", "timestamp": "2024-12-31 23:59:59.5"}


def _counted(seconds: Fraction, kind: pa.DataType) -> Place:
    step = Fraction(DAY) if pa.types.is_date(kind) else Fraction(1, UNITS[kind.unit])
    half = 1 << (kind.bit_width - 1)
    return _on_grid(seconds, step, -half, half - 1)


def _since_epoch(found: When, kind: pa.DataType) -> Fraction:
    """Seconds as the column counts them: of UTC if it has a zone, else as its clock shows."""
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    shown = Fraction((found.day or 0) * DAY) + Fraction(found.nanos or 0, 10**9)
    if found.offset is not None:
        if zone is None:
            raise InputError(
                "the value has a time zone, the column has none",
                hint="leave the zone out: the column's times are as its clock showed them",
            )
        return shown - found.offset
    return shown if zone is None else shown - _offset(math.floor(shown), zone)


def _offset(shown: int, zone: str) -> int:
    """Seconds that a zone is ahead of UTC when its clock shows ``shown``."""
    fixed = fixed_offset(zone)
    if fixed is not None:
        return fixed
    import pyarrow.compute as pc

    try:
        return shown - int(pc.assume_timezone(scalar(shown, pa.timestamp("s")), zone).value)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"the time is not one moment in the column's zone {zone}: {error}",
            hint="write it with its offset from UTC, like 2024-12-31 23:59:59+01:00",
        ) from error
