"""Rows picked out of tables by a mask."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from atio.formats.cases import TYPE_CASES
from atio.formats.compare import difference
from atio.predicate.keep import kept


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("case", list(TYPE_CASES))
def test_rows_of_every_type(case: str, share: float) -> None:
    array = pa.concat_arrays([TYPE_CASES[case]] * 3)
    draw = random.Random(case)
    table = pa.table({"c": pa.chunked_array([array, array[2:], array[:0]]), "n": range(2 * len(array) - 2)})
    mask = pa.array([draw.random() < share for _ in range(table.num_rows)], pa.bool_())
    rows = [place for place, taken in enumerate(mask.to_pylist()) if taken]
    found = kept(table, mask)
    assert found["n"].to_pylist() == rows
    pieces = [table.slice(place, 1) for place in rows]
    assert difference(found, pa.concat_tables([table.slice(0, 0), *pieces])) is None
    found.validate()
