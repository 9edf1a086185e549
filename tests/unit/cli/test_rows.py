"""Every Arrow type as JSON values."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atio.frames.rows import lines, records, values

NAN = float("nan")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.nulls(2), [None, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
        (pa.array([1.5, NAN, float("inf"), None]), [1.5, None, None, None]),
        (pa.array([1.5], pa.float16()), [1.5]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array([b"\xff", None], pa.binary()), ["/w==", None]),
        (pa.array([b"\xff"], pa.binary(1)), ["/w=="]),
        (pa.array([Decimal("1.20"), None], pa.decimal128(5, 2)), ["1.20", None]),
        (pa.array([date(2020, 1, 2), None]), ["2020-01-02", None]),
        (pa.array([86_400_000], pa.date64()), ["1970-01-02"]),
        (pa.array([time(1, 2, 3, 4), None], pa.time64("us")), ["01:02:03.000004", None]),
        (pa.array([timedelta(seconds=2), None], pa.duration("ms")), [2000, None]),
        (pa.array([datetime(2020, 1, 2), None], pa.timestamp("s")), ["2020-01-02T00:00:00", None]),
        (pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
        (pa.array([0], pa.timestamp("ms", "Asia/Seoul")), ["1970-01-01T00:00:00.000Z"]),
        (pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"]),
        (pc.run_end_encode(pa.array([1, 1, 2])), [1, 1, 2]),
        (pa.array([[1], [], None, [None]]), [[1], [], None, [None]]),
        (pa.array([[NAN, 1.0]], pa.list_(pa.float64(), 2)), [[None, 1.0]]),
        (pa.array([[b"\xff"]], pa.large_list(pa.binary())), [["/w=="]]),
        (pa.array([{"a": NAN, "b": b"x"}, None]), [{"a": None, "b": "eA=="}, None]),
        (pa.array([{}, None], pa.struct([])), [{}, None]),
        (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())), [{"a": 1}, None]),
        (pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8())), [[["a", 1], ["a", 2]]]),
        (pa.array([[(1, 2)]], pa.map_(pa.int8(), pa.int8())), [[[1, 2]]]),
        (pa.array([UUID(int=1).bytes], pa.uuid()), [str(UUID(int=1))]),
    ],
    ids=str,
)  # fmt: skip
def test_values(array: pa.Array, expected: list[object]) -> None:
    assert values(array) == expected
    json.dumps(values(array), allow_nan=False)
    for start in range(len(array)):
        assert values(array.slice(start)) == expected[start:]


def test_a_time_that_python_cannot_say() -> None:
    assert values(pa.array([2**62], pa.timestamp("us"))) != [None]


def test_rows_without_columns() -> None:
    batch = pa.RecordBatch.from_struct_array(pa.nulls(2, pa.struct([])))
    assert list(records(batch)) == [{}, {}]


@given(st.lists(st.fixed_dictionaries({"t": st.text(), "f": st.floats() | st.none()}), min_size=1))
def test_every_line_is_json(rows: list[dict[str, object]]) -> None:
    rows = [{**row, "t": str(row["t"]).encode(errors="replace").decode()} for row in rows]
    schema = pa.schema({"t": pa.string(), "f": pa.float64()})
    batch = pa.RecordBatch.from_pylist(rows, schema)
    found = [json.loads(line, parse_constant=pytest.fail) for line in lines(batch).split(b"\n")[:-1]]
    assert [row["t"] for row in found] == [row["t"] for row in rows]
