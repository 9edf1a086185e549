"""A scan in DuckDB: its own Parquet reader over the data files, or a stream of the scan's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from pyarrow import types as pt

from atio.errors import InputError, MissingDependencyError, UnsupportedError
from atio.predicate.render import quoted
from atio.table.doors.native import Native, may_hold_nan, native

if TYPE_CHECKING:
    import duckdb

    from atio.table.doors.rows import Rows
    from atio.table.scan import Scan

_TAKEN = frozenset(
    {
        pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
        pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.string_view(),
        pa.binary(), pa.large_binary(), pa.binary_view(), pa.date32(), pa.time64("us"), pa.timestamp("us"),
        pa.timestamp("ns"),
    }
)  # fmt: skip
_GLOB = frozenset("*?[")


class Files(msgspec.Struct, frozen=True):
    """Verified files, and the query by which DuckDB reads the scan's rows from them."""

    paths: tuple[str, ...]
    query: str


def library() -> Any:
    """DuckDB, if it is installed."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingDependencyError("DuckDB is not installed", hint='pip install "atio[duckdb]"') from error
    return duckdb


def relation(scan: Scan, connection: duckdb.DuckDBPyConnection | None) -> duckdb.DuckDBPyRelation:
    """See ``Scan.to_duckdb``."""
    duckdb = library()
    if connection is None:
        connection = duckdb.default_connection()
    elif not isinstance(connection, duckdb.DuckDBPyConnection):
        raise InputError(f"{connection!r} is no connection of DuckDB", hint="duckdb.connect(…) makes one")
    found = source(scan)
    return connection.sql(found.query) if isinstance(found, Files) else connection.from_arrow(found)


def source(scan: Scan) -> Files | Rows:
    """What DuckDB reads the scan from.

    Raises
    ------
    UnsupportedError
        A column's name or type has no counterpart in DuckDB.
    DamagedError
        A data file is missing or is not what was written.
    """
    with scan.located():
        return _source(scan)


def _source(scan: Scan) -> Files | Rows:
    names = scan.schema.names
    if not names:
        raise UnsupportedError("DuckDB has no tables without columns")
    if alike := _alike(names):
        raise UnsupportedError(
            f"DuckDB does not tell {alike[0]!r} from {alike[1]!r}", hint="scan one of the two: columns=[…]"
        )
    if not _alike(scan.bound.arrow.names) and "" not in names:
        found = native(scan, _taken)
        if found is not None and _trusted(found):
            try:
                return Files(found.paths, _query(scan, found))
            except UnsupportedError:
                pass  # a condition that DuckDB would decide in its own way
    _refuse_old(scan)
    from atio.table.doors.rows import Rows

    return Rows(scan)


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _alike(names: list[str]) -> tuple[str, str] | None:
    seen: dict[bytes, str] = {}
    for name in names:
        other = seen.setdefault(name.encode().lower(), name)  # of ASCII letters only, as DuckDB does
        if other != name:
            return other, name
    return None


def _taken(kind: pa.DataType) -> bool:
    if pt.is_timestamp(kind) and kind.tz:
        return str(kind.unit) == "us"
    if pt.is_decimal(kind):
        return bool(kind.bit_width <= 128 and 0 <= kind.scale <= kind.precision)
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_map(kind):
        return True
    if pt.is_struct(kind):
        return bool(kind.num_fields)
    return kind in _TAKEN


def _trusted(found: Native) -> bool:
    """Whether DuckDB reads these files right.

    It skips row groups with NaN, and where it is told that there may be any (``can_have_nan``), it answers
    ``max(x)`` with NaN from statistics alone. Names of files are patterns to it.
    """
    return not found.nans and not any(_GLOB.intersection(path) for path in found.paths)


def _query(scan: Scan, found: Native) -> str:
    columns = "*" if scan.columns is None else ", ".join(map(identifier, scan.columns))
    files = ", ".join(map(quoted, found.paths))
    text = f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false)"  # noqa: S608 quoted
    if scan.condition is not None:
        text += f" WHERE {scan.condition.to_sql()}"
    return text if scan.limit is None else f"{text} LIMIT {scan.limit}"


def _refuse_old(scan: Scan) -> None:
    """DuckDB 1 evaluates conditions on streams as Arrow does, for which NaN is not above all numbers."""
    version = library().__version__
    if version.split(".")[0] in ("0", "1") and may_hold_nan(list(scan.files()), scan.bound):
        raise MissingDependencyError(
            f"DuckDB {version} loses rows with NaN here", hint='pip install -U "duckdb>=2"'
        )
