"""One version of a table, for reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atio.commit.state import load_schema
from atio.errors import Located
from atio.metadata.objects import Objects
from atio.model import snapshot as spec
from atio.table.datafiles import BATCH_ROWS
from atio.table.doors.face import Doors
from atio.table.scan import Scan, live_files

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from atio.predicate import Where

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Snapshot(Doors):
    """A version: immutable, and readable as long as it is retained.

    Comes from ``Table.snapshot`` and from the methods that write.
    """

    def __init__(self, objects: Objects, table_url: str, model: spec.Snapshot) -> None:
        self._objects = objects
        self._table_url = table_url
        self._model = model

    @property
    def version(self) -> int:
        return self._model.version

    @property
    def id(self) -> str:
        """Unique among all commits of all tables."""
        return self._model.id

    @property
    def time(self) -> datetime:
        """When it was committed (UTC); strictly increasing within a table."""
        return _EPOCH + timedelta(microseconds=self._model.time)

    @property
    def operation(self) -> str:
        """Such as ``append``, ``overwrite``, ``delete``, ``update``, ``upsert``, ``evolve``, ``compact``."""
        return self._model.operation

    @property
    def message(self) -> str | None:
        return self._model.message

    @property
    def token(self) -> str | None:
        return self._model.token

    @property
    def rows(self) -> int:
        return self._model.summary.rows

    @property
    def bytes(self) -> int:
        """Size of the data files."""
        return self._model.summary.bytes

    @property
    def schema(self) -> pa.Schema:
        return self._bound.public

    @cached_property
    def _bound(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
        return load_schema(self._objects, self._model.schema_ref)

    def files(self) -> list[spec.DataFile]:
        """The data files, in row order, with sizes, checksums and statistics."""
        return list(live_files(self._objects, self._model))

    # -- reading -----------------------------------------------------------------------------

    def scan(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> Scan:
        """Prepare a read: some columns, the rows for which ``where`` is true, the first ``limit`` of them.

        Parameters
        ----------
        where
            A condition: ``col("price") > 10``, SQL text ``"price > 10"``, or filters as pandas and pyarrow
            know them, ``[("price", ">", 10)]``. Files and row groups that cannot match are not read.

        Raises
        ------
        InputError
            There is no such column, or the condition does not fit the columns' types.
        """
        names = None if columns is None else tuple([columns] if isinstance(columns, str) else columns)
        condition = None
        if where is not None:
            from atio.predicate import bind

            with Located(table=self._table_url, version=self.version):
                condition = bind(where, self._bound.public)
        return Scan(self._objects, self._model, self._bound, self._table_url, names, limit, condition)

    def to_arrow(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> pa.Table:
        """As one ``pyarrow.Table``; parameters as for :meth:`scan`."""
        return self.scan(columns, limit, where=where).to_arrow()

    def to_pandas(
        self,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        *,
        where: Where | None = None,
        **kwargs: Any,
    ) -> pd.DataFrame:
        """As a pandas frame, as it was written: index, dtypes, categories, zones, attrs.

        ``kwargs`` go to ``pyarrow.Table.to_pandas``.
        """
        return self.scan(columns, limit, where=where).to_pandas(**kwargs)

    def to_polars(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> pl.DataFrame:
        """As a Polars frame."""
        return self.scan(columns, limit, where=where).to_polars()

    def to_lazy(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> pl.LazyFrame:
        """As a Polars ``LazyFrame``, which reads what a query needs; see :meth:`Scan.to_lazy`."""
        return self.scan(columns, limit, where=where).to_lazy()

    def to_batches(
        self,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        *,
        where: Where | None = None,
        rows: int = BATCH_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """Record batches of at most ``rows`` rows, one after the other, in bounded memory."""
        return self.scan(columns, limit, where=where).to_batches(rows)

    def count(self, where: Where | None = None) -> int:
        """How many rows there are for which ``where`` is true; reads no more than it must."""
        return self.scan((), where=where).count()

    def _scan(self) -> Scan:
        return self.scan()

    def __len__(self) -> int:
        return self.rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    # -- showing itself ----------------------------------------------------------------------

    def __repr__(self) -> str:
        columns = len(self._bound.arrow.names)
        note = f", {self.message!r}" if self.message else ""
        return (
            f"<Snapshot {self.version} of {self._table_url}: {self.rows:,} rows × {columns} columns, "
            f"{self.operation} {self.time:%Y-%m-%d %H:%M:%S} UTC{note}>"
        )

    def _repr_html_(self) -> str:
        from html import escape

        head = self.to_arrow(limit=10).slice(0, 10)
        names = "".join(
            f"<th>{escape(f.name)}<br><small>{escape(str(f.type))}</small></th>" for f in head.schema
        )
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row.values()) + "</tr>"
            for row in head.to_pylist()
        )
        return f"<p>{escape(repr(self))}</p><table><tr>{names}</tr>{rows}</table>"
