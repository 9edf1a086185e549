"""From a column's values to what a table is partitioned by (spec/partitioning.md).

The definitions are Apache Iceberg's. A transform keeps nulls, and all values of one partition are equal
under it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import types as pt

from atio.errors import SchemaError
from atio.schema import murmur, scalars

_MICROS = {"s": 10**6, "ms": 10**3, "us": 1}
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_HOUR = 3_600
_MOST = 2**31 - 1


class Transform(msgspec.Struct, frozen=True):
    """One of ``NAMES``; ``width`` is how many buckets there are, or how long what is left is."""

    name: str
    width: int = 0

    def __str__(self) -> str:
        return f"{self.name}[{self.width}]" if self.width else self.name

    @classmethod
    def parse(cls, text: str) -> Transform:
        """What ``str`` makes; ``ValueError`` for anything else."""
        found = re.fullmatch(r"([a-z]+)(?:\[([1-9]\d{0,9})\])?", text)
        if found is None or found[1] not in _RULES or (found[2] is not None) != (found[1] in _WITH_WIDTH):
            raise ValueError(f"{text!r} is no transform; there are {', '.join(_RULES)}")
        if found[2] is not None and int(found[2]) > _MOST:
            raise ValueError(f"{text!r}: at most {_MOST}")
        return cls(found[1], int(found[2] or 0))

    def check(self, kind: pa.DataType, name: str) -> None:
        """Raise ``SchemaError`` unless it applies to columns of the type."""
        applies, _, what = _RULES[self.name]
        if not applies(plain_type(kind)):
            raise SchemaError(
                f"{self} does not apply to column {name!r}, which is {kind}",
                column=name,
                hint=f"{self.name} takes {what}",
            )

    def apply(self, column: pa.ChunkedArray) -> pa.Array:
        """The value of each row's partition, of a type that Arrow sorts."""
        return _RULES[self.name][1](plain_values(column), self.width)


def encoded(values: pa.Array) -> list[scalars.JsonValue]:
    """Partition values as metadata keep them."""
    kind = values.type
    if pt.is_temporal(kind):
        values = values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return [scalars.encode(value) for value in values.to_pylist()]


def decoded(values: Sequence[scalars.JsonValue], transform: Transform, kind: pa.DataType) -> pa.Array:
    """Partition values from metadata, as the transform makes them of a column of the type ``kind``."""
    made = transform.apply(pa.chunked_array([], kind)).type
    if pt.is_temporal(made):
        return pa.array(values, pa.int32() if made.bit_width == 32 else pa.int64()).view(made)
    return pa.array([scalars.decode(value, made) for value in values], made)


# -- values as Arrow computes with them ------------------------------------------------------------


def plain_type(kind: pa.DataType) -> pa.DataType:
    return plain_values(pa.chunked_array([], kind)).type


def plain_values(column: pa.ChunkedArray) -> pa.Array:
    """Without dictionaries, runs, extensions and views, in one piece."""
    import pyarrow.compute as pc

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain_values(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pt.is_dictionary(kind):
        chunks = [
            plain_values(pa.chunked_array([chunk.dictionary])).take(chunk.indices) for chunk in column.chunks
        ]
        return pa.chunked_array(chunks, plain_type(kind.value_type)).combine_chunks()
    if pt.is_run_end_encoded(kind):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        return plain_values(pa.chunked_array(chunks, kind.value_type))
    if pt.is_string(kind) or pt.is_string_view(kind):
        column = column.cast(pa.large_string())
    elif pt.is_binary(kind) or pt.is_binary_view(kind) or pt.is_fixed_size_binary(kind):
        column = column.cast(pa.large_binary())
    elif pt.is_decimal(kind) and kind.bit_width < 128:
        column = column.cast(pa.decimal128(kind.precision, kind.scale))
    return column.combine_chunks()


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pt.is_large_binary(kind))


def _is_known(kind: pa.DataType) -> bool:
    """Types whose values have a form in metadata."""
    if pt.is_floating(kind):
        return not pt.is_float16(kind)
    return bool(
        pt.is_boolean(kind) or pt.is_duration(kind) or pt.is_time(kind) or pt.is_decimal(kind)
    ) or _is_cut(kind) or _is_dated(kind)  # fmt: skip


def _is_cut(kind: pa.DataType) -> bool:
    decimal = pt.is_decimal128(kind) and 0 <= kind.scale <= kind.precision
    return bool(pt.is_integer(kind) or decimal) or _is_text(kind) or _is_binary(kind)


def _is_hashed(kind: pa.DataType) -> bool:
    return hashed_as(kind) is not None


def _is_dated(kind: pa.DataType) -> bool:
    return bool(pt.is_timestamp(kind) or pt.is_date(kind))


# -- transforms ------------------------------------------------------------------------------------


def _identity(values: pa.Array, width: int) -> pa.Array:
    import pyarrow.compute as pc

    del width
    if not pt.is_floating(values.type):
        return values
    values = values.cast(pa.float64())
    return pc.if_else(pc.equal(values, 0.0), pa.scalar(0.0), values)  # both zeros are one partition


def _calendar(part: str) -> Callable[[pa.Array, int], pa.Array]:
    def count(values: pa.Array, width: int) -> pa.Array:
        import pyarrow.compute as pc

        del width
        kind = values.type
        if pt.is_timestamp(kind):  # what has a zone is counted in UTC
            values = values.view(pa.int64()).view(pa.timestamp(kind.unit))
        years = pc.subtract(pc.year(values), pa.scalar(1970, pa.int64()))
        if part == "year":
            return years
        months = pc.add(pc.multiply(years, pa.scalar(12, pa.int64())), pc.month(values))
        return pc.subtract(months, pa.scalar(1, pa.int64()))

    return count


def _spans(seconds: int) -> Callable[[pa.Array, int], pa.Array]:
    def count(values: pa.Array, width: int) -> pa.Array:
        del width
        kind = values.type
        if pt.is_date32(kind):
            return values.view(pa.int32()).cast(pa.int64())
        unit = "ms" if pt.is_date(kind) else kind.unit
        return _floored(values.view(pa.int64()), seconds * _UNITS[unit])[0]

    return count


def _floored(values: pa.Array, width: int) -> tuple[pa.Array, pa.Array]:
    """Quotient and remainder of integers, the remainder from 0 up."""
    import pyarrow.compute as pc

    by = pa.scalar(width, values.type)
    quotient = pc.divide(values, by)
    remainder = pc.subtract(values, pc.multiply(quotient, by))
    is_below = pc.less(remainder, pa.scalar(0, values.type))
    one, none = pa.scalar(1, values.type), pa.scalar(0, values.type)
    return (
        pc.subtract(quotient, pc.if_else(is_below, one, none)),
        pc.add(remainder, pc.if_else(is_below, by, none)),
    )


def _truncate(values: pa.Array, width: int) -> pa.Array:
    import pyarrow.compute as pc

    kind = values.type
    if _is_text(kind):
        return pc.utf8_slice_codeunits(values, 0, width)
    if _is_binary(kind):
        return pc.binary_slice(values, 0, width)
    if pt.is_decimal(kind):
        cut = [None if v is None else _cut_decimal(v, width) for v in values.to_pylist()]
        return pa.array(cut, pa.decimal128(38, kind.scale))
    if pt.is_uint64(kind):
        return pc.subtract(values, _floored(values, width)[1])
    values = values.cast(pa.int64())
    return pc.subtract(values, _floored(values, width)[1])  # the very least may wrap: as good as any


def _cut_decimal(value: Any, width: int) -> Any:
    from decimal import Context

    exact = Context(prec=80)
    unscaled = int(value.scaleb(-value.as_tuple().exponent, exact))
    return exact.scaleb(exact.create_decimal(unscaled - unscaled % width), value.as_tuple().exponent)


def _bucket(values: pa.Array, width: int) -> pa.Array:
    import pyarrow.compute as pc

    hashes = pc.bit_wise_and(_hashes(values), pa.scalar(_MOST, pa.uint32())).cast(pa.int64())
    return _floored(hashes, width)[1]


def _hashes(values: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    kind = values.type
    if pt.is_integer(kind):
        return murmur.of_integers(values.cast(pa.uint64() if pt.is_uint64(kind) else pa.int64()))
    if pt.is_date32(kind):
        return murmur.of_integers(values.view(pa.int32()).cast(pa.int64()))
    if pt.is_date(kind):
        return murmur.of_integers(_spans(_DAY)(values, 0))
    if pt.is_time(kind) or pt.is_timestamp(kind):
        counts = values.view(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(pa.int64())
        if kind.unit == "ns":
            return murmur.of_integers(_floored(counts, 1000)[0])
        return murmur.of_integers(pc.multiply(counts, pa.scalar(_MICROS[kind.unit], pa.int64())))
    if pt.is_decimal(kind):
        encoded = values.dictionary_encode()
        unscaled = pa.array([_least_bytes(v) for v in encoded.dictionary.to_pylist()], pa.large_binary())
        return murmur.of_bytes(unscaled).take(encoded.indices)
    return murmur.of_bytes(values.cast(pa.large_binary()))


def _least_bytes(value: Any) -> bytes:
    """The unscaled number in as few bytes as hold it, the most significant first."""
    sign, digits, _ = value.as_tuple()
    number = int("".join(map(str, digits))) * (-1 if sign else 1)
    bits = (number if number >= 0 else ~number).bit_length()
    return number.to_bytes(bits // 8 + 1, "big", signed=True)


def hashed_as(kind: pa.DataType) -> str | None:
    """Types of one word have the same hash for the same value; None: there is no hash for them."""
    kind = plain_type(kind)
    if pt.is_integer(kind):
        return "integer"
    if pt.is_date(kind):
        return "date"
    if pt.is_time(kind):
        return "time"
    if pt.is_timestamp(kind):
        return "timestamp"
    if pt.is_decimal128(kind) and 0 <= kind.scale <= kind.precision:
        return f"decimal, {kind.scale}"
    if _is_text(kind):
        return "text"
    return "binary" if _is_binary(kind) else None


def recorded_as(kind: pa.DataType) -> str:
    """Types of one word have the same partitions for the same values."""
    plain = plain_type(kind)
    unit = getattr(plain, "unit", "")
    return f"{hashed_as(kind) or plain} {unit}"


_DATED = "dates and timestamps"
_RULES: dict[str, tuple[Callable[[pa.DataType], bool], Callable[[pa.Array, int], pa.Array], str]] = {
    "identity": (_is_known, _identity, "booleans, numbers, text, binary, dates and times"),
    "year": (_is_dated, _calendar("year"), _DATED),
    "month": (_is_dated, _calendar("month"), _DATED),
    "day": (_is_dated, _spans(_DAY), _DATED),
    "hour": (lambda kind: bool(pt.is_timestamp(kind)), _spans(_HOUR), "timestamps"),
    "bucket": (_is_hashed, _bucket, "integers, decimals, text, binary, dates, times and timestamps"),
    "truncate": (_is_cut, _truncate, "integers, decimals, text and binary"),
}
_WITH_WIDTH = ("bucket", "truncate")
NAMES = tuple(_RULES)
