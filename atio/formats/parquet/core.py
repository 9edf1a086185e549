"""pyarrow's two classes.

The public ParquetFile and ParquetWriter import file systems and TLS (a fifth of a cold start), and
index all the column names at every opening. Their core has had the same interface for years; where
it has not, they serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from atio.errors import DamagedError
from atio.formats.parquet.plan import ParquetPlan

_DICTIONARY_ROWS = 2**16
"""Of fewer, it does not matter how text is read."""
_DICTIONARY_BYTES = 3
"""Bytes a value up to which a column has no other pages than those of its dictionary's indices."""

_VALUES = 2**20
"""Values to decode at once where rows are taken out of them."""


def new_writer(sink: Any, schema: pa.Schema, properties: dict[str, Any]) -> Any:
    """A writer of row groups."""
    try:
        from pyarrow._parquet import ParquetWriter

        return ParquetWriter(sink, schema, writer_engine_version="V2", **properties)
    except (ImportError, TypeError):
        import pyarrow.parquet as pq

        return pq.ParquetWriter(sink, schema, **properties)


class Reader:
    """Reads row groups of a file.

    Text with few distinct values is read as a dictionary and decoded then, which takes half as long as
    to let Arrow read it as text.

    Parameters
    ----------
    verify
        Check the checksums of pages.
    metadata
        The file's, if it is known.

    Raises
    ------
    DamagedError
        The file has other columns than it should have.
    """

    def __init__(self, file: pa.NativeFile, plan: ParquetPlan, *, verify: bool, metadata: Any = None) -> None:
        self._reader = None
        if metadata is None:
            self._reader = _opened(file, verify)
            metadata = self._reader.metadata
        if metadata.num_columns != plan.columns:
            message = f"holds {metadata.num_columns} leaf columns, not {plan.columns}"
            raise DamagedError(f"cannot be decoded as parquet: {message}")
        self.metadata = metadata
        self._file = file
        self._plan = plan
        self._verify = verify
        self._dictionaries: list[int] | None = None

    def _ready(self, leaves: Sequence[int] | None, rows: int) -> Any:
        """The reader, told of which columns it is to read dictionaries if these are among so many rows'."""
        texts = self._plan.texts
        if (
            self._dictionaries is None
            and rows >= _DICTIONARY_ROWS
            and (leaves is None or not set(texts).isdisjoint(leaves))
        ):
            self._dictionaries = _dictionaries(self.metadata, texts)
            if self._dictionaries:
                self._reader = _opened(self._file, self._verify, self.metadata, self._dictionaries)
        if self._reader is None:
            self._reader = _opened(self._file, self._verify, self.metadata)
        return self._reader

    def _rows(self, groups: Sequence[int]) -> int:
        return sum(self.metadata.row_group(group).num_rows for group in groups)

    def all(self, leaves: list[int] | None, *, threads: bool) -> pa.Table:
        """All row groups; of these leaf columns, or of all."""
        reader = self._ready(leaves, self.metadata.num_rows)
        return self._plain(reader.read_all(leaves, use_threads=threads))

    def groups(self, groups: Sequence[int], leaves: list[int] | None, *, threads: bool) -> pa.Table:
        """Some row groups."""
        reader = self._ready(leaves, self._rows(groups))
        return self._plain(reader.read_row_groups(list(groups), leaves, use_threads=threads))

    def picked(
        self, group: int, spans: Sequence[Sequence[int]], mask: pa.BooleanArray, *, threads: bool
    ) -> pa.Table:
        """The rows of a row group where ``mask`` is true; of columns by their leaves.

        Rows are taken out before text is decoded, and of a few columns at a time: the memory that is needed
        besides is small, and used again.
        """
        from atio.predicate.keep import kept

        reader = self._ready([leaf for span in spans for leaf in span], len(mask))
        fields: list[pa.Field] = []
        columns: list[pa.ChunkedArray] = []
        for leaves in _portions(spans, len(mask)):
            found = reader.read_row_groups([group], leaves, use_threads=threads)
            part = self._plain(kept(found, mask))
            fields += part.schema
            columns += part.columns
        return pa.Table.from_arrays(columns, schema=pa.schema(fields, part.schema.metadata))

    def batches(self, group: int, leaves: list[int], rows: int) -> Iterator[pa.Table]:
        """A row group, in pieces of at most so many rows."""
        reader = self._ready(leaves, min(rows, self._rows([group])))
        for batch in reader.iter_batches(rows, [group], leaves, use_threads=True):
            yield self._plain(pa.Table.from_batches([batch]))

    def _plain(self, table: pa.Table) -> pa.Table:
        if not self._dictionaries:
            return table
        schema, columns = table.schema, table.columns
        for i, field in enumerate(schema):
            place = self._plan.index.get(field.name)
            if place is None or not pa.types.is_dictionary(field.type):
                continue  # A column that should not be there is refused when all are decoded.
            stored = self._plan.stored.field(place).type
            if stored != field.type:
                chunks = [piece for chunk in columns[i].chunks for piece in _decoded(chunk, stored)]
                columns[i] = pa.chunked_array(chunks, stored)
                schema = schema.set(i, field.with_type(stored))
        return pa.Table.from_arrays(columns, schema=schema)


def _portions(spans: Sequence[Sequence[int]], rows: int) -> Iterator[list[int]]:
    """The leaves of columns, of as many columns at once as have ``_VALUES``, or of one."""
    most = max(1, _VALUES // max(rows, 1))
    for start in range(0, len(spans), most):
        yield [leaf for span in spans[start : start + most] for leaf in span]


def _opened(file: pa.NativeFile, verify: bool, metadata: Any = None, dictionaries: Sequence[int] = ()) -> Any:
    how = {
        "read_dictionary": dictionaries or None,
        "metadata": metadata,
        "pre_buffer": False,
        "page_checksum_verification": verify,
    }
    try:
        from pyarrow._parquet import ParquetReader

        reader = ParquetReader()
        reader.open(file, **how)
    except (ImportError, TypeError):
        import pyarrow.parquet as pq

        reader = pq.ParquetFile(file, **how).reader
    return reader


def _dictionaries(metadata: Any, texts: Sequence[int]) -> list[int]:
    """The leaf columns, of these of text, that are stored in dictionaries throughout."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return [leaf for leaf in texts if all(_has_only_indices(group.column(leaf)) for group in groups)]


def _has_only_indices(chunk: Any) -> bool:
    small = chunk.total_uncompressed_size <= _DICTIONARY_BYTES * chunk.num_values
    return bool(chunk.has_dictionary_page) and small


def _decoded(chunk: pa.DictionaryArray, type_: pa.DataType) -> list[pa.Array]:
    try:
        return [chunk.cast(type_)]
    except pa.ArrowInvalid:  # more than 2 GiB of text
        if len(chunk) < 2:
            raise
    half = len(chunk) // 2
    return _decoded(chunk[:half], type_) + _decoded(chunk[half:], type_)
