"""Writing Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from atio.errors import InputError
from atio.formats import stats
from atio.formats.base import ColumnStats, FileInfo, FileWriter, Out
from atio.formats.blocks import KEY, HashingOut
from atio.formats.errors import encoding
from atio.formats.options import Parse, between, boolean, one_of, parse
from atio.formats.parquet.core import new_writer
from atio.formats.parquet.encodings import FEWEST_ROWS, chosen
from atio.formats.parquet.plan import FEW_COLUMNS, Leaf, ParquetPlan, group_stats
from atio.formats.sink import Sink, writing

_OPTIONS: dict[str, Parse] = {
    "compression": one_of("none", "snappy", "gzip", "brotli", "lz4", "zstd"),
    "compression_level": int,
    "row_group_rows": between(1, 2**26),
    "data_page_size": between(1024, 2**30),
    "dictionary": boolean,
}
_ROW_GROUP_ROWS = 2**20
# Readers assemble a nested column of a row group in one piece, with 32-bit offsets: a row group
# must stay below 2 GiB decoded. Also the most that a writer gathers before it encodes.
_ROW_GROUP_BYTES = 2**28
# Row groups are divided into quarters where that costs nothing: dictionaries of larger ones outgrow their
# limit, and are dropped, which makes scans faster; of many columns the footer would grow too much.
_LEAST_DIVIDED = 2**15
MOST_DIVIDED = 2**18
# Below, a file is encoded in memory and handed over in one piece.
_SMALL_BYTES = 2**22
# Below, Parquet's dictionaries make files larger and slower (to write and to read), and the page index
# (other engines use it) has nothing to skip.
_FEW_ROWS = 2**9


class Settings(msgspec.Struct, frozen=True):
    row_group_rows: int
    properties: dict[str, Any]
    few: dict[str, Any]
    """The same for a file of few rows."""
    divides: bool
    """Nobody asked for a size of row groups: files of some rows have smaller ones."""
    chooses: bool
    """Nobody said whether columns are to have dictionaries."""


@lru_cache(maxsize=64)
def settings(options: frozenset[tuple[str, str]]) -> Settings:
    parsed = parse("parquet", dict(options), _OPTIONS)
    # LZ4: TPC-H's lineitem is read in 0.6 of the time that Snappy takes, and written in 1.1, in as many
    # bytes; zstd-1 writes 1.4 times as long (small files: twice) and is a fifth smaller.
    compression, level = parsed.get("compression", "lz4"), parsed.get("compression_level")
    if level is not None:
        _check_level(compression, level)
    properties = {
        "version": "2.6",
        "compression": compression,
        "compression_level": level,
        "data_page_size": parsed.get("data_page_size"),
        "write_page_checksum": True,
        # Of up to 18 digits: Arrow reads them four times as fast as those of bytes.
        "store_decimal_as_integer": True,
        # Version 2 keeps levels and flags outside of what the checksum covers well.
        "data_page_version": "1.0",
    }
    few = {**properties, "use_dictionary": parsed.get("dictionary", False), "write_page_index": False}
    many = {**properties, "use_dictionary": parsed.get("dictionary", True), "write_page_index": True}
    return Settings(
        parsed.get("row_group_rows", _ROW_GROUP_ROWS),
        many,
        few,
        divides="row_group_rows" not in parsed,
        chooses="dictionary" not in parsed,
    )


def _check_level(compression: str, level: int) -> None:
    bad = "bad value for the option parquet.compression_level: "
    try:
        low = pa.Codec.minimum_compression_level(compression)
        high = pa.Codec.maximum_compression_level(compression)
    except ValueError:
        raise InputError(f"{bad}{compression} has no levels") from None
    if not low <= level <= high:
        raise InputError(f"{bad}{compression} has levels {low} … {high}")


class Writer(FileWriter):
    """Gathers rows into row groups; the file is begun with the first of them.

    Tables are held until a row group is full, so many small writes do not become many small row
    groups, and a small file is known to be small when it is begun.
    """

    def __init__(self, out: Out, plan: ParquetPlan, settings: Settings) -> None:
        self._out = out
        self._hashing = HashingOut(out)
        self._plan = plan
        self._settings = settings
        self._sink: Sink | None = None
        self._encoder: Any = None
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self._rows = 0
        self._nans = {leaf.counted: 0 for leaf in plan.leaves if leaf.counted is not None}

    def write(self, table: pa.Table) -> None:
        self._plan.accept(table)
        if table.num_rows == 0:
            return
        for i in self._nans:
            for chunk in table.column(i).iterchunks():
                self._nans[i] += stats.nans(chunk)
        self._rows += table.num_rows
        stored = self._plan.encode(table)
        self._pending.append(stored)
        self._pending_rows += stored.num_rows
        self._pending_bytes += _size(stored)
        if self._pending_rows >= self._settings.row_group_rows or self._pending_bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> FileInfo:
        if self._encoder is None and self._pending_bytes < _SMALL_BYTES:
            memory = pa.BufferOutputStream()
            with encoding("parquet"):
                encoder = self._begin(memory)
                self._put(encoder)
                encoder.close()
            data = memory.getvalue()
            self._out.write(data)
            tail = memoryview(data)[-8:]
        else:
            self._flush()
            with self._guarded():
                # All row groups are written; what follows is the footer, which its own hash covers.
                self._encoder.add_key_value_metadata({KEY: self._hashing.listed()})
                self._encoder.close()
            encoder, sink = self._encoder, self._sink
            assert sink is not None
            tail = memoryview(sink.tail)
        metadata = getattr(encoder, "writer", encoder).metadata  # the public class has it one below
        return FileInfo(self._rows, int.from_bytes(tail[:4], "little") + 8, self._stats(metadata))

    def _flush(self) -> None:
        if self._sink is None:
            self._sink = Sink(self._hashing)
        with self._guarded():
            if self._encoder is None:
                self._encoder = self._begin(pa.PythonFile(self._sink, mode="w"))
            self._put(self._encoder)

    def _begin(self, sink: Any) -> Any:
        settings = self._settings
        properties = settings.few if self._pending_rows < _FEW_ROWS else settings.properties
        if settings.chooses and self._pending_rows >= FEWEST_ROWS:
            properties = properties | encodings(self._pending, self._plan)
        encoder = new_writer(sink, self._plan.stored, properties)
        if self._plan.schema.metadata:
            # Kept out of the stored Arrow schema, where it would be a second time.
            encoder.add_key_value_metadata(self._plan.schema.metadata)
        return encoder

    def _put(self, encoder: Any) -> None:
        if not self._pending:
            return
        table = self._pending[0] if len(self._pending) == 1 else pa.concat_tables(self._pending)
        rows = self._row_group_rows()
        fits = self._pending_rows <= rows and self._pending_bytes <= _ROW_GROUP_BYTES
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        for piece in [table] if fits else _row_groups(table, rows):
            encoder.write_table(piece, piece.num_rows)

    def _row_group_rows(self) -> int:
        """Of a file of some rows a quarter, which is what a lookup decodes; a scan takes no longer for it."""
        rows = self._pending_rows
        if self._settings.divides and rows <= MOST_DIVIDED and self._plan.columns <= FEW_COLUMNS:
            return max(_LEAST_DIVIDED, -(-rows // 4))
        return self._settings.row_group_rows

    def _guarded(self) -> AbstractContextManager[None]:
        assert self._sink is not None
        return writing("parquet", self._sink)

    def __del__(self) -> None:
        # pyarrow would write a footer into the owner's handle when it collects the encoder.
        sink = getattr(self, "_sink", None)
        if sink is not None:
            sink.detach()

    def _stats(self, metadata: Any) -> dict[tuple[str, ...], ColumnStats]:
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        return {leaf.path: self._leaf_stats(leaf, groups) for leaf in self._plan.leaves}

    def _leaf_stats(self, leaf: Leaf, groups: list[Any]) -> ColumnStats:
        nans = None if leaf.counted is None else self._nans[leaf.counted]
        found = [group_stats(leaf, group) for group in groups]
        nulls = [one.nulls for one in found]
        total = None if None in nulls else sum(n for n in nulls if n is not None)
        if leaf.nothing:
            return ColumnStats(None, None, self._rows)
        bounds = [one for one in found if not one.nothing]
        if all(one.known for one in bounds):
            lowers, uppers = [one.lower for one in bounds], [one.upper for one in bounds]
            lower = None if None in lowers else min(lowers, default=None)
            upper = None if None in uppers else max(uppers, default=None)
            return ColumnStats(lower, upper, total, nans)
        return ColumnStats(None, None, total, nans)


def encodings(rows: Sequence[pa.Table], plan: ParquetPlan) -> dict[str, Any]:
    """What to tell pyarrow's writer of a file that begins with these rows, as they are stored."""
    return chosen(pa.concat_tables(rows), plan.flat, plan.paths)


def _size(table: pa.Table) -> int:
    """Decoded bytes; for small tables the size of their buffers, which is found much faster."""
    size = int(table.get_total_buffer_size())
    return size if size < _SMALL_BYTES else int(table.nbytes)


def _row_groups(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    if table.num_rows > rows:
        for start in range(0, table.num_rows, rows):
            yield from _row_groups(table.slice(start, rows), rows)
    elif table.num_rows > 1 and table.nbytes > _ROW_GROUP_BYTES:
        yield from _row_groups(table, (table.num_rows + 1) // 2)
    else:
        yield table
