"""Random frames come back as they went in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import pandas as pdst
from pandas.testing import assert_frame_equal
from polars.testing import assert_frame_equal as assert_polars_equal
from polars.testing.parametric import dataframes

from atio.frames import RangeIndex, incoming, merge_index, to_pandas, to_polars

RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMPY = ["int8", "int64", "uint16", "uint64", "float16", "float32", "float64", "bool"]
STAMPS = [f"{kind}8[{unit}]" for kind in "Mm" for unit in ("s", "ms", "us", "ns")]
NULLABLE = ["Int8", "Int64", "UInt64", "boolean"]


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pd.Series:
    """One column of any kind that numbers or texts can become."""
    index = st.just(pd.RangeIndex(rows))
    kind = draw(st.sampled_from(["numpy", "stamps", "nullable", "text", "object", "category", "arrow"]))
    if kind == "numpy":
        return draw(pdst.series(dtype=draw(st.sampled_from(NUMPY)), index=index))
    if kind == "stamps":
        # Nanoseconds since 1970 in 64 bits are the narrowest range; NaT is the smallest of them.
        counts = st.integers(-(2**33), 2**33) | st.just(np.iinfo("i8").min)
        values = draw(pdst.series(elements=counts, dtype="int64", index=index))
        return values.to_numpy().view(draw(st.sampled_from(STAMPS)))
    if kind == "nullable":
        values = draw(st.lists(st.sampled_from([0, 1, None]), min_size=rows, max_size=rows))
        return pd.Series(pd.array(values, dtype=draw(st.sampled_from(NULLABLE))))
    texts = draw(st.lists(TEXT | st.none(), min_size=rows, max_size=rows))
    if kind == "category":
        names = draw(st.permutations(sorted({text for text in texts if text is not None} | {"unused"})))
        return pd.Series(pd.Categorical(texts, names, ordered=draw(st.booleans())))
    return pd.Series(texts, dtype={"text": "str", "object": object, "arrow": "string"}[kind])


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 4))
    names = draw(st.lists(TEXT | st.integers(), max_size=4, unique_by=str))
    frame = pd.DataFrame({i: draw(columns(rows)) for i in range(len(names))}, index=pd.RangeIndex(rows))
    frame.columns = pd.Index(names)
    index = draw(
        st.sampled_from([None, "range"])
        | pdst.indexes(dtype="int64", min_size=rows, max_size=rows, unique=False)
        | pdst.indexes(elements=TEXT, dtype=str, min_size=rows, max_size=rows, unique=False)
    )
    if isinstance(index, pd.Index):
        frame.index = index.rename(draw(st.none() | TEXT | st.integers()))
    elif index == "range":
        start, step = draw(st.integers(-9, 9)), draw(st.sampled_from([-3, 1, 2]))
        frame.index = pd.RangeIndex(start, start + rows * step, step, name=draw(st.none() | TEXT))
    return frame


@RELAXED
@given(frames())
def test_any_pandas_frame_comes_back(frame):
    inc = incoming(frame)
    (table,) = inc.tables
    assert table.schema.equals(inc.schema, check_metadata=True)
    back = to_pandas(table, inc.index)
    assert_frame_equal(back, frame, check_index_type="exact", check_column_type="exact", check_exact=True)


@RELAXED
@given(dataframes(max_cols=4, max_size=5, excluded_dtypes=[pl.Object, pl.Int128, pl.UInt128]))
def test_any_polars_frame_comes_back(frame):
    (table,) = incoming(frame).tables
    assert_polars_equal(to_polars(table), frame, check_exact=True)


@RELAXED
@given(st.lists(st.dictionaries(TEXT, st.none() | st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=5))
def test_any_records_come_back(records):
    (table,) = incoming(records).tables
    names = list(dict.fromkeys(name for record in records for name in record))
    assert table.column_names == names
    assert table.num_rows == len(records)
    for name in names:
        assert table[name].to_pylist() == [record.get(name) for record in records]


@given(
    st.integers(-5, 5), st.sampled_from([-2, -1, 1, 3]), st.lists(st.integers(0, 4), min_size=1, max_size=6)
)
def test_pieces_of_a_range_merge_to_the_range(start, step, sizes):
    whole: RangeIndex | None = None
    rows = 0
    for size in sizes:
        first = start + rows * step
        piece = RangeIndex(first, first + size * step, step)
        whole, rows = merge_index(whole, rows, piece, size), rows + size
    merged = range(rows) if whole is None else range(whole.start, whole.stop, whole.step)
    assert list(merged) == list(range(start, start + rows * step, step))


def test_strategies_reach_every_dtype():
    """The properties would prove little if the strategy drew one kind only."""
    seen: set[str] = set()

    @settings(max_examples=150, database=None, deadline=None, derandomize=True)
    @given(frames())
    def look(frame: pd.DataFrame) -> None:
        seen.update(str(dtype) for dtype in frame.dtypes)

    look()
    assert {"category", "str", "object", "string", "int64", "boolean"} <= seen
