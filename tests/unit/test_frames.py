"""Frames alone: what goes in comes out; what cannot is refused by name."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal
from polars.testing import assert_frame_equal as assert_polars_equal
from pydantic import BaseModel

from atio.errors import AtioError, DamagedError, InputError, SchemaError, UnsupportedError
from atio.frames import Incoming, RangeIndex, incoming, merge_index, to_pandas, to_polars
from atio.frames.intake import CHUNK
from tests.fidelity.cases import ARROW_CASES, PANDAS_CASES, POLARS_CASES


def collect(inc: Incoming) -> pa.Table:
    """All rows; pyarrow forgets the rows of tables without columns when it concatenates."""
    tables = list(inc.tables)
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables or [inc.schema.empty_table()])


def assert_same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    assert_frame_equal(
        left, right, check_index_type="exact", check_column_type="exact", check_exact=True, check_freq=True
    )
    assert left.attrs == right.attrs
    for i, dtype in enumerate(right.dtypes):
        if isinstance(dtype, np.dtype) and dtype.kind == "O":
            pairs = zip(left.iloc[:, i], right.iloc[:, i], strict=True)
            assert all(type(a) is type(b) for a, b in pairs), right.columns[i]


def there_and_back(frame: pd.DataFrame) -> pd.DataFrame:
    inc = incoming(frame)
    table = collect(inc)
    assert table.schema.equals(inc.schema, check_metadata=True)
    assert inc.rows == table.num_rows == len(frame)
    return to_pandas(table, inc.index)


# -- the matrix --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PANDAS_CASES)
def test_pandas_frame_comes_back_exactly(name):
    frame = PANDAS_CASES[name]()
    assert_same(there_and_back(frame), PANDAS_CASES[name]())
    assert_same(frame, PANDAS_CASES[name]())  # the user's frame was not touched


WITH_FREQ = {"index_zoned_freq", "index_timedelta_freq", "multiindex", "empty_rows_indexed"}


@pytest.mark.parametrize("name", [name for name in PANDAS_CASES if name not in WITH_FREQ])
def test_like_pandas_frames_have_one_schema(name):
    """However many rows, wherever a range starts: an append finds the schema it left."""
    frame = PANDAS_CASES[name]()
    more = frame.take([*range(len(frame))] * 2)
    if isinstance(frame.index, pd.RangeIndex):
        more.index = pd.RangeIndex(100, 100 + len(more), name=frame.index.name)
    more.attrs = frame.attrs
    assert incoming(more).schema.equals(incoming(frame).schema, check_metadata=True)


@pytest.mark.parametrize("name", POLARS_CASES)
def test_polars_frame_comes_back_exactly(name):
    frame = POLARS_CASES[name]()
    inc = incoming(frame)
    table = collect(inc)
    assert table.schema.equals(inc.schema, check_metadata=True)
    assert inc.rows == frame.height
    assert_polars_equal(to_polars(table), frame, check_exact=True)


@pytest.mark.parametrize("name", POLARS_CASES)
def test_polars_lazy_frame_comes_back_exactly(name):
    frame = POLARS_CASES[name]()
    inc = incoming(frame.lazy())
    assert inc.streamed
    tables = list(inc.tables)
    assert all(table.schema.equals(inc.schema, check_metadata=True) for table in tables)
    table = pa.concat_tables(tables) if tables else inc.schema.empty_table()
    assert_polars_equal(to_polars(table), frame, check_exact=True)


@pytest.mark.parametrize("name", ARROW_CASES)
def test_arrow_table_passes_untouched(name):
    table = ARROW_CASES[name]()
    inc = incoming(table)
    assert next(inc.tables) is table
    assert inc.schema is table.schema or inc.schema.equals(table.schema, check_metadata=True)


def check_arrow_case(name, convert, never, partly):
    """Convert a case: ``never`` types are refused by name, of ``partly`` types the values that do not fit."""
    table = ARROW_CASES[name]()
    kind = str(table.schema.field("x").type)
    if any(part in kind for part in never):
        with pytest.raises(UnsupportedError, match="column 'x'"):
            convert(table)
        return None
    refused = None
    try:
        frame = convert(table)
    except UnsupportedError as error:
        refused = error
    if refused is not None:
        assert any(kind.startswith(part) for part in partly), refused
        assert refused.column == "x"
        return None
    assert list(frame.columns) == ["x", "row"]
    assert list(frame["row"]) == list(range(table.num_rows))
    return frame


@pytest.mark.parametrize("name", ARROW_CASES)
def test_arrow_table_becomes_pandas_or_says_why_not(name):
    frame = check_arrow_case(name, to_pandas, ("union", "list<item: string_view>"), ("date32", "time64[ns]"))
    if frame is not None:
        column = ARROW_CASES[name]()["x"].combine_chunks()
        if pa.types.is_dictionary(column.type):
            values = [*column.dictionary.to_pylist(), None]
            column = pa.array([values[-1 if i is None else i] for i in column.indices.to_pylist()])
        assert frame["x"].isna().tolist() == column.is_null(nan_is_null=True).to_pylist()


@pytest.mark.parametrize("name", ARROW_CASES)
def test_arrow_table_becomes_polars_or_says_why_not(name):
    partly = ("timestamp[s", "duration[s", "date64", "decimal256")
    frame = check_arrow_case(name, to_polars, ("union", "interval"), partly)
    column = ARROW_CASES[name]()["x"].combine_chunks()
    if frame is not None and not pa.types.is_dictionary(column.type):
        assert frame["x"].is_null().to_list() == column.is_null().to_pylist()


# -- pandas, beyond the matrix -----------------------------------------------------------------


def test_plain_frame_needs_no_metadata():
    frame = pd.DataFrame(
        {"a": [1], "b": ["x"], "c": pd.Categorical(["y"]), "d": pd.to_datetime(["2024"], utc=True)}
    )
    assert incoming(frame).schema.metadata is None


def test_default_range_index_costs_nothing_and_others_are_no_column():
    assert incoming(pd.DataFrame({"a": [1, 2]})).index is None
    inc = incoming(pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(5, 9, 2, name="n")))
    assert inc.index == RangeIndex(5, 9, 2, "n")
    assert inc.schema.names == ["a"]
    assert inc.schema.metadata is None


def test_series_is_a_frame_of_one_column():
    series = pd.Series([1, 2], name="x", index=pd.Index(["a", "b"], name="k"))
    assert_same(to_pandas(collect(incoming(series))), series.to_frame())
    assert_same(to_pandas(collect(incoming(pd.Series([1.5])))), pd.Series([1.5]).to_frame())


@pytest.mark.parametrize("keep", [["x"], ["text"], ["text", "x"]])
def test_selected_columns_without_the_index_are_numbered(keep):
    table = collect(incoming(PANDAS_CASES["multiindex"]()))
    assert_same(to_pandas(table.select(keep)), PANDAS_CASES["multiindex"]()[keep].reset_index(drop=True))


def test_part_of_a_multiindex_remains_an_index():
    table = collect(incoming(PANDAS_CASES["multiindex"]()))
    frame = to_pandas(table.select(["x", "key"]))
    assert frame.index.name == "key"
    assert frame.index.tolist() == ["a", "a", "b"]


def test_column_labels_follow_selection_and_additions():
    frame = PANDAS_CASES["labels_multi"]()
    table = collect(incoming(frame))
    picked = to_pandas(table.select([2, 0]))
    assert_same(picked, frame.iloc[:, [2, 0]])
    more = to_pandas(table.append_column("new", pa.array([1, 2])))
    assert more.columns.tolist() == [*frame.columns, ("new", "")]
    ints = collect(incoming(PANDAS_CASES["labels_int"]())).append_column("new", pa.array([1, 2]))
    assert to_pandas(ints).columns.tolist() == [10, 2, 30, "new"]


def test_many_noted_columns_keep_their_order():
    columns = {
        f"c{i}": pd.array([i, None], "Int64" if i % 2 else "Float64") if i % 3 else [i, -i] for i in range(60)
    }
    frame = pd.DataFrame(columns)
    assert_same(there_and_back(frame), frame)


def test_frequency_is_dropped_when_rows_no_longer_follow_it():
    frame = PANDAS_CASES["index_zoned_freq"]()
    table = collect(incoming(frame))
    twice = to_pandas(pa.concat_tables([table, table]))
    assert twice.index.freq is None
    assert_frame_equal(twice, pd.concat([frame, frame]), check_freq=False)
    ahead = frame.set_axis(frame.index + 4 * frame.index.freq)
    joined = to_pandas(pa.concat_tables([table, collect(incoming(ahead))]))
    assert joined.index.freq == frame.index.freq


def test_types_mapper_wins_over_notes():
    table = collect(incoming(PANDAS_CASES["nullable"]()))
    frame = to_pandas(table, types_mapper=pd.ArrowDtype)
    assert all(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes)


def test_metadata_can_be_ignored():
    table = collect(incoming(PANDAS_CASES["index_text"]()))
    assert to_pandas(table, ignore_metadata=True).columns.tolist() == ["x", "text", "key"]


def test_ints_with_nulls_never_lose_digits():
    table = pa.table(
        {"big": [2**53 + 1, None], "small": [1, None], "u": pa.array([2**64 - 1, None], pa.uint64())}
    )
    frame = to_pandas(table)
    assert frame.dtypes.astype(str).tolist() == ["Int64", "float64", "UInt64"]
    assert frame["big"][0] == 2**53 + 1
    assert frame["u"][0] == 2**64 - 1
    assert to_pandas(table, integer_object_nulls=True)["big"].tolist() == [2**53 + 1, None]


def test_dictionaries_of_several_chunks_become_one_categorical():
    chunks = [pa.array(["b", None]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()]
    frame = to_pandas(pa.table({"x": pa.chunked_array(chunks)}))
    assert_same(frame, pd.DataFrame({"x": pd.Categorical(["b", None, "a", "b"], ["b", "a"])}))


def test_pyarrow_alone_understands_the_documented_part():
    names = [
        "nullable",
        "index_text",
        "index_zoned_freq",
        "multiindex_unnamed",
        "attrs",
        "period",
    ]
    for name in names:
        frame = PANDAS_CASES[name]()
        assert_frame_equal(collect(incoming(frame)).to_pandas(), frame, check_freq=False, obj=name)


FOREIGN = [
    "nullable", "strings", "categoricals", "attrs", "range_odd", "range_default", "range_named",
    "index_named", "index_text", "index_nullable", "multiindex_unnamed", "labels_int", "labels_multi",
    "object_types", "empty_columns_indexed", "index_datetime_gaps", "labels_named", "zones",
]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_pandas_metadata_of_pyarrow_is_normalised(name):
    frame = PANDAS_CASES[name]()
    if name in {"categoricals", "object_types"}:  # what pyarrow itself gets wrong on the way in
        frame = frame.drop(
            columns=["intervals", "big", "Timestamp", "Timedelta", "nullable", "objects"], errors="ignore"
        )
        frame = frame.drop(columns=["days", "zoned", "periods", "Timestamp_zoned"], errors="ignore")
    if name == "strings":
        frame = frame.iloc[:, :2]
    table = pa.Table.from_pandas(frame)
    inc = incoming(table)
    raw = (inc.schema.metadata or {}).get(b"pandas", b"{}")
    assert b"pandas_version" not in raw
    assert b'"range"' not in raw
    assert_frame_equal(to_pandas(collect(inc), inc.index), frame, check_freq=False)
    again = incoming(collect(incoming(table)))
    assert again.schema.equals(inc.schema, check_metadata=True)


def test_object_text_of_old_pandas_is_plain_text():
    raw = json.loads(
        pa.Table.from_pandas(pd.DataFrame({"a": ["x"]}).astype(object)).schema.metadata[b"pandas"]
    )
    raw["pandas_version"] = "2.2.3"
    table = pa.table({"a": ["x"]}).replace_schema_metadata({b"pandas": json.dumps(raw), b"mine": b"kept"})
    assert incoming(table).schema.metadata == {b"mine": b"kept"}


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b"7",
        b'{"columns": [{}]}',
        b'{"columns": 3}',
        b'{"index_columns": [{"kind": "range"}]}',
        b"\xff",
        b"[" * 9999,
    ],
)
def test_broken_pandas_metadata_is_refused(raw):
    table = pa.table({"a": [1]}).replace_schema_metadata({b"pandas": raw})
    with pytest.raises(InputError, match="pandas"):
        incoming(table)
    with pytest.raises(DamagedError, match="pandas metadata"):
        to_pandas(table)
    assert to_pandas(table, ignore_metadata=True)["a"].tolist() == [1]


@pytest.mark.parametrize(
    "own",
    [
        {"labels": {"range": [0, 10**15, 1]}},
        {"labels": {"values": [{"no": 1}]}},
        {"labels": {}},
        {"labels": {"period": [1], "freq": "?"}},
        {"names": [{"timestamp": ["x", "y", "z"]}]},
        {"columns": [1]},
    ],
)
def test_broken_notes_are_damage(own):
    table = pa.table({"a": [1]}).replace_schema_metadata({b"atio.pandas": json.dumps(own)})
    with pytest.raises(DamagedError):
        to_pandas(table, RangeIndex(5, 6, 1))


def test_unknown_dtype_is_named():
    raw = {"index_columns": [], "columns": [{"name": "a", "pandas_type": "object", "numpy_type": "geometry"}]}
    table = pa.table({"a": [1]}).replace_schema_metadata({b"pandas": json.dumps(raw)})
    with pytest.raises(UnsupportedError, match="geometry"):
        to_pandas(table)


def test_wide_nullable_frame_has_small_metadata():
    frame = pd.DataFrame({f"column_{i:04}": pd.array([1], "Int64") for i in range(5000)})
    inc = incoming(frame)
    assert sum(map(len, inc.schema.metadata.values())) < 100 * 5000
    assert incoming(frame.astype("int64")).schema.metadata is None
    back = to_pandas(collect(inc))
    assert back.dtypes.equals(frame.dtypes)
    assert back.equals(frame)


def mixed(*values: Any) -> pd.DataFrame:
    return pd.DataFrame({"ok": range(len(values)), "x": pd.Series(values, dtype=object)})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1, "a"), "int in row 0, str in row 1"),
        (("a", None, b"b"), "str in row 0, bytes in row 2"),
        ((1, 2.5), "int in row 0, float in row 1"),
        ((True, 1), "bool in row 0, int in row 1"),
        ((1.5, True), "float in row 0, bool in row 1"),
        ((date(2024, 1, 1), datetime(2024, 1, 1, 5)), "date in row 0, datetime in row 1"),
        ((datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)), "zones"),
        ((time(1, tzinfo=UTC),), "zone"),
        ((Decimal("NaN"),), "NaN"),
        ((2**64,), "row 0"),
        ((2**63, -1), "row 1"),
        (([1], ["a"]), "int in value 0, str in value 1"),
        (([date(2024, 1, 1), datetime(2024, 1, 1, 5)],), "date in value 0"),
        (([pd.Timestamp(1)],), "nanoseconds"),
        (({"a": 1}, {"a": "b"}), "mixed"),
        (({1: 2},), "no string"),
        (("a", "\ud800"), "row 1"),
        ((np.zeros((2, 2)),), "row 0"),
    ],
)
def test_mixed_objects_are_refused_by_column_and_row(values, words):
    with pytest.raises(SchemaError, match=words) as caught:
        incoming(mixed(*values))
    assert caught.value.column.startswith("x")
    assert caught.value.hint


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1j]),
        pd.Series(np.array([1], np.longdouble)),
        pd.Series([0, 1], dtype="Sparse[int64]"),
        pd.Series([{1, 2}]),
        pd.Series([object()]),
        pd.Series([1j], dtype=object),
        pd.Series([pd.Period("2024")], dtype=object),
        pd.Series([[object()]], dtype=object),
        pd.Series(pd.date_range("2024", periods=1).tz_localize("UTC")).dt.tz_convert(
            timezone(timedelta(seconds=3601))
        ),
    ],
    ids=[
        "complex",
        "longdouble",
        "sparse",
        "set",
        "object",
        "complex_object",
        "period_object",
        "nested",
        "odd_offset",
    ],
)
def test_pandas_without_arrow_type_is_refused_by_column(column):
    with pytest.raises(UnsupportedError, match="column 'x'"):
        incoming(pd.DataFrame({"x": column}))


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1: 2}, float("nan"), object(), {"a": np.int64(1)}],
    ids=["tuple", "int_key", "nan", "object", "numpy"],
)
def test_attrs_that_json_would_change_are_refused(value):
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["key"] = value
    with pytest.raises(InputError, match="'key'"):
        incoming(frame)


def test_labels_that_read_alike_are_duplicates():
    for labels in (["a", "a"], [1, "1"]):
        with pytest.raises(InputError, match=f"duplicate.*'{labels[0]}'"):
            incoming(pd.DataFrame([[1, 2]], columns=pd.Index(labels, dtype=object)))


def test_unstorable_label_is_named():
    with pytest.raises(UnsupportedError, match="complex"):
        incoming(pd.DataFrame([[1]], columns=[1j]))


def test_range_index_of_another_length_is_refused():
    with pytest.raises(InputError, match="2 rows"):
        to_pandas(pa.table({"a": [1]}), RangeIndex(0, 2, 1))


R = RangeIndex


@pytest.mark.parametrize(
    ("a", "rows_a", "b", "rows_b", "joined"),
    [
        (None, 2, None, 3, None),
        (R(5, 7, 1), 2, R(7, 9, 1), 2, R(5, 9, 1)),
        (R(0, 3, 2), 2, R(4, 8, 2), 2, R(0, 8, 2)),
        (R(9, 7, -1), 2, R(7, 5, -1), 2, R(9, 5, -1)),
        (None, 2, R(2, 4, 1), 2, None),
        (R(-2, 0, 1), 2, None, 3, R(-2, 3, 1)),
        (R(0, 2, 1, "n"), 2, R(2, 4, 1, "n"), 2, R(0, 4, 1, "n")),
        (R(0, 2, 1, "n"), 2, R(2, 4, 1), 2, None),
        (R(0, 2, 1), 2, R(3, 5, 1), 2, None),
        (R(5, 7, 1), 2, R(7, 11, 2), 2, None),
        (None, 0, R(5, 7, 1), 2, R(5, 7, 1)),
        (R(5, 7, 1), 2, None, 0, R(5, 7, 1)),
    ],
)
def test_merge_index(a, rows_a, b, rows_b, joined):
    assert merge_index(a, rows_a, b, rows_b) == joined
    if joined is not None:
        assert len(joined) == rows_a + rows_b
        parts = [range(x.start, x.stop, x.step) if x else range(n) for x, n in ((a, rows_a), (b, rows_b))]
        assert [*parts[0], *parts[1]] == list(range(joined.start, joined.stop, joined.step))


# -- Polars, beyond the matrix -----------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    [pl.Object, pl.Int128, pl.UInt128, pl.List(pl.Int128), pl.Struct({"a": pl.Array(pl.Int128, 1)})],
    ids=str,
)
def test_polars_without_arrow_type_is_refused_by_column(dtype):
    frame = pl.DataFrame({"ok": [None], "x": pl.Series([None], dtype=dtype)})
    with pytest.raises(UnsupportedError, match="column 'x'"):
        incoming(frame)
    with pytest.raises(UnsupportedError, match="column 'x'"):
        incoming(frame.lazy())


def test_enum_is_restored_whatever_dictionary_stores_it():
    enum = pl.Enum(["low", "mid", "high"])
    field = incoming(pl.DataFrame({"e": pl.Series(["mid"], dtype=enum)})).schema.field("e")
    stored = pa.array(["high", "low", None]).dictionary_encode()
    table = pa.table([stored], schema=pa.schema([pa.field("e", stored.type, metadata=field.metadata)]))
    assert_polars_equal(to_polars(table), pl.DataFrame({"e": pl.Series(["high", "low", None], dtype=enum)}))


def test_pandas_index_is_a_column_in_polars():
    frame = to_polars(collect(incoming(PANDAS_CASES["index_text"]())))
    assert frame["key"].to_list() == ["b", "a", "a"]


def test_text_of_pandas_and_polars_has_one_type():
    assert incoming(pd.DataFrame({"a": ["x"]})).schema == incoming(pl.DataFrame({"a": ["x"]})).schema


def test_values_survive_types_that_polars_lacks():
    table = pa.table(
        {
            "second": pa.array([1, None], pa.timestamp("s", "+02:00")),
            "day": pa.array([86_400_000, None], pa.int64()).cast(pa.date64()),
            "wide": pa.array([Decimal("1.50"), None], pa.decimal256(30, 2)),
            "views": pa.array([[1], None], pa.list_view(pa.int8())),
            "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([1], pa.int8())),
        }
    )
    assert to_polars(table).rows()[0] == (
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        date(1970, 1, 2),
        Decimal("1.50"),
        [1],
        1,
    )


# -- the other inputs --------------------------------------------------------------------------

ROWS = [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]
TABLE = pa.table({"a": [1, None], "b": ["x", "y"]})


@dataclass
class Point:
    a: int | None
    b: str


class Named(NamedTuple):
    a: int | None
    b: str


class Model(BaseModel):
    a: int | None
    b: str


class Capsule:
    """Anything that speaks the Arrow stream protocol."""

    def __arrow_c_stream__(self, requested_schema=None):
        return TABLE.__arrow_c_stream__(requested_schema)


class ArrayCapsule:
    def __arrow_c_array__(self, requested_schema=None):
        return TABLE.to_batches()[0].__arrow_c_array__(requested_schema)


class Loader:
    """An iterable without a length."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(ROWS)


SOURCES = {
    "table": lambda: TABLE,
    "batch": lambda: TABLE.to_batches()[0],
    "reader": lambda: TABLE.to_reader(max_chunksize=1),
    "struct_array": lambda: pa.array(ROWS),
    "dataset": lambda: ds.dataset(TABLE),
    "scanner": lambda: ds.dataset(TABLE).scanner(),
    "c_stream": Capsule,
    "c_array": ArrayCapsule,
    "dict_of_lists": lambda: {"a": [1, None], "b": ("x", "y")},
    "dict_of_arrays": lambda: {"a": pa.array([1, None]), "b": np.array(["x", "y"])},
    "dict_of_masked": lambda: {"a": np.ma.masked_array([1, 2], [False, True]), "b": ["x", "y"]},
    "dict_of_chunks": lambda: {"a": pa.chunked_array([[1], [None]]), "b": pa.array(["x", "y"])},
    "dict_of_series": lambda: {"a": pl.Series([1, None]), "b": pd.Series(["x", "y"], index=[9, 8])},
    "dict_of_extensions": lambda: {"a": pd.array([1, None]), "b": pd.Index(["x", "y"])},
    "records": lambda: ROWS,
    "records_with_holes": lambda: [{"a": 1, "b": "x"}, {"b": "y"}],
    "record_tuple": lambda: tuple(ROWS),
    "dataclasses": lambda: [Point(1, "x"), Point(None, "y")],
    "pydantic": lambda: [Model(a=1, b="x"), Model(a=None, b="y")],
    "named_tuples": lambda: [Named(1, "x"), Named(None, "y")],
    "iterator_of_records": lambda: iter(ROWS),
    "generator_of_models": lambda: (Model(**row) for row in ROWS),
    "iterable": Loader,
    "iterator_of_tables": lambda: (TABLE.slice(i, 1) for i in range(2)),
    "iterator_of_lists": lambda: iter([ROWS[:1], ROWS[1:]]),
    "list_of_tables": lambda: [TABLE.slice(0, 1), TABLE.slice(1, 1)],
    "list_of_batches": lambda: TABLE.to_batches(max_chunksize=1),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_source(name):
    inc = incoming(SOURCES[name]())
    assert inc.schema.names == ["a", "b"]
    assert collect(inc).to_pylist() == ROWS
    assert inc.streamed is (inc.rows is None)
    assert inc.rows in {2, None}


def test_frames_of_pandas_and_polars_stream():
    frames = [
        pd.DataFrame({"a": [1], "b": ["x"]}),
        pl.DataFrame({"a": [2], "b": ["y"]}),
        pa.table({"a": [3], "b": ["z"]}),
    ]
    inc = incoming(iter(frames))
    tables = list(inc.tables)
    assert [table.schema for table in tables] == [inc.schema] * 3  # string became large_string
    assert pa.concat_tables(tables)["b"].to_pylist() == ["x", "y", "z"]


def test_later_items_of_another_schema_come_as_they_are():
    items = [pa.table({"a": [1]}), pa.table({"a": [1.5]}), pa.table({"b": [1]}), pa.table({"a": pa.nulls(1)})]
    tables = list(incoming(iter(items)).tables)
    assert [table.schema.field(0).type for table in tables[:2]] == [pa.int64(), pa.float64()]
    assert tables[2].column_names == ["b"]
    assert tables[3].schema == items[0].schema


def test_enums_of_different_categories_are_not_mistaken():
    items = [pl.DataFrame({"e": pl.Series(["x"], dtype=pl.Enum(names))}) for names in (["x"], ["y", "x"])]
    tables = list(incoming(iter(items)).tables)
    for table, item in zip(tables, items, strict=True):
        assert_polars_equal(to_polars(table), item)


def test_structured_array():
    array = np.array(
        [(1, 1.5, "é", b"ab", "2024-01-01", "2024-01-01T01", (7, True))],
        dtype=[
            ("i", ">i4"),
            ("f", "f2"),
            ("s", "U3"),
            ("b", "S2"),
            ("d", "M8[D]"),
            ("h", "M8[h]"),
            ("n", [("x", "i8"), ("y", "?")]),
        ],
    )
    table = collect(incoming(array))
    assert table.to_pylist() == [
        {
            "i": 1,
            "f": 1.5,
            "s": "é",
            "b": b"ab",
            "d": date(2024, 1, 1),
            "h": datetime(2024, 1, 1, 1),
            "n": {"x": 7, "y": True},
        }
    ]
    assert table.schema.field("i").type == pa.int32()


def test_matrix_has_numbered_columns():
    table = collect(incoming(np.arange(6).reshape(3, 2)))
    assert table.to_pydict() == {"0": [0, 2, 4], "1": [1, 3, 5]}


def test_records_with_new_keys_later():
    table = collect(incoming([{"a": 1}, {"b": "x", "a": 2.5}]))
    assert table.to_pydict() == {"a": [1.0, 2.5], "b": [None, "x"]}


def test_missing_values_of_records():
    table = collect(
        incoming(
            [
                {"a": 1.5, "b": "x", "c": pd.NaT},
                {"a": float("nan"), "b": float("nan"), "c": datetime(2024, 1, 1)},
            ]
        )
    )
    assert np.isnan(table["a"][1].as_py())
    assert table["b"].to_pylist() == ["x", None]
    assert table["c"].null_count == 1


@pytest.mark.parametrize(
    ("obj", "error", "words"),
    [
        ({"a": 1, "b": "x"}, InputError, r"\[record\]"),
        ({"a": [1], "b": 2}, InputError, "'b' is a single value"),
        ({}, InputError, "empty dict"),
        ({1: [1]}, InputError, "no string"),
        ({"a": [1], "b": [1, 2]}, InputError, "differ in length"),
        ({"a": np.zeros((2, 2))}, InputError, "one-dimensional"),
        ({"a": [1, "x"]}, SchemaError, "int in row 0, str in row 1"),
        ([], InputError, "empty list"),
        (iter([]), InputError, "empty iterator"),
        ([{"a": 1}, 7], InputError, "item 1 is a int"),
        ([{1: 1}], InputError, "no string"),
        ([7], UnsupportedError, "builtins.int"),
        (7, UnsupportedError, "builtins.int.*\n.*pandas"),
        ("text", UnsupportedError, "str"),
        (b"text", UnsupportedError, "bytes"),
        ({1, 2}, UnsupportedError, "set"),
        (None, UnsupportedError, "NoneType"),
        (Point(1, "x"), UnsupportedError, r"\[record\]"),
        (Point, UnsupportedError, "type"),
        (np.arange(3), UnsupportedError, "name the columns"),
        (np.array([1j + 1]).view([("x", "c16")]), UnsupportedError, "column 'x'"),
        (np.array([1], "M8[ps]").view([("x", "M8[ps]")]), UnsupportedError, "column 'x'"),
        (pa.array([1]), UnsupportedError, "not rows of columns"),
        (pa.chunked_array([[1]]), UnsupportedError, "not rows of columns"),
        (pa.table([[1], [2]], names=["a", "a"]), InputError, "duplicate.*'a'"),
        (pa.table([[1], [2]], names=["a", "a"]).to_reader(), InputError, "duplicate.*'a'"),
    ],
)
def test_refused(obj, error, words):
    with pytest.raises(error, match=words) as caught:
        incoming(obj)
    assert isinstance(caught.value, AtioError)
    assert caught.value.hint


def test_bad_item_of_an_iterator_is_numbered():
    inc = incoming(iter([TABLE, 7]))
    assert next(inc.tables).num_rows == 2
    with pytest.raises(UnsupportedError, match="item 1 of the iterator"):
        next(inc.tables)


def test_mixture_in_a_later_chunk_names_the_column():
    rows = ({"a": i if i < CHUNK + 5 else "x"} for i in range(CHUNK + 10))
    with pytest.raises(SchemaError, match="column 'a'"):
        list(incoming(rows).tables)


# -- streaming and imports ---------------------------------------------------------------------


def test_iterators_are_consumed_on_demand():
    taken = []

    def rows() -> Iterator[pa.Table]:
        for i in range(5):
            taken.append(i)
            yield pa.table({"a": [i]})

    inc = incoming(rows())
    assert taken == [0]
    next(inc.tables)
    assert taken == [0]
    next(inc.tables)
    assert taken == [0, 1]


def test_records_are_taken_in_chunks():
    taken = 0

    def rows() -> Iterator[dict[str, int]]:
        nonlocal taken
        for i in range(3 * CHUNK):
            taken += 1
            yield {"a": i}

    inc = incoming(rows())
    assert taken == CHUNK
    assert sum(table.num_rows for table in inc.tables) == 3 * CHUNK


def test_stream_holds_one_item_at_a_time():
    """100 tables of 1 MB pass through without piling up."""
    inc = incoming(pa.table({"a": np.full(131_072, i)}) for i in range(100))
    gc.collect()
    before, peak = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    for _ in inc.tables:
        peak = max(peak, pa.total_allocated_bytes() - before + tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert peak < 5_000_000


def test_dataset_holds_batches_not_files(tmp_path):
    """pyarrow would keep the file's bytes until its end: 64 MB here."""
    path = tmp_path / "big.parquet"
    schema = pa.schema([("a", pa.int64())])
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="none") as writer:
        for i in range(64):
            writer.write_table(pa.table({"a": np.arange(i, i + 131_072)}))
    gc.collect()
    before, peak, rows = pa.total_allocated_bytes(), 0, 0
    for table in incoming(ds.dataset(path)).tables:
        rows += table.num_rows
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert rows == 64 * 131_072
    assert peak < 45_000_000


def test_abandoned_lazy_frame_stops():
    frame = pl.LazyFrame({"a": range(1_000_000)}).with_columns(b=pl.col("a") * 2)
    inc = incoming(frame)
    assert inc.schema.names == ["a", "b"]
    first = next(inc.tables)
    assert 0 < first.num_rows <= 1_000_000
    del inc


def test_failing_lazy_frame_fails_when_read():
    frame = pl.LazyFrame({"a": ["1", "x"]}).with_columns(pl.col("a").cast(pl.Int64))
    inc = incoming(frame)
    assert inc.schema.field("a").type == pa.int64()
    with pytest.raises(pl.exceptions.PolarsError):
        list(inc.tables)


def test_recognising_imports_no_library():
    code = (
        "import sys, pyarrow as pa; from atio.frames import incoming\n"
        "rows = pa.nulls(2, pa.struct([('a', pa.int8())]))\n"
        "t = pa.Table.from_batches([pa.RecordBatch.from_struct_array(rows)])\n"
        "for obj in (t, t.to_reader(), iter([t])): list(incoming(obj).tables)\n"
        "try: incoming(7)\n"
        "except ValueError: pass\n"
        "print([name for name in ('pandas', 'polars', 'pyarrow.dataset') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
