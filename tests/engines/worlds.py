"""Tables of random rows on every kind of storage that a door must tell apart."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from atio import Table
from atio.storage import MemoryStorage
from tests.predicate.worlds import Condition, conditions, tables

KINDS = ("files", "memory", "arrow")
"""Local Parquet, Parquet that has no path, and local files of another format."""


@contextmanager
def made(kind: str, parts: list[pa.Table], **properties: str) -> Iterator[Table]:
    """A table of these parts, each a file (of several row groups) or more."""
    folder = Path(tempfile.mkdtemp())
    try:
        place = MemoryStorage() if kind == "memory" else folder / "t"
        chosen = {"format": "arrow"} if kind == "arrow" else {"parquet.row_group_rows": "3"}
        table = Table.create(
            place,
            parts[0].schema,
            properties={**chosen, "append.merge": "false", **properties},
            durable=False,
        )
        for part in parts:
            table.append(part)
        yield table
    finally:
        shutil.rmtree(folder)


@st.composite
def cut(draw: Callable[..., Any], duckdb_only: bool = True) -> list[pa.Table]:
    """Random rows, cut anywhere; with a column that numbers them."""
    table = draw(tables(duckdb_only))
    table = table.append_column("row", pa.array(range(len(table)), pa.int64()))
    cuts = sorted(draw(st.lists(st.integers(0, len(table)), max_size=3)))
    return [table.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(table)], strict=True)]


def conditions_on(parts: list[pa.Table]) -> st.SearchStrategy[Condition]:
    return conditions(parts[0].drop_columns(["row"]))
