"""Rows → columns of exactly the types a table has, or an error that names the column and the row."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from atio.errors import SchemaError, UnsupportedError, meant
from atio.schema.cast import cast, castable
from atio.writers.sql.base import Column

t = pa.types


def matched(columns: Sequence[Column], names: Sequence[str], table: str) -> tuple[Column, ...]:
    """Find the columns that the data have, in the order of the data.

    Raises
    ------
    SchemaError
        The table lacks one of them.
    """
    known = {column.name: column for column in columns}
    for name in names:
        if name not in known:
            raise SchemaError(
                f"table {table!r} has no column {name!r}",
                column=name,
                hint=meant(name, known) or f"its columns are {', '.join(known)}",
            )
    return tuple(known[name] for name in names)


def plain(kind: pa.DataType) -> pa.DataType:
    """The type without what only Arrow knows: encodings, sizes of offsets, extensions."""
    if isinstance(kind, pa.UuidType):
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        return plain(kind.storage_type)
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        return plain(kind.value_type)
    if t.is_large_string(kind) or t.is_string_view(kind):
        return pa.string()
    if t.is_large_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind):
        return pa.binary()
    if t.is_float16(kind):
        return pa.float32()
    if t.is_date64(kind):
        return pa.date32()
    if t.is_time(kind) and kind.unit != "ns":
        return pa.time64("us")
    if t.is_decimal(kind) and (kind.scale < 0 or kind.scale > kind.precision):
        scale = max(kind.scale, 0)
        precision = max(kind.precision - min(kind.scale, 0), scale)
        return (pa.decimal128 if precision <= 38 else pa.decimal256)(min(precision, 76), scale)
    return kind


class Floats(msgspec.Struct, frozen=True):
    """What becomes of floats that are no numbers."""

    nan_to_null: bool = False
    nan: bool = True
    infinity: bool = True


def fit(rows: pa.Table, columns: Sequence[Column], first: int, floats: Floats) -> pa.Table:
    """Give each column of ``rows`` the type of the one it goes into.

    Parameters
    ----------
    columns
        One for each column of ``rows``, by position.
    first
        The number of the first row, for messages.
    """
    fitted = []
    for found, column in zip(rows.columns, columns, strict=True):
        values = decoded(found)
        if t.is_floating(values.type):
            values = _storable(values, column.name, first, floats)
        fitted.append(_converted(values, column, first))
    return pa.Table.from_arrays(fitted, names=[column.name for column in columns])


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with its :func:`plain` type."""
    kind = column.type
    if isinstance(kind, pa.UuidType):
        from uuid import UUID

        texts = [
            [None if v is None else str(UUID(bytes=v)) for v in c.storage.to_pylist()] for c in column.chunks
        ]
        return pa.chunked_array(texts, pa.string())
    if isinstance(kind, pa.BaseExtensionType):
        return decoded(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if t.is_dictionary(kind):
        return decoded(pa.chunked_array([c.dictionary_decode() for c in column.chunks], kind.value_type))
    if t.is_run_end_encoded(kind):
        import pyarrow.compute as pc

        return decoded(pa.chunked_array([pc.run_end_decode(c) for c in column.chunks], kind.value_type))
    wanted = plain(kind)
    return column if wanted == kind else column.cast(wanted)


def _storable(values: pa.ChunkedArray, name: str, first: int, floats: Floats) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    if floats.nan_to_null:
        found = pc.is_nan(values)
        if pc.any(found).as_py():
            values = pc.if_else(found, pa.scalar(None, values.type), values)
    for held, test, word, hint in (
        (floats.nan or floats.nan_to_null, pc.is_nan, "NaN", "pass nan_to_null=True, or fill it"),
        (floats.infinity, pc.is_inf, "an infinity", "replace it"),
    ):
        row = -1 if held else pc.index(test(values), pa.scalar(True)).as_py()
        if row >= 0:
            raise SchemaError(
                f"column {name!r} has {word} in row {first + row}, which this database cannot hold",
                column=name,
                hint=hint,
            )
    return values


def _converted(values: pa.ChunkedArray, column: Column, first: int) -> pa.ChunkedArray:
    source, target = values.type, column.type
    if source == target:
        return values
    if t.is_nested(source) and t.is_string(target):
        check_json(source, column.name)
        return _exactly(_json, values, column, first)
    if column.opaque:
        return _exactly(pa.ChunkedArray.cast, values, column, first)
    if castable(source, target):
        return cast(values, pa.field(column.name, target), first)
    for applies, convert in _CONVERSIONS:
        if applies(source, target):
            return _exactly(convert, values, column, first)
    raise SchemaError(
        f"column {column.name!r} is {target} in the table and {source} in the data",
        column=column.name,
        hint=_ZONES if t.is_timestamp(source) and t.is_timestamp(target) else f"cast it to {target} first",
    )


_ZONES = "give the data a time zone, or take it away: an instant and a clock's reading are not the same"
_Convert = Callable[[Any, pa.DataType], Any]


def _exactly(convert: _Convert, values: pa.ChunkedArray, column: Column, first: int) -> pa.ChunkedArray:
    try:
        return convert(values, column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        row = next(i for i in range(len(values)) if not _fine(convert, values.slice(i, 1), column.type))
        raise SchemaError(
            f"column {column.name!r} is {column.type} in the table; {values[row].as_py()!r} in row "
            f"{first + row} of the data ({values.type}) would not come back as it is",
            column=column.name,
            hint="change the value, or convert the column yourself",
        ) from None


def _fine(convert: _Convert, values: pa.ChunkedArray, kind: pa.DataType) -> bool:
    try:
        convert(values, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _there_and_back(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    result = values.cast(kind)
    if not result.cast(values.type).equals(values):
        raise pa.ArrowInvalid("not the same")
    return result


def _through_text(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The decimal that a float's shortest digits spell."""
    return values.cast(pa.string()).cast(kind)


def _from_decimal(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    result = values.cast(kind)
    if not _through_text(result, values.type).equals(values):
        raise pa.ArrowInvalid("not the same")
    return result


def _microseconds(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return values.cast(pa.duration("us")).cast(kind)


def parsed(values: Any, kind: pa.DataType) -> Any:
    """Read an array's texts as values of a type; ISO 8601 for dates and times."""
    if t.is_binary(kind):
        raise pa.ArrowInvalid("text is no bytes")
    if t.is_time(kind):  # Arrow reads dates with times, but no times alone
        import pyarrow.compute as pc

        return pc.binary_join_element_wise("1970-01-01", values, " ").cast(pa.timestamp(kind.unit)).cast(kind)
    return values.cast(kind)


def _json(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        texts = [None if value is None else _dumps(value) for value in _objects(values)]
    except ValueError:
        raise pa.ArrowInvalid("JSON has no NaN and no infinity") from None
    return pa.chunked_array([pa.array(texts, kind)])


_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _objects(values: pa.ChunkedArray) -> list[Any]:
    objects: list[Any] = values.to_pylist(maps_as_pydicts="strict" if _has_map(values.type) else None)
    return objects


def _has_map(kind: pa.DataType) -> bool:
    return bool(t.is_map(kind)) or any(_has_map(kind.field(i).type) for i in range(kind.num_fields))


def check_json(kind: pa.DataType, column: str) -> None:
    """Refuse anything but numbers, text, booleans, lists, structs, and maps whose keys are text."""
    inner = plain(kind)
    fine = any(test(inner) for test in (t.is_boolean, t.is_integer, t.is_floating, t.is_string, t.is_null))
    if t.is_nested(inner):
        fine = not t.is_union(inner) and (not t.is_map(inner) or t.is_string(plain(inner.key_type)))
        for i in range(inner.num_fields if fine else 0):
            check_json(inner.field(i).type, column)
    if not fine:
        raise UnsupportedError(
            f"column {column!r} becomes JSON, which has no {inner}",
            column=column,
            hint="convert it to text first, or leave the column out",
        )


def _is_naive(kind: pa.DataType) -> bool:
    return bool(t.is_timestamp(kind)) and kind.tz is None


def _between(*pairs: tuple[Callable[[Any], bool], Callable[[Any], bool]]) -> Callable[[Any, Any], bool]:
    return lambda source, target: any(of(source) and to(target) for of, to in pairs)


#: Conversions beyond those of atio's own tables, which databases do for everybody: (when, how).
_CONVERSIONS: tuple[tuple[Callable[[Any, Any], bool], _Convert], ...] = (
    (_between((t.is_floating, t.is_decimal)), _through_text),
    (_between((t.is_decimal, t.is_floating)), _from_decimal),
    (_between((t.is_duration, t.is_int64)), _microseconds),
    (
        _between(
            (_is_naive, t.is_date),
            (t.is_date, _is_naive),
            (t.is_boolean, t.is_integer),
            (t.is_integer, t.is_boolean),
            (t.is_decimal, t.is_integer),
        ),
        _there_and_back,
    ),
    (lambda source, target: bool(t.is_string(source)) and not t.is_nested(target), parsed),
)
