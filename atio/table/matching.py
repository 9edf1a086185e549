"""The rows of one data file for which a condition is true.

The condition's columns come first; the others are read only of row groups in which a row matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from atio.columns import scalar
from atio.formats.base import Parts
from atio.formats.plan import rows_only
from atio.metadata import vectors
from atio.metadata.objects import Objects
from atio.model.snapshot import DataFile
from atio.predicate import Bound, matches
from atio.predicate.keep import kept
from atio.schema.bound import BoundSchema
from atio.schema.read import reader, source_columns
from atio.table.alive import picked
from atio.table.datafiles import open_parts
from atio.table.planning import GroupStatistics

_READ_ROWS = 2**20
Span = tuple[int, int, int]
"""A row group, where its rows start, and how many they are."""


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
        self._others = [name for name in self._names if name not in set(self._tested)]

    def pieces(
        self, file: DataFile, source: BoundSchema, *, whole: bool, threads: bool
    ) -> Iterator[pa.Table]:
        """The matching rows of a file: in one table if ``whole``, else a table a row group."""
        vector = vectors.load(self._objects, file)
        with open_parts(self._objects.storage, file, source.arrow) as parts:
            statistics = GroupStatistics(parts, source, self._target)
            may, sure = (mask.to_pylist() for mask in matches(self._condition, statistics))
            groups = [place for place, possible in enumerate(may) if possible]
            spans = _all_spans(parts)
            runs = [groups] if whole else [[group] for group in groups]
            for run in runs:
                if run:
                    every = all(sure[group] for group in run)
                    alive = None if vector is None else _alive(vector, [spans[group] for group in run])
                    found = self._read(parts, source, run, alive, every=every, threads=threads)
                    if found is not None:
                        yield found

    def _read(
        self,
        parts: Parts,
        source: BoundSchema,
        groups: list[int],
        alive: pa.BooleanArray | None,
        *,
        every: bool,
        threads: bool,
    ) -> pa.Table | None:
        if every:
            found = self._columns(parts, source, self._names, groups, threads=threads)
            return found if alive is None else picked(found, alive)
        tested = self._columns(parts, source, self._tested, groups, threads=threads)
        mask = self._mask(tested, alive)
        if not self._names:
            return rows_only(mask.true_count)
        if self._others:
            spans = list(_spans(parts, groups))
            hit = [span for span in spans if mask.slice(*span[1:]).true_count]
            if not hit:
                return None
            if len(hit) < len(spans):
                tested = pa.concat_tables([tested.slice(*span[1:]) for span in hit])
                mask = pa.concat_arrays([mask.slice(*span[1:]) for span in hit])
            end = _end(mask)
            if len(hit) == 1 and 2 * end <= len(mask):  # what is behind the last one need not be decoded
                tested, mask = tested.slice(0, end), mask.slice(0, end)
                others = self._head(parts, source, hit[0][0], end)
            else:
                groups = [span[0] for span in hit]
                others = self._columns(parts, source, self._others, groups, threads=threads)
            tested = _beside(tested, others)
        return kept(tested.select(self._names), mask)

    def _columns(
        self, parts: Parts, source: BoundSchema, names: list[str], groups: list[int], *, threads: bool
    ) -> pa.Table:
        there = source_columns(source, self._target, names)
        if there:
            found = parts.read(there, groups, threads=threads)
        else:
            found = rows_only(sum(parts.rows[group] for group in groups))
        return reader(source, self._target, names)(found)

    def _head(self, parts: Parts, source: BoundSchema, group: int, rows: int) -> pa.Table:
        there = source_columns(source, self._target, self._others)
        found = parts.head(there, group, rows) if there else rows_only(rows)
        return reader(source, self._target, self._others)(found)

    def hits(
        self, file: DataFile, source: BoundSchema, *, threads: bool, seen: Callable[[pa.Table], None] | None
    ) -> pa.BooleanArray | None:
        """Which rows of a file match, by position, deleted ones left out; None if none does.

        ``seen`` gets the condition's columns of these rows; without it, they are read only where they decide.
        """
        vector = vectors.load(self._objects, file)
        with open_parts(self._objects.storage, file, source.arrow) as parts:
            spans = _all_spans(parts)
            if len(spans) == 1:
                may, sure = [True], [False]  # The file's own statistics were asked.
            else:
                statistics = GroupStatistics(parts, source, self._target)
                may, sure = (mask.to_pylist() for mask in matches(self._condition, statistics))
                if seen:
                    sure = [False] * len(may)
            masks: dict[int, pa.BooleanArray] = {}
            for batch in _batches([span for span in spans if may[span[0]] and not sure[span[0]]]):
                groups = [group for group, _, _ in batch]
                alive = None if vector is None else _alive(vector, batch)
                tested = self._columns(parts, source, self._tested, groups, threads=threads)
                found = self._mask(tested, alive)
                if seen is not None and found.true_count:
                    seen(picked(tested, found))
                begin = 0
                for group, _, rows in batch:
                    masks[group] = found.slice(begin, rows)
                    begin += rows
            for group, start, rows in spans:
                if sure[group]:
                    masks[group] = pa.repeat(True, rows) if vector is None else vector.alive(start, rows)
            whole = [masks.get(group, pa.repeat(False, rows)) for group, _, rows in spans]
        mask = whole[0] if len(whole) == 1 else pa.concat_arrays(whole)
        return mask if mask.true_count else None

    def rows_at(self, file: DataFile, source: BoundSchema, mask: pa.BooleanArray) -> Iterator[pa.Table]:
        """The rows of a file where ``mask``, which has one for each, is true: a table a row group."""
        with open_parts(self._objects.storage, file, source.arrow) as parts:
            for group, start, rows in _all_spans(parts):
                here = mask.slice(start, rows)
                if here.true_count:
                    yield picked(self._columns(parts, source, self._names, [group], threads=True), here)

    def _mask(self, table: pa.Table, alive: pa.BooleanArray | None) -> pa.BooleanArray:
        import pyarrow.compute as pc

        mask = self._condition.evaluate(table)
        if isinstance(mask, pa.ChunkedArray):
            mask = mask.combine_chunks()
        mask = pc.fill_null(mask, scalar(False, pa.bool_()))  # unknown is not true
        return mask if alive is None else pc.and_(mask, alive)


def _alive(vector: vectors.Vector, spans: Sequence[Span]) -> pa.BooleanArray:
    return pa.concat_arrays([vector.alive(start, rows) for _, start, rows in spans])


def _end(mask: pa.BooleanArray) -> int:
    """Behind the last match."""
    import pyarrow.compute as pc

    places = pc.indices_nonzero(mask)
    return int(places[-1].as_py()) + 1 if len(places) else 0


def _batches(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """As many row groups together as are worth a read, and no more than memory may hold."""
    batch: list[Span] = []
    total = 0
    for span in spans:
        if batch and total + span[2] > _READ_ROWS:
            yield batch
            batch, total = [], 0
        batch.append(span)
        total += span[2]
    if batch:
        yield batch


def _all_spans(parts: Parts) -> list[Span]:
    return list(_spans(parts, range(len(parts.rows))))


def _spans(parts: Parts, groups: Sequence[int]) -> Iterator[Span]:
    """Each group with where its rows start among those of ``groups``, and how many they are."""
    start = 0
    for group in groups:
        yield group, start, parts.rows[group]
        start += parts.rows[group]


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    return pa.Table.from_arrays(
        [*left.columns, *right.columns], schema=pa.schema([*left.schema, *right.schema])
    )
