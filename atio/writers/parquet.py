"""Parquet."""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa

from atio.writers.cells import Encoded, Native
from atio.writers.files import Cells, Draft, FileWriter, for_frames
from atio.writers.kinds import Kind
from atio.writers.sources import Readers, Source, by_function, by_library

_GROUP_ROWS = 1 << 20
_GROUP_BYTES = 64 << 20


class _Encoder:
    """pyarrow's Parquet writer; small tables are gathered, for row groups cost those who read."""

    def __init__(
        self, draft: Draft, schema: pa.Schema, row_group_size: int | None, options: dict[str, Any]
    ) -> None:
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(draft.place, schema, **options)
        self._group_rows = row_group_size
        self._least = row_group_size or _GROUP_ROWS
        self._held: list[pa.Table] = []
        self._rows = self._bytes = 0

    def write(self, table: pa.Table) -> None:
        self._held.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= self._least or self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.concat_tables(self._held), row_group_size=self._group_rows)
            self._held, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


def _open(draft: Draft, schema: pa.Schema, *, row_group_size: int | None = None, **options: Any) -> _Encoder:
    return _Encoder(draft, schema, row_group_size, options)


def _read_arrow(source: Source, *, columns: Any = None, **options: Any) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source.place, **options) as file:
        return file.read(columns)


class ParquetWriter(FileWriter):
    """Apache Parquet."""

    formats = ("parquet", "pq")
    suffixes = (".parquet", ".pq")
    cells: ClassVar[Cells] = for_frames(
        Encoded("pyarrow.parquet.write_table", _open),
        {
            Kind.PANDAS: Native("pandas", "to_parquet"),
            Kind.POLARS: Native("polars", "write_parquet"),
            Kind.LAZY: Native("polars", "sink_parquet", streams=True),
        },
    )
    readers: ClassVar[Readers] = {
        "pandas": by_library("pandas", "read_parquet"),
        "polars": by_library("polars", "read_parquet"),
        "arrow": by_function("pyarrow.parquet.read_table", _read_arrow),
    }
