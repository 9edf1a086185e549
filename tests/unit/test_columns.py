"""Columns made by hand are those that Arrow makes."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio import Table
from atio.columns import column, scalar


def whole(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low = -(2 ** (bits - 1)) if signed else 0
    return st.integers(low, low + 2**bits - 1)


KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), whole(8, signed=True)),
    (pa.int32(), whole(32, signed=True)),
    (pa.int64(), whole(64, signed=True)),
    (pa.uint8(), whole(8, signed=False)),
    (pa.uint64(), whole(64, signed=False)),
    (pa.float32(), st.floats(allow_nan=False, width=32)),
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


SCALARS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    *KINDS,
    (pa.large_string(), st.text()),
    (pa.large_binary(), st.binary()),
    (pa.date32(), st.integers(-(2**20), 2**20)),
    (pa.time64("us"), st.integers(0, 86_399_999_999)),
    (pa.timestamp("ns", "Europe/Berlin"), st.integers(-(2**60), 2**60)),
    (pa.duration("ms"), st.integers(-(2**60), 2**60)),
]


@pytest.mark.parametrize(("kind", "values"), SCALARS, ids=[str(kind) for kind, _ in SCALARS])
def test_a_scalar_is_what_arrow_would_make(kind: pa.DataType, values: st.SearchStrategy[Any]) -> None:
    @settings(deadline=None)
    @given(st.none() | values)
    def check(found: Any) -> None:
        made = scalar(found, kind)
        assert made.equals(pa.scalar(found, kind))
        assert made.type == kind

    check()


@pytest.mark.parametrize(
    "where", ["id = 2 and f > 0.5", "id in (1, 2, 3) or s like 'a%'", "d >= '2024-01-01'", "id % 2 = 1"]
)
def test_a_condition_does_not_import_pandas(tmp_path: Path, where: str) -> None:
    """Nor do plans and reads with it: a process that looks something up would spend most of its time so."""
    code = (
        "import sys, datetime\n"
        "from atio import Table\n"
        "table = Table.open(sys.argv[1])\n"
        "assert table.to_arrow(where=sys.argv[2]).num_rows == table.snapshot().count(sys.argv[2]) > 0\n"
        "assert 'pandas' not in sys.modules\n"
    )
    table = Table.open(tmp_path / "t", durable=False)
    for number in range(3):
        rows = {"id": [number, 2], "f": [0.5, 1.5], "s": ["a", None], "d": [date(2024, 1, 1)] * 2}
        table.append(pa.table(rows))
    command = [sys.executable, "-c", code, str(tmp_path / "t"), where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


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
