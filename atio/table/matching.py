"""The rows of one data file for which a condition is true.

The condition's columns come first; the others are read only of row groups in which a row matches, and only
of these rows. Large row groups are read by several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa

from atio.columns import scalar
from atio.formats.base import Parts, Work
from atio.formats.plan import rows_only
from atio.metadata import vectors
from atio.metadata.objects import Objects
from atio.model.snapshot import DataFile
from atio.predicate import Bound, matches
from atio.predicate.keep import kept
from atio.schema.bound import BoundSchema
from atio.schema.read import reader, source_columns
from atio.table.datafiles import open_parts, spans
from atio.table.planning import GroupStatistics, Planned

T = TypeVar("T")
_READ_ROWS = 2**20


class Matching:
    """Reads what a condition leaves of data files.

    Parameters
    ----------
    target
        The columns of the version that is read; ``names`` are those of the result.
    """

    def __init__(self, objects: Objects, target: BoundSchema, names: Sequence[str], condition: Bound) -> None:
        self._objects = objects
        self._target = target
        self._names = list(names)
        self._condition = condition
        self._tested = list(condition.columns)
        self._shown = [name for name in self._tested if name in set(self._names)]
        self._others = [name for name in self._names if name not in set(self._tested)]

    def pieces(
        self, planned: Planned, source: BoundSchema, *, whole: bool, threads: bool
    ) -> Iterator[pa.Table]:
        """The matching rows of a file: in one table if ``whole``, else a table a row group."""
        with self._opened(planned.file, source, threads=threads) as opened:
            if planned.sure or len(opened.rows) == 1:  # The file's own statistics were asked.
                may, sure = [True] * len(opened.rows), [planned.sure] * len(opened.rows)
            else:
                may, sure = opened.matches(self._condition)
            groups = [group for group, possible in enumerate(may) if possible]
            for run in [groups] if whole and groups else [[group] for group in groups]:
                every = all(sure[group] for group in run)
                found = opened.alive(self._names, run) if every else self._matching(opened, run)
                if found is not None:
                    yield found

    def _matching(self, opened: _Opened, groups: list[int]) -> pa.Table | None:
        def test(group: int, rows: pa.Table) -> tuple[pa.BooleanArray, pa.Table | None]:
            mask = self._mask(rows, opened.alive_in(group))
            return mask, kept(rows.select(self._shown), mask) if self._shown else None

        tested = opened.each(self._tested, groups, test)
        masks = {group: mask for group, (mask, _) in zip(groups, tested, strict=True) if mask.true_count}
        if not self._names:
            return rows_only(sum(mask.true_count for mask in masks.values()))
        if not masks:
            return None
        shown = [rows for mask, rows in tested if rows is not None and mask.true_count]
        parts = [pa.concat_tables(shown)] if shown else []
        if self._others:
            parts.append(opened.picked(self._others, masks))
        return _beside(parts).select(self._names)

    def hits(
        self, file: DataFile, source: BoundSchema, *, threads: bool, seen: Callable[[pa.Table], None] | None
    ) -> pa.BooleanArray | None:
        """Which rows of a file match, by position, deleted ones left out; None if none does.

        ``seen`` gets the condition's columns of these rows; without it, they are read only where they decide.
        """
        with self._opened(file, source, threads=threads) as opened:
            count = len(opened.rows)
            # The file's own statistics were asked.
            may, sure = opened.matches(self._condition) if count > 1 else ([True], [False])
            if seen is not None:
                sure = [False] * count
            masks: dict[int, pa.BooleanArray] = {}
            wanted = [group for group in range(count) if may[group] and not sure[group]]
            for run in _runs(wanted, opened.rows):  # many at once: there are few columns
                rows = opened.read(self._tested, run)
                mask = self._mask(rows, opened.alive_in(*run))
                if seen is not None and mask.true_count:
                    seen(kept(rows, mask))
                places = spans([opened.rows[group] for group in run])
                masks |= {group: mask.slice(*place) for group, place in zip(run, places, strict=True)}
            whole = [
                masks[group] if group in masks else opened.all_or_none(group, every=sure[group])
                for group in range(count)
            ]
        mask = whole[0] if count == 1 else pa.concat_arrays(whole)
        return mask if mask.true_count else None

    def rows_at(self, file: DataFile, source: BoundSchema, mask: pa.BooleanArray) -> Iterator[pa.Table]:
        """The rows of a file where ``mask``, which has one for each, is true: a table a row group."""
        with self._opened(file, source, threads=True) as opened:
            for group, (start, rows) in enumerate(opened.spans):
                here = mask.slice(start, rows)
                if here.true_count:
                    yield opened.picked(self._names, {group: here})

    @contextmanager
    def _opened(self, file: DataFile, source: BoundSchema, *, threads: bool) -> Iterator[_Opened]:
        vector = vectors.load(self._objects, file)
        with open_parts(self._objects.storage, file, source.arrow) as parts:
            yield _Opened(parts, source, self._target, vector, threads=threads)

    def _mask(self, table: pa.Table, alive: pa.BooleanArray | None) -> pa.BooleanArray:
        import pyarrow.compute as pc

        mask = self._condition.evaluate(table)
        if isinstance(mask, pa.ChunkedArray):
            mask = mask.combine_chunks()
        mask = pc.fill_null(mask, scalar(False, pa.bool_()))  # unknown is not true
        return mask if alive is None else pc.and_(mask, alive)


class _Opened:
    """An open file, read as columns of the version."""

    def __init__(
        self,
        parts: Parts,
        source: BoundSchema,
        target: BoundSchema,
        vector: vectors.Vector | None,
        *,
        threads: bool,
    ) -> None:
        self._parts = parts
        self._source = source
        self._target = target
        self._vector = vector
        self._threads = threads
        self.rows = parts.rows
        self.spans = spans(parts.rows)

    def matches(self, condition: Bound) -> tuple[list[bool], list[bool]]:
        """Of each row group, whether rows may match, and whether all surely do."""
        may, sure = matches(condition, GroupStatistics(self._parts, self._source, self._target))
        return may.to_pylist(), sure.to_pylist()

    def alive_in(self, *groups: int) -> pa.BooleanArray | None:
        """Which rows of groups are not deleted; None: all."""
        if self._vector is None:
            return None
        return pa.concat_arrays([self._vector.alive(*self.spans[group]) for group in groups])

    def all_or_none(self, group: int, *, every: bool) -> pa.BooleanArray:
        """A mask of a group: of all its rows that are not deleted, or of none."""
        alive = self.alive_in(group) if every else None
        return pa.repeat(scalar(every, pa.bool_()), self.rows[group]) if alive is None else alive

    def alive(self, names: list[str], groups: list[int]) -> pa.Table:
        """The rows of groups that are not deleted."""
        if self._vector is not None:
            return self.picked(names, {group: self._vector.alive(*self.spans[group]) for group in groups})
        return self.read(names, groups)

    def read(self, names: list[str], groups: list[int]) -> pa.Table:
        """All rows of groups."""
        there, convert = self._columns(names)
        rows = sum(self.rows[group] for group in groups)
        return convert(self._parts.read(there, groups, threads=self._threads) if there else rows_only(rows))

    def each(self, names: list[str], groups: list[int], work: Work[T]) -> list[T]:
        """What ``work`` makes of the rows of each group."""
        there, convert = self._columns(names)
        if not there:
            return [work(group, convert(rows_only(self.rows[group]))) for group in groups]
        return self._parts.each(
            there, groups, lambda group, rows: work(group, convert(rows)), threads=self._threads
        )

    def picked(self, names: list[str], masks: dict[int, pa.BooleanArray]) -> pa.Table:
        """The rows of groups where these are true."""
        there, convert = self._columns(names)
        if not there:
            return convert(rows_only(sum(mask.true_count for mask in masks.values())))
        groups = list(masks)
        mask = masks[groups[0]]
        if len(groups) == 1 and not mask.slice(len(mask) // 2).true_count:
            end = _end(mask)  # What is behind the last one need not be decoded.
            return convert(kept(self._parts.head(there, groups[0], end), mask.slice(0, end)))
        return convert(self._parts.picked(there, groups, masks.__getitem__, threads=self._threads))

    def _columns(self, names: list[str]) -> tuple[list[str], Callable[[pa.Table], pa.Table]]:
        """Those that the file has, and what makes those of the version of them."""
        there = source_columns(self._source, self._target, names)
        return there, reader(self._source, self._target, names)


def _runs(groups: Sequence[int], rows: Sequence[int]) -> Iterator[list[int]]:
    """As many of the groups together as are worth a read, and no more than memory may hold."""
    run: list[int] = []
    total = 0
    for group in groups:
        if run and total + rows[group] > _READ_ROWS:
            yield run
            run, total = [], 0
        run.append(group)
        total += rows[group]
    if run:
        yield run


def _end(mask: pa.BooleanArray) -> int:
    """Behind the last match."""
    import pyarrow.compute as pc

    places = pc.indices_nonzero(mask)
    return int(places[-1].as_py()) + 1 if len(places) else 0


def _beside(tables: list[pa.Table]) -> pa.Table:
    columns = [column for table in tables for column in table.columns]
    return pa.Table.from_arrays(
        columns, schema=pa.schema([field for table in tables for field in table.schema])
    )
