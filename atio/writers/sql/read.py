"""Read a query as a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa

from atio.errors import InputError
from atio.writers.sql.base import Query
from atio.writers.sql.connect import connected


def read_sql(
    query: Any,
    con: Any,
    *,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    chunk_rows: int = 65_536,
    types: Mapping[str, pa.DataType] | pa.Schema | None = None,
) -> pa.RecordBatchReader:
    """Run a query and stream its rows: what is in memory is one chunk.

    Parameters
    ----------
    query
        A SELECT as text, or a construct of SQLAlchemy.
    con
        As for :func:`atio.writers.sql.write_table`. What is opened here is closed after the last row, or when
        the reader is dropped; a connection that was handed over stays open, and its transaction with it.
    params
        Values for the query's placeholders: a dict for ``:name``, a sequence for those of the driver.
    chunk_rows
        Rows fetched at a time, and the most a batch has.
    types
        Arrow types for some columns. Otherwise the database tells; where it does not (expressions in SQLite,
        numbers without a declared precision in PostgreSQL) the values of the first chunk decide, and later
        ones that do not fit are an error.

    Raises
    ------
    NotFoundError
        The file of the database is not there.
    InputError
        The query cannot be run, or returns no rows.
    SchemaError
        While reading: a value that does not fit the type of its column.
    RetryError
        The connection was lost, also while reading.

    Examples
    --------
    >>> Table.open("sales").append(read_sql("SELECT * FROM sales", con))   # doctest: +SKIP
    """
    if not isinstance(chunk_rows, int) or chunk_rows < 1:
        raise InputError(f"chunk_rows must be a positive number, not {chunk_rows!r}")
    if isinstance(types, pa.Schema):
        types = dict(zip(types.names, types.types, strict=True))
    stack = ExitStack()
    with stack:
        link = stack.enter_context(connected(con, must_exist=True))
        schema, batches = link.database.query(Query(query, params, chunk_rows, types or {}), stack)
        opened = stack.pop_all()
    stream = _batches(batches, opened)
    next(stream)
    return pa.RecordBatchReader.from_batches(schema, stream)


def _batches(batches: Iterator[pa.RecordBatch], opened: ExitStack) -> Iterator[Any]:
    """The batches; what was opened is closed after them, or when the iterator is dropped.

    Its first item is none of them: only what has begun is tidied up by Python.
    """
    with opened:  # translates errors, too
        yield None
        yield from batches
