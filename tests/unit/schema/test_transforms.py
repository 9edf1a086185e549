"""Partition transforms are Iceberg's."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atio.errors import SchemaError
from atio.schema import murmur
from atio.schema.transforms import Transform, encoded

NAIVE = pa.timestamp("us")


def hashed(value: Any, kind: pa.DataType) -> int:
    """The 32-bit hash as a signed number, from buckets of coprime sizes that determine it."""
    from atio.schema.transforms import _hashes, plain_values

    found: int = _hashes(plain_values(pa.chunked_array([[value]], kind)))[0].as_py()
    return found - 2**32 if found >= 2**31 else found


# Values of Iceberg's specification, appendix B.
@pytest.mark.parametrize(
    ("value", "kind", "hash"),
    [
        (34, pa.int32(), 2017239379),
        (34, pa.int64(), 2017239379),
        (34, pa.uint8(), 2017239379),
        (Decimal("14.20"), pa.decimal128(9, 2), -500754589),
        (Decimal("14.20"), pa.decimal64(9, 2), -500754589),
        (dt.date(2017, 11, 16), pa.date32(), -653330422),
        (dt.date(2017, 11, 16), pa.date64(), -653330422),
        (dt.time(22, 31, 8), pa.time64("us"), -662762989),
        (dt.time(22, 31, 8), pa.time32("s"), -662762989),
        (dt.datetime(2017, 11, 16, 22, 31, 8), NAIVE, -2047944441),
        (dt.datetime(2017, 11, 16, 22, 31, 8), pa.timestamp("s"), -2047944441),
        (dt.datetime(2017, 11, 16, 22, 31, 8, 1), NAIVE, -1207196810),
        (dt.datetime(2017, 11, 16, 22, 31, 8, 1), pa.timestamp("ns"), -1207196810),
        ("iceberg", pa.string(), 1210000089),
        ("iceberg", pa.large_string(), 1210000089),
        ("iceberg", pa.string_view(), 1210000089),
        ("iceberg", pa.dictionary(pa.int8(), pa.string()), 1210000089),
        (uuid.UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7").bytes, pa.binary(16), 1488055340),
        (b"\x00\x01\x02\x03", pa.binary(4), -188683207),
        (b"\x00\x01\x02\x03", pa.binary(), -188683207),
    ],
)
def test_hashes_are_those_of_iceberg(value: Any, kind: pa.DataType, hash: int) -> None:
    assert hashed(value, kind) == hash


@given(st.lists(st.one_of(st.none(), st.binary(max_size=70)), max_size=30), st.integers(0, 70))
def test_a_column_is_hashed_as_its_values_are(values: list[bytes | None], length: int) -> None:
    values += [i.to_bytes(2, "big") * (length // 2) + b"x" * (length % 2) for i in range(murmur._FEW + 2)]
    found = murmur.of_bytes(pa.array(values, pa.large_binary())).to_pylist()
    assert found == [None if v is None else murmur.of_value(v) for v in values]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_integers_are_hashed_as_their_bytes(values: list[int | None]) -> None:
    found = murmur.of_integers(pa.array(values, pa.int64())).to_pylist()
    expected = [None if v is None else murmur.of_value(v.to_bytes(8, "little", signed=True)) for v in values]
    assert found == expected


def applied(text: str, values: list[Any], kind: pa.DataType) -> list[Any]:
    transform = Transform.parse(text)
    transform.check(kind, "x")
    return encoded(transform.apply(pa.chunked_array([values], kind)))


MOMENTS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))


@given(st.lists(st.one_of(st.none(), MOMENTS)), st.sampled_from([None, "Europe/Berlin"]))
def test_parts_of_the_calendar_are_counted_from_1970(values: list[Any], zone: str | None) -> None:
    aware = [v and v.replace(tzinfo=dt.UTC) for v in values]
    kind = pa.timestamp("us", zone)
    given = values if zone is None else aware
    epoch = dt.datetime(1970, 1, 1)
    expected = {
        "year": [v and v.year - 1970 for v in values],
        "month": [v and (v.year - 1970) * 12 + v.month - 1 for v in values],
        "day": [v and (v - epoch) // dt.timedelta(days=1) for v in values],
        "hour": [v and (v - epoch) // dt.timedelta(hours=1) for v in values],
    }
    for name, counts in expected.items():
        assert applied(name, given, kind) == counts
        if name != "hour":
            days = [v and v.date() for v in values]
            assert applied(name, days, pa.date32()) == counts
            assert applied(name, days, pa.date64()) == counts


@given(st.lists(st.one_of(st.none(), st.integers(-(10**12), 10**12))), st.integers(1, 10**6))
def test_numbers_are_cut_downwards(values: list[int | None], width: int) -> None:
    expected = [None if v is None else v - v % width for v in values]
    assert applied(f"truncate[{width}]", values, pa.int64()) == expected
    decimals = [None if v is None else Decimal(v).scaleb(-2) for v in values]
    found = applied(f"truncate[{width}]", decimals, pa.decimal128(20, 2))
    assert [None if v is None else int(Decimal(v).scaleb(2)) for v in found] == expected


def test_text_is_cut_by_characters_and_binary_by_bytes() -> None:
    assert applied("truncate[2]", ["äöü", "a", None, "\U0001f600xy"], pa.string()) == [
        "äö",
        "a",
        None,
        "\U0001f600x",
    ]
    assert applied("truncate[1]", [b"\xff\x00", b""], pa.binary()) == ["/w==", ""]


def test_both_zeros_are_one_partition_and_nan_is_one() -> None:
    assert applied("identity", [0.0, -0.0, float("nan"), None], pa.float32()) == [0.0, 0.0, "nan", None]


@given(st.lists(st.one_of(st.none(), st.text(max_size=5))), st.integers(1, 100))
def test_buckets_are_below_their_number(values: list[str | None], number: int) -> None:
    found = applied(f"bucket[{number}]", values, pa.string())
    assert [v is None for v in found] == [v is None for v in values]
    assert all(v is None or 0 <= v < number for v in found)


@pytest.mark.parametrize(
    "text", ["", "week", "bucket", "bucket[0]", "bucket[x]", "month[3]", "bucket[99999999999]", "truncate[]"]
)
def test_what_is_no_transform_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Transform.parse(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("month", pa.int64()),
        ("hour", pa.date32()),
        ("bucket[4]", pa.float64()),
        ("truncate[4]", pa.bool_()),
        ("identity", pa.list_(pa.int64())),
    ],
)
def test_a_type_it_does_not_apply_to_is_refused(text: str, kind: pa.DataType) -> None:
    with pytest.raises(SchemaError, match="'x'"):
        Transform.parse(text).check(kind, "x")
