"""Polars ↔ Arrow.

Frames leave Polars at its oldest compatibility level: text as ``large_string`` instead of views, which is
what pandas' ``str`` becomes too, so that both append to one table without casts. Enum and Categorical are
dictionaries whose field metadata name the Polars type; nothing else needs a note.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from atio.errors import MissingDependencyError, UnsupportedError
from atio.frames.base import Incoming, check_names, empty_columns

_WITHOUT_ARROW_TYPE = ("Object", "Int128", "UInt128", "Unknown")


def is_series(obj: object) -> bool:
    """Recognise a Polars Series without importing Polars."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(obj, polars.Series)


def from_polars(obj: Any) -> Incoming | None:
    """Take a Polars DataFrame, Series or LazyFrame; None when ``obj`` is none of these."""
    polars = sys.modules.get("polars")
    if polars is None or not hasattr(polars, "LazyFrame"):
        return None
    if isinstance(obj, polars.Series):
        obj = obj.to_frame()
    if isinstance(obj, polars.DataFrame):
        return Incoming.of(_to_arrow(obj))
    if isinstance(obj, polars.LazyFrame):
        return _from_lazy(obj)
    return None


def _from_lazy(frame: Any) -> Incoming:
    """Run the query in Polars' streaming engine, batch by batch."""
    import polars as pl

    if not hasattr(frame, "collect_batches"):
        raise MissingDependencyError(
            f"Polars {pl.__version__} cannot stream a LazyFrame in batches",
            hint="update Polars, or hand over lazy_frame.collect()",
        )
    schema = _to_arrow(pl.DataFrame(schema=frame.collect_schema())).schema

    def tables() -> Iterator[pa.Table]:
        for batch in frame.collect_batches(lazy=True, engine="streaming"):
            if batch.height:
                yield _to_arrow(batch)

    return Incoming(schema, tables(), rows=None, streamed=True)


def column(series: Any, name: str) -> tuple[pa.ChunkedArray, pa.Field]:
    """Convert a Series; the field carries the Polars type."""
    table = _to_arrow(series.alias(name).to_frame())
    return table.column(0), table.field(0)


def _to_arrow(frame: Any) -> pa.Table:
    import polars as pl

    check_names(frame.columns)
    for name, dtype in frame.schema.items():
        _check_dtype(name, dtype, dtype)
    if not frame.columns:
        return empty_columns(frame.height)
    try:
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    except pa.ArrowException as error:
        raise UnsupportedError(
            f"Polars cannot hand this frame to Arrow: {error}",
            hint="cast the column the message speaks of to a type Arrow has",
        ) from error


def _check_dtype(name: str, dtype: Any, whole: Any) -> None:
    """Refuse what Polars would hand over wrongly: an Object column arrives as raw pointers."""
    if str(dtype.base_type()) in _WITHOUT_ARROW_TYPE:
        raise UnsupportedError(
            f"Polars type {whole} has no Arrow type",
            column=name,
            hint="cast it first: Int128 to Int64, Decimal or String; Object to a real type",
        )
    for field in getattr(dtype, "fields", ()):
        _check_dtype(name, field.dtype, whole)
    for inner in ("inner", "key", "value"):
        child = getattr(dtype, inner, None)
        if child is not None and hasattr(child, "base_type"):
            _check_dtype(name, child, whole)


def to_polars(table: pa.Table) -> Any:
    """Convert to a ``polars.DataFrame``.

    Everything Polars itself wrote comes back with its exact type. Of Arrow's other types, units of seconds
    become milliseconds, ``date64`` a Date, fixed-size binary Binary, a dictionary of anything but text its
    values, an offset from UTC the zone UTC; every value stays what it was. The columns of a pandas index are
    ordinary columns.

    Raises
    ------
    MissingDependencyError
        Polars is not installed.
    UnsupportedError
        A column's type has no counterpart in Polars.
    """
    try:
        import polars as pl
    except ImportError as error:
        raise MissingDependencyError("Polars is not installed", hint='pip install "atio[polars]"') from error
    if not table.num_columns:
        return _no_columns(table.num_rows)
    readable = _readable(table.replace_schema_metadata(None))
    try:
        frame = pl.from_arrow(readable, rechunk=False)
    except (pl.exceptions.PolarsError, pa.ArrowException, TypeError, ValueError) as error:
        raise _refused(readable, error) from error
    if frame.columns != table.column_names:  # Polars makes up a name for a column without one
        frame.columns = table.column_names
    return frame


def _refused(table: pa.Table, error: Exception) -> UnsupportedError:
    """Find the column that Polars does not take."""
    import polars as pl

    for name in table.column_names:
        try:
            pl.from_arrow(table.select([name]))
        except Exception as own:  # noqa: BLE001 whatever it is, this is the column
            return _unreadable(name, table.schema.field(name).type, own)
    return UnsupportedError(f"Polars cannot read this table: {error}", hint="use to_arrow()")


def _unreadable(name: str, kind: pa.DataType, reason: object) -> UnsupportedError:
    return UnsupportedError(
        f"Polars cannot read {kind}: {reason}",
        column=name,
        hint="leave the column out with columns=, or use to_arrow()",
    )


def _no_columns(rows: int) -> Any:
    import polars as pl

    try:
        return pl.DataFrame(height=rows)
    except TypeError:  # Polars before frames had a height without columns
        return pl.DataFrame()


def _readable(table: pa.Table) -> pa.Table:
    """Cast what Polars would not read, or would read with other values."""
    for i, field in enumerate(table.schema):
        try:
            wanted = _equivalent(field.type)
            if wanted != field.type:
                table = table.set_column(i, field.with_type(wanted), _cast(table.column(i), wanted))
        except UnsupportedError as error:
            raise error.at(column=field.name) from error
        except pa.ArrowException as error:
            raise _unreadable(field.name, field.type, error) from error
    return table


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_run_end_encoded(column.type):
        import pyarrow.compute as pc

        column = pc.run_end_decode(column)
    return column.cast(wanted)


def _equivalent(kind: pa.DataType) -> pa.DataType:
    """Return the type to hand to Polars: the type itself where it reads it as it is."""
    is_ = pa.types
    if is_.is_struct(kind):
        return pa.struct([field.with_type(_equivalent(field.type)) for field in kind])
    if is_.is_map(kind):
        return pa.map_(_equivalent(kind.key_type), kind.item_field.with_type(_equivalent(kind.item_type)))
    if is_.is_run_end_encoded(kind):
        return _equivalent(kind.value_type)
    build = _LISTS.get(kind.id)
    if build is not None:
        return build(kind, kind.value_field.with_type(_equivalent(kind.value_type)))
    return _decimal(kind) if is_.is_decimal(kind) else _leaf(kind)


_LISTS: dict[int, Callable[[pa.DataType, pa.Field], pa.DataType]] = {
    pa.list_(pa.null()).id: lambda _, item: pa.list_(item),
    pa.large_list(pa.null()).id: lambda _, item: pa.large_list(item),
    pa.list_view(pa.null()).id: lambda _, item: pa.list_(item),
    pa.large_list_view(pa.null()).id: lambda _, item: pa.large_list(item),
    pa.list_(pa.null(), 1).id: lambda kind, item: pa.list_(item, kind.list_size),
}


def _leaf(kind: pa.DataType) -> pa.DataType:
    is_ = pa.types
    if is_.is_timestamp(kind):
        # Polars knows zones by name only; an offset is the same instants in UTC.
        zone = "UTC" if kind.tz and kind.tz[0] in "+-" else kind.tz
        return pa.timestamp("ms" if kind.unit == "s" else kind.unit, zone)
    if is_.is_duration(kind):
        return pa.duration("ms" if kind.unit == "s" else kind.unit)
    if is_.is_date64(kind):
        return pa.date32()
    if is_.is_fixed_size_binary(kind):
        return pa.binary()
    return kind


def _decimal(kind: pa.DataType) -> pa.DataType:
    """Fit the decimal into 38 digits; Polars' reader stops the process' work on wider ones."""
    precision, scale = kind.precision - min(kind.scale, 0), max(kind.scale, 0)
    if precision > 38:
        raise UnsupportedError(
            f"Polars has no type for {kind}", hint="leave the column out with columns=, or use to_arrow()"
        )
    narrow = kind.bit_width < 128 and kind.scale >= 0
    return kind if narrow else pa.decimal128(precision, scale)
