"""Parquet, the default format: pages with checksums, statistics, dictionaries.

Types that pyarrow's Parquet does not bring back exactly travel as others (see :func:`rule`):

==================================  ==========================================================
``date64``                          ``timestamp[ms]`` (Parquet's DATE has no time of day)
``timestamp[s]``, ``time32[s]``     in milliseconds
``dictionary`` of text or binary    with 32-bit indices; other dictionaries as their values
``decimal`` with negative scale     as the unscaled number, ``decimal(p, 0)``
``run_end_encoded``, extensions     as their values, as their storage
``month_day_nano_interval``         as its 16 bytes
``fixed_size_binary(0)``, struct<>  as ``binary``, as booleans: nothing but nulls to tell
==================================  ==========================================================

Unions and dictionaries of nested values are refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import types as pt

from atio.errors import DamagedError, InputError
from atio.formats import recode, stats
from atio.formats.base import ColumnStats, FileInfo, FileWriter, Format, Out, Parts
from atio.formats.blocks import KEY, Blocks, HashingOut, chunks
from atio.formats.errors import decoding, encoding
from atio.formats.options import Parse, between, boolean, one_of, parse
from atio.formats.plan import PerSchema, Plan, rows_only
from atio.formats.recode import Recoding, RefusedError, keep
from atio.formats.sink import Sink, writing
from atio.formats.source import Sparse, opened
from atio.storage.parallel import ordered

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
_MOST_DIVIDED = 2**18
_FEW_COLUMNS = 128
# Below, a file is encoded in memory and handed over in one piece.
_SMALL_BYTES = 2**22
# Below, starting threads costs more than it saves.
_PROCESSORS = os.cpu_count() or 1
_THREADED_BYTES = 2**20
_FETCHES = 4
"""Row groups of a file that is elsewhere to fetch at once."""
# Below, Parquet's dictionaries make files larger and slower (to write and to read), and the page index
# (other engines use it) has nothing to skip.
_FEW_ROWS = 2**9


def _value_rule(type_: pa.DataType) -> Recoding:
    if pt.is_date64(type_):
        return recode.relabel(type_, pa.timestamp("ms"))
    if pt.is_timestamp(type_) and type_.unit == "s":
        return recode.cast(type_, pa.timestamp("ms", type_.tz))
    if pt.is_time32(type_) and type_.unit == "s":
        return recode.seconds(type_)
    if pt.is_interval(type_):
        return recode.relabel(type_, pa.binary(16))
    if pt.is_decimal(type_) and not 0 <= type_.scale <= type_.precision:
        return recode.relabel(type_, _decimal(type_, 0))
    if pt.is_fixed_size_binary(type_) and type_.byte_width == 0:
        return recode.cast(type_, pa.binary())
    if isinstance(type_, pa.BaseExtensionType):
        return recode.extension(type_, _value_rule(type_.storage_type))
    if pt.is_run_end_encoded(type_):
        return recode.run_ends(type_, _value_rule(type_.value_type))
    if pt.is_dictionary(type_):
        return recode.plain_dictionary(type_, _value_rule(type_.value_type))
    if pt.is_struct(type_) and type_.num_fields == 0:
        return recode.empty_struct(type_)
    if pt.is_union(type_):
        raise RefusedError(type_)
    return recode.nested(type_, _value_rule) if pt.is_nested(type_) else keep(type_)


def rule(type_: pa.DataType) -> Recoding:
    """Only whole columns can be dictionaries: inside others, pyarrow reads but one row group."""
    if pt.is_dictionary(type_):
        try:
            held = recode.text_or_bytes(type_.value_type)
            return recode.without_null_values(recode.wide_index(type_, held))
        except RefusedError:
            pass  # not text: its values
    return _value_rule(type_)


def _decimal(type_: pa.DataType, scale: int) -> pa.DataType:
    make = {32: pa.decimal32, 64: pa.decimal64, 128: pa.decimal128, 256: pa.decimal256}[type_.bit_width]
    # A scale above the precision (0.00123 as decimal(3, 5)) is as strange to Parquet as one below 0.
    return make(type_.precision, scale)


# -- what a schema's leaf columns mean ---------------------------------------------------------


class _Leaf(msgspec.Struct, frozen=True):
    """One Parquet column with statistics of use: the ``number``-th of the file."""

    number: int
    path: tuple[str, ...]
    convert: stats.Convert | None
    floating: bool
    nothing: bool
    """Of the null type, of which Parquet keeps no statistics."""
    counted: int | None
    """Position of the top-level column whose NaNs are counted."""


class _ParquetPlan(Plan):
    def __init__(self, schema: pa.Schema) -> None:
        super().__init__(schema, rule, "parquet")
        self.leaves: list[_Leaf] = []
        self.spans: list[range] = []
        self._count = 0
        for i, (field, stored) in enumerate(zip(schema, self.stored, strict=True)):
            start = self._count
            self._walk((field.name,), field.type, stored.type, i)
            self.spans.append(range(start, self._count))
        self.columns = self._count
        # A nested column of several row groups is not to be assembled at once: see _ROW_GROUP_BYTES.
        self.nested = any(pt.is_nested(field.type) for field in self.stored)

    def _walk(self, path: tuple[str, ...], type_: pa.DataType, stored: pa.DataType, top: int | None) -> None:
        if pt.is_struct(stored) and pt.is_struct(type_):
            for inner, held in zip(_fields(type_), _fields(stored), strict=True):
                self._walk((*path, inner.name), inner.type, held.type, None)
            return
        if pt.is_nested(stored):
            self._count += _leaf_count(stored)
            return
        if len(self.leaves) < stats.COLUMNS:
            floating = pt.is_floating(type_)
            convert = stats.from_parquet(type_, stored)
            counted = top if floating else None
            self.leaves.append(_Leaf(self._count, path, convert, floating, pt.is_null(type_), counted))
        self._count += 1


def _fields(type_: pa.DataType) -> list[pa.Field]:
    return [type_.field(i) for i in range(type_.num_fields)]


def _leaf_count(type_: pa.DataType) -> int:
    if not pt.is_nested(type_):
        return 1
    if pt.is_map(type_):
        return _leaf_count(type_.key_type) + _leaf_count(type_.item_type)
    return sum(_leaf_count(field.type) for field in _fields(type_))


# -- writing -----------------------------------------------------------------------------------


class _Settings(msgspec.Struct, frozen=True):
    row_group_rows: int
    properties: dict[str, Any]
    few: dict[str, Any]
    """The same for a file of few rows."""
    divides: bool
    """Nobody asked for a size of row groups: files of some rows have smaller ones."""


@lru_cache(maxsize=64)
def _settings(options: frozenset[tuple[str, str]]) -> _Settings:
    parsed = parse("parquet", dict(options), _OPTIONS)
    # Snappy: on TPC-H's lineitem zstd-1 writes 1.4 times as long (small files: twice), reads as fast
    # and is a fifth smaller.
    compression, level = parsed.get("compression", "snappy"), parsed.get("compression_level")
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
    divides = "row_group_rows" not in parsed
    return _Settings(parsed.get("row_group_rows", _ROW_GROUP_ROWS), many, few, divides)


def _check_level(compression: str, level: int) -> None:
    bad = "bad value for the option parquet.compression_level: "
    try:
        low = pa.Codec.minimum_compression_level(compression)
        high = pa.Codec.maximum_compression_level(compression)
    except ValueError:
        raise InputError(f"{bad}{compression} has no levels") from None
    if not low <= level <= high:
        raise InputError(f"{bad}{compression} has levels {low} … {high}")


class _Writer(FileWriter):
    """Gathers rows into row groups; the file is begun with the first of them.

    Tables are held until a row group is full, so many small writes do not become many small row
    groups, and a small file is known to be small when it is begun.
    """

    def __init__(self, out: Out, plan: _ParquetPlan, settings: _Settings) -> None:
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
        encoder = _new_writer(sink, self._plan.stored, properties)
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
        if self._settings.divides and rows <= _MOST_DIVIDED and self._plan.columns <= _FEW_COLUMNS:
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

    def _leaf_stats(self, leaf: _Leaf, groups: list[Any]) -> ColumnStats:
        nans = None if leaf.counted is None else self._nans[leaf.counted]
        found = [_group_stats(leaf, group) for group in groups]
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


class _GroupStats(msgspec.Struct, frozen=True):
    """Of a leaf column in one row group.

    ``nothing``: it has no values that bounds could be about. ``known``: it has them, or needs none.
    """

    lower: Any = None
    upper: Any = None
    nulls: int | None = None
    nothing: bool = False
    known: bool = False


def _group_stats(leaf: _Leaf, group: Any) -> _GroupStats:
    found = group.column(leaf.number).statistics
    if found is None:
        return _GroupStats()
    nulls = found.null_count
    if leaf.convert is not None and found.has_min_max:
        lower, upper = leaf.convert(found.min_raw, found.max_raw)
        return _GroupStats(lower, upper, nulls, known=True)
    # Values without bounds: too long, or without an order. (Of floats: all are NaN.)
    nothing = leaf.convert is not None and (leaf.floating or not found.num_values)
    return _GroupStats(nulls=nulls, nothing=nothing)


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


# -- reading -----------------------------------------------------------------------------------


class ParquetFormat(Format):
    """The default format.

    Options: ``compression``, ``compression_level``, ``row_group_rows``, ``data_page_size`` and
    ``dictionary`` (true or false; not given: for all but small files).
    """

    name = "parquet"
    suffix = ".parquet"
    checked = True

    def __init__(self) -> None:
        self._plans = PerSchema(_ParquetPlan)

    def check(self, schema: pa.Schema) -> None:
        self._plans(schema)

    def vouches(self, footer: bytes | memoryview) -> bool:
        return KEY in bytes(footer)

    def writer(self, out: Out, schema: pa.Schema, options: dict[str, str]) -> FileWriter:
        return _Writer(out, self._plans(schema), _settings(frozenset(options.items())))

    def read(
        self,
        source: pa.Buffer | str,
        schema: pa.Schema,
        columns: Sequence[str] | None = None,
        *,
        threads: bool = True,
    ) -> pa.Table:
        plan = self._plans(schema)
        positions = plan.positions(columns)
        with decoding("parquet"), opened(source) as file:
            if isinstance(source, Sparse):
                return _fetched(source, file, plan, positions)
            if positions is None:  # A whole file was hashed by the caller.
                reader = _new_reader(file, plan, verify=False)
                groups = range(reader.metadata.num_row_groups)
                if threads and _is_worth_threads(reader.metadata, groups):
                    return plan.decode(_in_parallel(source, plan, reader.metadata, None, groups), None)
                return plan.decode(_read(reader, plan, None, threads=threads), None)
            order = sorted(set(positions))
            leaves = [leaf for i in order for leaf in plan.spans[i]]
            part = _Part(source, file, plan)
            part.verify(leaves, range(part.reader.metadata.num_row_groups))
            table = plan.decode(_read(part.reader, plan, leaves, threads=threads), order)
            return plan.arranged(table, positions)

    @contextmanager
    def parts(self, source: pa.Buffer | str, schema: pa.Schema, rows: int) -> Iterator[Parts]:
        del rows  # the footer says
        with opened(source) as file:
            yield _Parts(source, file, self._plans(schema))

    def batches(
        self, source: pa.Buffer | str, schema: pa.Schema, columns: Sequence[str] | None = None, *, rows: int
    ) -> Iterator[pa.Table]:
        plan = self._plans(schema)
        chosen = plan.positions(columns)
        order = sorted(set(range(len(schema)) if chosen is None else chosen))
        leaves = [leaf for i in order for leaf in plan.spans[i]]
        with opened(source) as file:
            with decoding("parquet"):
                pieces = _iterate(_Part(source, file, plan), leaves, rows)
            while True:
                with decoding("parquet"):
                    piece = next(pieces, None)
                    if piece is None:
                        return
                    table = plan.decode(piece, None if chosen is None else order)
                    table = plan.arranged(table, chosen)
                yield table


class _Part:
    """A reader of parts of a file.

    The hashes of the blocks that they lie in vouch for them. Bytes in memory were hashed by the caller.
    """

    def __init__(
        self,
        source: pa.Buffer | str | Sparse,
        file: pa.NativeFile,
        plan: _ParquetPlan,
        metadata: Any = None,
    ) -> None:
        self.reader = _new_reader(file, plan, verify=True, metadata=metadata)
        self._elsewhere = isinstance(source, Sparse)
        self._blocks = None
        if isinstance(source, str | Sparse):
            listed = (self.reader.metadata.metadata or {}).get(KEY)
            if isinstance(source, Sparse):
                self._blocks = Blocks(file, listed or b"", source.fetch)
            elif listed is not None:
                self._blocks = Blocks(file, listed)
        # No need for the pages' checksums then; but of many columns another reader costs more than those.
        if self._blocks is not None and plan.columns <= _FEW_COLUMNS:
            self.reader = _new_reader(file, plan, verify=False, metadata=self.reader.metadata)

    def verify(self, leaves: list[int], groups: Sequence[int]) -> None:
        if self._blocks is not None:
            self._blocks.check(chunks(self.reader.metadata, leaves, groups))

    def verified(self, leaves: list[int], groups: Iterable[int]) -> Iterator[int]:
        """The same groups, each verified."""

        def one(group: int) -> int:
            self.verify(leaves, [group])
            return group

        # By one other thread: two would share the block where their groups meet.
        return ordered(one, groups, threads=1, ahead=int(self._elsewhere))


class _Parts:
    """See ``formats.base.Parts``: the footer is read once for all that is read of the file."""

    def __init__(self, source: pa.Buffer | str, file: pa.NativeFile, plan: _ParquetPlan) -> None:
        self._plan = plan
        self._source = source
        with decoding("parquet"):
            self._part = _Part(source, file, plan)
            self._reader = self._part.reader
            groups = range(self._reader.metadata.num_row_groups)
            self._groups = [self._reader.metadata.row_group(i) for i in groups]
        self.rows = [group.num_rows for group in self._groups]

    def stats(self, path: tuple[str, ...]) -> list[ColumnStats] | None:
        leaf = next((leaf for leaf in self._plan.leaves if leaf.path == path), None)
        if leaf is None or leaf.nothing:
            return None
        with decoding("parquet"):
            found = [_group_stats(leaf, group) for group in self._groups]
        return [ColumnStats(one.lower, one.upper, one.nulls) for one in found]

    def read(self, columns: Sequence[str], groups: Sequence[int], *, threads: bool) -> pa.Table:
        order, positions, leaves = self._chosen(columns)
        with decoding("parquet"):
            self._part.verify(leaves, groups)
            if threads and _is_worth_threads(self._reader.metadata, groups):
                table = _in_parallel(self._source, self._plan, self._reader.metadata, leaves, groups)
            else:
                table = _read_groups(self._reader, self._plan, leaves, groups, threads=threads)
            return self._plan.arranged(self._plan.decode(table, order), positions)

    def head(self, columns: Sequence[str], group: int, rows: int) -> pa.Table:
        order, positions, leaves = self._chosen(columns)
        held: list[pa.RecordBatch] = []
        with decoding("parquet"):
            self._part.verify(leaves, [group])
            for batch in self._reader.iter_batches(rows, [group], leaves, use_threads=True):
                held.append(batch)
                if sum(one.num_rows for one in held) >= rows:
                    break
            table = pa.Table.from_batches(held).slice(0, rows)
            return self._plan.arranged(self._plan.decode(table, order), positions)

    def _chosen(self, columns: Sequence[str]) -> tuple[list[int], list[int], list[int]]:
        """Columns in the file's order, in the order given, and their leaves."""
        positions = self._plan.positions(columns)
        assert positions is not None
        order = sorted(set(positions))
        return order, positions, [leaf for i in order for leaf in self._plan.spans[i]]


def _read_groups(
    reader: Any, plan: _ParquetPlan, leaves: list[int] | None, groups: Sequence[int], *, threads: bool
) -> pa.Table:
    if len(groups) < 2 or not plan.nested:
        return reader.read_row_groups(list(groups), leaves, use_threads=threads)
    return pa.concat_tables([reader.read_row_groups([i], leaves, use_threads=threads) for i in groups])


def _read(reader: Any, plan: _ParquetPlan, leaves: list[int] | None, *, threads: bool) -> pa.Table:
    metadata = reader.metadata
    groups = metadata.num_row_groups
    if leaves == []:
        return rows_only(metadata.num_rows)
    if threads:
        threads = sum(metadata.row_group(i).total_byte_size for i in range(groups)) >= _THREADED_BYTES
    if groups < 2 or not plan.nested:
        return reader.read_all(leaves, use_threads=threads)
    return _read_groups(reader, plan, leaves, range(groups), threads=threads)


def _is_worth_threads(metadata: Any, groups: Sequence[int]) -> bool:
    """Whether a thread a row group is better than what Arrow does."""
    enough = sum(metadata.row_group(group).num_rows for group in groups) > _MOST_DIVIDED
    return len(groups) > 1 and _PROCESSORS > 1 and enough


def _in_parallel(
    source: pa.Buffer | str,
    plan: _ParquetPlan,
    metadata: Any,
    leaves: list[int] | None,
    groups: Sequence[int],
) -> pa.Table:
    """Every row group by a thread of its own: fewer hand-offs than Arrow's column by column."""
    from concurrent.futures import ThreadPoolExecutor

    def group(number: int) -> pa.Table:
        with opened(source) as file:
            reader = _new_reader(file, plan, verify=False, metadata=metadata)
            return reader.read_row_groups([number], leaves, use_threads=False)

    with ThreadPoolExecutor(min(len(groups), _PROCESSORS)) as pool:
        return pa.concat_tables(list(pool.map(group, groups)))


def _fetched(
    source: Sparse, file: pa.NativeFile, plan: _ParquetPlan, positions: Sequence[int] | None
) -> pa.Table:
    """Columns of a file that is elsewhere: row groups are fetched at once, each decoded when it is there."""
    order = sorted(set(range(len(plan.spans)) if positions is None else positions))
    leaves = [leaf for i in order for leaf in plan.spans[i]]
    metadata = _new_reader(file, plan, verify=False).metadata
    if not leaves:
        return plan.arranged(plan.decode(rows_only(metadata.num_rows), order), positions)

    def group(number: int) -> pa.Table:
        with decoding("parquet"), opened(source) as own:
            part = _Part(source, own, plan, metadata)
            part.verify(leaves, [number])
            return part.reader.read_row_groups([number], leaves, use_threads=False)

    tables = list(ordered(group, range(metadata.num_row_groups), min(metadata.num_row_groups, _FETCHES)))
    table = plan.decode(pa.concat_tables(tables), None if positions is None else order)
    return plan.arranged(table, positions)


def _iterate(part: _Part, leaves: list[int], rows: int) -> Iterator[pa.Table]:
    reader = part.reader
    total, groups = reader.metadata.num_rows, reader.metadata.num_row_groups
    if not leaves:
        for start in range(0, total, rows):
            yield rows_only(min(rows, total - start))
        return
    # One by one: see _ParquetPlan.nested; the next is fetched meanwhile, where that takes time.
    for group in part.verified(leaves, range(groups)):
        for batch in reader.iter_batches(rows, [group], leaves, use_threads=True):
            yield pa.Table.from_batches([batch])


# -- pyarrow's two classes ---------------------------------------------------------------------
# The public ParquetFile and ParquetWriter import file systems and TLS (a fifth of a cold start), and
# index all the column names at every opening. Their core has had the same interface for years; where
# it has not, they serve.


def _new_reader(file: pa.NativeFile, plan: _ParquetPlan, *, verify: bool, metadata: Any = None) -> Any:
    try:
        from pyarrow._parquet import ParquetReader

        reader = ParquetReader()
        reader.open(file, pre_buffer=False, page_checksum_verification=verify, metadata=metadata)
    except (ImportError, TypeError):
        import pyarrow.parquet as pq

        reader = pq.ParquetFile(
            file, metadata=metadata, pre_buffer=False, page_checksum_verification=verify
        ).reader
    if reader.metadata.num_columns != plan.columns:
        message = f"holds {reader.metadata.num_columns} leaf columns, not {plan.columns}"
        raise DamagedError(f"cannot be decoded as parquet: {message}")
    return reader


def _new_writer(sink: Any, schema: pa.Schema, properties: dict[str, Any]) -> Any:
    try:
        from pyarrow._parquet import ParquetWriter

        return ParquetWriter(sink, schema, writer_engine_version="V2", **properties)
    except (ImportError, TypeError):
        import pyarrow.parquet as pq

        return pq.ParquetWriter(sink, schema, **properties)
