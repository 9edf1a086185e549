"""What becomes of each Arrow type in each database: the table of ``docs/databases.md``.

``python -m tests.databases.roundtrip`` writes it anew, from what the databases really do.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import starmap
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa

from atio.errors import InputError
from atio.writers.sql import read_sql, write_table
from tests.databases import servers
from tests.databases.places import DuckdbPlace, MariadbPlace, Place, PostgresqlPlace, SqlitePlace

PAGE = Path(__file__).parents[2] / "docs" / "databases.md"
KINDS = ("sqlite", "duckdb", "postgresql", "mariadb")
BEGIN, END = "<!-- types: begin -->\n", "<!-- types: end -->\n"


def _ints(bits: int, *, signed: bool) -> list[int]:
    return [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1]


MOMENT = datetime(2024, 2, 29, 23, 59, 59, 123_456)
NESTED = pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))])

CASES: dict[str, pa.Array] = {
    "bool": pa.array([True, False]),
    **{f"int{bits}": pa.array(_ints(bits, signed=True), f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": pa.array(_ints(bits, signed=False), f"uint{bits}") for bits in (8, 16, 32, 64)},
    "float32": pa.array([0.1, -3.4028234663852886e38], pa.float32()),
    "float64": pa.array([0.1, -1.7976931348623157e308, 5e-324], pa.float64()),
    "float64: infinity": pa.array([float("inf"), float("-inf")]),
    "float64: NaN": pa.array([1.0, float("nan")]),
    "decimal128(10, 2)": pa.array([Decimal("-12345678.90"), Decimal("0.01")], pa.decimal128(10, 2)),
    "decimal128(38, 10)": pa.array(
        [Decimal("1234567890123456789012345678.0123456789")], pa.decimal128(38, 10)
    ),
    "decimal256(50, 10)": pa.array([Decimal("9" * 40 + ".0000000001")], pa.decimal256(50, 10)),
    "string": pa.array(["", "é 表 \N{GRINNING FACE}", "'\"\\\t\n%,;"]),
    "binary": pa.array([b"", b"\x00\xff\\x'"]),
    "dictionary of string": pa.array(["a", "b", "a"]).dictionary_encode(),
    "uuid": pa.array([bytes(range(16))], pa.uuid()),
    "date32": pa.array([date(1900, 2, 28), date(9999, 12, 31)]),
    "time64[us]": pa.array([time(0), time(23, 59, 59, 999_999)], pa.time64("us")),
    "timestamp[s]": pa.array([MOMENT.replace(microsecond=0)], pa.timestamp("s")),
    "timestamp[us]": pa.array([MOMENT, datetime(1900, 1, 1)], pa.timestamp("us")),
    "timestamp[ns]": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
    "timestamp[us] with zone": pa.array([MOMENT.replace(tzinfo=UTC)], pa.timestamp("us", "Europe/Berlin")),
    "duration[us]": pa.array([timedelta(days=-400, microseconds=1), timedelta(hours=900)], pa.duration("us")),
    "list of int64": pa.array([[1, None], []]),
    "struct": pa.array([{"a": 1, "b": ["x", None]}, {"a": None, "b": None}], NESTED),
    "map of string to float64": pa.array([[("x", 1.5)]], pa.map_(pa.string(), pa.float64())),
    "null": pa.nulls(1),
}


def outcome(place: Place, name: str) -> str:
    """The column's type in the database and what comes back: a cell of the table."""
    values = CASES[name]
    rows = pa.table({"i": range(len(values) + 1), "x": pa.concat_arrays([values, pa.nulls(1, values.type)])})
    try:
        write_table(rows, "t", place.con, if_exists="replace")
    except InputError:
        return "*refused*"
    found = read_sql("SELECT * FROM t ORDER BY i", place.con).read_all()["x"]
    declared = DECLARED[place.kind](place)
    kind, same = short(found.type), equal(found.to_pylist(), rows["x"].to_pylist())
    if same and found.type == values.type:
        kind = "exact"
    elif pa.types.is_nested(values.type):
        kind = "JSON as text"
    return f"`{declared}` → {kind if same else '*other values*'}"


def equal(found: list[Any], wanted: list[Any]) -> bool:
    return all(starmap(_equal, zip(found, wanted, strict=True)))


def _equal(one: Any, other: Any) -> bool:
    """Equal as values; NaN is itself, and what comes back as another type means the same."""
    if isinstance(other, list) and other and isinstance(other[0], tuple) and isinstance(one, str):
        other = dict(other)
    if isinstance(one, str) and isinstance(other, list | dict):
        return json.loads(one) == other
    if isinstance(one, str) and isinstance(other, UUID):
        return one == str(other)
    if isinstance(one, int) and isinstance(other, timedelta):
        return timedelta(microseconds=one) == other
    return one == other or (one != one and other != other)


def short(kind: pa.DataType) -> str:
    text = str(kind)
    return text.replace("double", "float64").replace("[us, tz=UTC]", "[us] in UTC")


def _declared_mariadb(place: Place) -> str:
    return next(row[1] for row in place.sql("SHOW COLUMNS FROM t") if row[0] == "x")


def _declared_sqlite(place: Place) -> str:
    return next(row[2] for row in place.sql("PRAGMA table_info(t)") if row[1] == "x")


def _declared_duckdb(place: Place) -> str:
    return next(row[1] for row in place.sql("DESCRIBE t") if row[0] == "x")


def _declared_postgresql(place: Place) -> str:
    return place.sql(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 't'::regclass AND attname = 'x'"
    )[0][0]


DECLARED: dict[str, Callable[[Place], str]] = {
    "sqlite": _declared_sqlite,
    "duckdb": _declared_duckdb,
    "postgresql": _declared_postgresql,
    "mariadb": _declared_mariadb,
}


def on_page() -> dict[str, dict[str, str]]:
    """The table of the page: cells by kind and case."""
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line]
    return {kind: {line[0]: line[i + 1] for line in lines[2:]} for i, kind in enumerate(KINDS)}


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places: list[Place] = [
            SqlitePlace(folder),
            DuckdbPlace(folder),
            PostgresqlPlace(stack.enter_context(servers.postgresql()), "roundtrip"),
            MariadbPlace(stack.enter_context(servers.mariadb()), "roundtrip"),
        ]
        lines = ["| Arrow | SQLite | DuckDB | PostgreSQL | MariaDB |", "| --- | --- | --- | --- | --- |"]
        lines += [f"| {' | '.join([name, *(outcome(place, name) for place in places)])} |" for name in CASES]
        for place in places:
            place.close()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(
        before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + rest.partition(END)[2], encoding="utf-8"
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
