"""What a query gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atio import frames
from atio.errors import InputError
from atio.table.datafiles import BATCH_ROWS

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from atio.table.doors.query import Query, Run

_WIDE = ("HUGEINT", "UHUGEINT")


class Result:
    """The rows of a query, computed anew by every method that asks for them.

    Types are those that DuckDB gives to Arrow: sums of integers have 38 digits, instants are in UTC.
    Whatever takes ``__arrow_c_stream__`` takes a result.

    Attributes
    ----------
    columns
        Their names.
    """

    def __init__(self, query: Query) -> None:
        first = query.start()  # what is wrong with the text is said now
        with first.guarded():
            self.columns: list[str] = list(first.relation.columns)
            self._types = [str(kind) for kind in first.relation.types]
        self._query = query
        self._ready = [first]

    def _run(self) -> Run:
        """One for every reading: a connection has but one result at a time."""
        try:
            return self._ready.pop()
        except IndexError:
            return self._query.start()

    @property
    def schema(self) -> pa.Schema:
        """Arrow names and types of the columns."""
        run = self._query.start()
        with run.guarded():
            return run.relation.limit(0).to_arrow_table().schema

    def to_arrow(self) -> pa.Table:
        """All rows as one Arrow table."""
        run = self._run()
        with run.guarded():
            return run.relation.to_arrow_table()

    def to_batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Rows in batches of about ``rows``, as they are computed, in bounded memory."""
        return iter(self.to_reader(rows))

    def to_reader(self, rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """As ``to_batches``, as the stream object other Arrow libraries take."""
        if rows < 1:
            raise InputError(f"batches of {rows} rows cannot be")
        run = self._run()
        with run.guarded():
            reader = run.relation.to_arrow_reader(rows)
        return pa.RecordBatchReader.from_batches(reader.schema, _guarded(run, reader))

    def to_pandas(self, **kwargs: Any) -> pd.DataFrame:
        """All rows as a pandas frame. ``kwargs`` go to ``pyarrow.Table.to_pandas``.

        Integers of 38 digits become 64-bit ones in columns where all of them fit.
        """
        table = self.to_arrow()
        for place, kind in enumerate(self._types):
            if kind in _WIDE:
                table = table.set_column(place, table.column_names[place], _narrow(table.column(place)))
        return frames.to_pandas(table, **kwargs)

    def to_polars(self) -> pl.DataFrame:
        """All rows as a Polars frame."""
        return frames.to_polars(self.to_arrow())

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(self.columns, self._types, strict=True))
        return f"<Result: {columns}>"


def _guarded(run: Run, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    while True:
        with run.guarded():
            batch = next(reader, None)
        if batch is None:
            return
        yield batch


def _narrow(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
