"""Rows -> one file, whole or not at all."""

# Paths stay text, as in atio.storage.
# ruff: noqa: PTH105, PTH110, PTH112, PTH116, PTH118

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import types as pt

from atio.cli.textual import is_binary, spelled
from atio.errors import UnsupportedError
from atio.frames.gathering import gathered
from atio.frames.rows import lines
from atio.storage.failures import translating
from atio.storage.files import NewFile, patiently, sync_folder

_GROUP_ROWS = 2**20
_GROUP_BYTES = 128 * 2**20


class Out(Protocol):
    """Where bytes go."""

    def write(self, data: Any, /) -> Any: ...


class Writer(Protocol):
    """One file being encoded."""

    def write_batch(self, batch: pa.RecordBatch, /) -> object: ...

    def close(self) -> object: ...


# -- encoding ----------------------------------------------------------------------------------------


def encode(batches: Iterator[pa.RecordBatch], schema: pa.Schema, kind: str, out: Out) -> int:
    """Write batches to ``out``; returns the number of rows."""
    sink = _Sink(out)
    stored = _stored(schema, kind)
    writer = _WRITERS[kind](sink, stored)
    rows = 0
    for batch in _groups(batches) if kind in ("parquet", "orc") else batches:
        writer.write_batch(_as_stored(batch, stored))
        rows += batch.num_rows
    writer.close()
    return rows


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches gathered into row groups, which are slow to read when small."""
    return chain.from_iterable(map(_joined, gathered(batches, _GROUP_ROWS, _GROUP_BYTES)))


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    # A string column beyond 2 GiB does not combine into one chunk: then there are several.
    found: list[pa.RecordBatch] = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return found


def _stored(schema: pa.Schema, kind: str) -> pa.Schema:
    """The types that the file has; CSV knows fewer."""
    if kind not in ("csv", "tsv"):
        return schema
    fields = [f.with_type(_csv_type(f)) for f in schema]
    return pa.schema(fields)


def _csv_type(field: pa.Field) -> pa.DataType:
    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    if pt.is_dictionary(kind):
        kind = kind.value_type
    if is_binary(kind) or pt.is_string_view(kind):
        return pa.string()
    if pt.is_nested(kind) or pt.is_interval(kind) or pt.is_union(kind):
        raise UnsupportedError(
            f"column {field.name!r} ({field.type}) does not fit into CSV",
            column=field.name,
            hint="leave it out with --columns, or export to jsonl, parquet or arrow",
        )
    return kind


def _as_stored(batch: pa.RecordBatch, stored: pa.Schema) -> pa.RecordBatch:
    if batch.schema.types == stored.types:
        return batch
    columns = [_column(column, field.type) for column, field in zip(batch.columns, stored, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=stored)


def _column(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    return spelled(column) if is_binary(column.type) else column.cast(kind)


class _JsonLines:
    def __init__(self, sink: _Sink, schema: pa.Schema) -> None:
        del schema
        self._sink = sink

    def write_batch(self, batch: pa.RecordBatch) -> None:
        for start in range(0, batch.num_rows, 4096):
            self._sink.write(lines(batch.slice(start, 4096)))

    def close(self) -> None:
        pass


class _Orc:
    def __init__(self, sink: _Sink, schema: pa.Schema) -> None:
        from pyarrow import orc

        self._writer = orc.ORCWriter(sink)
        self._empty: pa.Table | None = schema.empty_table()

    def write_batch(self, batch: pa.RecordBatch) -> None:
        from atio.formats.orc import packed

        self._empty = None
        self._writer.write(packed(pa.Table.from_batches([batch])))

    def close(self) -> None:
        if self._empty is not None:
            self._writer.write(self._empty)
        self._writer.close()


def _csv_writer(delimiter: str) -> Callable[[_Sink, pa.Schema], Writer]:
    def make(sink: _Sink, schema: pa.Schema) -> Any:
        from pyarrow import csv

        return csv.CSVWriter(sink, schema, write_options=csv.WriteOptions(delimiter=delimiter))

    return make


def _parquet_writer(sink: _Sink, schema: pa.Schema) -> Any:
    from pyarrow import parquet

    return parquet.ParquetWriter(sink, schema, compression="zstd")


def _arrow_writer(sink: _Sink, schema: pa.Schema) -> Any:
    # A pipe's reader cannot seek to a file's footer.
    return pa.ipc.new_stream(sink, schema) if sink.streamed else pa.ipc.new_file(sink, schema)


_WRITERS: dict[str, Callable[[Any, pa.Schema], Writer]] = {
    "csv": _csv_writer(","),
    "tsv": _csv_writer("\t"),
    "parquet": _parquet_writer,
    "arrow": _arrow_writer,
    "jsonl": _JsonLines,
    "orc": _Orc,
}


class _Sink:
    """What pyarrow writes to."""

    closed = False

    def __init__(self, out: Out) -> None:
        self._out = out
        self._at = 0
        self.streamed = not isinstance(out, NewFile)

    def write(self, data: Any) -> int:
        self._out.write(data)
        count = memoryview(data).nbytes
        self._at += count
        return count

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass  # whoever opened it decides


# -- files -------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: str) -> Iterator[NewFile]:
    """A new file that takes the place of ``path`` when the block ends well, durably and at once."""
    path = os.path.realpath(path)  # a link stays one: what it points to is replaced
    folder, name = os.path.split(path)
    with translating(path):
        if os.path.isdir(path):
            raise IsADirectoryError(21, "is a folder", path)
        file = NewFile(os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.tmp"))
    try:
        with translating(path):
            if os.path.exists(path):
                file.adopt(os.stat(path))
            yield file
            file.finish(durable=True)
            patiently(lambda: os.replace(file.path, path), time.monotonic, time.sleep)
            sync_folder(folder)
    except BaseException:
        file.abort()
        raise


def standard_output() -> Out:
    return sys.stdout.buffer
