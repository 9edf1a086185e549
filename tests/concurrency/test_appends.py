"""Several processes write at once: nothing is lost, nothing is there twice."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atio import Table
from tests.support.share import at_most

PROCESSES = 6


def check_appends(path: Path, results: list[list[list[int]]], count: int) -> None:
    """Every acknowledged append is there once, and made the version that it was told."""
    table = Table.open(path)
    versions = [version for result in results for version, _ in result]
    assert sorted(versions) == list(range(1, PROCESSES * count + 1))
    assert table.version == PROCESSES * count
    assert [s.version for s in table.history()] == list(range(PROCESSES * count, 0, -1))
    found = table.to_arrow()
    keys = Counter(zip(*(found[name].to_pylist() for name in ("who", "number", "half")), strict=True))
    assert keys == Counter(
        (who, number, half) for who in range(PROCESSES) for number in range(count) for half in (0, 1)
    )
    # Rows stand in the order of their versions.
    order = {v: (who, number) for who, result in enumerate(results) for v, number in result}
    pairs = list(zip(found["who"].to_pylist(), found["number"].to_pylist(), strict=True))
    assert pairs[::2] == [order[v] for v in sorted(order)]
    assert table.verify(deep=False).ok


def test_six_processes_append(pool: Any, tmp_path: Path) -> None:
    """The fast one: six processes, fifteen appends each."""
    results = pool.all("append", tmp_path / "t", 15)
    check_appends(tmp_path / "t", results, 15)


@pytest.mark.slow
def test_six_processes_append_fifty_times_each_twenty_times_over(pool: Any, tmp_path: Path) -> None:
    for repeat in range(at_most(20)):
        path = tmp_path / f"t{repeat}"
        check_appends(path, pool.all("append", path, 50), 50)


def test_first_writes_race(pool: Any, tmp_path: Path) -> None:
    """One creates the table, the others append to it."""
    results = pool.all("first_append", tmp_path / "t", 10)
    for number in range(10):
        table = Table.open(f"{tmp_path / 't'}{number}")
        assert sorted(result[number] for result in results) == [1, 2, 3, 4, 5, 6]
        assert sorted(table.to_arrow()["who"].to_pylist()) == list(range(6))
        assert table.verify().ok


def test_creations_race(pool: Any, tmp_path: Path) -> None:
    """Exactly one wins, and it is its table that is there."""
    results = pool.all("create", tmp_path / "t", 20)
    for number in range(20):
        winners = [who for who, result in enumerate(results) if result[number]]
        assert len(winners) == 1
        assert Table.open(f"{tmp_path / 't'}{number}").properties == {"user.who": str(winners[0])}


def test_new_categories_race(pool: Any, tmp_path: Path) -> None:
    """Categories of all writers are united; every version shows its words."""
    path = tmp_path / "t"
    results = pool.all("categories", path, 8)
    table = Table.open(path)
    words = {version: made for result in results for version, made in result}
    assert sorted(words) == list(range(1, 49))
    frame = table.to_pandas()
    assert frame["word"].tolist() == [word for version in sorted(words) for word in words[version]]
    assert set(frame["word"].cat.categories) == {word for made in words.values() for word in made}
    for version in (1, 7, 8, 9, 30):
        found = table.snapshot(version).to_pandas()["word"]
        assert found.tolist() == [word for v in range(1, version + 1) for word in words[v]]


def test_columns_that_get_their_type_race(pool: Any, tmp_path: Path) -> None:
    """Each of four all-null columns is filled first by several processes at once."""
    path = tmp_path / "t"
    nulls = {f"c{i}": pa.nulls(1) for i in range(4)}
    Table.open(path, durable=False).append(pa.table({"who": [-1], "number": [-1]} | nulls))
    results = pool.all("promotions", path, 6)
    table = Table.open(path)
    assert sorted(v for result in results for v in result) == list(range(2, 38))
    for row in table.to_arrow().to_pylist()[1:]:
        who, number = row["who"], row["number"]
        expected = {f"c{i}": who * 1000 + number if i == (who + number) % 4 else None for i in range(4)}
        assert {name: row[name] for name in expected} == expected
    assert table.snapshot(1).schema.field("c0").type == pa.null()


def test_a_counter_loses_no_update(pool: Any, tmp_path: Path) -> None:
    """``expected_version`` is a compare-and-swap."""
    path = tmp_path / "t"
    Table.open(path, durable=False).append(pa.table({"value": [0]}))
    pool.all("increment", path, 8)
    table = Table.open(path)
    assert table.to_arrow()["value"].to_pylist() == [48]
    assert table.version == 49
    for version in range(1, 50):
        assert table.snapshot(version).to_arrow()["value"].to_pylist() == [version - 1]


def test_a_token_is_used_once(pool: Any, tmp_path: Path) -> None:
    """Six processes repeat the same jobs; each job is done by one of them."""
    results = pool.all("tokens", tmp_path / "t", 20)
    table = Table.open(tmp_path / "t")
    assert results == [list(range(1, 21))] * 6
    assert table.version == 20
    assert table.to_arrow()["job"].to_pylist() == list(range(20))
    files = list((tmp_path / "t" / "data").iterdir())
    assert {f"data/{f.name}" for f in files} >= {f.path for f in table.snapshot().files()}


def test_threads_share_one_table(tmp_path: Path) -> None:
    """One object, eight threads that write and read."""
    table = Table.open(tmp_path / "t", durable=False)
    together = threading.Barrier(8)

    def work(who: int) -> list[int]:
        together.wait()
        made = []
        for number in range(8):
            found = table.append({"who": [who], "number": [number]})
            assert found.to_arrow().num_rows == found.version
            assert table.snapshot().version >= found.version
            made.append(found.version)
        return made

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(8)))
    assert sorted(v for made in results for v in made) == list(range(1, 65))
    found = table.to_arrow()
    pairs = set(zip(found["who"].to_pylist(), found["number"].to_pylist(), strict=True))
    assert pairs == {(who, number) for who in range(8) for number in range(8)}
    assert found.num_rows == 64
