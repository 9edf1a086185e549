"""The rows of one data file for which a condition is true.

The condition's columns come first; the others are read only of row groups in which a row matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from atio.formats.base import Parts
from atio.formats.plan import rows_only
from atio.model.snapshot import DataFile
from atio.predicate import Bound, all_match, may_match
from atio.predicate.keep import kept
from atio.schema.bound import BoundSchema
from atio.schema.read import reader, source_columns
from atio.storage.base import Storage
from atio.table.datafiles import open_parts
from atio.table.planning import GroupStatistics


class Matching:
    """Reads what a condition leaves of data files.

    Parameters
    ----------
    target
        The columns of the version that is read; ``names`` are those of the result.
    """

    def __init__(self, storage: Storage, target: BoundSchema, names: Sequence[str], condition: Bound) -> None:
        self._storage = storage
        self._target = target
        self._names = list(names)
        self._condition = condition
        self._tested = list(condition.columns)
        self._others = [name for name in self._names if name not in set(self._tested)]

    def pieces(
        self, file: DataFile, source: BoundSchema, *, whole: bool, threads: bool
    ) -> Iterator[pa.Table]:
        """The matching rows of a file: in one table if ``whole``, else a table a row group."""
        with open_parts(self._storage, file, source.arrow) as parts:
            statistics = GroupStatistics(parts, source, self._target)
            may = may_match(self._condition, statistics).to_pylist()
            sure = all_match(self._condition, statistics).to_pylist()
            groups = [place for place, possible in enumerate(may) if possible]
            runs = [groups] if whole else [[group] for group in groups]
            for run in runs:
                if run:
                    every = all(sure[group] for group in run)
                    found = self._read(parts, source, run, every=every, threads=threads)
                    if found is not None:
                        yield found

    def _read(
        self, parts: Parts, source: BoundSchema, groups: list[int], *, every: bool, threads: bool
    ) -> pa.Table | None:
        if every:
            return self._columns(parts, source, self._names, groups, threads=threads)
        tested = self._columns(parts, source, self._tested, groups, threads=threads)
        mask = self._mask(tested)
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
            others = self._columns(parts, source, self._others, [span[0] for span in hit], threads=threads)
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

    def _mask(self, table: pa.Table) -> pa.BooleanArray:
        import pyarrow.compute as pc

        mask = self._condition.evaluate(table)
        if isinstance(mask, pa.ChunkedArray):
            mask = mask.combine_chunks()
        return pc.fill_null(mask, False)  # unknown is not true


def _spans(parts: Parts, groups: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Each group with where its rows start among those of ``groups``, and how many they are."""
    start = 0
    for group in groups:
        yield group, start, parts.rows[group]
        start += parts.rows[group]


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    return pa.Table.from_arrays(
        [*left.columns, *right.columns], schema=pa.schema([*left.schema, *right.schema])
    )
