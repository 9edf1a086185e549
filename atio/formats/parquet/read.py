"""Reading Parquet files, or parts of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from atio.formats.base import ColumnStats, MaskOf, T, Work
from atio.formats.blocks import KEY, Blocks, chunks
from atio.formats.errors import decoding
from atio.formats.parquet.core import Reader
from atio.formats.parquet.plan import ParquetPlan, group_stats
from atio.formats.plan import rows_only
from atio.formats.source import Sparse, opened
from atio.storage.parallel import ordered

R_co = TypeVar("R_co", covariant=True)

# Below, starting threads costs more than it saves.
_PROCESSORS = os.cpu_count() or 1
_THREADED_BYTES = 2**20
_THREADED_ROWS = 2**18
_FETCHES = 4
"""Row groups of a file that is elsewhere to fetch at once."""


class _One(Protocol[R_co]):
    """Reads one row group."""

    def __call__(self, reader: Reader, group: int, *, threads: bool) -> R_co: ...


class Part:
    """A reader of parts of a file.

    The hashes of the blocks that they lie in vouch for them, or where there are none the pages' checksums.
    """

    def __init__(
        self,
        source: pa.Buffer | str | Sparse,
        file: pa.NativeFile,
        plan: ParquetPlan,
        metadata: Any = None,
    ) -> None:
        is_held = isinstance(source, pa.Buffer)
        self.reader = Reader(file, plan, verify=is_held, metadata=metadata)
        self._elsewhere = isinstance(source, Sparse)
        self._blocks = None
        listed = None if is_held else (self.reader.metadata.metadata or {}).get(KEY)
        if isinstance(source, Sparse):
            self._blocks = Blocks(file, listed or b"", source.fetch)
        elif listed is not None:
            self._blocks = Blocks(file, listed)
        elif not is_held:
            self.reader = Reader(file, plan, verify=True, metadata=self.reader.metadata)

    def verify(self, leaves: list[int], groups: Sequence[int]) -> None:
        if self._blocks is not None:
            self._blocks.check(chunks(self.reader.metadata, leaves, groups))

    def verified(self, leaves: list[int], groups: Sequence[int]) -> Iterator[int]:
        """The same groups, each verified."""

        def one(group: int) -> int:
            self.verify(leaves, [group])
            return group

        # By one other thread: two would share the block where their groups meet.
        return ordered(one, groups, threads=1, ahead=int(self._elsewhere))


class FileParts:
    """See ``formats.base.Parts``: the footer is read once for all that is read of the file."""

    def __init__(self, source: pa.Buffer | str, file: pa.NativeFile, plan: ParquetPlan) -> None:
        self._plan = plan
        self._source = source
        with decoding("parquet"):
            self._part = Part(source, file, plan)
            self._reader = self._part.reader
            groups = range(self._reader.metadata.num_row_groups)
            self._groups = [self._reader.metadata.row_group(i) for i in groups]
        self.rows = [group.num_rows for group in self._groups]

    def stats(self, path: tuple[str, ...]) -> list[ColumnStats] | None:
        leaf = next((leaf for leaf in self._plan.leaves if leaf.path == path), None)
        if leaf is None or leaf.nothing:
            return None
        with decoding("parquet"):
            found = [group_stats(leaf, group) for group in self._groups]
        return [ColumnStats(one.lower, one.upper, one.nulls) for one in found]

    def read(self, columns: Sequence[str], groups: Sequence[int], *, threads: bool) -> pa.Table:
        order, positions, leaves = self._chosen(columns)
        with decoding("parquet"):
            self._part.verify(leaves, groups)
            if threads and is_worth_threads(self._reader.metadata, groups):
                table = all_in_parallel(self._source, self._plan, self._reader.metadata, leaves, groups)
            else:
                table = _read_groups(self._reader, self._plan, leaves, groups, threads=threads)
            return self._plan.arranged(self._plan.decode(table, order), positions)

    def each(self, columns: Sequence[str], groups: Sequence[int], work: Work[T], *, threads: bool) -> list[T]:
        order, positions, leaves = self._chosen(columns)

        def one(reader: Reader, group: int, *, threads: bool) -> T:
            with decoding("parquet"):
                table = self._plan.decode(reader.groups([group], leaves, threads=threads), order)
            return work(group, self._plan.arranged(table, positions))

        return self._each(one, leaves, groups, threads=threads)

    def picked(
        self, columns: Sequence[str], groups: Sequence[int], mask: MaskOf, *, threads: bool
    ) -> pa.Table:
        order, positions, leaves = self._chosen(columns)
        spans = [self._plan.spans[i] for i in order]

        def one(reader: Reader, group: int, *, threads: bool) -> pa.Table:
            with decoding("parquet"):
                return reader.picked(group, spans, mask(group), threads=threads)

        table = pa.concat_tables(self._each(one, leaves, groups, threads=threads))
        return self._plan.arranged(self._plan.decode(table, order), positions)

    def _each(self, one: _One[T], leaves: list[int], groups: Sequence[int], *, threads: bool) -> list[T]:
        with decoding("parquet"):
            self._part.verify(leaves, groups)
        if threads and is_worth_threads(self._reader.metadata, groups):
            return in_parallel(self._source, self._plan, self._reader.metadata, groups, one)
        return [one(self._reader, group, threads=threads) for group in groups]

    def verify(self, columns: Sequence[str]) -> None:
        leaves = self._chosen(columns)[2]
        with decoding("parquet"):
            self._part.verify(leaves, range(len(self.rows)))

    def head(self, columns: Sequence[str], group: int, rows: int) -> pa.Table:
        order, positions, leaves = self._chosen(columns)
        held: list[pa.Table] = []
        with decoding("parquet"):
            self._part.verify(leaves, [group])
            for batch in self._reader.batches(group, leaves, rows):
                held.append(batch)
                if sum(one.num_rows for one in held) >= rows:
                    break
            table = pa.concat_tables(held).slice(0, rows)
            return self._plan.arranged(self._plan.decode(table, order), positions)

    def _chosen(self, columns: Sequence[str]) -> tuple[list[int], list[int], list[int]]:
        """Columns in the file's order, in the order given, and their leaves."""
        positions = self._plan.positions(columns)
        assert positions is not None
        order, leaves = self._plan.chosen(positions)
        return order, positions, leaves


def _read_groups(
    reader: Reader, plan: ParquetPlan, leaves: list[int] | None, groups: Sequence[int], *, threads: bool
) -> pa.Table:
    if len(groups) < 2 or not plan.nested:
        return reader.groups(groups, leaves, threads=threads)
    return pa.concat_tables([reader.groups([i], leaves, threads=threads) for i in groups])


def read_all(reader: Reader, plan: ParquetPlan, leaves: list[int] | None, *, threads: bool) -> pa.Table:
    metadata = reader.metadata
    groups = metadata.num_row_groups
    if leaves == []:
        return rows_only(metadata.num_rows)
    if threads:
        threads = sum(metadata.row_group(i).total_byte_size for i in range(groups)) >= _THREADED_BYTES
    if groups < 2 or not plan.nested:
        return reader.all(leaves, threads=threads)
    return _read_groups(reader, plan, leaves, range(groups), threads=threads)


def in_memory(source: pa.Buffer, plan: ParquetPlan, leaves: list[int] | None) -> pa.Table:
    """A small file that was hashed by the caller, not yet decoded into the columns' own types."""
    with opened(source) as file:
        return read_all(Reader(file, plan, verify=False), plan, leaves, threads=False)


def is_worth_threads(metadata: Any, groups: Sequence[int]) -> bool:
    """Whether a thread a row group is better than what Arrow does."""
    enough = sum(metadata.row_group(group).num_rows for group in groups) > _THREADED_ROWS
    return len(groups) > 1 and _PROCESSORS > 1 and enough


def all_in_parallel(
    source: pa.Buffer | str,
    plan: ParquetPlan,
    metadata: Any,
    leaves: list[int] | None,
    groups: Sequence[int],
) -> pa.Table:
    """These row groups, verified before."""

    def one(reader: Reader, group: int, *, threads: bool) -> pa.Table:
        return reader.groups([group], leaves, threads=threads)

    return pa.concat_tables(in_parallel(source, plan, metadata, groups, one))


def in_parallel(
    source: pa.Buffer | str, plan: ParquetPlan, metadata: Any, groups: Sequence[int], one: _One[T]
) -> list[T]:
    """Every row group by a thread and a reader of its own: fewer hand-offs than Arrow's column by column."""
    from concurrent.futures import ThreadPoolExecutor

    def group(number: int) -> T:
        with opened(source) as file:
            return one(Reader(file, plan, verify=False, metadata=metadata), number, threads=False)

    with ThreadPoolExecutor(min(len(groups), _PROCESSORS)) as pool:
        return list(pool.map(group, groups))


def fetched(
    source: Sparse, file: pa.NativeFile, plan: ParquetPlan, positions: Sequence[int] | None
) -> pa.Table:
    """Columns of a file that is elsewhere: row groups are fetched at once, each decoded when it is there."""
    order, leaves = plan.chosen(positions)
    metadata = Reader(file, plan, verify=False).metadata
    if not leaves:
        return plan.arranged(plan.decode(rows_only(metadata.num_rows), order), positions)

    def group(number: int) -> pa.Table:
        with decoding("parquet"), opened(source) as own:
            part = Part(source, own, plan, metadata)
            part.verify(leaves, [number])
            return part.reader.groups([number], leaves, threads=False)

    tables = list(ordered(group, range(metadata.num_row_groups), min(metadata.num_row_groups, _FETCHES)))
    table = plan.decode(pa.concat_tables(tables), None if positions is None else order)
    return plan.arranged(table, positions)


def iterate(part: Part, leaves: list[int], rows: int) -> Iterator[pa.Table]:
    reader = part.reader
    total, groups = reader.metadata.num_rows, reader.metadata.num_row_groups
    if not leaves:
        for start in range(0, total, rows):
            yield rows_only(min(rows, total - start))
        return
    # One by one: see ParquetPlan.nested; the next is fetched meanwhile, where that takes time.
    for group in part.verified(leaves, range(groups)):
        yield from reader.batches(group, leaves, rows)
