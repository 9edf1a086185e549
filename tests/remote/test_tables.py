"""A table in a bucket is the same table: whatever is done to it, it comes out as on a disk."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from atio import Table, col
from atio.errors import ConstraintError, ExistsError
from atio.storage import LocalStorage, Storage
from atio.table.face.handle import system_clock
from tests.remote.servers import Server
from tests.stateful.test_model import COMMON, TableMachine
from tests.support.share import at_most
from tests.support.tables import content

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("day", pa.date32()),
        ("price", pa.float64()),
        ("at", pa.struct([("x", pa.int32()), ("y", pa.string())])),
    ]
)


def days(numbers: Iterator[int] | range, price: float = 1.5) -> list[dict[str, Any]]:
    return [
        {"id": n, "day": date(2024, 1 + n % 3, 1 + n % 28), "price": price, "at": {"x": n, "y": "a"}}
        for n in numbers
    ]


def live(storage: Storage) -> list[Any]:
    """One of everything that a table can do; returns what it was told."""
    table = Table.create(
        storage,
        SCHEMA,
        key="id",
        partition_by=["month(day)"],
        sort_by=["day"],
        checks={"positive": "price > 0"},
    )
    told: list[Any] = [table.append(days(range(30)), token="first").version]
    with pytest.raises(ExistsError):
        table.append(days(range(3, 4)))
    with pytest.raises(ConstraintError):
        table.append(days(range(99, 100), price=-1.0))
    told.append(table.get(5))
    told.append(table.upsert(days(range(28, 32), price=2.5), on="id"))
    told.append(table.append(days(range(30, 33)), on_conflict="ignore").rows)
    told.append(table.delete("id < 3"))
    told.append(table.update({"price": col("price") * 2}, "id = 7"))
    told.append(table.merge(days(range(7, 8)), on="id", when_matched={"price": col("source", "price")}))
    with table.transaction(message="two at once") as changes:
        changes.delete("id = 8")
        changes.append(days(range(200, 202)))
    table.add_column("late", pa.bool_(), default=False, after="day")
    table.rename_column("at.x", "z")
    table.widen_column("at.z", pa.int64())
    told.append(table.schema)
    table.tag("before", message="the trial")
    trial = table.create_branch("trial")
    trial.append({"id": [300], "price": [3.0], "late": [True]})
    table.append({"id": [301], "price": [3.0]})
    told.append(table.merge_branch("trial").rows)
    told.append(table.commit(table.stage({"id": [400], "price": [4.0]})).version)
    numbers = ({"id": 1000 + n, "price": 1.0} for n in range(6))
    told.append(table.append(numbers, checkpoint_rows=2, token="load").version)
    told.append(table.append(days(range(30)), token="first").version)
    told.append(
        sorted((row["id"], row["_change_type"]) for b in table.changes(since=4) for row in b.to_pylist())
    )
    table.overwrite({"id": [1000], "price": [9.0]}, where="id = 1000")
    table.compact(sort_by=["id"])
    told.append(
        table.sql("select count(*), sum(price) from t where day >= '2024-02-01'").to_arrow().to_pylist()
    )
    told.append(table.restore("before").rows)
    told.append(table.drop_branch("trial"))
    return told


def test_the_same_life(server: Server, folder: str, tmp_path: Path) -> None:
    """Keys, partitions, checks, changed rows and columns, branches, transactions, the feed."""
    here, there = LocalStorage(tmp_path / "table", durable=False), server.storage(folder)
    assert live(there) == live(here)
    assert content(there) == content(here)
    table = Table(server.storage(folder), clock=lambda: system_clock() + 10**13)
    table.expire(timedelta(0), keep_last=2)
    table.vacuum(timedelta(0))
    assert table.verify().ok
    assert len(table.history()) < len(Table(here).history())
    assert table.to_arrow().equals(Table(here).to_arrow())


@pytest.mark.parametrize(
    "examples", [2, pytest.param(at_most(20), marks=pytest.mark.slow)], ids=["quick", "long"]
)
def test_random_histories(server: Server, folder: str, examples: int) -> None:
    """Those of ``tests/stateful``, against the same model."""

    class Machine(TableMachine):
        folder = Path()

        def make_storage(self) -> Storage:
            self.name = f"{place}/{uuid.uuid4().hex}"
            return self.another_storage()

        def another_storage(self) -> Storage:
            return server.storage(self.name)

    place = folder
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            derandomize=True,
            phases=[Phase.generate],
            **COMMON,
        ),
    )
