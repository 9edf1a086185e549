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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from atio.formats.base import FileWriter, Format, Out, Parts
from atio.formats.blocks import KEY
from atio.formats.errors import decoding
from atio.formats.parquet import read
from atio.formats.parquet.core import Reader
from atio.formats.parquet.plan import ParquetPlan, rule
from atio.formats.plan import PerSchema
from atio.formats.source import Sparse, opened

__all__ = ["ParquetFormat", "rule"]


class ParquetFormat(Format):
    """The default format.

    Options: ``compression``, ``compression_level``, ``row_group_rows``, ``data_page_size`` and
    ``dictionary`` (true or false; not given: for all but small files).
    """

    name = "parquet"
    suffix = ".parquet"
    checked = True

    def __init__(self) -> None:
        self._plans = PerSchema(ParquetPlan)

    def check(self, schema: pa.Schema) -> None:
        self._plans(schema)

    def vouches(self, footer: bytes | memoryview) -> bool:
        return KEY in bytes(footer)

    def writer(self, out: Out, schema: pa.Schema, options: dict[str, str]) -> FileWriter:
        from atio.formats.parquet.write import Writer, settings

        return Writer(out, self._plans(schema), settings(frozenset(options.items())))

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
                return read.fetched(source, file, plan, positions)
            if positions is None:  # A whole file was hashed by the caller.
                reader = Reader(file, plan, verify=False)
                groups = range(reader.metadata.num_row_groups)
                if threads and read.is_worth_threads(reader.metadata, groups):
                    return plan.decode(
                        read.all_in_parallel(source, plan, reader.metadata, None, groups), None
                    )
                return plan.decode(read.read_all(reader, plan, None, threads=threads), None)
            order, leaves = plan.chosen(positions)
            part = read.Part(source, file, plan)
            part.verify(leaves, range(part.reader.metadata.num_row_groups))
            table = plan.decode(read.read_all(part.reader, plan, leaves, threads=threads), order)
            return plan.arranged(table, positions)

    def read_each(
        self, sources: Sequence[pa.Buffer], schema: pa.Schema, columns: Sequence[str] | None = None
    ) -> pa.Table:
        plan = self._plans(schema)
        positions = plan.positions(columns)
        order, leaves = (None, None) if positions is None else plan.chosen(positions)
        with decoding("parquet"):
            tables = [read.in_memory(source, plan, leaves) for source in sources]
            return plan.arranged(plan.decode(pa.concat_tables(tables), order), positions)

    @contextmanager
    def parts(self, source: pa.Buffer | str, schema: pa.Schema, rows: int) -> Iterator[Parts]:
        del rows  # the footer says
        with opened(source) as file:
            yield read.FileParts(source, file, self._plans(schema))

    def batches(
        self, source: pa.Buffer | str, schema: pa.Schema, columns: Sequence[str] | None = None, *, rows: int
    ) -> Iterator[pa.Table]:
        plan = self._plans(schema)
        chosen = plan.positions(columns)
        order, leaves = plan.chosen(chosen)
        with opened(source) as file:
            with decoding("parquet"):
                pieces = read.iterate(read.Part(source, file, plan), leaves, rows)
            while True:
                with decoding("parquet"):
                    piece = next(pieces, None)
                    if piece is None:
                        return
                    table = plan.decode(piece, None if chosen is None else order)
                    table = plan.arranged(table, chosen)
                yield table
