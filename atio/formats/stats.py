"""Bounds of columns: kept short, and never wrong.

A reader skips a file whose bounds exclude what it looks for, so a bound may be loose but must hold.
Temporal bounds are counts of the type's unit (``pa.scalar(count, type)`` takes them): Python's
datetime has no nanoseconds and ends with the year 9999.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Decimal
from operator import ne
from typing import Any

import pyarrow as pa
from pyarrow import types as pt

from atio.formats import recode
from atio.formats.base import ColumnStats

#: Characters of a string bound, bytes of a binary one.
LENGTH = 64
#: Only so many leaf columns get statistics: planning rarely looks at more, and files stay small.
COLUMNS = 200

# Rows that plain Python counts faster than a compute kernel.
_FEW = 256

Bounds = tuple[Any, Any]
_NONE: Bounds = (None, None)


# -- short bounds ------------------------------------------------------------------------------


def text_bounds(lower: str, upper: str) -> Bounds:
    """Cut to ``LENGTH`` characters; the order is that of code points, which is that of UTF-8 bytes."""
    return lower[:LENGTH], upper if len(upper) <= LENGTH else _next_text(upper[:LENGTH])


def _next_text(prefix: str) -> str | None:
    """The least string above everything that starts with ``prefix``, or None."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            # The surrogates are not characters.
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None


def bytes_bounds(lower: bytes, upper: bytes) -> Bounds:
    return lower[:LENGTH], upper if len(upper) <= LENGTH else _next_bytes(upper[:LENGTH])


def _next_bytes(prefix: bytes) -> bytes | None:
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def float_bounds(lower: float, upper: float) -> Bounds:
    """Both zeros are equal, but readers may order them: the bounds hold for either."""
    if lower != lower or upper != upper:  # noqa: PLR0124 -- NaN bounds nothing
        return _NONE
    return (lower or -0.0), (upper or 0.0)


# -- from Parquet's own statistics -------------------------------------------------------------

Convert = Callable[[Any, Any], Bounds]


def from_parquet(type_: pa.DataType, stored: pa.DataType) -> Convert | None:
    """How the physical min and max of a Parquet column become bounds; None: they do not."""
    if pt.is_dictionary(stored):
        stored = stored.value_type
    if pt.is_dictionary(type_):
        type_ = type_.value_type
    if pt.is_run_end_encoded(type_):
        type_ = type_.value_type
    if pt.is_unsigned_integer(type_):
        mask = 2**64 - 1 if pt.is_uint64(type_) else 2**32 - 1
        return lambda low, high: (low & mask, high & mask)
    if pt.is_signed_integer(type_) or pt.is_boolean(type_):
        return _as_is
    if pt.is_float16(type_):
        return lambda low, high: float_bounds(_half(low), _half(high))
    if pt.is_floating(type_):
        return float_bounds
    if pt.is_decimal(type_) and pt.is_decimal(stored):
        return lambda low, high: (_decimal(low, type_.scale), _decimal(high, type_.scale))
    if pt.is_timestamp(type_) or pt.is_time(type_):
        if type_.unit == "s":  # stored in milliseconds
            return lambda low, high: (low // 1000, high // 1000)
        return _as_is
    if pt.is_temporal(type_) and not pt.is_interval(type_):
        return _as_is
    if pt.is_string(type_) or pt.is_large_string(type_) or pt.is_string_view(type_):
        return _text
    if _is_binary(type_) or (
        pt.is_fixed_size_binary(type_) and stored == type_ and type_.byte_width <= LENGTH
    ):
        return bytes_bounds
    return None


def _as_is(low: Any, high: Any) -> Bounds:
    return low, high


def _half(raw: bytes) -> float:
    value: float = struct.unpack("<e", raw)[0]
    return value


def _decimal(raw: int | bytes, scale: int) -> Decimal:
    count = raw if isinstance(raw, int) else int.from_bytes(raw, "big", signed=True)
    # From digits: arithmetic on decimals would round to the context's 28.
    return Decimal((int(count < 0), tuple(map(int, str(abs(count)))), -scale))


def _text(low: bytes, high: bytes) -> Bounds:
    try:
        return text_bounds(low.decode(), high.decode())
    except UnicodeDecodeError:  # Arrow does not check that strings are UTF-8
        return _NONE


def _is_binary(type_: pa.DataType) -> bool:
    return bool(pt.is_binary(type_) or pt.is_large_binary(type_) or pt.is_binary_view(type_))


# -- computed ----------------------------------------------------------------------------------


class Collector:
    """Statistics of the top-level columns of the tables it is shown, for formats without their own."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._bounds: dict[int, Bounds] = {}
        self._nulls = [0] * min(len(schema), COLUMNS)
        self._nans: dict[int, int] = {
            i: 0 for i in range(len(self._nulls)) if pt.is_floating(schema.field(i).type)
        }
        self._unknown: set[int] = set()

    def add(self, table: pa.Table) -> None:
        for i in range(len(self._nulls)):
            for chunk in table.column(i).chunks:
                self._nulls[i] += _nulls(chunk)
                if i in self._nans:
                    self._nans[i] += nans(chunk)
                if i not in self._unknown:
                    self._widen(i, chunk)

    def _widen(self, i: int, chunk: pa.Array) -> None:
        try:
            found = bounds(chunk)
        except (pa.ArrowNotImplementedError, UnicodeDecodeError):
            self._unknown.add(i)
            self._bounds.pop(i, None)
            return
        if found is not None:
            known = self._bounds.get(i, found)
            self._bounds[i] = (min(known[0], found[0]), max(known[1], found[1]))

    def stats(self) -> dict[tuple[str, ...], ColumnStats]:
        result = {}
        for i, nulls in enumerate(self._nulls):
            lower, upper = _shortened(*self._bounds.get(i, _NONE))
            result[(self._schema.field(i).name,)] = ColumnStats(lower, upper, nulls, self._nans.get(i))
        return {
            path: stats
            for path, stats in result.items()
            if not pt.is_nested(self._schema.field(path[0]).type)
        }


def _nulls(chunk: pa.Array) -> int:
    if pt.is_dictionary(chunk.type) and chunk.dictionary.null_count:
        return int(recode.taken(chunk.dictionary, chunk.indices).null_count)
    return int(chunk.null_count)


def nans(chunk: pa.Array) -> int:
    """How many of the non-null values of a floating array are NaN."""
    if len(chunk) <= _FEW and not chunk.null_count and not pt.is_float16(chunk.type):
        # A tenth of a kernel call's cost, and of a cold start: pyarrow.compute is not imported.
        data = memoryview(chunk.buffers()[1]).cast("B")
        values = data.cast("d") if pt.is_float64(chunk.type) else data.cast("f")
        values = values[chunk.offset : chunk.offset + len(chunk)]
        total = sum(values)
        # Finite: no NaN among them. Otherwise there may be one, or infinities of both signs.
        return 0 if total - total == 0 else sum(map(ne, values, values))
    import pyarrow.compute as pc

    return int(pc.is_nan(chunk).true_count)


def bounds(chunk: pa.Array) -> Bounds | None:
    """Least and greatest value of an array, not cut; None if it has none.

    Raises ``ArrowNotImplementedError`` for types without an order.
    """
    import pyarrow.compute as pc

    type_ = chunk.type
    if pt.is_dictionary(type_):
        return bounds(recode.taken(chunk.dictionary, chunk.indices.unique()))
    if pt.is_floating(type_):
        chunk = chunk.cast(pa.float64())
        chunk = chunk.filter(pc.invert(pc.is_nan(chunk)))
    elif pt.is_string_view(type_):
        chunk = chunk.cast(pa.large_string())
    elif pt.is_binary_view(type_):
        chunk = chunk.cast(pa.large_binary())
    elif pt.is_decimal32(type_) or pt.is_decimal64(type_):
        chunk = chunk.cast(pa.decimal128(type_.precision, type_.scale))
    elif pt.is_temporal(type_) and not pt.is_interval(type_):
        chunk = chunk.view(pa.int32() if type_.bit_width == 32 else pa.int64())
    elif pt.is_null(type_):
        return None
    found = pc.min_max(chunk)
    low, high = found["min"].as_py(), found["max"].as_py()
    return None if low is None else (low, high)


def _shortened(lower: Any, upper: Any) -> Bounds:
    if isinstance(lower, str):
        return text_bounds(lower, upper)
    if isinstance(lower, bytes):
        return bytes_bounds(lower, upper)
    if isinstance(lower, float):
        return float_bounds(lower, upper)
    return lower, upper
