"""Avro, by fastavro; Polars writes its own frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import types as pt

from atio.errors import InputError, UnsupportedError
from atio.writers.base import Progress
from atio.writers.cells import Function, Native
from atio.writers.failures import calling, missing
from atio.writers.files import Cells, Draft, FileWriter, for_frames
from atio.writers.kinds import Kind, kind_of
from atio.writers.sources import Readers, Source, by_function, by_library

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROWS = 4096

Schema = dict[str, Any] | list[Any] | str


# -- the schema --------------------------------------------------------------------------------------


def avro_schema(schema: pa.Schema) -> dict[str, Any]:
    """The Avro schema of a table; every nullable column is a union with null.

    Raises
    ------
    UnsupportedError
        A column's type has no counterpart, or its name is none in Avro.
    """
    return {"type": "record", "name": "root", "fields": [_field(field, field.name) for field in schema]}


def _field(field: pa.Field, path: str) -> dict[str, Any]:
    if not _NAME.fullmatch(field.name):
        raise UnsupportedError(
            f"the name {field.name!r} is none in Avro",
            column=path,
            hint="rename it: letters, digits and underscores, no digit first",
        )
    found: dict[str, Any] = {"name": field.name, "type": _type(field.type, path)}
    if field.nullable and found["type"] != "null":
        found |= {"type": ["null", found["type"]], "default": None}
    return found


def _type(kind: pa.DataType, path: str) -> Schema:
    if pt.is_timestamp(kind):
        unit = "millis" if kind.unit in ("s", "ms") else "micros"
        return {"type": "long", "logicalType": f"timestamp-{unit}" if kind.tz else f"local-timestamp-{unit}"}
    for test, plain in _PLAIN:
        if test(kind):
            return plain
    for test, make in _MADE:
        if test(kind):
            return make(kind, path)
    raise UnsupportedError(
        f"a column of {kind} does not fit into Avro",
        column=path,
        hint="cast it to a type Avro has, or write parquet or arrow",
    )


def _optional(field: pa.Field, path: str) -> Schema:
    kind = _type(field.type, path)
    return ["null", kind] if field.nullable and kind != "null" else kind


def _decimal(kind: pa.DataType, path: str) -> Schema:
    if kind.scale < 0:
        raise UnsupportedError(f"a column of {kind} does not fit into Avro", column=path, hint="rescale it")
    return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}


def _fixed(kind: pa.DataType, path: str) -> Schema:
    return {"type": "fixed", "size": kind.byte_width, "name": f"fixed_{_as_name(path)}"}


def _record(kind: pa.DataType, path: str) -> Schema:
    fields = [_field(field, f"{path}.{field.name}") for field in kind]
    return {"type": "record", "name": f"record_{_as_name(path)}", "fields": fields}


def _map(kind: pa.DataType, path: str) -> Schema:
    if not _is_text(kind.key_type):
        raise UnsupportedError("the keys of an Avro map are text", column=path)
    return {"type": "map", "values": _optional(kind.item_field, f"{path}.value")}


def _as_name(path: str) -> str:
    return path.replace("_", "__").replace(".", "_")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    tests = (pt.is_list, pt.is_large_list, pt.is_fixed_size_list, pt.is_list_view, pt.is_large_list_view)
    return any(test(kind) for test in tests)


def _is_int(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) and kind.bit_width <= (16 if pt.is_unsigned_integer(kind) else 32))


_PLAIN: tuple[tuple[Callable[[pa.DataType], bool], Schema], ...] = (
    (pt.is_null, "null"),
    (pt.is_boolean, "boolean"),
    (_is_int, "int"),
    (pt.is_integer, "long"),
    (pt.is_float64, "double"),
    (pt.is_floating, "float"),
    (_is_text, "string"),
    (_is_bytes, "bytes"),
    (pt.is_date, {"type": "int", "logicalType": "date"}),
    (pt.is_time32, {"type": "int", "logicalType": "time-millis"}),
    (pt.is_time64, {"type": "long", "logicalType": "time-micros"}),
)
_MADE: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType, str], Schema]], ...] = (
    (pt.is_fixed_size_binary, _fixed),
    (pt.is_decimal, _decimal),
    (pt.is_dictionary, lambda kind, path: _type(kind.value_type, path)),
    (_is_list, lambda kind, path: {"type": "array", "items": _optional(kind.value_field, f"{path}.item")}),
    (pt.is_map, _map),
    (pt.is_struct, _record),
)


# -- the values --------------------------------------------------------------------------------------


def _values(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as fastavro takes them."""
    columns = [_column(column, name) for name, column in zip(table.column_names, table.columns, strict=True)]
    names = table.column_names
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _column(column: pa.ChunkedArray, name: str) -> list[Any]:
    kind = column.type
    try:
        if pt.is_timestamp(kind) and kind.unit == "ns":
            column = column.cast(pa.timestamp("us", kind.tz))
        if pt.is_time64(kind) and kind.unit == "ns":
            column = column.cast(pa.time64("us"))
        if pt.is_uint64(kind):
            column = column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise InputError(
            f"a value of the column {name!r} ({kind}) does not fit into Avro: {error}",
            column=name,
            hint="round it first, or write parquet or arrow",
        ) from error
    found: list[Any] = column.to_pylist(maps_as_pydicts="strict")
    return found


def _write(
    obj: Any,
    draft: Draft,
    progress: Progress,
    *,
    codec: str = "deflate",
    codec_compression_level: int | None = None,
    sync_interval: int = 16000,
    metadata: dict[str, str] | None = None,
    schema: dict[str, Any] | None = None,
) -> None:
    try:
        import fastavro
    except ImportError as error:
        raise missing("fastavro", "avro") from error
    from atio.writers.rows import rows_of

    source = rows_of(obj, kind_of(obj))
    progress.expect(source.rows)
    parsed = fastavro.parse_schema(schema or avro_schema(source.schema))
    with calling("fastavro.writer", draft.url):
        writer = fastavro.write.Writer(
            draft.file,
            parsed,
            codec,
            sync_interval=sync_interval,
            metadata=metadata,
            compression_level=codec_compression_level,
        )
    for table in source.tables:
        for start in range(0, table.num_rows, _ROWS):
            with calling("fastavro.writer", draft.url):
                for row in _values(table.slice(start, _ROWS)):
                    writer.write(row)
            progress.advance(min(_ROWS, table.num_rows - start))
    with calling("fastavro.writer", draft.url):
        writer.flush()


def _opened(source: Source) -> Any:
    try:
        import fastavro
    except ImportError as error:
        raise missing("fastavro", "avro") from error
    return fastavro.reader(source.file)


def _read_records(source: Source) -> Any:
    return list(_opened(source))


def _read_arrow(source: Source) -> pa.Table:
    reader = _opened(source)
    names = [field["name"] for field in reader.writer_schema["fields"]]
    records = list(reader)
    return pa.table({name: pa.array([record[name] for record in records]) for name in names})


def _read_pandas(source: Source) -> Any:
    from atio.frames import to_pandas

    return to_pandas(_read_arrow(source))


_CELL = Function("fastavro.writer", _write, label="Arrow", streams=True)


class AvroWriter(FileWriter):
    """Apache Avro."""

    formats = ("avro",)
    suffixes = (".avro",)
    needs = ("fastavro",)
    cells: ClassVar[Cells] = for_frames(
        _CELL,
        {
            Kind.POLARS: Native("polars", "write_avro"),
        },
    )
    readers: ClassVar[Readers] = {
        "pandas": by_function("fastavro.reader", _read_pandas),
        "polars": by_library("polars", "read_avro"),
        "arrow": by_function("fastavro.reader", _read_arrow),
        "python": by_function("fastavro.reader", _read_records),
    }
