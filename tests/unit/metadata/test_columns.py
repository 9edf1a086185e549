"""Columns made by hand are those that Arrow makes."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio.metadata.columns import column


def whole(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low = -(2 ** (bits - 1)) if signed else 0
    return st.integers(low, low + 2**bits - 1)


KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), whole(8, signed=True)),
    (pa.int32(), whole(32, signed=True)),
    (pa.int64(), whole(64, signed=True)),
    (pa.uint8(), whole(8, signed=False)),
    (pa.uint64(), whole(64, signed=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text()),
    (pa.binary(), st.binary()),
    (pa.decimal128(38, 10), st.decimals(-(10**27), 10**27, places=10)),
    (pa.decimal256(76, 3), st.decimals(-(10**60), 10**60, places=3)),
    (pa.decimal128(5, 2), st.integers(-999, 999).map(Decimal)),
    (pa.null(), st.none()),
    (pa.date32(), st.dates()),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_a_column_is_what_arrow_would_make(kind: pa.DataType, values: st.SearchStrategy[Any]) -> None:
    @settings(deadline=None)
    @given(st.lists(st.none() | values, max_size=20))
    def check(found: list[Any]) -> None:
        made = column(found, kind)
        made.validate(full=True)
        assert made.equals(pa.array(found, kind))
        assert made.null_count == found.count(None)

    check()


def test_spilling_to_a_manifest_does_not_import_pandas(tmp_path: Path) -> None:
    """It did: half a second under the writers' lock."""
    code = (
        "import sys, pyarrow as pa\n"
        "from atio import Table\n"
        "table = Table.open(sys.argv[1], durable=False)\n"
        "def column(kind, *buffers):\n"
        "    return pa.Array.from_buffers(kind, 1, [None, *map(pa.py_buffer, buffers)])\n"
        "text = column(pa.string(), b'\\0\\0\\0\\0\\1\\0\\0\\0', b'x')\n"
        "number = column(pa.int64(), b'\\1\\0\\0\\0\\0\\0\\0\\0')\n"
        "names = ['number', 'text']\n"
        "for _ in range(60):\n"
        "    table.append(pa.RecordBatch.from_arrays([number, text], names=names))\n"
        "print('pandas' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "t"], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"
    assert list((tmp_path / "t" / "manifests").iterdir())
