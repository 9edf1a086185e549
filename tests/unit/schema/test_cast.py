"""Promise 7: no silent lossy cast."""

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio.errors import SchemaError
from atio.schema.cast import cast, castable

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]


def column(values: list, kind: pa.DataType) -> pa.ChunkedArray:
    half = len(values) // 2
    return pa.chunked_array([pa.array(values[:half], kind), pa.array(values[half:], kind)])


def same(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return a == b


numbers = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.integers(-300, 300),
    st.sampled_from([0.5, -0.0]),
)


@given(st.lists(numbers, max_size=8), st.sampled_from(INTEGERS + FLOATS), st.sampled_from(INTEGERS + FLOATS))
@settings(max_examples=400, deadline=None)
def test_numbers_come_back_or_are_refused(values: list, source: pa.DataType, target: pa.DataType) -> None:
    try:
        given_values = column(values, source)
    except (pa.ArrowInvalid, OverflowError, TypeError):
        return
    before = given_values.to_pylist()
    try:
        after = cast(given_values, pa.field("x", target)).to_pylist()
    except SchemaError as error:
        assert error.column == "x"
        row = int(str(error).split("in row ")[1].split(" ")[0])
        one = pa.chunked_array([pa.array([before[row]], source)])
        with pytest.raises(SchemaError):
            cast(one, pa.field("x", target))
        return
    for old, new in zip(before, after, strict=True):
        assert (
            same(old, new) or old == new == 0 or (old is not None and new is not None and float(old) == new)
        )


@pytest.mark.parametrize(
    ("values", "source", "target"),
    [
        ([1.5], pa.float64(), pa.int64()),
        ([math.nan], pa.float64(), pa.int64()),
        ([0.1], pa.float64(), pa.float32()),
        ([1e300], pa.float64(), pa.float32()),
        ([2**53 + 1], pa.int64(), pa.float64()),
        ([256], pa.int64(), pa.uint8()),
        ([1500], pa.timestamp("us"), pa.timestamp("ms")),
        ([Decimal("1.25")], pa.decimal128(5, 2), pa.decimal128(5, 1)),
        ([[0.1]], pa.list_(pa.float64()), pa.list_(pa.float32())),
        ([{"a": 1.5}], pa.struct([("a", pa.float64())]), pa.struct([("a", pa.int8())])),
        ([dt.datetime(2020, 1, 1, 12)], pa.timestamp("us"), pa.date32()),
    ],
)
def test_lossy_casts_name_the_row(values: list, source: pa.DataType, target: pa.DataType) -> None:
    with pytest.raises(SchemaError, match="'x'"):
        cast(pa.chunked_array([pa.array(values, source)]), pa.field("x", target))


@pytest.mark.parametrize(
    ("values", "source", "target"),
    [
        ([1, None], pa.int8(), pa.int64()),
        ([1.0, None], pa.float64(), pa.int64()),
        (["a", None], pa.string(), pa.large_string()),
        (["a", None], pa.string_view(), pa.string()),
        (["a", None, "a"], pa.string(), pa.dictionary(pa.int8(), pa.string())),
        ([None, None], pa.null(), pa.decimal128(5, 2)),
        ([1500], pa.timestamp("us", "UTC"), pa.timestamp("ns", "Europe/Berlin")),
        ([3], pa.int64(), pa.decimal128(20, 2)),
        ([[1], None, []], pa.list_(pa.int64()), pa.large_list(pa.int8())),
        ([{"a": 1, "b": None}, None], pa.struct([("a", pa.int8()), ("b", pa.null())]),
         pa.struct([("b", pa.string()), ("a", pa.int64())])),
        ([b"ab"], pa.binary(), pa.binary(2)),
    ],
)  # fmt: skip
def test_what_fits_is_cast(values: list, source: pa.DataType, target: pa.DataType) -> None:
    given_values = pa.chunked_array([pa.array(values, source)])
    after = cast(given_values, pa.field("x", target))
    assert after.type == target
    assert [v == w for v, w in zip(after.to_pylist(), values, strict=True)].count(
        False
    ) == 0 or source == pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (pa.int64(), pa.string()),
        (pa.string(), pa.int64()),
        (pa.bool_(), pa.int8()),
        (pa.timestamp("us"), pa.timestamp("us", "UTC")),
        (pa.string(), pa.binary()),
        (pa.float64(), pa.decimal128(5, 2)),
        (pa.struct([("a", pa.int8())]), pa.struct([("b", pa.int8())])),
        (pa.list_(pa.string()), pa.list_(pa.int8())),
    ],
)
def test_other_kinds_are_refused_even_without_rows(source: pa.DataType, target: pa.DataType) -> None:
    assert not castable(source, target)
    with pytest.raises(SchemaError, match="in the table"):
        cast(pa.chunked_array([pa.array([], source)]), pa.field("x", target))


def test_nulls_in_a_required_column_are_refused() -> None:
    with pytest.raises(SchemaError, match="row 1"):
        cast(pa.chunked_array([pa.array([1, None])]), pa.field("x", pa.int64(), nullable=False))
