"""ORC."""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa

from atio.formats.orc import packed
from atio.formats.sink import Sink
from atio.writers.cells import Encoded, Native
from atio.writers.files import Cells, Draft, FileWriter, for_frames
from atio.writers.kinds import Kind
from atio.writers.rows import plain, plain_type
from atio.writers.sources import Readers, Source, by_function, by_library


class _Encoder:
    # Errors of the sink are told here: liborc throws through pyarrow, which would abort the process.

    def __init__(self, draft: Draft, schema: pa.Schema, options: dict[str, Any]) -> None:
        from pyarrow import orc

        self._sink = Sink(draft.file, silent=True)
        self._writer = orc.ORCWriter(self._sink, **options)
        self._empty: pa.Table | None = _plain(schema.empty_table())

    def write(self, table: pa.Table) -> None:
        self._empty = None
        self._writer.write(_plain(table))
        self._check()

    def close(self) -> None:
        if self._empty is not None:  # the writer learns the columns from rows only
            self._writer.write(self._empty)
        self._writer.close()
        self._check()

    def _check(self) -> None:
        if self._sink.error is not None:
            raise self._sink.error


def _plain(table: pa.Table) -> pa.Table:
    """ORC knows no dictionaries."""
    fields = [field.with_type(plain_type(field.type)) for field in table.schema]
    columns = [plain(column) for column in table.columns]
    return packed(pa.Table.from_arrays(columns, schema=pa.schema(fields)))


def _open(draft: Draft, schema: pa.Schema, **options: Any) -> _Encoder:
    return _Encoder(draft, schema, options)


def _read_arrow(source: Source, *, columns: Any = None) -> pa.Table:
    from pyarrow import orc

    return orc.ORCFile(source.place).read(columns)


class OrcWriter(FileWriter):
    """Apache ORC."""

    formats = ("orc",)
    suffixes = (".orc",)
    cells: ClassVar[Cells] = for_frames(
        Encoded("pyarrow.orc.ORCWriter", _open),
        {
            Kind.PANDAS: Native("pandas", "to_orc", where="silent"),
        },
    )
    readers: ClassVar[Readers] = {
        "pandas": by_library("pandas", "read_orc"),
        "arrow": by_function("pyarrow.orc.read_table", _read_arrow),
    }
