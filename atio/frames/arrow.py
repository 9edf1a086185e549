"""Arrow in all its shapes → Incoming."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from atio.errors import UnsupportedError
from atio.frames.base import Incoming, RangeIndex, check_names, with_metadata
from atio.frames.pandas.notes import normalise


def from_arrow(obj: Any) -> Incoming | None:
    """Take pyarrow's own containers, and datasets; None when ``obj`` is none of these."""
    if isinstance(obj, pa.Table):
        return _from_table(obj)
    if isinstance(obj, pa.RecordBatch):
        return _from_table(pa.Table.from_batches([obj]))
    if isinstance(obj, pa.RecordBatchReader):
        return _stream(obj.schema, obj)
    if isinstance(obj, pa.StructArray):
        return _from_table(pa.Table.from_batches([pa.RecordBatch.from_struct_array(obj)]))
    return _from_dataset(obj)


def _from_dataset(obj: Any) -> Incoming | None:
    dataset = sys.modules.get("pyarrow.dataset")
    if dataset is not None and isinstance(obj, dataset.Dataset):
        return _stream(obj.schema, obj.scanner(**_bounded(obj, dataset)).to_reader())
    if dataset is not None and isinstance(obj, dataset.Scanner):
        return _stream(obj.projected_schema, obj.to_reader())
    return None


def _bounded(obj: Any, dataset: Any) -> dict[str, Any]:
    """Switch off the buffer that keeps every byte of a Parquet file until its end is reached."""
    if not isinstance(getattr(obj, "format", None), getattr(dataset, "ParquetFileFormat", ())):
        return {}
    return {"fragment_scan_options": dataset.ParquetFragmentScanOptions(pre_buffer=False)}


def from_capsule(obj: Any) -> Incoming | None:
    """Take what speaks the Arrow PyCapsule protocol; None when ``obj`` does not."""
    try:
        if hasattr(obj, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(obj)
            return _stream(reader.schema, reader)
        if hasattr(obj, "__arrow_c_array__"):
            return _from_table(pa.Table.from_batches([pa.record_batch(obj)]))
    except (pa.ArrowException, TypeError) as error:
        cls = type(obj)
        raise UnsupportedError(
            f"the Arrow data of a {cls.__module__}.{cls.__qualname__} are not rows of columns: {error}",
            hint='name the column: {"x": array}',
        ) from error
    return None


def _from_table(table: pa.Table) -> Incoming:
    check_names(table.column_names)
    if not table.schema.metadata:
        return Incoming.of(table)
    metadata, ranges = normalise(table.schema)
    index = next((RangeIndex(*bounds) for bounds in ranges), None)
    if index is not None and (len(index) != table.num_rows or index == RangeIndex(0, table.num_rows, 1)):
        index = None
    return Incoming.of(with_metadata(table, metadata), index)


def _stream(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Incoming:
    check_names(schema.names)
    wanted = schema.with_metadata(normalise(schema)[0]) if schema.metadata else schema

    def tables() -> Iterator[pa.Table]:
        for batch in batches:
            if batch.num_rows:
                yield with_metadata(pa.Table.from_batches([batch]), wanted.metadata)

    return Incoming(wanted, tables(), rows=None, streamed=True)
