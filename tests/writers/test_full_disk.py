"""Every combination meets a disk that is really full: an error that says so, the old file, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import atio
from atio.errors import StorageFullError
from atio.writers import FileWriter, Kind, get_writer
from atio.writers.registry import BUILTIN

ROWS = 9_000
OLD = b"old" * 100


def columns() -> dict[str, Any]:
    chance = np.random.default_rng(5)
    return {"a": chance.random(ROWS), "b": chance.random(ROWS)}


OBJECTS = {
    Kind.PANDAS: lambda: pd.DataFrame(columns()),
    Kind.POLARS: lambda: pl.DataFrame(columns()),
    Kind.LAZY: lambda: pl.LazyFrame(columns()),
    Kind.NUMPY: lambda: np.random.default_rng(5).random((ROWS, 2)),
    Kind.ARRAYS: columns,
    Kind.ARROW: lambda: pa.table(columns()),
    Kind.STREAM: lambda: pa.table(columns()).to_reader(max_chunksize=1000),
    Kind.RECORDS: lambda: pa.table(columns()).to_pylist(),
    Kind.ITERATOR: lambda: iter(pa.table(columns()).to_batches(max_chunksize=1000)),
    Kind.TEXT: lambda: "x" * 200_000,
    Kind.BYTES: lambda: b"x" * 200_000,
    Kind.OBJECT: lambda: list(range(50_000)),
}
DOCUMENTS = {"excel", "html", "xml", "markdown", "stata"}  # the others all go through pandas
UNNAMED = {"avro", "xml", "stata"}  # a plain array's columns have no names that these take


def cells() -> Iterator[tuple[str, Kind]]:
    for name in BUILTIN:
        writer = get_writer(name)
        for kind in Kind:
            if not isinstance(writer, FileWriter) or (kind is Kind.NUMPY and name in UNNAMED):
                continue
            if name in DOCUMENTS and kind not in (Kind.PANDAS, Kind.POLARS, Kind.LAZY, Kind.ARROW):
                continue
            if writer.cell(kind) is not None:
                yield name, kind


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in cells()))
def test_a_full_disk(small_disk: Path, name: str) -> None:
    target = small_disk / f"target.{name}"
    target.write_bytes(OLD)
    for kind in [kind for other, kind in cells() if other == name]:
        with pytest.raises(StorageFullError) as caught:
            atio.write(OBJECTS[kind](), target, name)
        assert caught.value.file == str(target), kind
        assert "free some space" in str(caught.value)
        assert target.read_bytes() == OLD, kind
        assert [path.name for path in small_disk.iterdir()] == [target.name], kind


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.zst", "csv.bz2", "csv.xz", "csv.lz4"])
def test_a_full_disk_and_compression(small_disk: Path, suffix: str) -> None:
    target = small_disk / f"target.{suffix}"
    target.write_bytes(OLD)
    with pytest.raises(StorageFullError):
        atio.write(pa.table(columns()), target)
    assert target.read_bytes() == OLD
    assert [path.name for path in small_disk.iterdir()] == [target.name]


def test_space_that_is_just_enough_for_one_file(small_disk: Path) -> None:
    """Old and new file need to be there together for a moment; with less, the old one stays."""
    target = small_disk / "target.bin"
    atio.write(b"a" * 25_000, target)
    atio.write(b"b" * 25_000, target, backup=True)
    with pytest.raises(StorageFullError):
        atio.write(b"c" * 25_000, target)
    assert target.read_bytes() == b"b" * 25_000
    assert sorted(path.name for path in small_disk.iterdir()) == ["target.bin", "target.bin.bak"]


def test_no_more_names(small_disk: Path) -> None:
    target = small_disk / "target.txt"
    atio.write("old", target)
    with pytest.raises(OSError, match="No space"):
        for number in range(100):
            (small_disk / f"{number}").touch()
    with pytest.raises(StorageFullError):
        atio.write("new", target)
    assert target.read_text() == "old"
