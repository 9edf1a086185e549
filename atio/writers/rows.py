"""Any frame as Arrow tables of one schema: what writers take that encode Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as pt

from atio.errors import InputError, SchemaError
from atio.frames import Incoming, incoming
from atio.schema.cast import cast
from atio.writers.kinds import Kind

KEY = "key"
"""The column for the keys of a dict of records."""


def rows_of(obj: Any, kind: Kind) -> Incoming:
    """Turn a frame of any kind into tables that all have the schema of the first."""
    if isinstance(obj, pa.Table):
        return Incoming(obj.schema, iter((obj,)), obj.num_rows)
    if kind is Kind.RECORDS and isinstance(obj, Mapping):
        obj = _keyed(obj)
    found = incoming(obj)
    if not found.streamed:
        return found
    return Incoming(
        found.schema, _conform(found.tables, found.schema), found.rows, found.index, streamed=True
    )


def table_of(obj: Any, kind: Kind) -> Incoming:
    """Collect all rows into one table, for formats that are written at once."""
    found = rows_of(obj, kind)
    tables = list(found.tables)
    whole = pa.concat_tables(tables) if tables else found.schema.empty_table()
    return Incoming(whole.schema, iter((whole,)), whole.num_rows, found.index)


def _keyed(records: Mapping[Any, Mapping[Any, Any]]) -> list[dict[Any, Any]]:
    rows = []
    for key, record in records.items():
        if KEY in record:
            raise InputError(
                f"the keys of a dict of records become the column {KEY!r}, which the records have already",
                column=KEY,
                hint="hand over list(records.values())",
            )
        rows.append({KEY: key, **record})
    return rows


def _conform(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    row = 0
    for table in tables:
        yield table if table.schema.equals(schema) else _fitted(table, schema, row)
        row += table.num_rows


def _fitted(table: pa.Table, schema: pa.Schema, row: int) -> pa.Table:
    """Bring a later piece to the first one's columns, as long as no value changes."""
    extra = set(table.column_names) - set(schema.names)
    if extra:
        name = min(extra)
        raise SchemaError(
            f"the column {name!r} first appears in row {row}, when the file has its columns already",
            column=name,
            hint="give the first rows every column, with None where there is no value",
        )
    columns = []
    for field in schema:
        if field.name in table.column_names:
            columns.append(cast(table.column(field.name), field, row))
        else:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
    return pa.Table.from_arrays(columns, schema=schema)


# -- plain types -------------------------------------------------------------------------------------


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values themselves: no dictionary, no runs, no view, no extension."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pt.is_string_view(kind):
        return pa.large_string()
    return pa.large_binary() if pt.is_binary_view(kind) else kind


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values, of :func:`plain_type`."""
    kind = plain_type(column.type)
    if kind == column.type:
        return column
    return pa.chunked_array([_plain(chunk).cast(kind) for chunk in column.chunks], kind)


def _plain(chunk: pa.Array) -> pa.Array:
    if isinstance(chunk.type, pa.BaseExtensionType):
        return _plain(chunk.storage)
    if pt.is_dictionary(chunk.type):
        return _plain(chunk.dictionary_decode())
    return _plain(pc.run_end_decode(chunk)) if pt.is_run_end_encoded(chunk.type) else chunk
