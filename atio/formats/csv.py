"""CSV: flat columns only, every value exact (see :mod:`atio.formats.text`).

Text is quoted, null is the empty unquoted field; a header line names the columns. Nested types and
unions are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import types as pt

from atio.formats import text
from atio.formats.base import FileWriter, Out
from atio.formats.plan import Plan, rows_only
from atio.formats.recode import Recoding, RefusedError
from atio.formats.recoded import RecodedFormat, RecodedWriter
from atio.formats.source import opened

_BLOCK_BYTES = 2**22
_MOST_BLOCK_BYTES = 2**31 - 1


def rule(type_: pa.DataType) -> Recoding:
    """A column's recoding; raises ``RefusedError``."""
    if pt.is_floating(type_):
        return text.floats(type_)
    recoding = text.flat(type_, rule)
    if recoding is None:
        raise RefusedError(type_)
    return recoding


def filled(table: pa.Table) -> list[pa.RecordBatch]:
    """The rows of a table, without empty batches.

    Given one first, and no header, Arrow 26 writes memory that nobody has filled.
    """
    return [batch for batch in table.to_batches() if batch.num_rows]


class _Writer(RecodedWriter):
    def __init__(self, out: Out, plan: Plan) -> None:
        super().__init__(out, plan)
        import pyarrow.csv as pa_csv

        with self._guarded():
            self._sink.write(_header(plan))
            options = pa_csv.WriteOptions(include_header=False)
            self._encoder = None
            if len(plan.stored):
                self._encoder = pa_csv.CSVWriter(
                    pa.PythonFile(self._sink, mode="w"), plan.stored, write_options=options
                )

    def _put(self, table: pa.Table) -> None:
        if self._encoder is None:
            self._sink.write(b"\n" * table.num_rows)
        else:
            for batch in filled(table):
                self._encoder.write_batch(batch)

    def _finish(self) -> None:
        if self._encoder is not None:
            self._encoder.close()


class CsvFormat(RecodedFormat):
    """No options."""

    name = "csv"
    suffix = ".csv"
    _rule = staticmethod(rule)

    def _writer(self, out: Out, plan: Plan, options: dict[str, Any]) -> FileWriter:
        del options
        return _Writer(out, plan)

    def _read(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, *, threads: bool
    ) -> pa.Table:
        import pyarrow.csv as pa_csv

        for block in _blocks(source):
            with opened(source) as file, _retried(block):
                rest = _behind_header(file, plan)
                if not len(plan.schema):
                    return _blank(file)
                if not rest:
                    return _empty(plan, order)
                return _named(
                    pa_csv.read_csv(file, **_options(plan, order, block, threads=threads)), plan, order
                )
        raise AssertionError("the last block does not suppress")

    def _batches(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, rows: int
    ) -> Iterator[pa.Table]:
        import pyarrow.csv as pa_csv

        del rows  # a block is small
        if not len(plan.schema):
            yield self._read(source, plan, order, threads=False)
            return
        done = 0
        for block in _blocks(source):
            skip = done
            with opened(source) as file, _retried(block):
                if not _behind_header(file, plan):
                    return
                for batch in pa_csv.open_csv(file, **_options(plan, order, block, threads=False)):
                    fresh = batch.slice(min(skip, batch.num_rows))
                    skip -= batch.num_rows - fresh.num_rows
                    done += fresh.num_rows
                    yield _named(pa.Table.from_batches([fresh]), plan, order)
                return


@dataclass(frozen=True, slots=True)
class _Block:
    """How many bytes pyarrow parses at a time: a line has to fit."""

    size: int
    last: bool


def _blocks(source: pa.Buffer | str) -> Iterator[_Block]:
    whole = min(
        (Path(source).stat().st_size if isinstance(source, str) else source.size) + 1, _MOST_BLOCK_BYTES
    )
    size = _BLOCK_BYTES
    while size < whole:
        yield _Block(size, last=False)
        size *= 16
    yield _Block(whole, last=True)


@contextmanager
def _retried(block: _Block) -> Iterator[None]:
    """Suppress the error of a line longer than the block, unless there is no longer block."""
    try:
        yield
    except pa.ArrowInvalid as error:
        if block.last or "block" not in str(error):
            raise


def _options(plan: Plan, order: list[int] | None, block: _Block, *, threads: bool) -> dict[str, Any]:
    import pyarrow.csv as pa_csv

    # By position: names may be empty or hold line ends.
    names = [str(i) for i in range(len(plan.stored))]
    chosen = names if order is None else [names[i] for i in order or [0]]
    return {
        "read_options": pa_csv.ReadOptions(column_names=names, block_size=block.size, use_threads=threads),
        "parse_options": pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        "convert_options": pa_csv.ConvertOptions(
            column_types={name: plan.stored.field(int(name)).type for name in chosen},
            include_columns=chosen,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true"],
            false_values=["false"],
        ),
    }


def _named(table: pa.Table, plan: Plan, order: list[int] | None) -> pa.Table:
    if order == []:
        return table.select([])
    return table.rename_columns([plan.stored.field(int(name)).name for name in table.column_names])


def _empty(plan: Plan, order: list[int] | None) -> pa.Table:
    fields = list(plan.stored) if order is None else [plan.stored.field(i) for i in order]
    return pa.schema(fields).empty_table()


def _header(plan: Plan) -> bytes:
    """The first line: all names quoted. (pyarrow refuses names with quotes.)"""
    return (",".join('"' + field.name.replace('"', '""') + '"' for field in plan.schema) + "\n").encode()


def _behind_header(file: pa.NativeFile, plan: Plan) -> int:
    """Step over the header, which may span lines; how many bytes follow."""
    header = _header(plan)
    if file.read(len(header)) != header:
        raise pa.ArrowInvalid("the header does not name the columns")
    return int(file.size()) - len(header)


def _blank(file: pa.NativeFile) -> pa.Table:
    """No columns: a line a row."""
    data = file.read()
    if data.strip(b"\n"):
        raise pa.ArrowInvalid("text in a file without columns")
    return rows_only(len(data))
