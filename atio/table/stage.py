"""Rows -> data files that no version refers to yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow as pa

from atio.commit.changes import frame_index
from atio.commit.state import NO_CATALOG, State
from atio.errors import InputError
from atio.frames.base import Incoming
from atio.frames.gathering import gathered
from atio.metadata.objects import Objects
from atio.model import schema as spec
from atio.model.base import Id, Model
from atio.model.pointer import Catalog, Check
from atio.model.snapshot import DataFile, FrameIndex, SchemaRef
from atio.schema.bound import BoundSchema
from atio.schema.fit import Fitter
from atio.table.datafiles import FileOptions, FileSetWriter, null_came_first
from atio.table.layout import MOST_PARTITIONS, SMALL_BYTES, Layout, Partition, layout_of

GROUP_ROWS = 2**20
"""Rows encoded at once: a row group of Parquet."""
_GROUP_BYTES = 256 * 2**20
_SORT_BYTES = 128 * 2**20


class Staged(Model, frozen=True, omit_defaults=True, kw_only=True):
    """Data files written for a table, not yet part of it: the result of ``Table.stage``.

    Serialises with ``encode()`` and ``Staged.decode()`` (and pickles), so that workers elsewhere can
    write the files and one process commits them all. Files that are not committed are removed by
    ``vacuum()`` once they are older than its grace period.
    """

    table_id: Id | None
    files: tuple[DataFile, ...]
    table_schema: spec.Schema
    schema_ref: SchemaRef | None
    grown_from: int | None
    last_field_id: int
    index: FrameIndex | None
    checked: tuple[Check, ...] = ()

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def bound(self) -> BoundSchema:
        return BoundSchema(self.table_schema, self.schema_ref)


def stage(
    objects: Objects,
    source: Incoming,
    state: State | None,
    options: FileOptions,
    *,
    prefix: str = "",
    replace: bool = False,
    grow: bool = False,
) -> Staged:
    """Write rows into data files.

    Parameters
    ----------
    state
        The table as it is, or None when there is none.
    prefix
        What the files' names start with, for the lease that protects them.
    replace
        The rows will replace the table, so they need not fit its columns; columns of the same name
        and type keep their field ids.
    grow
        Columns that the table does not have are added to it.
    """
    fitter = _fitter(state, replace=replace, grow=grow)
    fitter.start(source.schema)
    catalog = state.catalog if state else NO_CATALOG
    layout = layout_of(catalog, fitter.schema())
    with FileSetWriter(objects, options, prefix) as writer:
        groups = _groups(fitter, source.tables)
        if catalog.checks:
            groups = _checked(groups, fitter, catalog)
        if layout.is_plain:
            for table in groups:
                _write(writer, table, fitter.schema(), whole=table.num_rows == source.rows)
        else:
            _write_arranged(writer, groups, fitter, layout, source.rows)
    schema = fitter.schema()
    return Staged(
        table_id=state.pointer.table_id if state else None,
        files=tuple(writer.files),
        table_schema=schema.spec,
        schema_ref=schema.ref,
        grown_from=state.schema.spec.id if state and schema.ref is None else None,
        last_field_id=state.pointer.last_field_id if state else 0,
        index=frame_index(source.index),
        checked=catalog.checks,
    )


def _checked(tables: Iterator[pa.Table], fitter: Fitter, catalog: Catalog) -> Iterator[pa.Table]:
    from atio.table.constraints import check_rows, rules

    seen = 0
    for table in tables:
        check_rows(rules(catalog, fitter.schema()), table, seen)
        seen += table.num_rows
        yield table


def _write(writer: FileSetWriter, table: pa.Table, schema: BoundSchema, *, whole: bool) -> None:
    """``whole``: it is all that there is for its file."""
    if whole and table.nbytes <= SMALL_BYTES:
        writer.write_whole(table, schema)
    else:
        for start in range(0, table.num_rows, GROUP_ROWS):
            writer.write(table.slice(start, GROUP_ROWS), schema)


def _write_arranged(
    writer: FileSetWriter, groups: Iterator[pa.Table], fitter: Fitter, layout: Layout, rows: int | None
) -> None:
    """Rows of one partition after the other, so that no more than one file is open."""
    stretches = _Stretches(groups, fitter)
    before: Partition | None = None
    seen = 0
    for tables in stretches:
        for partition, table in layout.arranged(tables, _SORT_BYTES):
            if partition != before:
                before, seen = partition, seen + 1
                if seen > MOST_PARTITIONS:
                    raise InputError(
                        f"the rows are of more than {MOST_PARTITIONS:,} partitions, and each would be a file",
                        hint="partition by something coarser: month() for day(), a bucket() for a column",
                    )
            writer.begin(partition)
            _write(writer, table, stretches.schema, whole=stretches.rows == rows)


class _Stretches:
    """Tables of one Arrow schema each, which is what a sort takes; ``schema`` is theirs when all came."""

    def __init__(self, tables: Iterator[pa.Table], fitter: Fitter) -> None:
        self._tables = tables
        self._fitter = fitter
        self._ahead: pa.Table | None = None
        self.schema = fitter.schema()
        self.rows = 0

    def __iter__(self) -> Iterator[Iterator[pa.Table]]:
        self._ahead = next(self._tables, None)
        while self._ahead is not None:
            now = self._fitter.schema()
            if self.rows and not now.same_structure(self.schema):
                raise null_came_first()
            self.schema = now
            yield self._alike(self._ahead.schema)

    def _alike(self, schema: pa.Schema) -> Iterator[pa.Table]:
        while self._ahead is not None and self._ahead.schema.equals(schema):
            self.schema = self._fitter.schema()
            self.rows += self._ahead.num_rows
            yield self._ahead
            self._ahead = next(self._tables, None)


def _fitter(state: State | None, *, replace: bool, grow: bool) -> Fitter:
    if state is None:
        return Fitter(None)
    if not state.schema.spec.fields and not state.snapshot.summary.rows:
        replace = True  # Created without columns: the first rows decide them.
    return Fitter(
        None if replace else state.schema,
        previous=state.schema if replace else None,
        last_schema_id=state.pointer.last_schema_id,
        last_field_id=state.pointer.last_field_id,
        grow=grow,
    )


def _groups(fitter: Fitter, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Fit tables and gather small ones until they are worth a row group; holds no more than one."""
    return map(partial(_joined, fitter), gathered(map(fitter.fit, tables), GROUP_ROWS, _GROUP_BYTES))


def _joined(fitter: Fitter, tables: list[pa.Table]) -> pa.Table:
    """If the schema grew (real values in a column that was all null), what came before grows with it."""
    now = tables[-1].schema
    alike = [one if one.schema == now else fitter.fit(one) for one in tables]
    return alike[0] if len(alike) == 1 else pa.concat_tables(alike)
