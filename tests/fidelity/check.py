"""What goes into a table comes out of it: each case through a real table, once and appended twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from pandas.testing import assert_frame_equal
from polars.testing import assert_frame_equal as assert_polars_equal

from atio import Table
from atio.errors import AtioError
from atio.formats.compare import difference
from atio.frames import incoming

EXACT, REFUSED = "exact", "refused"


def arrow(case: pa.Table, folder: Path) -> str:
    """One version, then two appends of it in slices."""
    table = Table.open(folder, durable=False)
    try:
        table.append(case)
    except AtioError as error:
        return f"{REFUSED}: {error.message}"
    assert difference(table.to_arrow(), case) is None
    table.append(case.slice(0, case.num_rows // 2))
    table.append(case.slice(case.num_rows // 2))
    assert difference(table.to_arrow(), pa.concat_tables([case, case])) is None
    assert table.verify().ok
    return EXACT


def pandas(case: pd.DataFrame, folder: Path) -> str:
    table = Table.open(folder, durable=False)
    try:
        table.append(case)
    except AtioError as error:
        return f"{REFUSED}: {error.message}"
    same_frame(table.to_pandas(), case)
    halves = case.iloc[: len(case) // 2], case.iloc[len(case) // 2 :]
    schemas = [incoming(part).schema for part in (*halves, case)]
    if len(case) > 1 and all(schema.equals(schemas[2], check_metadata=True) for schema in schemas):
        table.overwrite(halves[0])
        table.append(halves[1])
        assert_frame_equal(table.to_pandas(), case, check_freq=False)
    return EXACT


def same_frame(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Equal to the last dtype, label, name, frequency and attribute."""
    assert_frame_equal(
        left, right, check_index_type="exact", check_column_type="exact", check_exact=True, check_freq=True
    )
    assert left.attrs == right.attrs
    for i, dtype in enumerate(right.dtypes):
        if isinstance(dtype, np.dtype) and dtype.kind == "O":
            assert [type(a) for a in left.iloc[:, i]] == [type(a) for a in right.iloc[:, i]]


def polars(case: pl.DataFrame, folder: Path) -> str:
    table = Table.open(folder, durable=False)
    try:
        table.append(case)
    except AtioError as error:
        return f"{REFUSED}: {error.message}"
    assert_polars_equal(table.to_polars(), case, check_exact=True, categorical_as_str=False)
    table.append(case)
    assert_polars_equal(table.to_polars(), pl.concat([case, case]), check_exact=True)
    return EXACT
