"""Arrow columns and scalars from Python values, without ``pa.array`` and ``pa.scalar``.

Those look at their argument with pandas, and import it for this: half a second, in the middle of the commit
that writes the first manifest, or of the first condition. So do kernels that are given a Python value.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Any

import pyarrow as pa

from atio.storage.base import Buffer

_INTEGERS = {
    pa.int8(): "b", pa.int16(): "h", pa.int32(): "i", pa.int64(): "q",
    pa.uint8(): "B", pa.uint16(): "H", pa.uint32(): "I", pa.uint64(): "Q",
}  # fmt: skip
_FLOATS = {pa.float32(): "f", pa.float64(): "d"}


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The values, None for null, as an array of type ``kind``.

    Integers of all widths, floats of 32 and 64 bits, ``bool``, ``string``, ``binary`` and decimals; other
    types take the long way.
    """
    data: list[Buffer]
    if kind in _INTEGERS:
        data = [_filled(values, _INTEGERS[kind], 0)]
    elif kind in _FLOATS:
        data = [_filled(values, _FLOATS[kind], 0.0)]
    elif kind == pa.bool_():
        data = [_bits(values)]
    elif kind in (pa.string(), pa.binary()):
        parts = [b"" if v is None else v.encode() if isinstance(v, str) else v for v in values]
        data = [memoryview(array("i", accumulate(map(len, parts), initial=0))), b"".join(parts)]
    elif pa.types.is_decimal(kind):
        width = kind.bit_width // 8
        data = [b"".join(_unscaled(v, kind.scale).to_bytes(width, "little", signed=True) for v in values)]
    else:
        return pa.array(values, kind)
    nulls = sum(value is None for value in values)
    valid = pa.py_buffer(_bits([value is not None for value in values])) if nulls else None
    return pa.Array.from_buffers(kind, len(values), [valid, *map(pa.py_buffer, data)], nulls)


def scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    """The value, None for null, as a scalar of type ``kind``; for the same types."""
    if value is None:
        return pa.nulls(1, kind)[0]
    if pa.types.is_temporal(kind) and not isinstance(value, int):
        return pa.scalar(value, kind)
    if kind in (pa.large_string(), pa.large_binary()):
        return column([value], pa.string() if pa.types.is_large_string(kind) else pa.binary())[0].cast(kind)
    if not pa.types.is_temporal(kind):
        return column([value], kind)[0]
    stored = pa.int32() if kind.bit_width == 32 else pa.int64()
    return column([value], stored).view(kind)[0]


def _filled(values: Sequence[Any], code: str, empty: float) -> Buffer:
    return memoryview(array(code, [empty if value is None else value for value in values]))


def _bits(values: Sequence[object]) -> bytes:
    number = sum(1 << place for place, value in enumerate(values) if value)
    return number.to_bytes((len(values) + 7) // 8, "little")


def _unscaled(value: Decimal | int | None, scale: int) -> int:
    if value is None:
        return 0
    if isinstance(value, int):  # of a column that was made of integers
        return value * int(10**scale)
    if not isinstance(value, Decimal):
        raise TypeError(f"{value!r} is no decimal")
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or not 0 <= exponent + scale <= 76:  # as many digits as there can be
        raise ValueError(f"{value} is no decimal of scale {scale}")
    number: int = int("".join(map(str, digits))) * 10 ** (exponent + scale)
    return -number if sign else number
