"""One small array of every Arrow type, with nulls and the values that formats like to lose.

The conformance suite and the support matrix are both built from :data:`TYPE_CASES`.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa

_INF, _NAN = float("inf"), float("nan")
#: Strings that text formats confuse with nulls, numbers, separators or line ends.
TEXTS = (
    *("", " ", "NA", "null", "NULL", "None", "nan", "NaN", "true", "0", "007", "1e5", "-", '"', '""', "'"),
    *("\\N", "\\", "a,b", "a\nb", "a\r\nb", "\r", "\n", "\t", " lead", "trail ", "nul\x00inside", "\x00"),
    *("ünï", "日本", "🦋", "e\u0301", "\ufeffbom", "\u2028", "[1]", "{}", "#c", "2020-01-01"),
    *("x" * 300, "\U0010ffff" * 70),
)
BINARIES = (b"", b"\x00", b"\xff" * 80, b"\xff\xfe", b"a,b\n", b"\x89PNG\r\n\x1a\n", b"null", b'"')
FLOATS = (0.0, -0.0, 1.5, -1.5, 0.1, _INF, -_INF, _NAN, 5e-324, 1.7976931348623157e308, 1e22, -123456.789)


def _ints(type_: pa.DataType) -> pa.Array:
    bits = type_.bit_width
    low, high = (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if pa.types.is_signed_integer(type_) else (0, 2**bits - 1)
    )
    return pa.array([low, None, 0, 1, high - 1, high], type_)


def _decimals(type_: pa.DataType) -> pa.Array:
    def scaled(sign: int, digits: tuple[int, ...]) -> Decimal:
        # Built from its digits: arithmetic would round to the 28 digits of the decimal context.
        return Decimal((sign, digits, -type_.scale))

    top = (9,) * type_.precision
    return pa.array(
        [scaled(0, (0,)), None, scaled(0, (1,)), scaled(1, (1,)), scaled(0, top), scaled(1, top)], type_
    )


def _units(type_: pa.DataType, *more: int) -> pa.Array:
    """Temporal values as counts of the type's unit: the extremes of the 64 (or 32) bits included."""
    bits = type_.bit_width
    values: list[int | None] = [0, None, 1, -1, -(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1, *more]
    return pa.array(values, pa.int64() if bits == 64 else pa.int32()).cast(type_)


def _seconds(type_: pa.DataType) -> pa.Array:
    most = (2**63 - 1) // 1000
    return pa.array(
        [0, None, 1, -1, most, -most, 1_583_020_800, -62_135_596_801, 253_402_300_800], pa.int64()
    ).cast(type_)


def _times(type_: pa.DataType, per_day: int) -> pa.Array:
    return pa.array(
        [0, None, 1, per_day // 2 + 1, per_day - 1], pa.int32() if type_.bit_width == 32 else pa.int64()
    ).cast(type_)


def _dates64() -> pa.Array:
    day = 86_400_000
    # Off-day milliseconds are outside the Arrow format's rules but exist in the wild.
    return pa.array([0, None, day, -day, 11_016 * day, -719_162 * day, day + 1, -1], pa.int64()).cast(
        pa.date64()
    )


def _float_bits() -> pa.Array:
    """NaNs with payloads and signs: the bits must survive, not only the NaN-ness."""
    patterns = (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000001, 0x8000000000000000, 1)
    data = pa.py_buffer(b"".join(struct.pack("<Q", p) for p in patterns))
    return pa.Array.from_buffers(pa.float64(), len(patterns), [None, data])


def _dictionary(index: pa.DataType, values: pa.Array, *, ordered: bool = False) -> pa.Array:
    indices: list[int | None] = [len(values) - 1, None, 0, 1, 1, 0]
    return pa.DictionaryArray.from_arrays(pa.array(indices, index), values, ordered=ordered)


def _nested_dictionary() -> pa.Array:
    labels = _dictionary(pa.int8(), pa.array(["x", "", "z"]), ordered=True)
    rows = pa.StructArray.from_arrays([labels, pa.array(range(6), pa.uint16())], names=["label", "n"])
    return pa.ListArray.from_arrays(pa.array([0, 2, None, 2, 6], pa.int32()), rows)


def _sorted_map() -> pa.Array:
    type_ = pa.map_(pa.string(), pa.int32(), keys_sorted=True)
    return pa.array([[("a", 1), ("b", None)], None, []], type_)


def _nested_nullability() -> pa.Array:
    item = pa.field(
        "el",
        pa.struct([pa.field("must", pa.int32(), nullable=False), pa.field("may", pa.string())]),
        nullable=False,
    )
    return pa.array([[{"must": 1, "may": None}], None, [], [{"must": 2, "may": ""}]], pa.list_(item))


def _flat_cases() -> dict[str, pa.Array]:
    cases: dict[str, pa.Array] = {
        "null": pa.nulls(5),
        "bool": pa.array([True, None, False, True]),
        "float16": pa.array([*FLOATS[:8], None, 65504.0, 6e-8], pa.float32()).cast(pa.float16()),
        "float32": pa.array([*FLOATS[:8], None, 3.4028234663852886e38, 1e-45], pa.float32()),
        "float64": pa.array([*FLOATS, None], pa.float64()),
        "float64_bits": _float_bits(),
        "float64_all_nan": pa.array([_NAN, None, _NAN], pa.float64()),
    }
    for bits in (8, 16, 32, 64):
        cases[f"int{bits}"] = _ints(getattr(pa, f"int{bits}")())
        cases[f"uint{bits}"] = _ints(getattr(pa, f"uint{bits}")())
    for name in ("string", "large_string", "string_view"):
        cases[name] = pa.array([*TEXTS, None], getattr(pa, name)())
    for name in ("binary", "large_binary", "binary_view"):
        cases[name] = pa.array([*BINARIES, None], getattr(pa, name)())
    cases["fixed_size_binary"] = pa.array(
        [b"\x00\x00\x00", None, b"abc", b"\xff\xff\xff", b'\n,"'], pa.binary(3)
    )
    cases["fixed_size_binary_0"] = pa.array([b"", None, b""], pa.binary(0))
    for name, precision, scale in (
        ("decimal32", 9, 2), ("decimal64", 18, 0), ("decimal128", 38, 10), ("decimal128_small", 5, 2),
        ("decimal128_negative", 5, -3), ("decimal256", 76, 76), ("decimal256_small", 12, 4),
    ):  # fmt: skip
        cases[name] = _decimals(getattr(pa, name.split("_", maxsplit=1)[0])(precision, scale))
    return cases


def _temporal_cases() -> dict[str, pa.Array]:
    seconds = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    cases: dict[str, pa.Array] = {
        "date32": pa.array([0, None, -719_162, 2_932_896, 11_016, -(2**31), 2**31 - 1], pa.int32()).cast(
            pa.date32()
        ),
        "date64": _dates64(),
        "month_day_nano_interval": pa.array(
            [pa.MonthDayNano([1, -2, 3]), None], pa.month_day_nano_interval()
        ),
    }
    for unit, per_second in seconds.items():
        wide = unit in {"us", "ns"}
        cases[f"time_{unit}"] = _times((pa.time64 if wide else pa.time32)(unit), 86_400 * per_second)
        cases[f"duration_{unit}"] = _units(pa.duration(unit))
        for suffix, zone in (("", None), ("_zone", "Europe/Berlin")):
            stamps = _units(pa.timestamp(unit, zone), -per_second - 1, 1_583_020_800 * per_second)
            # Seconds beyond 64 bits of milliseconds are refused value by value, not by type.
            cases[f"timestamp_{unit}{suffix}"] = _seconds(stamps.type) if unit == "s" else stamps
    cases["timestamp_utc"] = _units(pa.timestamp("us", "UTC"))
    cases["timestamp_offset"] = _units(pa.timestamp("us", "+05:30"))
    return cases


def _dictionary_cases() -> dict[str, pa.Array]:
    texts = pa.array(["b", "a", "", "null"])
    return {
        "dictionary": _dictionary(pa.int32(), texts),
        "dictionary_ordered_uint8": _dictionary(pa.uint8(), texts, ordered=True),
        "dictionary_int64_large": _dictionary(pa.int64(), texts.cast(pa.large_string())),
        "dictionary_view": _dictionary(pa.int16(), texts.cast(pa.string_view())),
        "dictionary_null_value": _dictionary(pa.int8(), pa.array(["b", None, "a"])),
        "dictionary_twice": _dictionary(pa.int8(), pa.array(["a", "a", "b"])),
        "dictionary_int64": _dictionary(pa.int8(), pa.array([2**62, -1, 7])),
        "dictionary_float64": _dictionary(pa.int16(), pa.array([_NAN, -0.0, 0.5])),
        "dictionary_bool": _dictionary(pa.int8(), pa.array([True, False])),
        "dictionary_binary": _dictionary(pa.int32(), pa.array([b"\xff", b"", b"a"])),
        "dictionary_timestamp": _dictionary(pa.int32(), pa.array([1, -1], pa.timestamp("ns", "Asia/Tokyo"))),
        "dictionary_decimal": _dictionary(pa.int32(), pa.array([Decimal("1.50"), Decimal("-2.25")])),
        "dictionary_empty": pa.DictionaryArray.from_arrays(
            pa.array([None, None], pa.int8()), pa.array([], pa.string())
        ),
        "dictionary_struct": _dictionary(pa.int8(), pa.array([{"a": 1}, {"a": None}])),
    }


def _nested_cases() -> dict[str, pa.Array]:
    lists: list[Any] = [[1, None, 3], None, [], [-(2**31)]]
    pairs: list[Any] = [[("a", 1), ("", None)], None, []]
    points: list[Any] = [
        {"x": 1.5, "y": {"z": "deep"}},
        None,
        {"x": None, "y": None},
        {"x": -0.0, "y": {"z": None}},
    ]
    point = pa.struct([("x", pa.float64()), ("y", pa.struct([("z", pa.string())]))])
    return {
        "list": pa.array(lists, pa.list_(pa.int32())),
        "list_named": pa.array(lists, pa.list_(pa.field("number", pa.int32(), metadata={"k": "v"}))),
        "large_list": pa.array(lists, pa.large_list(pa.int32())),
        "list_view": pa.array(lists, pa.list_view(pa.int32())),
        "large_list_view": pa.array(lists, pa.large_list_view(pa.int32())),
        "fixed_size_list": pa.array([[1, None], None, [3, 4]], pa.list_(pa.int32(), 2)),
        "list_list": pa.array([[[1], None, []], None, []], pa.list_(pa.list_(pa.int64()))),
        "list_null": pa.array([[None, None], None, []], pa.list_(pa.null())),
        "struct": pa.array(points, point),
        "struct_not_null": pa.array([{"a": 1}, None], pa.struct([pa.field("a", pa.int32())])),
        "struct_empty": pa.array([{}, None, {}], pa.struct([])),
        "struct_dots": pa.array(
            [{"a.b": 1, "": "x"}, None], pa.struct([("a.b", pa.int8()), ("", pa.string())])
        ),
        "map": pa.array(pairs, pa.map_(pa.string(), pa.int32())),
        "map_sorted": _sorted_map(),
        "map_int_keys": pa.array(
            [[(1, [1.5]), (2, None)], None], pa.map_(pa.int64(), pa.list_(pa.float64()))
        ),
        "nested_nullability": _nested_nullability(),
        "list_struct_dictionary": _nested_dictionary(),
        "list_decimal": pa.array([[Decimal("1.50")], None], pa.list_(pa.decimal128(5, 2))),
        "list_timestamp": pa.array([[1, None], None], pa.list_(pa.timestamp("ns", "Asia/Tokyo"))),
        "list_duration": pa.array([[1, None], None], pa.list_(pa.duration("ms"))),
        "list_string_view": pa.array([["x", None], None], pa.list_(pa.string_view())),
        "list_binary": pa.array([[b"\xff", None], None], pa.list_(pa.large_binary())),
        "struct_large_list": pa.array([{"a": [1]}, None], pa.struct([("a", pa.large_list(pa.uint64()))])),
        "run_end_encoded": pa.RunEndEncodedArray.from_arrays(
            pa.array([2, 3, 5], pa.int32()), pa.array(["a", None, "b"])
        ),
    }


def _union_cases() -> dict[str, pa.Array]:
    kinds = pa.array([0, 1, 0], pa.int8())
    return {
        "union_sparse": pa.UnionArray.from_sparse(kinds, [pa.array([1, 2, 3]), pa.array(["a", "b", "c"])]),
        "union_dense": pa.UnionArray.from_dense(
            kinds, pa.array([0, 0, 1], pa.int32()), [pa.array([1, 2]), pa.array(["a"])]
        ),
    }


def _extension_cases() -> dict[str, pa.Array]:
    return {
        "extension_uuid": pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([b"0123456789abcdef", None], pa.binary(16))
        ),
        "extension_json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None])),
        "extension_bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0, 2], pa.int8())),
    }


#: Named arrays, one a type (and some a trap); each holds a null unless the type has none.
TYPE_CASES: dict[str, pa.Array] = {
    **_flat_cases(),
    **_temporal_cases(),
    **_dictionary_cases(),
    **_nested_cases(),
    **_union_cases(),
    **_extension_cases(),
}
