"""Arrow IPC files: every type, as it is in memory.

A file has one dictionary a column, which later batches may extend but not replace. So the writer
carries each column's dictionary on, and narrow indices are widened to 32 bits (the joined dictionary
may be longer than the narrow ones can count). Dictionaries inside other types travel as their values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import types as pt

from atio.errors import DamagedError
from atio.formats import recode
from atio.formats.base import FileWriter, Out
from atio.formats.options import Parse, between, one_of
from atio.formats.plan import Plan, rows_only
from atio.formats.recode import Recoding, hashable, keep
from atio.formats.recoded import RecodedFormat, RecodedWriter
from atio.formats.source import opened
from atio.formats.validate import validate

_BATCH_ROWS = 2**17
_DENSE_ROWS = 2**10


def rule(type_: pa.DataType) -> Recoding:
    """A column's recoding; raises ``RefusedError``."""
    if pt.is_dictionary(type_):
        return recode.wide_index(type_, type_.value_type)
    return _value_rule(type_)


def _value_rule(type_: pa.DataType) -> Recoding:
    if isinstance(type_, pa.BaseExtensionType):
        return recode.extension(type_, _value_rule(type_.storage_type))
    if pt.is_dictionary(type_):
        return recode.plain_dictionary(type_, _value_rule(type_.value_type))
    if pt.is_union(type_) or pt.is_run_end_encoded(type_) or not pt.is_nested(type_):
        return keep(type_)
    return recode.nested(type_, _value_rule)


class _Dictionaries:
    """Each dictionary column's values so far: what a batch adds goes behind them."""

    def __init__(self, schema: pa.Schema) -> None:
        self._known = {
            i: pa.array([], field.type.value_type)
            for i, field in enumerate(schema)
            if pt.is_dictionary(field.type)
        }

    def extend(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self._known:
            return batch
        columns = batch.columns
        for i, known in self._known.items():
            columns[i] = _behind(known, columns[i])
            self._known[i] = columns[i].dictionary
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _behind(known: pa.Array, array: pa.DictionaryArray) -> pa.DictionaryArray:
    """The array over a dictionary that begins with ``known``."""
    values = array.dictionary
    if len(known) == len(values) and hashable(known).equals(hashable(values)):
        return array
    if not pt.is_floating(values.type):  # Arrow's unifier takes all NaNs for one
        before = pa.DictionaryArray.from_arrays(
            pa.array([], array.indices.type), known, ordered=array.type.ordered
        )
        try:
            unified = pa.chunked_array([before, array]).unify_dictionaries().chunk(1)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            pass  # values that cannot be hashed, or nulls among them
        else:
            if unified.dictionary[: len(known)].equals(known):
                return unified
    import pyarrow.compute as pc

    indices = pc.add_checked(array.indices, pa.scalar(len(known), array.indices.type))
    return pa.DictionaryArray.from_arrays(
        indices, pa.concat_arrays([known, values]), ordered=array.type.ordered
    )


class _Writer(RecodedWriter):
    def __init__(self, out: Out, plan: Plan, options: dict[str, Any]) -> None:
        super().__init__(out, plan)
        self._dictionaries = _Dictionaries(plan.stored)
        self._batch_rows = options.get("batch_rows", _BATCH_ROWS)
        compression = options.get("compression", "none")
        ipc_options = pa.ipc.IpcWriteOptions(
            compression=None if compression == "none" else compression, emit_dictionary_deltas=True
        )
        with self._guarded():
            schema = plan.stored.with_metadata(plan.schema.metadata)
            self._encoder = pa.ipc.new_file(pa.PythonFile(self._sink, mode="w"), schema, options=ipc_options)

    def _put(self, table: pa.Table) -> None:
        for batch in _dense(table).to_batches(max_chunksize=self._batch_rows):
            if batch.num_rows:
                self._encoder.write_batch(self._dictionaries.extend(batch))

    def _finish(self) -> None:
        self._encoder.close()


def _dense(table: pa.Table) -> pa.Table:
    """Many small chunks in one piece: a batch costs hundreds of bytes and a read of its own."""
    chunks = max((column.num_chunks for column in table.columns), default=0)
    if chunks > 1 and table.num_rows < chunks * _DENSE_ROWS:
        with suppress(pa.ArrowNotImplementedError, pa.ArrowInvalid):
            return table.combine_chunks()
    return table


class ArrowFormat(RecodedFormat):
    """Options: ``compression`` (none, lz4, zstd), ``batch_rows``."""

    name = "arrow"
    suffix = ".arrow"
    options: ClassVar[dict[str, Parse]] = {
        "compression": one_of("none", "lz4", "zstd"),
        "batch_rows": between(1, 2**26),
    }
    _rule = staticmethod(rule)

    def _writer(self, out: Out, plan: Plan, options: dict[str, Any]) -> FileWriter:
        return _Writer(out, plan, options)

    def _read(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, *, threads: bool
    ) -> pa.Table:
        with opened(source) as file:
            return _checked(_reader(file, plan, order, threads=threads).read_all(), order)

    def _batches(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, rows: int
    ) -> Iterator[pa.Table]:
        del rows  # the file's own batches are small
        with opened(source) as file:
            reader = _reader(file, plan, order, threads=True)
            for i in range(reader.num_record_batches):
                yield _checked(pa.Table.from_batches([reader.get_batch(i)]), order)


def _reader(file: pa.NativeFile, plan: Plan, order: list[int] | None, *, threads: bool) -> Any:
    # An empty selection would mean all: one column then counts the rows.
    fields = None if order is None else order or [0]
    if not len(plan.schema):
        fields = None
    reader = pa.ipc.open_file(
        file, options=pa.ipc.IpcReadOptions(included_fields=fields, use_threads=threads)
    )
    if fields is None and len(reader.schema) != len(plan.schema):
        raise DamagedError(
            f"cannot be decoded as arrow: holds {len(reader.schema)} columns, not {len(plan.schema)}"
        )
    return reader


def _checked(table: pa.Table, order: list[int] | None) -> pa.Table:
    """Offsets, indices and text are taken from the file as they are: using bad ones would crash."""
    validate(table)
    return rows_only(table.num_rows) if order == [] else table
