"""``atio delete``, ``update`` and ``upsert``."""

from __future__ import annotations

from pathlib import Path

import pytest

from atio import Table

from .conftest import Atio


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    path = tmp_path / "stock"
    Table.open(path, durable=False).append(
        {"id": [1, 2, 3], "price": [1.0, 2.0, None], "note": ["a", "b", "c"]}
    )
    return path


def rows(path: Path) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in Table.open(path).to_arrow().to_pylist()]


def test_delete(atio: Atio, stock: Path) -> None:
    assert atio("delete", stock, "--where", "price > 1", "-m", "dear").out == "version 2: 1 row deleted\n"
    assert [row[0] for row in rows(stock)] == [1, 3]
    assert Table.open(stock).snapshot().message == "dear"
    assert "nothing to do: no row matches" in atio("delete", stock, "--where", "id = 7").out
    document = atio("delete", stock, "--where", "id < 9", "--json").document
    assert document == {"table": str(stock), "version": 3, "inserted": 0, "updated": 0, "deleted": 2}


def test_update(atio: Atio, stock: Path) -> None:
    done = atio(
        "update", stock, "--set", "price=price * 1.5", "--set", "note = 'it''s = 1'", "--where", "id=2"
    )
    assert done.out == "version 2: 1 row updated\n"
    assert rows(stock)[-1] == (2, 3.0, "it's = 1")
    atio("update", stock, "--set", "price=0.1", "--where", "id=3")
    assert rows(stock)[-1] == (3, 0.1, "c")
    atio("update", stock, "--set", "price=null", "--where", "id=3")
    assert rows(stock)[-1] == (3, None, "c")


@pytest.mark.parametrize("given", ["price", "nobody=1", "id=price", "price=)"])
def test_update_refuses(atio: Atio, stock: Path, given: str) -> None:
    run = atio("update", stock, "--set", given, "--where", "id < 3", code=2 if given != "id=price" else 0)
    assert (Table.open(stock).version == 1) == (run.code != 0)


def test_upsert(atio: Atio, stock: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text("note,id,price\nx,3,3.5\ny,4,\n")
    assert atio("upsert", stock, file, "--on", "id").out == "version 2: 1 row inserted, 1 row updated\n"
    assert rows(stock) == [(1, 1.0, "a"), (2, 2.0, "b"), (3, 3.5, "x"), (4, None, "y")]
    file.write_text("note,id,price\nx,3,3.5\ny,3,\n")
    run = atio("upsert", stock, file, "--on", "id", code=2)
    assert "such as 3" in run.err
    assert Table.open(stock).version == 2
