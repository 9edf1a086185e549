"""Reading a version: which files, which columns, how many rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from atio import frames
from atio.commit.state import file_schema, load_state
from atio.errors import DamagedError, InputError, Located, VersionNotFoundError, meant
from atio.formats.plan import rows_only
from atio.metadata import manifests, vectors
from atio.metadata.objects import Objects
from atio.model.snapshot import DataFile, Snapshot
from atio.schema.bound import BoundSchema
from atio.schema.read import reader, source_columns
from atio.storage.parallel import THREADS, ordered
from atio.table.alive import without
from atio.table.datafiles import BATCH_ROWS, open_parts, read_batches, read_file, read_files, spans
from atio.table.doors.face import Doors
from atio.table.lookup import retained

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from atio.predicate import Bound
    from atio.table.explain import Explanation
    from atio.table.matching import Matching
    from atio.table.planning import Planned

_SMALL = 2**20
_LARGE = 16 * 2**20
"""Bytes of local files that are worth threads of their own."""
_LARGE_AT_ONCE = 2
_TINY = 2**16
"""Bytes up to which as much time goes into each file as into its rows; so many are read together:"""
_TOGETHER = 256
_PIECE = 16 * 2**20
"""Encoded bytes to decode at once."""


def live_files(objects: Objects, snapshot: Snapshot) -> Iterator[DataFile]:
    """The data files of a version, in row order."""
    for ref in snapshot.manifests:
        yield from manifests.live(objects, ref)
    yield from snapshot.files


class Scan(Doors, msgspec.Struct, frozen=True):
    """A version's rows, restricted: nothing is read before a ``to_…`` method is called.

    Attributes
    ----------
    columns
        Names in the order of the result; None for all.
    limit
        At most that many rows, the first ones; None for all.
    condition
        Only rows for which it is true; None for all.
    """

    objects: Objects
    snapshot: Snapshot
    bound: BoundSchema
    table_url: str
    columns: tuple[str, ...] | None = None
    limit: int | None = None
    condition: Bound | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and (isinstance(self.limit, bool) or self.limit < 0):
            raise InputError(
                f"limit is {self.limit!r}; it must be a number of rows ≥ 0", table=self.table_url
            )
        known = self.bound.arrow.names
        for name in self.columns or ():
            if name not in known:
                raise InputError(
                    f"there is no column {name!r}",
                    table=self.table_url,
                    version=self.snapshot.version,
                    hint=meant(name, known) or f"columns are {', '.join(known[:20])}",
                )

    @property
    def schema(self) -> pa.Schema:
        """Of the result: types as they were written, the dataframe's metadata attached."""
        public = self.bound.public
        if self.columns is None:
            return public
        return pa.schema([public.field(name) for name in self.columns], metadata=public.metadata)

    def files(self) -> Iterator[DataFile]:
        """The data files that the scan reads, or with a condition may have to read."""
        if self.condition is not None:
            yield from (planned.file for planned in self._planned(sure=False))
            return
        left = self.limit
        for file in live_files(self.objects, self.snapshot):
            if left is not None and left <= 0:
                return
            yield file
            if left is not None:
                left -= file.live

    def to_arrow(self) -> pa.Table:
        """All rows as one Arrow table."""
        if self.condition is not None:
            return self._whole(list(self._matching()))
        parts: list[pa.Table] = []
        left = self.limit
        files = list(self.files())
        last = self._last_in_part(files)
        with self.located():
            for found in self._tables(files):
                part = found if left is None else _head(found, left)
                left = None if left is None else left - part.num_rows
                parts.append(part)
            if last is not None and left is not None:
                parts.extend(self._first(last, left))
        return self._whole(parts)

    def _last_in_part(self, files: list[DataFile]) -> DataFile | None:
        """Take the last file off if it is large and the limit ends in it."""
        if self.limit is None or not files or files[-1].size <= _SMALL:
            return None
        return files.pop() if self.limit < sum(file.live for file in files) else None

    def _tables(self, files: list[DataFile]) -> Iterator[pa.Table]:
        """The rows of whole files, in order."""
        at_once = self._at_once(files)
        read = partial(self._read, threads=at_once == 1)
        if self.objects.storage.capabilities.parallel:
            return ordered(read, files, at_once)
        return ordered(lambda run: self._run(run) if len(run) > 1 else read(*run), _runs(files), at_once)

    def _at_once(self, files: Sequence[DataFile]) -> int:
        """How many files to read at once."""
        size = sum(file.size for file in files)
        if self.objects.storage.capabilities.parallel:  # all wait for answers
            return min(len(files), THREADS if size < _SMALL * len(files) else _LARGE_AT_ONCE)
        processors = os.cpu_count() or 1
        # Of many large files one by each thread takes less time than all columns of one file at once.
        return processors if len(files) >= 2 * processors and size >= _LARGE else 1

    def _first(self, file: DataFile, rows: int) -> Iterator[pa.Table]:
        for found in self._read_batches(file, min(rows, BATCH_ROWS)):
            yield _head(found, rows)
            rows -= found.num_rows
            if rows <= 0:
                return

    def _whole(self, parts: list[pa.Table]) -> pa.Table:
        schema = self.schema
        if not schema.names:
            return rows_only(sum(part.num_rows for part in parts), schema.metadata)
        if not parts:
            return self.bound.empty().select(schema.names)
        whole = parts[0] if len(parts) == 1 else pa.concat_tables(parts)
        if any(pa.types.is_dictionary(kind) for kind in schema.types):
            whole = whole.unify_dictionaries()
        return whole.replace_schema_metadata(schema.metadata)

    def to_batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Rows in batches of at most ``rows``, in bounded memory."""
        if rows < 1:
            raise InputError(f"batches of {rows} rows cannot be", table=self.table_url)
        schema = self.schema
        pieces = self._pieces(rows) if self.condition is None else self._matching(by_group=True)
        for part in pieces:
            named = part.replace_schema_metadata(schema.metadata) if part.num_columns else part
            yield from named.to_batches(max_chunksize=rows)

    def _pieces(self, rows: int) -> Iterator[pa.Table]:
        with self.located():
            yield from self._limited(self._parts(self.files(), lambda _: rows))

    def _limited(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The tables up to the limit; what comes after it is not asked for."""
        left = self.limit
        for found in tables:
            part = found if left is None else _head(found, left)
            left = None if left is None else left - part.num_rows
            yield part
            if left == 0:
                return

    # -- with a condition ------------------------------------------------------------------------

    def _planned(self, *, sure: bool = True) -> Iterator[Planned]:
        from atio.table.planning import plan

        assert self.condition is not None
        with self.located():
            yield from plan(self.objects, self.snapshot, self.bound, self.condition, sure=sure)

    def _matching(self, *, by_group: bool = False) -> Iterator[pa.Table]:
        """The rows for which the condition is true, file by file, in order."""
        from atio.table.matching import Matching

        assert self.condition is not None
        matching = Matching(self.objects, self.bound, self._names(), self.condition)
        if self.limit == 0:
            return
        if self.limit is None and not by_group:
            yield from self._in_parallel(matching)
        else:
            yield from self._limited(self._in_order(matching))

    def _in_order(self, matching: Matching) -> Iterator[pa.Table]:
        # Of few rows it is not worth to know.
        for planned in self._planned(sure=self.limit is None):
            with self.located():
                yield from matching.pieces(planned, self.source(planned.file), whole=False, threads=True)

    def _in_parallel(self, matching: Matching) -> Iterator[pa.Table]:
        files = list(self._planned())

        def read(planned: Planned) -> list[pa.Table]:
            source = self.source(planned.file)
            return list(matching.pieces(planned, source, whole=True, threads=len(files) < 2))

        threads = self._at_once([planned.file for planned in files])
        with self.located():
            for found in ordered(read, files, max(threads, min(len(files), os.cpu_count() or 1))):
                yield from found

    def to_reader(self, rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """As ``to_batches``, as the stream object other Arrow libraries take."""
        return pa.RecordBatchReader.from_batches(self.schema, self.to_batches(rows))

    def to_pandas(self, **kwargs: Any) -> pd.DataFrame:
        """All rows as a pandas frame, with its index, attrs and dtypes.

        ``kwargs`` go to ``pyarrow.Table.to_pandas``.
        """
        found = self.to_arrow()
        # The index of a whole table counts its rows; those that a condition leaves are counted anew.
        index = None if self.condition is not None else self.snapshot.index
        if index is None:
            return frames.to_pandas(found, **kwargs)
        stop = index.start + index.step * found.num_rows
        labels = frames.RangeIndex(index.start, stop, index.step, index.name)
        return frames.to_pandas(found, labels, **kwargs)

    def to_polars(self) -> pl.DataFrame:
        """All rows as a Polars frame."""
        from atio.table.doors.polars import frame

        with self.located():
            return frame(self)

    def to_lazy(self) -> pl.LazyFrame:
        """As a Polars ``LazyFrame``: what a query selects, filters and slices, it alone reads.

        Polars itself reads data files that are local Parquet and hold the columns as they are; they, or the
        scan's columns in them, are hashed first, once a process. Otherwise it gets the rows of this scan,
        batch by batch. Rows, order and dtypes are those of ``to_polars()`` either way.
        """
        from atio.table.doors.polars import lazy

        with self.located():
            return lazy(self)

    def _scan(self) -> Scan:
        return self

    def count(self) -> int:
        """Rows of the result, from the metadata alone where they tell."""
        rows = self.snapshot.summary.rows if self.condition is None else self._count()
        return rows if self.limit is None else min(rows, self.limit)

    def _count(self) -> int:
        from atio.table.matching import Matching

        assert self.condition is not None
        matching = Matching(self.objects, self.bound, (), self.condition)
        total = 0
        for planned in self._planned():
            if planned.sure:
                total += planned.file.live
                continue
            with self.located():
                pieces = matching.pieces(planned, self.source(planned.file), whole=True, threads=True)
                total += sum(found.num_rows for found in pieces)
        return total

    def explain(self) -> Explanation:
        """Which files, row groups and rows are read, and how many the condition saves; reads footers only."""
        from atio.table.explain import explain

        with self.located():
            return explain(self)

    # -- one file --------------------------------------------------------------------------------

    def _names(self) -> Sequence[str]:
        return self.bound.arrow.names if self.columns is None else self.columns

    def source(self, file: DataFile) -> BoundSchema:
        """The schema a file was written with, as far as it matters to its reading."""
        return file_schema(self.objects, file, self.bound, self.snapshot.schemas[1:])

    def _plan(self, file: DataFile) -> tuple[pa.Schema, list[str], Callable[[pa.Table], pa.Table]]:
        source = self.source(file)
        names = self._names()
        return source.arrow, source_columns(source, self.bound, names), reader(source, self.bound, names)

    def _read(self, file: DataFile, *, threads: bool = True) -> pa.Table:
        schema, columns, convert = self._plan(file)
        small = file.size < _SMALL or not threads
        vector = vectors.load(self.objects, file)
        elsewhere = self.objects.storage.capabilities.parallel
        if vector is None or small or not columns or elsewhere:
            found = convert(read_file(self.objects.storage, file, schema, columns, threads=not small))
            return found if vector is None else without(found, vector, 0)
        partial = len(columns) < len(schema)
        with open_parts(self.objects.storage, file, schema, partial=partial) as parts:
            starts = spans(parts.rows)

            def alive(group: int) -> pa.BooleanArray:
                return vector.alive(*starts[group])

            return convert(parts.picked(columns, range(len(starts)), alive, threads=True))

    def _run(self, files: list[DataFile]) -> pa.Table:
        """All rows of several files that ``_runs`` put together."""
        schema, columns, convert = self._plan(files[0])
        return convert(read_files(self.objects.storage, files, schema, columns))

    def _read_batches(self, file: DataFile, rows: int) -> Iterator[pa.Table]:
        schema, columns, convert = self._plan(file)
        vector = vectors.load(self.objects, file)
        start = 0
        for found in read_batches(self.objects.storage, file, schema, columns, rows):
            part = convert(found)
            yield part if vector is None else without(part, vector, start)
            start += found.num_rows

    def pieces(self, files: Iterable[DataFile]) -> Iterator[pa.Table]:
        """All rows of some of its files, in order, a bounded part at a time."""

        def rows(file: DataFile) -> int:
            return min(max(1024, _PIECE * file.rows // max(file.size, 1)), BATCH_ROWS)

        with self.located():
            yield from self._parts(files, rows)

    def _parts(self, files: Iterable[DataFile], rows: Callable[[DataFile], int]) -> Iterator[pa.Table]:
        """All rows in order: small files are read as a whole, of the others so many at a time."""
        for small, run in groupby(files, lambda file: file.size <= _SMALL and file.rows <= BATCH_ROWS):
            if small:
                yield from self._tables(list(run))
                continue
            for file in run:
                yield from self._read_batches(file, rows(file))

    def located(self) -> _Located:
        return _Located(self)


def _runs(files: Iterable[DataFile]) -> Iterator[list[DataFile]]:
    """Tiny files that can be read together; others alone."""
    for kind, alike in groupby(files, _kind):
        run: list[DataFile] = []
        rows = 0
        for file in alike:
            if run and (kind is None or len(run) == _TOGETHER or rows + file.rows > BATCH_ROWS):
                yield run
                run, rows = [], 0
            run.append(file)
            rows += file.rows
        yield run


def _kind(file: DataFile) -> tuple[str, int] | None:
    tiny = 0 < file.size <= _TINY and file.deleted is None
    return (file.format, file.schema_id) if tiny else None


def _head(table: pa.Table, rows: int) -> pa.Table:
    # A slice of a table without columns has as many rows as were asked for, whether there are or not.
    return table.slice(0, min(rows, table.num_rows))


class _Located(Located):
    """Says so if the version was expired while it was read."""

    def __init__(self, scan: Scan) -> None:
        super().__init__(table=scan.table_url, version=scan.snapshot.version)
        self._scan = scan

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        super().__exit__(kind, error, trace)
        if isinstance(error, DamagedError) and self._expired():
            version = self._scan.snapshot.version
            raise VersionNotFoundError(
                f"version {version} was expired while it was read",
                hint="read a retained version; a tag keeps one from expiring",
                **self._where,
            ) from error

    def _expired(self) -> bool:
        scan = self._scan
        state = load_state(scan.objects)
        return state is not None and retained(scan.objects, state, scan.snapshot.version) is None
