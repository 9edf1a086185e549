"""Makes the small tables that every later release must read: run once for each release.

    python -m tests.compat.make

They go to ``tables/<version>/`` and are committed. Tables of a release are never made again; those of a
development version are, when the format changed before its release. What they hold is kept beside them, as
Arrow files and JSON that atio has no part in reading.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa

import atio
from atio import Table
from atio.errors import UnsupportedError
from atio.formats import get_format
from atio.formats.cases import TYPE_CASES
from atio.storage import LocalStorage

TABLES = Path(__file__).with_name("tables")
CLOCK = 1_700_000_000_000_000
"""Microseconds: versions are a second apart from here on."""
FORMATS = ("arrow", "csv", "jsonl", "orc")
ROWS = 4


def main() -> None:
    place = TABLES / atio.__version__
    if place.exists():
        if "dev" not in atio.__version__:
            sys.exit(f"{place} is there: tables of a release are not made again")
        shutil.rmtree(place)
    history(place / "history")
    changes(place / "changes")
    types(place / "types")
    frames(place / "pandas")
    for name in FORMATS:
        other_format(place / name, name)
    newer(place / "newer")
    for name in (".lock", "leases", "requests"):
        for left in place.rglob(name):
            left.unlink() if left.is_file() else shutil.rmtree(left)


class Clock:
    def __init__(self) -> None:
        self.now = CLOCK

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now


def opened(place: Path) -> Table:
    place.mkdir(parents=True, exist_ok=True)
    return Table(LocalStorage(place, durable=False), clock=Clock())


# -- one of everything that a history can have -----------------------------------------------------


def history(place: Path) -> None:
    table = opened(place)
    for i in range(10):  # eight of them are merged; words and a type come up later
        words = pa.array([f"w{i}", None, "w"]).dictionary_encode()
        last = pa.nulls(3) if i < 4 else pa.array([i, None, -i])
        table.append(
            pa.table({"id": [3 * i, 3 * i + 1, 3 * i + 2], "word": words, "late": last}), token=f"t{i}"
        )
    table.tag("ten", message="ten appends")
    table.tag("dropped", 3)
    table.untag("dropped")
    table.set_properties({"user.owner": "ünï", "append.merge": "false"})
    columns = {"name": ["a", "b"], "id": [0.5, float("nan")], "n": [{"x": [1, 2]}, None]}
    table.overwrite(pa.table(columns), message="other columns")
    for i in range(14):  # enough for a manifest
        table.append(pa.table({"name": [f"n{i}"], "id": [float(i)], "n": [{"x": [i]}]}))
    table.restore("ten", message="back")
    table.append(pa.table({"id": [99], "word": ["new"], "late": [99]}), token="after")
    # Versions 1 to 9 go, but for one: gaps, and a piece of the index.
    table.tag("three", 3)
    moment = table.snapshot(9).time
    table.expire(moment)
    table.vacuum(timedelta(0))
    told = {"tags": table.tags, "properties": table.properties, "tokens": {f"t{i}": i + 1 for i in range(10)}}
    told["versions"] = versions(table)
    write(place, told)


def versions(table: Table) -> list[dict[str, object]]:
    """All that a user sees of each version, as JSON."""
    return [
        {
            "version": s.version, "operation": s.operation, "message": s.message, "token": s.token,
            "time": s.time.isoformat(), "columns": s.schema.names, "types": [str(t) for t in s.schema.types],
            "rows": [repr(row) for row in s.to_arrow().to_pylist()],
        }
        for s in table.history()
    ]  # fmt: skip


def sold(*days: int) -> pa.Table:
    """A row for each day since 1970."""
    prices = pa.array([float(day % 5) for day in days], pa.float64())
    return pa.table({"id": pa.array(days, pa.int64()), "day": pa.array(days, pa.date32()), "price": prices})


def changes(place: Path) -> None:
    """A key, partitions, an order and a check; deleted, updated and replaced rows; branches."""
    place.mkdir(parents=True)
    table = opened(place)
    Table.create(
        place, sold().schema, key="id", partition_by=["month(day)", "bucket(2, id)"], sort_by=["price"],
        checks={"no gifts": "price >= 0"}, properties={"append.merge": "false"}, durable=False,
    )  # fmt: skip
    table.append(sold(*range(60)))
    table.delete("id % 7 = 3")
    table.update({"price": 4.5}, "id between 10 and 20")
    table.upsert(sold(3, 4, 61))
    kept, moved = table.create_branch("kept"), table.create_branch("moved")
    kept.delete("day < '1970-02-01'")
    moved.append(sold(70))
    table.append(sold(80))
    table.merge_branch("moved")
    told = {"versions": versions(table), "branches": {"kept": versions(kept), "moved": versions(moved)}}
    write(place, told)


def write(place: Path, told: object) -> None:
    place.with_suffix(".json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


# -- every type ------------------------------------------------------------------------------------


def types(place: Path) -> None:
    whole = pa.table(dict(_columns()))
    opened(place).append(whole)
    options = pa.ipc.IpcWriteOptions(compression="zstd", unify_dictionaries=True)
    path = str(place.with_suffix(".arrow"))
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, whole.schema, options=options) as file:
        file.write_table(whole)


def _columns() -> Iterator[tuple[str, pa.ChunkedArray]]:
    """What Parquet and Arrow's own files both hold, a few rows of each."""
    for name, array in TYPE_CASES.items():
        if len(array) and _kept(array):
            times = -(-ROWS // len(array))
            column = pa.chunked_array([array] * times).slice(0, ROWS)
            yield name, column


def _kept(array: pa.Array) -> bool:
    try:
        get_format("parquet").check(pa.schema([("x", array.type)]))
    except UnsupportedError:
        return False
    return True


# -- frames, and formats ---------------------------------------------------------------------------


def frame() -> pd.DataFrame:
    """What pandas has and Arrow has not."""
    index = pd.MultiIndex.from_arrays([["a", "a", "b"], [1, 2, 1]], names=["letter", None])
    made = pd.DataFrame(
        {
            "size": pd.Categorical(["s", "l", None], ["s", "m", "l"], ordered=True),
            "when": pd.to_datetime([1, 2, 3], unit="s", utc=True).tz_convert("Europe/Berlin"),
            "whole": pd.array([1, None, 3], "Int16"),
            "long": pd.to_timedelta([1, 2, None], unit="us"),
        },
        index=index,
    )
    made.attrs = {"unit": "m"}
    return made


def frames(place: Path) -> None:
    table = opened(place)
    table.append(frame())
    table.overwrite(pd.DataFrame({"x": [1.5, 2.5]}, index=pd.RangeIndex(10, 20, 5, name="step")))
    table.append(pd.DataFrame({"x": [3.5]}, index=pd.RangeIndex(20, 25, 5, name="step")))


def simple() -> pa.Table:
    """Values that every format keeps."""
    return pa.table(
        {
            "id": pa.array([1, None, -(2**63)]),
            "text": ["a,\n\"b'", None, ""],
            "x": [float("inf"), -0.0, 5e-324],
            "when": pa.array([0, None, 1_700_000_000_000_001], pa.timestamp("us", "UTC")),
            "price": pa.array([Decimal("1.50"), None, Decimal("-99999.99")], pa.decimal128(7, 2)),
            "raw": [b"\x00\xff", b"", None],
            "word": pa.array(["x", "y", None]).dictionary_encode(),
        }
    )


def other_format(place: Path, format: str) -> None:
    table = Table.create(place, simple().schema, format=format, durable=False)
    table.append(simple())
    table.append(simple().slice(1))


def newer(place: Path) -> None:
    """A table of a format that there is not yet: all that is known of it is how its pointer begins."""
    place.mkdir(parents=True)
    (place / "current").write_text('{"format_version":2,"layout":"nobody knows"}\nnor this\n')
    (place / "metadata").mkdir()
    (place / "metadata" / "log.bin").write_bytes(b"\x00\x01")


if __name__ == "__main__":
    main()
