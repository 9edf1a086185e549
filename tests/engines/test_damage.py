"""What an engine reads by itself was verified before; what cannot be is said in atio's own errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atio import Table
from atio.errors import DamagedError, MissingDependencyError, VersionNotFoundError
from atio.storage import MemoryStorage
from atio.table.doors import polars as polars_door
from atio.table.doors import verified
from atio.table.doors.verified import _Seen
from atio.table.snapshot import Snapshot

DOORS: dict[str, Callable[[Any], Any]] = {
    "to_lazy": lambda s: s.to_lazy().collect(),
    "to_lazy, a column": lambda s: s.to_lazy(["i"]).collect(),
    "sql": lambda s: s.sql("select * from t").to_arrow(),
    "sql in batches": lambda s: list(s.sql("select * from t").to_batches()),
    "to_duckdb": lambda s: s.to_duckdb(duckdb.connect()).fetchall(),
}


def snapshot(place: Any, files: int = 3) -> Snapshot:
    table = Table.open(place, durable=False)
    for number in range(files):
        table.append(pa.table({"i": [number, number + 10], "s": ["x", None]}))
    return table.snapshot()


def place_of(found: Snapshot, number: int) -> Path:
    return Path(found._table_url, found.files()[number].path)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("how", ["flipped", "shorter", "longer", "gone", "folder", "link"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, door: str, how: str) -> None:
    found = snapshot(tmp_path / "t")
    path = place_of(found, 1)
    data = path.read_bytes()
    if how == "flipped":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif how in ("shorter", "longer"):
        path.write_bytes(data[:-1] if how == "shorter" else data + b"\0")
    else:
        path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "link":
        path.symlink_to(place_of(found, 0))
    with pytest.raises(Exception, match=path.name) as caught:
        DOORS[door](found)
    assert isinstance(caught.value, DamagedError) or how in ("folder", "link")
    assert caught.value.kind in ("damaged", "access", "input")  # type: ignore[attr-defined]
    assert caught.value.table == found._table_url  # type: ignore[attr-defined]


@pytest.mark.parametrize("door", [door for door in DOORS if door != "to_duckdb"])
def test_so_it_is_where_rows_come_from_a_scan(door: str) -> None:
    storage = MemoryStorage()
    found = snapshot(storage)
    storage.delete([found.files()[1].path])
    with pytest.raises(DamagedError, match=found.files()[1].path):
        DOORS[door](found)


@pytest.mark.parametrize("door", DOORS)
def test_damage_that_comes_after_the_first_use_is_seen_by_the_file_s_status(
    tmp_path: Path, door: str
) -> None:
    found = snapshot(tmp_path / "t")
    DOORS[door](found)
    path = place_of(found, 2)
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[60] ^= 4
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DamagedError, match=path.name):
        DOORS[door](found)


def test_a_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = snapshot(tmp_path / "t")
    hashed: list[str] = []
    real = verified._hashed
    monkeypatch.setattr(verified, "_hashed", lambda path, file: hashed.append(path) or real(path, file))
    for _ in range(3):
        found.to_lazy()
        found.sql("select 1 from t")
    Table.open(tmp_path / "t").to_duckdb(duckdb.connect())
    assert sorted(hashed) == sorted(str(place_of(found, number)) for number in range(3))


def test_what_was_verified_is_forgotten_from_the_oldest() -> None:
    seen = _Seen(2)
    one, two, three = (("f", 0, number, 0, 0, 0) for number in range(3))
    seen.add(one, (), "a")
    seen.add(two, (), "a")
    assert (one, (), "a") in seen
    assert (one, ("x",), "a") not in seen
    seen.add(three, (), "a")
    assert (two, (), "a") not in seen
    assert (one, (), "a") in seen
    assert (one, (), "b") not in seen


def test_of_some_columns_these_are_verified(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).random(400_000)
    table = Table.open(tmp_path / "t", durable=False)
    table.append(pa.table({"a": numbers, "b": numbers + 1, "c": numbers + 2}))
    found = table.snapshot()
    path = place_of(found, 0)
    chunk = pq.read_metadata(path).row_group(0).column(1)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    kept = int((numbers < 0.5).sum())
    for _ in range(2):
        assert found.to_polars(["c"], where="a < 0.5").shape == (kept, 1)
        assert found.to_lazy(["a", "c"]).collect().height == len(numbers)
        for asked in (
            lambda: found.to_polars(["c"], where="b < 1.5"),
            lambda: found.to_polars(["b"], where="a < 0.5"),
            lambda: found.to_polars(where="a < 0.5"),
            lambda: found.to_lazy(["c"], where="b < 1.5").collect(),
            lambda: found.to_lazy().collect(),
        ):
            with pytest.raises(DamagedError, match=path.name):
                asked()


def test_what_polars_cannot_open_any_more_is_told_by_atio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append(pa.table({"a": np.random.default_rng(1).random(400_000)}))
    found = table.snapshot()
    real = polars_door._natively

    def between(scan: Any, **kwargs: Any) -> Any:
        query = real(scan, **kwargs)
        place_of(found, 0).unlink()
        return query

    monkeypatch.setattr(polars_door, "_natively", between)
    with pytest.raises(DamagedError, match=found.files()[0].path):
        found.to_polars(where="a < 0.5")


def test_only_the_files_that_are_read_are_verified(tmp_path: Path) -> None:
    found = snapshot(tmp_path / "t")
    place_of(found, 2).unlink()
    assert found.to_lazy(limit=3).collect().height == 3
    assert found.to_lazy(where="i < 2 and i <> 10").collect()["i"].to_list() == [0, 1]
    assert found.scan(where="i < 2").sql("select i from t").to_arrow().num_rows == 2


def test_a_predicate_that_polars_pushes_down_spares_files() -> None:
    storage = MemoryStorage()
    found = snapshot(storage)
    lazy = found.to_lazy()
    storage.delete([found.files()[2].path])
    assert lazy.filter(pl.col("i") == 1).collect().rows() == [(1, "x")]
    assert lazy.filter(pl.col("i").is_between(0, 1), pl.col("s") == "x").collect().height == 2
    assert lazy.head(3).select("i").collect()["i"].to_list() == [0, 10, 1]
    with pytest.raises(DamagedError):
        lazy.filter(pl.col("i") + 0 == 1).collect()


def test_a_version_that_expired_says_so(tmp_path: Path) -> None:
    from datetime import timedelta

    table = Table.open(tmp_path / "t", durable=False)
    old = table.append(pa.table({"i": [1]}))
    table.overwrite(pa.table({"i": [2]}))
    table.expire(timedelta(0))
    for door in DOORS.values():
        with pytest.raises(VersionNotFoundError, match="expired"):
            door(old)


@pytest.mark.parametrize(
    ("library", "call"),
    [
        ("polars", lambda s: s.to_lazy()),
        ("duckdb", lambda s: s.sql("select 1")),
        ("duckdb", lambda s: s.to_duckdb()),
    ],
)
def test_a_missing_library_is_said_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, library: str, call: Callable[[Any], Any]
) -> None:
    found = snapshot(MemoryStorage(), 1)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"atio\[{library}\]"):
        call(found)
