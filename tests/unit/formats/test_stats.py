"""Bounds: short, and never wrong."""

import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atio.formats import get_format, stats
from atio.formats.conformance import encode


@given(low=st.text(max_size=100), high=st.text(max_size=100))
def test_text_bounds_hold_and_are_short(low, high):
    low, high = sorted([low * 2, high * 2])
    lower, upper = stats.text_bounds(low, high)
    assert lower <= low
    assert len(lower) <= stats.LENGTH
    assert upper is None or (upper >= high and len(upper) <= stats.LENGTH)


@given(low=st.binary(max_size=100), high=st.binary(max_size=100))
def test_bytes_bounds_hold_and_are_short(low, high):
    low, high = sorted([low * 2, high * 2])
    lower, upper = stats.bytes_bounds(low, high)
    assert lower <= low
    assert len(lower) <= stats.LENGTH
    assert upper is None or (upper >= high and len(upper) <= stats.LENGTH)


def test_the_bound_above_a_prefix():
    assert stats.text_bounds("", "x" * 65)[1] == "x" * 63 + "y"
    assert stats.text_bounds("", "a" * 63 + "\U0010ffff" * 9)[1] == "a" * 62 + "b"
    assert stats.text_bounds("", "a" * 63 + "\ud7ff" * 2)[1] == "a" * 63 + "\ue000"
    assert stats.text_bounds("", "\U0010ffff" * 65)[1] is None
    assert stats.bytes_bounds(b"", b"a" * 63 + b"\xff\xff")[1] == b"a" * 62 + b"b"
    assert stats.bytes_bounds(b"", b"\xff" * 65)[1] is None


def columns(format_name, **arrays):
    table = pa.table(arrays)
    _, info = encode(get_format(format_name), table)
    return {path[0]: found for path, found in info.stats.items()}


EXPECTED = {
    "i8": (pa.array([3, None, -128], pa.int8()), -128, 3, 1),
    "u64": (pa.array([2**64 - 1, 1], pa.uint64()), 1, 2**64 - 1, 0),
    "u32": (pa.array([2**32 - 1, 7], pa.uint32()), 7, 2**32 - 1, 0),
    "u8": (pa.array([255, 0], pa.uint8()), 0, 255, 0),
    "b": (pa.array([True, None]), True, True, 1),
    "half": (pa.array([1.5, -2.0], pa.float16()), -2.0, 1.5, 0),
    "text": (pa.array(["b", "a", None, "Z"]), "Z", "b", 1),
    "view": (pa.array(["b", "a"], pa.string_view()), "a", "b", 0),
    "bytes": (pa.array([b"\xff", b"\x00"]), b"\x00", b"\xff", 0),
    "dec": (
        pa.array([Decimal("9" * 38), Decimal("-" + "9" * 38)]),
        Decimal("-" + "9" * 38),
        Decimal("9" * 38),
        0,
    ),
    "dec32": (
        pa.array([Decimal("1.50"), Decimal("-0.01")], pa.decimal32(5, 2)),
        Decimal("-0.01"),
        Decimal("1.50"),
        0,
    ),
    "day": (pa.array([-719_162, 0], pa.int32()).cast(pa.date32()), -719_162, 0, 0),
    "ns": (pa.array([2**63 - 1, -(2**63) + 1], pa.timestamp("ns", "Asia/Tokyo")), -(2**63) + 1, 2**63 - 1, 0),
    "s": (pa.array([-1, 253_402_300_800], pa.timestamp("s")), -1, 253_402_300_800, 0),
    "time": (pa.array([86_399, 1], pa.int32()).cast(pa.time32("s")), 1, 86_399, 0),
    "took": (pa.array([5, -5], pa.duration("ms")), -5, 5, 0),
    "coded": (pa.array(["b", "a", None]).dictionary_encode(), "a", "b", 1),
    "none": (pa.array([None, None], pa.int64()), None, None, 2),
    "nothing": (pa.nulls(2), None, None, 2),
}


@pytest.mark.parametrize("format_name", ["parquet", "arrow"])
@pytest.mark.parametrize("case", list(EXPECTED))
def test_bounds_are_tight_and_exact(format_name, case):
    array, lower, upper, nulls = EXPECTED[case]
    found = columns(format_name, c=array)["c"]
    assert (found.lower, found.upper, found.nulls) == (lower, upper, nulls)
    assert type(found.lower) is type(lower)
    if lower is not None:
        value_type = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        assert pa.scalar(found.upper, value_type).is_valid


@pytest.mark.parametrize("format_name", ["parquet", "arrow", "csv"])
@pytest.mark.parametrize("rows", [4, 1000])
def test_floats(format_name, rows):
    nan = math.nan
    values = {
        "mixed": [nan, 1.5, None, -2.5],
        "all": [nan, None, nan, nan],
        "zeros": [0.0, 0.0, 0.0, 0.0],
        "minus": [-0.0, -0.0, None, -0.0],
        "garbage": [1.0, None, 2.0, 3.0],
    }
    arrays = {name: pa.array(v * (rows // 4), pa.float32()) for name, v in values.items()}
    # Below a null may lie a NaN: it is not one of the column's.
    data = pa.array([1.0, nan, 2.0, 3.0] * (rows // 4), pa.float32()).buffers()[1]
    arrays["garbage"] = pa.Array.from_buffers(pa.float32(), rows, [arrays["garbage"].buffers()[0], data])
    found = columns(format_name, **arrays)
    times = rows // 4
    assert (found["mixed"].lower, found["mixed"].upper, found["mixed"].nans) == (-2.5, 1.5, times)
    assert (found["all"].lower, found["all"].upper, found["all"].nans) == (None, None, 3 * times)
    assert (found["garbage"].upper, found["garbage"].nulls, found["garbage"].nans) == (3.0, times, 0)
    for name in ("zeros", "minus"):
        assert math.copysign(1, found[name].lower) == -1
        assert math.copysign(1, found[name].upper) == 1


def test_parquet_bounds_span_row_groups():
    table = pa.table(
        {"n": range(10), "f": [math.nan] * 5 + [float(i) for i in range(5)], "t": ["a"] * 5 + ["b" * 99] * 5}
    )
    _, info = encode(get_format("parquet"), table, row_group_rows="5")
    n, f, t = (info.stats[(name,)] for name in "nft")
    assert (n.lower, n.upper, n.nulls) == (0, 9, 0)
    assert (f.lower, f.upper, f.nans) == (0.0, 4.0, 5)
    assert (t.lower, t.upper) == ("a", "b" * 63 + "c")


def test_parquet_values_too_long_for_statistics_leave_no_bound_standing():
    table = pa.table({"t": ["m", "z" * 10_000]})
    _, info = encode(get_format("parquet"), table, row_group_rows="1")
    assert (info.stats[("t",)].lower, info.stats[("t",)].upper, info.stats[("t",)].nulls) == (None, None, 0)


def test_parquet_leaves_of_structs_have_stats_and_those_of_lists_none():
    point = pa.array([{"x": 1, "in": {"y": "a"}}, None, {"x": 3, "in": None}])
    table = pa.table(
        {
            "l": [[1], [2], []],
            "p": point,
            "m": pa.array([[("a", 1)], None, []], pa.map_("string", "int8")),
            "z": [1, 2, 3],
        }
    )
    _, info = encode(get_format("parquet"), table)
    assert set(info.stats) == {("p", "x"), ("p", "in", "y"), ("z",)}
    assert (info.stats[("p", "x")].lower, info.stats[("p", "x")].upper, info.stats[("p", "x")].nulls) == (
        1,
        3,
        1,
    )
    assert info.stats[("p", "in", "y")].nulls == 2
    assert info.stats[("z",)].upper == 3


def test_text_that_is_not_utf8_has_no_bounds():
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    _, info = encode(get_format("parquet"), pa.table({"t": broken}))
    assert info.stats[("t",)].lower is None
