"""Arrow IPC files, which are also Feather files of version 2."""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as pt

from atio.writers.cells import Encoded, Native
from atio.writers.files import Cells, Draft, FileWriter, for_frames
from atio.writers.kinds import Kind
from atio.writers.sources import Readers, Source, by_function, by_library

_ROWS = 1 << 16
"""Rows of a record batch, as Feather has them."""


class _Encoder:
    def __init__(self, draft: Draft, schema: pa.Schema, chunksize: int, options: dict[str, Any]) -> None:
        self._chunksize = chunksize
        self._known: dict[int, pa.Array] = {}
        self._writer = pa.ipc.new_file(draft.place, schema, options=pa.ipc.IpcWriteOptions(**options))

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(self._extended(table), max_chunksize=self._chunksize)

    def _extended(self, table: pa.Table) -> pa.Table:
        """Make dictionaries grow from table to table: a file has one a column, which may only get longer."""
        table = table.unify_dictionaries()
        for i, column in enumerate(table.columns):
            if pt.is_dictionary(column.type) and column.num_chunks:
                known = self._known.get(i)
                if known is not None:
                    grown = pa.chunked_array([_remapped(chunk, known) for chunk in column.chunks])
                    table = table.set_column(i, table.schema.field(i), grown)
                self._known[i] = table.column(i).chunk(0).dictionary
        return table

    def close(self) -> None:
        self._writer.close()


def _remapped(chunk: pa.DictionaryArray, known: pa.Array) -> pa.DictionaryArray:
    """The same values, by a dictionary that starts with the known one. (All chunks have the same one.)"""
    values = chunk.dictionary
    fresh = values.filter(pc.invert(pc.is_in(values, known)))
    grown = pa.concat_arrays([known, fresh]) if len(fresh) else known
    places = pc.index_in(values, grown).cast(chunk.indices.type)
    return pa.DictionaryArray.from_arrays(places.take(chunk.indices), grown, ordered=chunk.type.ordered)


def _open(
    draft: Draft,
    schema: pa.Schema,
    *,
    compression: str | None = "lz4",
    compression_level: int | None = None,
    chunksize: int = _ROWS,
    use_threads: bool = True,
) -> _Encoder:
    codec: Any = None if compression in (None, "uncompressed") else compression
    if codec is not None and compression_level is not None:
        codec = pa.Codec(codec, compression_level=compression_level)
    options = {
        "compression": codec,
        "use_threads": use_threads,
        "emit_dictionary_deltas": True,
    }
    return _Encoder(draft, schema, chunksize, options)


def _read_arrow(source: Source, *, columns: Any = None) -> pa.Table:
    opened = pa.memory_map(source.path) if source.path else pa.PythonFile(source.file, "r")
    with opened as file:
        magic = file.read(6)
        file.seek(0)
        reader = pa.ipc.open_file(file) if magic == b"ARROW1" else pa.ipc.open_stream(file)
        table = reader.read_all()
    return table if columns is None else table.select(columns)


class ArrowWriter(FileWriter):
    """Arrow IPC (Feather)."""

    formats = ("arrow", "feather", "ipc")
    suffixes = (".arrow", ".feather", ".ipc")
    cells: ClassVar[Cells] = for_frames(
        Encoded("pyarrow.ipc.new_file", _open),
        {
            Kind.PANDAS: Native("pandas", "to_feather"),
            Kind.POLARS: Native("polars", "write_ipc"),
            Kind.LAZY: Native("polars", "sink_ipc", streams=True),
        },
    )
    readers: ClassVar[Readers] = {
        "pandas": by_library("pandas", "read_feather"),
        "polars": by_library("polars", "read_ipc"),
        "arrow": by_function("pyarrow.ipc.open_file", _read_arrow),
    }
