"""Python values → one Arrow array: exactly, or an error that names the column and the row.

pyarrow converts some mixtures without a word and with loss: a datetime among dates loses its time, a naive
datetime among aware ones its meaning, nanoseconds of a ``pandas.Timestamp`` vanish, a zoned ``time`` loses
the zone. What the values are is therefore looked at first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import pyarrow as pa

from atio.errors import SchemaError, UnsupportedError

MISSING = frozenset({"None", "NaT", "NA"})
_BUILTIN: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "None"),
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "str"),
    ((bytes, bytearray, memoryview), "bytes"),
    (datetime, "datetime"),
    (date, "date"),
    (time, "time"),
    (timedelta, "timedelta"),
    (Decimal, "Decimal"),
    ((list, tuple), "list"),
    (Mapping, "dict"),
    (UUID, "UUID"),
)
_NUMPY = (("bool_", "bool"), ("integer", "int"), ("floating", "float"), ("ndarray", "list"))


@dataclass(frozen=True, slots=True)
class Converted:
    """An array and what its values were: ``missing`` holds the kinds of missing values (also ``"nan"``)."""

    array: pa.Array
    family: str | None
    types: frozenset[type]
    missing: frozenset[str]


_FAMILIES: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def _family(cls: type) -> str:
    """Name the family of a type; empty when Arrow has no type for it."""
    known = _FAMILIES.get(cls)
    if known is None:
        known = _FAMILIES[cls] = _find_family(cls)
    return known


def _of_pandas(cls: type) -> bool:
    return cls.__module__.split(".", maxsplit=1)[0] == "pandas"


def _find_family(cls: type) -> str:
    if cls.__name__ in ("NaTType", "NAType") and _of_pandas(cls):
        return cls.__name__.removesuffix("Type")
    for base, name in _BUILTIN:
        if issubclass(cls, base):
            return name
    if (numpy := sys.modules.get("numpy")) is not None:
        for attribute, name in _NUMPY:
            if issubclass(cls, getattr(numpy, attribute)):
                return name
    return ""


def is_missing(value: Any) -> bool:
    """Tell None, NaN, ``pandas.NA`` and ``pandas.NaT``."""
    return _family(type(value)) in MISSING or (isinstance(value, float) and value != value)  # noqa: PLR0124


def convert(values: Sequence[Any], column: str, *, exact: bool = False) -> Converted:
    """Convert values of one kind.

    Missing values become null; NaN stays NaN in a column of floats and is missing in any other.

    Parameters
    ----------
    exact
        Refuse ints among floats too, which otherwise become floats where none loses digits.

    Raises
    ------
    SchemaError
        The values are of different kinds, or one of them does not fit.
    UnsupportedError
        Arrow has no type for them.
    """
    types = frozenset(map(type, values))
    families = {_family(cls) for cls in types}
    if "" in families:
        _refuse_type(values, column)
    missing = {name for name in families if name in MISSING}
    families -= missing
    floats = {cls for cls in types if _family(cls) == "float"}
    beside = len(families) > 1 and (exact or families != {"int", "float"})
    if floats and beside and all(v != v for v in values if type(v) in floats):  # noqa: PLR0124 NaN
        families.remove("float")
        missing.add("nan")
    if len(families) > 1 and (exact or families != {"int", "float"}):
        _refuse_mixture(values, column)
    family = "float" if len(families) > 1 else next(iter(families), None)
    if missing - {"None"}:
        # pyarrow's own idea of missing would take NaN among floats too.
        gone = {cls for cls in types if _family(cls) in MISSING}
        nan = floats if "nan" in missing else frozenset()
        values = [None if type(v) in gone or (type(v) in nan and v != v) else v for v in values]  # noqa: PLR0124
    return Converted(_build(values, column, family, types), family, types, frozenset(missing))


def _build(values: Sequence[Any], column: str, family: str | None, types: frozenset[type]) -> pa.Array:
    if family is None:
        return pa.nulls(len(values))
    _check_kind(values, column, family)
    if family == "int":
        return _ints(values, column)
    if family == "Decimal":
        return _decimals(values, column)
    if family in ("datetime", "timedelta") and any(
        _of_pandas(cls) and _family(cls) == family for cls in types
    ):
        return _pandas_times(values, column, family)
    return _array(values, column)


def _check_kind(values: Iterable[Any], column: str, family: str) -> None:
    """Refuse what pyarrow would convert with loss."""
    if family == "datetime":
        _check_zones(values, column)
    elif family == "time" and any(v is not None and v.tzinfo is not None for v in values):
        raise SchemaError(
            "a time of day with a zone has no Arrow type",
            column=column,
            hint="store full datetimes, or drop the zone with .replace(tzinfo=None)",
        )
    elif family == "Decimal" and any(v is not None and not v.is_finite() for v in values):
        raise SchemaError(
            "a Decimal that is NaN or infinite has no Arrow value",
            column=column,
            hint="replace it by None",
        )
    elif family == "list":
        _check_inside(chain.from_iterable(v for v in values if isinstance(v, list | tuple)), column)
    elif family == "dict":
        _check_structs([v for v in values if v is not None], column)


def _check_zones(values: Iterable[Any], column: str) -> None:
    zones = {v.tzinfo for v in values if v is not None}
    if len(zones) > 1:
        raise SchemaError(
            f"datetimes of different zones: {', '.join(sorted(str(z) for z in zones))}"
            f"{' (None: without zone)' if None in zones else ''}",
            column=column,
            hint="bring them to one zone, for instance with .astimezone(timezone.utc)",
        )


def _check_structs(records: list[Mapping[Any, Any]], column: str) -> None:
    for key in dict.fromkeys(chain.from_iterable(records)):
        if not isinstance(key, str):
            raise SchemaError(f"the key {key!r} of a dict is no string", column=column, hint="use str keys")
        _check_inside((record.get(key) for record in records), f"{column}.{key}")


def _check_inside(values: Iterable[Any], column: str) -> None:
    """Check values inside lists and dicts, where pyarrow does the converting."""
    inner = list(values)
    families = {_family(cls) for cls in set(map(type, inner))}
    if "" in families:
        _refuse_type(inner, column)
    families -= MISSING
    if len(families) > 1 and families != {"int", "float"}:
        _refuse_mixture(inner, column, "value")
    for family in families & {"datetime", "timedelta", "time", "Decimal", "list", "dict"}:
        _check_kind(inner, column, family)
    if any(getattr(v, "nanosecond", 0) or getattr(v, "nanoseconds", 0) for v in inner):
        raise SchemaError(
            "nanoseconds inside lists or dicts are not kept",
            column=column,
            hint="round to microseconds, or hand over a pyarrow array with its type",
        )


def _ints(values: Sequence[Any], column: str) -> pa.Array:
    try:
        return pa.array(values)
    except (OverflowError, pa.ArrowInvalid):
        pass
    try:
        return pa.array(values, pa.uint64())
    except (OverflowError, pa.ArrowInvalid) as error:
        row = next(i for i, v in enumerate(values) if v is not None and not 0 <= v < 2**64)
        raise SchemaError(
            f"the int in row {row} does not fit 64 bits beside the others",
            column=column,
            hint="store such numbers as Decimal or str",
        ) from error


def _decimals(values: Sequence[Any], column: str) -> pa.Array:
    """Widen the precision to its maximum: it would otherwise follow from the values of each frame."""
    array = _array(values, column)
    wide = pa.decimal128(38, array.type.scale) if array.type.bit_width == 128 else None
    return array.cast(wide or pa.decimal256(76, array.type.scale))


def _pandas_times(values: Sequence[Any], column: str, family: str) -> pa.Array:
    """Keep the nanoseconds of Timestamp and Timedelta; dates beyond the years of ns are stored in us."""
    natural = pa.array([v for v in values if v is not None][:1]).type
    wide = pa.timestamp("ns", natural.tz) if family == "datetime" else pa.duration("ns")
    try:
        return pa.array(values, wide)
    except (OverflowError, ValueError):  # OutOfBoundsDatetime is a ValueError
        return _array(values, column)


def _array(values: Sequence[Any], column: str) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise SchemaError(
            f"{_where(values)}cannot be stored: {reason}",
            column=column,
            hint="give all rows one type, or hand over a pyarrow array with its type",
        ) from error


def _where(values: Sequence[Any]) -> str:
    for row, value in enumerate(values):
        try:
            pa.array([value])
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return f"the value in row {row} "
    return "the values "


def _refuse_mixture(values: Sequence[Any], column: str, place: str = "row") -> None:
    seen: dict[str, tuple[int, str]] = {}
    for row, value in enumerate(values):
        if not is_missing(value):
            seen.setdefault(_family(type(value)), (row, type(value).__name__))
    (row_a, a), (row_b, b) = list(seen.values())[:2]
    raise SchemaError(
        f"mixed types: {a} in {place} {row_a}, {b} in {place} {row_b}",
        column=column,
        hint="convert the column to one type first, for instance all to str",
    )


def _refuse_type(values: Sequence[Any], column: str) -> None:
    row, value = next((i, v) for i, v in enumerate(values) if not _family(type(v)))
    cls = type(value)
    hints = {"complex": "store the real and the imaginary part", "set": "store a sorted list"}
    raise UnsupportedError(
        f"a value of type {cls.__module__}.{cls.__qualname__} (row {row}) has no Arrow type",
        column=column,
        hint=hints.get(cls.__name__, "store numbers, text, bytes, times, lists or dicts of these"),
    )
