"""Rows as drivers give them → Arrow, each column with one type from the first row to the last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

import pyarrow as pa

from atio.errors import InputError, SchemaError, meant
from atio.frames.base import check_names
from atio.frames.values import convert
from atio.writers.sql.fit import parsed

t = pa.types
_HINT = "name the type: read_sql(…, types={{{name!r}: pa.string()}}), or cast the column in the query"


def streamed(
    names: Sequence[str],
    known: Sequence[pa.DataType | None],
    wanted: Mapping[str, pa.DataType],
    chunks: Iterator[Sequence[Sequence[Any]]],
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Turn chunks of rows into batches of one schema.

    Parameters
    ----------
    known
        The types the database tells; None: the values of the first chunk decide.
    wanted
        The types the user asks for, by name.
    """
    check(names, wanted)
    first = next(chunks, ())
    columns = list(zip(*first, strict=True)) if first else [()] * len(names)
    types = [
        wanted.get(name) or kind or _inferred(values, name)
        for name, kind, values in zip(names, known, columns, strict=True)
    ]
    schema = pa.schema(list(zip(names, types, strict=True)))
    return schema, _batches(schema, first, chunks)


def check(names: Sequence[str], wanted: Mapping[str, pa.DataType]) -> None:
    """Refuse names of columns that no table can have, and types for columns that are not there."""
    if not names:
        raise InputError("the query returns no columns", hint="hand over a SELECT with columns")
    check_names(list(names))
    for name in wanted:
        if name not in names:
            raise InputError(f"the query has no column {name!r}", column=name, hint=meant(name, names))


def _inferred(values: Sequence[Any], name: str) -> pa.DataType:
    kind = convert(values, name).array.type
    if t.is_decimal(kind):  # later values may have more digits
        return pa.decimal128(38, kind.scale) if kind.scale <= 38 else kind
    return kind


def _batches(
    schema: pa.Schema, first: Sequence[Sequence[Any]], chunks: Iterator[Sequence[Sequence[Any]]]
) -> Iterator[pa.RecordBatch]:
    row = 0
    for chunk in chain((first,) if first else (), chunks):
        arrays = [
            column(values, field.type, field.name, row)
            for values, field in zip(zip(*chunk, strict=True), schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        row += len(chunk)


def column(values: Sequence[Any], kind: pa.DataType, name: str, row: int) -> pa.Array:
    """Build one array of exactly that type.

    Raises
    ------
    SchemaError
        Naming the first row whose value is of another type.
    """
    adapt = _adapter(kind)
    try:
        return _array(values, kind, adapt)
    except (ValueError, TypeError, ArithmeticError, pa.ArrowException):
        bad = next((i for i, value in enumerate(values) if not _fits(value, kind, adapt)), 0)
        raise SchemaError(
            f"column {name!r} is read as {kind}, which {values[bad]!r:.100} in row {row + bad} is not",
            column=name,
            hint=_HINT.format(name=name),
        ) from None


def _fits(value: Any, kind: pa.DataType, adapt: Callable[[Any], Any] | None) -> bool:
    try:
        _array([value], kind, adapt)
    except (ValueError, TypeError, ArithmeticError, pa.ArrowException):
        return False
    return True


def _array(values: Sequence[Any], kind: pa.DataType, adapt: Callable[[Any], Any] | None) -> pa.Array:
    if _is_calendar(kind):
        found = set(map(type, values))
        if int in found or float in found:
            raise TypeError("a number is no date: Arrow would take it for a count of its own unit")
        if str in found:
            return parsed(pa.array(values, pa.string()), kind)
    try:
        return pa.array(values, kind)
    except (ValueError, TypeError, pa.ArrowException):
        if adapt is None:
            raise
    return pa.array([None if value is None else adapt(value) for value in values], kind)


def _is_calendar(kind: pa.DataType) -> bool:
    return bool(t.is_date(kind) or t.is_time(kind) or t.is_timestamp(kind))


def _adapter(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """What brings a driver's value of another class to one that Arrow takes; None: nothing to do."""
    if t.is_decimal(kind):
        return lambda value: _decimal(value, kind.scale)
    return next((adapt for test, adapt in _ADAPTERS if test(kind)), None)


def _decimal(value: Any, scale: int) -> Decimal:
    """A float stands for a decimal of at most 15 digits, which its digits give back."""
    if isinstance(value, float):
        return Decimal(f"{value:.{scale}f}")
    return value if isinstance(value, Decimal) else Decimal(value)


def _bool(value: Any) -> bool:
    if value in (0, 1):
        return bool(value)
    raise ValueError(value)


def _integer(value: Any) -> Any:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal | str) else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("bytes are no text")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, date | datetime | time):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)


def _bytes(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


def _time(value: Any) -> Any:
    """MariaDB's drivers have differences of times for times of day."""
    if not isinstance(value, timedelta):
        return value
    if not timedelta(0) <= value < timedelta(days=1):
        raise ValueError(value)
    return (datetime(1, 1, 1, tzinfo=UTC) + value).time()


_ADAPTERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], Any]], ...] = (
    (t.is_boolean, _bool),
    (t.is_integer, _integer),
    (t.is_floating, _float),
    (t.is_string, _text),
    (t.is_large_string, _text),
    (t.is_binary, _bytes),
    (t.is_time, _time),
)
