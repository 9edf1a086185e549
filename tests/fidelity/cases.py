"""The frames that must come back as they went in: built anew for every test, by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from atio.formats.cases import TYPE_CASES

# -- Arrow -------------------------------------------------------------------------------------


def _arrow(array: pa.Array) -> Callable[[], pa.Table]:
    return lambda: pa.table({"x": array, "row": pa.array(range(len(array)))})


ARROW_CASES: dict[str, Callable[[], pa.Table]] = {name: _arrow(array) for name, array in TYPE_CASES.items()}

# -- pandas ------------------------------------------------------------------------------------

BERLIN = "Europe/Berlin"


def _objects(*values: object) -> pd.Series:
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return pd.Series(array, dtype=object)


def _frame(**columns: object) -> Callable[[], pd.DataFrame]:
    return lambda: pd.DataFrame({name: make() if callable(make) else make for name, make in columns.items()})


def _indexed(make: Callable[[], pd.Index]) -> Callable[[], pd.DataFrame]:
    def build() -> pd.DataFrame:
        index = make()
        return pd.DataFrame({"x": np.arange(len(index)) / 2, "text": ["é"] * len(index)}, index=index)

    return build


def _labelled(make: Callable[[], pd.Index]) -> Callable[[], pd.DataFrame]:
    def build() -> pd.DataFrame:
        columns = make()
        return pd.DataFrame(np.arange(2 * len(columns)).reshape(2, -1), columns=columns)

    return build


def _object_index(*values: object, name: object = None) -> pd.Index:
    return pd.Index(_objects(*values).to_numpy(), dtype=object, name=name, tupleize_cols=False)


def _attrs() -> pd.DataFrame:
    frame = pd.DataFrame({"x": [1, 2]})
    frame.attrs = {"unit": "m", "nested": {"list": [1, 2.5, None, True], "Größe": "ü"}}
    return frame


def _every_numpy_dtype() -> pd.DataFrame:
    names = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    columns = {name: np.array([0, 1, np.iinfo(name).max], name) for name in names}
    floats = {name: np.array([-0.0, np.inf, np.nan], name) for name in ("float16", "float32", "float64")}
    return pd.DataFrame({**columns, **floats, "bool": [True, False, True]})


def _temporal_units() -> pd.DataFrame:
    columns: dict[str, object] = {}
    for unit in ("s", "ms", "us", "ns"):
        stamps = pd.array(np.array([0, 1, "NaT"], f"M8[{unit}]"))
        columns[f"datetime_{unit}"] = stamps
        columns[f"zoned_{unit}"] = pd.Series(stamps).dt.tz_localize(BERLIN)
        columns[f"timedelta_{unit}"] = np.array([0, -1, "NaT"], f"m8[{unit}]")
    return pd.DataFrame(columns)


def _zones() -> pd.DataFrame:
    hour = pd.date_range("2024-03-31", periods=4, freq="h", unit="us")
    offset = timezone(timedelta(hours=-5, minutes=-30))
    return pd.DataFrame(
        {
            "utc": hour.tz_localize("UTC"),
            "named": hour.tz_localize("UTC").tz_convert("Asia/Kathmandu"),
            "offset": hour.tz_localize(offset),
            "python_utc": hour.tz_localize(UTC),
        }
    )


def _nullable() -> pd.DataFrame:
    ints = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    columns = {name: pd.array([1, None, 3], name) for name in ints}
    floats = {name: pd.array([1.5, None, -0.0], name) for name in ("Float32", "Float64")}
    return pd.DataFrame({**columns, **floats, "boolean": pd.array([True, None, False], "boolean")})


def _nullable_nan() -> pd.DataFrame:
    zero = pd.Series([0.0, 1.0, None], dtype="Float64")
    return pd.DataFrame({"x": zero / 0})


def _strings() -> pd.DataFrame:
    dtypes = ("str", "string", "string[python]", pd.StringDtype("python", na_value=np.nan))
    columns = {f"{i}": pd.array(["a", None, "é\x00"], dtype=dtype) for i, dtype in enumerate(dtypes)}
    return pd.DataFrame(columns)


def _arrow_backed() -> pd.DataFrame:
    arrays = {
        "int": pa.array([1, None, 3], pa.int32()),
        "float": pa.array([1.5, None, float("nan")]),
        "text": pa.array(["a", None, "c"]),
        "large": pa.array(["a", None, "c"], pa.large_string()),
        "zoned": pa.array([1, None, 3], pa.timestamp("ns", BERLIN)),
        "list": pa.array([[1], None, []]),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
        "decimal": pa.array([Decimal("1.50"), None, Decimal("-2.25")]),
        "date": pa.array([date(2024, 2, 29), None, date.min]),
    }
    return pd.DataFrame(
        {name: pd.arrays.ArrowExtensionArray(pa.chunked_array([a])) for name, a in arrays.items()}
    )


def _categoricals() -> pd.DataFrame:
    codes = [2, 0, -1, 2]
    of = pd.Categorical.from_codes
    days = pd.date_range("2024-01-01", periods=3)
    return pd.DataFrame(
        {
            "unordered": of(codes, ["b", "a", "c"]),
            "ordered": of(codes, ["low", "mid", "high"], ordered=True),
            "ints": of(codes, [30, 10, 20]),
            "floats": of(codes, [0.5, -1.0, 2.0]),
            "days": of(codes, days),
            "zoned": of(codes, days.tz_localize(BERLIN)),
            "objects": of(codes, pd.Index(["b", "a", "c"], dtype=object)),
            "nullable": of(codes, pd.Index([3, 1, 2], dtype="Int64")),
            "periods": of(codes, pd.period_range("2024-01", periods=3, freq="M")),
            "bytes": of(codes, _object_index(b"b", b"a", b"c")),
        }
    )


def _empty_categories() -> pd.DataFrame:
    return pd.DataFrame(
        {"none": pd.Categorical([None, None]), "object": pd.Categorical([None, None], _object_index())}
    )


def _intervals() -> pd.DataFrame:
    days = pd.date_range("2024-03-30", periods=3, tz=BERLIN)
    return pd.DataFrame(
        {
            "ints": pd.interval_range(0, 2, closed="left"),
            "floats": pd.arrays.IntervalArray.from_tuples([(0.0, 1.5), None], closed="both"),
            "days": pd.arrays.IntervalArray.from_breaks(days),
        }
    )


def _object_missing() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "none": _objects("a", None, "c"),
            "nan": _objects("a", np.nan, "c"),
            "NA": _objects("a", pd.NA, "c"),
            "NaT": _objects(datetime(2024, 1, 1), pd.NaT, datetime(2024, 1, 2)),
            "floats": _objects(1.5, np.nan, None),
            "ints": _objects(1, None, 3),
            "ints_nan": _objects(2**62 + 1, np.nan, 3),
            "bools": _objects(True, None, False),
            "all_none": _objects(None, None, None),
            "all_nan": _objects(np.nan, np.nan, np.nan),
        }
    )


def _object_types() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": _objects("a", "b"),
            "bytes": _objects(b"\xff", b""),
            "int": _objects(1, -2),
            "big": _objects(2**64 - 1, 0),
            "bool": _objects(True, False),
            "float": _objects(0.1, -0.0),
            "decimal": _objects(Decimal("1.5"), Decimal("-22.25")),
            "date": _objects(date(2024, 2, 29), date(1, 1, 1)),
            "time": _objects(time(23, 59, 59, 999999), time(0)),
            "datetime": _objects(datetime(2024, 1, 1, 1), datetime(1, 1, 1)),
            "utc": _objects(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)),
            "timedelta": _objects(timedelta(days=-1), timedelta(microseconds=1)),
            "Timestamp": _objects(pd.Timestamp("2024-01-01T00:00:00.000000001"), pd.NaT),
            "Timestamp_zoned": _objects(
                pd.Timestamp("2024-01-01", tz=BERLIN), pd.Timestamp("2024-07-01", tz=BERLIN)
            ),
            "Timedelta": _objects(pd.Timedelta(1, "ns"), pd.Timedelta(-1, "ns")),
        }
    )


def _object_nested() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "list": _objects([1, 2], [], None),
            "texts": _objects(["a", None], ["b"], None),
            "tuple": _objects((1, 2), (), None),
            "dict": _objects({"a": 1, "b": "x"}, {"a": 2, "b": None}, None),
            "array": _objects(np.array([1.5, 2.5]), np.array([]), None),
            "deep": _objects([{"a": [1]}], [{"a": []}], None),
        }
    )


def _empty_typed() -> pd.DataFrame:
    whole = pd.concat([_nullable(), _strings(), _arrow_backed()], axis=1)
    return whole.assign(
        t=pd.array(["2024"] * 3, "datetime64[s]"), o=_objects(1, 2, 3), c=pd.Categorical(list("abc"))
    )[:0]


PANDAS_CASES: dict[str, Callable[[], pd.DataFrame]] = {
    "numpy_dtypes": _every_numpy_dtype,
    "temporal_units": _temporal_units,
    "zones": _zones,
    "nullable": _nullable,
    "nullable_nan": _nullable_nan,
    "strings": _strings,
    "arrow_backed": _arrow_backed,
    "categoricals": _categoricals,
    "categoricals_interval": lambda: pd.DataFrame({"x": pd.cut([5, 1, np.nan, 6], [0, 2, 4, 6])}),
    "categoricals_empty": _empty_categories,
    "period": _frame(
        month=lambda: pd.period_range("2024-01", periods=2, freq="M"),
        week=lambda: pd.period_range("2024-01", periods=2, freq="W-WED"),
        day=lambda: pd.PeriodIndex(["2024-01-01", None], freq="D"),
        step=lambda: pd.period_range("2024-01", periods=2, freq="2h"),
    ),
    "interval": _intervals,
    "object_types": _object_types,
    "object_missing": _object_missing,
    "object_nested": _object_nested,
    "attrs": _attrs,
    # index
    "range_default": _frame(x=[1, 2, 3]),
    "range_odd": _indexed(lambda: pd.RangeIndex(7, -3, -3)),
    "range_named": _indexed(lambda: pd.RangeIndex(3, name="n")),
    "range_named_by_number": _indexed(lambda: pd.RangeIndex(1, 4, name=7)),
    "index_named": _indexed(lambda: pd.Index([3, 1, 1], name="id")),
    "index_unnamed": _indexed(lambda: pd.Index([3.5, np.nan, 1.0])),
    "index_like_a_column": _indexed(lambda: pd.Index([3, 1], name="x")),
    "index_named_by_tuple": _indexed(lambda: pd.Index([3, 1], name=("a", 1))),
    "index_text": _indexed(lambda: pd.Index(["b", "a", "a"], name="key")),
    "index_objects": _indexed(lambda: _object_index("b", None, "a")),
    "index_bool": _indexed(lambda: pd.Index([True, False])),
    "index_nullable": _indexed(lambda: pd.Index([1, None], dtype="Int16", name="i")),
    "index_arrow_backed": _indexed(lambda: pd.Index([1, None], dtype="int16[pyarrow]")),
    "index_categorical": _indexed(
        lambda: pd.CategoricalIndex(["b", "a"], ["b", "c", "a"], ordered=True, name="c")
    ),
    "index_dates": _indexed(lambda: _object_index(date(2024, 1, 1), date(2024, 1, 3))),
    "index_zoned_freq": _indexed(
        lambda: pd.date_range("2024-03-30", periods=4, freq="D", tz=BERLIN, name="t")
    ),
    "index_datetime_gaps": _indexed(
        lambda: pd.DatetimeIndex(["2024-01-01", "NaT", "2024-01-03"]).as_unit("s")
    ),
    "index_timedelta_freq": _indexed(lambda: pd.timedelta_range("1h", periods=3, freq="90min")),
    "index_period": _indexed(lambda: pd.period_range("2024Q1", periods=3, freq="Q-NOV")),
    "index_interval": _indexed(lambda: pd.interval_range(0, 3)),
    "multiindex": _indexed(
        lambda: pd.MultiIndex.from_arrays(
            [
                ["a", "a", "b"],
                pd.date_range("2024-01-01", periods=3, tz=BERLIN),
                pd.Categorical(["y", "x", "y"], list("xyz")),
            ],
            names=["key", "when", None],
        )
    ),
    "multiindex_same_names": _indexed(
        lambda: pd.MultiIndex.from_product([[1, 2], [0.5, np.nan]], names=["k", "k"])
    ),
    "multiindex_unnamed": _indexed(lambda: pd.MultiIndex.from_tuples([(1, "a"), (1, "b")])),
    "multiindex_of_one": _indexed(lambda: pd.MultiIndex.from_arrays([[1, 2]], names=["only"])),
    # labels
    "labels_named": _labelled(lambda: pd.Index(["a", "b"], name="what")),
    "labels_range": _labelled(lambda: pd.RangeIndex(3)),
    "labels_int": _labelled(lambda: pd.Index([10, 2, 30], name=0)),
    "labels_float": _labelled(lambda: pd.Index([0.1, np.nan, np.inf])),
    "labels_bool": _labelled(lambda: pd.Index([True, False])),
    "labels_object_text": _labelled(lambda: _object_index("a", "b")),
    "labels_mixed": _labelled(
        lambda: _object_index(
            "index",
            0,
            2.5,
            None,
            True,
            ("t", 1),
            date(2024, 1, 1),
            b"\xff",
            pd.Timestamp("2024-01-01", tz=BERLIN),
        )
    ),
    "labels_datetime": _labelled(
        lambda: pd.date_range("2024-01-01", periods=2, freq="MS", tz=BERLIN, name="month")
    ),
    "labels_timedelta": _labelled(lambda: pd.to_timedelta([1, 2], unit="D")),
    "labels_period": _labelled(lambda: pd.period_range("2024-01", periods=2, freq="M")),
    "labels_categorical": _labelled(lambda: pd.CategoricalIndex(["b", "a"], ["c", "b", "a"])),
    "labels_interval": _labelled(lambda: pd.interval_range(0.0, 2.0)),
    "labels_multi": _labelled(
        lambda: pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["x", None])
    ),
    "labels_multi_dates": _labelled(
        lambda: pd.MultiIndex.from_product([["mean"], pd.date_range("2024", periods=2)])
    ),
    # empty
    "empty": pd.DataFrame,
    "empty_rows_typed": _empty_typed,
    "empty_rows_indexed": _indexed(lambda: pd.DatetimeIndex([], tz=BERLIN, name="t")),
    "empty_columns": lambda: pd.DataFrame(index=pd.RangeIndex(3)),
    "empty_columns_indexed": lambda: pd.DataFrame(index=pd.Index(["a", "b"], name="k")),
    "empty_columns_text": lambda: pd.DataFrame(columns=pd.Index([], dtype=str)),
    "empty_columns_objects": lambda: pd.DataFrame({}, columns=pd.Index([], dtype=object), index=[5, 6]),
}

# -- Polars ------------------------------------------------------------------------------------


def _series(values: object, dtype: object) -> Callable[[], pl.DataFrame]:
    return lambda: pl.DataFrame({"x": pl.Series(values, dtype=dtype, strict=False)})


def _polars_ints() -> pl.DataFrame:
    kinds = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
    extremes = {kind: pl.select(low=kind.min(), high=kind.max()).row(0) for kind in kinds}
    return pl.DataFrame({str(kind): pl.Series([*extremes[kind], None], dtype=kind) for kind in kinds})


def _polars_nested() -> pl.DataFrame:
    kind = pl.List(pl.Struct({"e": pl.Enum(["x", "y"]), "c": pl.Categorical, "a": pl.Array(pl.Int8, 2)}))
    rows = [[{"e": "y", "c": "q", "a": [1, 2]}, None], None, []]
    return pl.DataFrame({"x": pl.Series(rows, dtype=kind)})


_DAY = datetime(2024, 3, 31, 1, 30)

POLARS_CASES: dict[str, Callable[[], pl.DataFrame]] = {
    "ints": _polars_ints,
    "float16": _series([1.5, None, float("nan")], pl.Float16),
    "float32": _series([1.5, None, float("inf")], pl.Float32),
    "float64": _series([-0.0, None, float("nan")], pl.Float64),
    "boolean": _series([True, None, False], pl.Boolean),
    "string": _series(["a", None, "é\x00" * 20], pl.String),
    "binary": _series([b"\xff", None, b""], pl.Binary),
    "null": _series([None, None], pl.Null),
    "date": _series([date(2024, 2, 29), None, date(1, 1, 1)], pl.Date),
    "time": _series([time(23, 59, 59, 999999), None], pl.Time),
    "datetime_ms": _series([_DAY, None], pl.Datetime("ms")),
    "datetime_us": _series([_DAY, None], pl.Datetime("us")),
    "datetime_ns_zone": _series([_DAY, None], pl.Datetime("ns", BERLIN)),
    "datetime_utc": _series([_DAY, None], pl.Datetime("us", "UTC")),
    "duration_ms": _series([timedelta(days=-1), None], pl.Duration("ms")),
    "duration_us": _series([timedelta(microseconds=1), None], pl.Duration("us")),
    "duration_ns": _series([timedelta(microseconds=1), None], pl.Duration("ns")),
    "decimal": _series([Decimal("1.50"), None, Decimal("-99999999.99")], pl.Decimal(10, 2)),
    "decimal_38": _series([Decimal(10) ** 37, None], pl.Decimal(38, 0)),
    "categorical": _series(["b", None, "a", "b"], pl.Categorical),
    "categorical_named": lambda: pl.DataFrame(
        {
            "x": pl.Series(
                ["b", None], dtype=pl.Categorical(pl.Categories("fruit", namespace="test", physical=pl.UInt8))
            )
        }
    ),
    "enum": _series(["mid", None, "low"], pl.Enum(["low", "mid", "high"])),
    "enum_odd_names": _series(["a;b", "", None], pl.Enum(["", "a;b", "é", "1;2"])),
    "list": _series([[1, None], None, []], pl.List(pl.Int16)),
    "list_of_lists": _series([[[1], None], None, []], pl.List(pl.List(pl.UInt8))),
    "array": _series([[1.5, None], None], pl.Array(pl.Float32, 2)),
    "array_2d": _series([[[1, 2], [3, 4]], None], pl.Array(pl.Int8, (2, 2))),
    "struct": _series(
        [{"a": 1, "b": None}, None, {"a": None, "b": "x"}], pl.Struct({"a": pl.UInt32, "b": pl.String})
    ),
    "nested_enums": _polars_nested,
    "empty": pl.DataFrame,
    "empty_rows": lambda: pl.DataFrame(
        schema={
            "e": pl.Enum(["x", "y"]),
            "c": pl.Categorical,
            "d": pl.Decimal(5, 1),
            "l": pl.List(pl.Time),
            "n": pl.Null,
        }
    ),
    "chunked": lambda: pl.concat(
        [pl.DataFrame({"c": pl.Series([c], dtype=pl.Categorical), "i": [i]}) for i, c in enumerate("bab")],
        rechunk=False,
    ),
    "odd_names": lambda: pl.DataFrame({"": [1], " a.b ": [2], "é": [3]}),
}
