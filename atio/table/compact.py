"""Compaction: many small data files become few, in the order that the rows have or in another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from atio.commit.build import Request
from atio.commit.loop import Committer
from atio.commit.rewrite import Replacement, Rewrite
from atio.commit.state import State, consistently, refuse_unknown_writes
from atio.errors import (
    AtioError,
    ConflictError,
    ContendedError,
    InputError,
    OutcomeUnknownError,
    VersionNotFoundError,
)
from atio.formats.plan import unified
from atio.frames.gathering import gathered
from atio.model.base import new_id
from atio.model.snapshot import DataFile
from atio.schema.bound import BoundSchema
from atio.table import layout as layouts
from atio.table import properties
from atio.table.datafiles import FileOptions, FileSetWriter, discard
from atio.table.layout import Partition, layout_of, recorded_since
from atio.table.merge import TINY
from atio.table.ordering import Keys, SortBy, ordering
from atio.table.present import StillThere
from atio.table.scan import Scan, live_files

if TYPE_CHECKING:
    from atio.predicate import Where

_ATTEMPTS = 8
_LEAST_TARGET = 2**16
_GROUP_BYTES = 32 * 2**20
_GROUP_ROWS = 2**17
_PIECES = 16

Advance = Callable[[int], None]


def _no_keys(table: pa.Table) -> list[pa.ChunkedArray]:
    del table
    return []


class Layout(msgspec.Struct, frozen=True):
    """How a compaction was asked for: see ``Table.compact``."""

    where: Where | None
    target_size: int | None
    sort_by: SortBy | None
    zorder_by: str | Sequence[str] | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did (or, as a dry run, would).

    Attributes
    ----------
    version
        The version it made; None when nothing was to be done, and for a dry run.
    files, rows, bytes
        Paths of the files that were rewritten, and what they hold.
    made, made_bytes
        Paths and size of the files that have their rows now; empty for a dry run.
    """

    version: int | None
    files: tuple[str, ...]
    rows: int
    bytes: int
    made: tuple[str, ...]
    made_bytes: int
    dry_run: bool


def compact(committer: Committer, url: str, layout: Layout, *, dry_run: bool, progress: bool) -> Compacted:
    """See ``Table.compact``."""
    if layout.target_size is not None:
        size = layout.target_size
        if isinstance(size, bool) or not isinstance(size, int) or size < _LEAST_TARGET:
            raise InputError(f"target_size is {size!r}; it is a number of bytes, at least {_LEAST_TARGET}")
    for attempt in range(_ATTEMPTS):
        job = _Job(committer, url, layout, consistently(committer.objects, lambda state: state))
        groups = job.groups(avoid_tail=attempt > 0)
        if dry_run or not groups:
            return _result(None, groups, (), dry_run)
        try:
            return _told(job, groups, url) if progress else job.run(groups, lambda _: None)
        except ContendedError:
            raise
        except (ConflictError, VersionNotFoundError):
            # Others took files away that were read: look at what is there now.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _told(job: _Job, groups: list[list[DataFile]], url: str) -> Compacted:
    from atio.writers.progress import Report

    with Report(url, show=True) as report:
        report.expect(sum(file.live for group in groups for file in group))
        return job.run(groups, report.advance)


def _result(
    version: int | None, groups: list[list[DataFile]], made: Sequence[DataFile], dry_run: bool
) -> Compacted:
    old = [file for group in groups for file in group]
    return Compacted(
        version=version,
        files=tuple(file.path for file in old),
        rows=sum(file.live for file in old),
        bytes=sum(file.size for file in old),
        made=tuple(file.path for file in made),
        made_bytes=sum(file.size for file in made),
        dry_run=dry_run,
    )


class _Job:
    """One attempt, upon one state."""

    def __init__(self, committer: Committer, url: str, layout: Layout, state: State) -> None:
        refuse_unknown_writes(state.pointer)
        self._committer = committer
        self._objects = committer.objects
        self._layout = layout
        self._schema = state.schema
        self._scan = Scan(self._objects, state.snapshot, state.schema, url)
        asked = ordering(layout.sort_by, layout.zorder_by, state.schema)
        self._table = layout_of(state.catalog, state.schema)
        parts = [tuple((part.id,) for part in self._table.parts)]
        self._since = recorded_since(self._objects, state.schema, state.snapshot.schemas[1:], parts)
        self._all = asked is not None  # what was asked for is made of all files
        self._order = asked or self._table.order
        chosen = state.catalog.properties
        options = properties.file_options(chosen)
        self._merges = properties.merges(chosen)
        self._options = msgspec.structs.replace(
            options, target_bytes=layout.target_size or options.target_bytes
        )

    # -- which files ---------------------------------------------------------------------------

    def groups(self, *, avoid_tail: bool) -> list[list[DataFile]]:
        """The files to rewrite: each group becomes one run of rows.

        With ``avoid_tail`` without the newest tiny ones, which appends merge and so take away, if
        others are left to do.
        """
        if not self._schema.arrow.names:
            return []  # Rows without columns are a number.
        files = list(live_files(self._objects, self._scan.snapshot))
        chosen = self._chosen(files)
        if avoid_tail and self._merges:
            end = len(files)
            while end and files[end - 1].size <= TINY:
                end -= 1
            groups = self._grouped(files[:end], chosen)
            if groups:
                return groups
        return self._grouped(files, chosen)

    def _chosen(self, files: list[DataFile]) -> set[str]:
        where = self._layout.where
        if where is None:
            return {file.path for file in files}
        from atio.predicate import bind

        condition = bind(where, self._schema.public)
        return {file.path for file in msgspec.structs.replace(self._scan, condition=condition).files()}

    def _grouped(self, files: list[DataFile], chosen: set[str]) -> list[list[DataFile]]:
        if self._table.parts:
            return self._by_partition([file for file in files if file.path in chosen])
        if self._all:
            group = [file for file in files if file.path in chosen]
            return [group] if group else []
        runs: list[list[DataFile]] = [[]]
        for file in files:
            if file.path in chosen and self._is_short(file):
                runs[-1].append(file)
            else:
                runs.append([])
        return [run for run in runs if self._gains(run)]

    def _by_partition(self, files: list[DataFile]) -> list[list[DataFile]]:
        """A group a partition; and files of other layouts, which become files of this one."""
        groups: dict[Partition, list[DataFile]] = {}
        strange: list[DataFile] = []
        for file in files:
            if not self._table.has(file.partition) or file.schema_id < self._since:
                strange.append(file)
            elif self._all or self._is_short(file):
                groups.setdefault(file.partition, []).append(file)
        found = [group for group in groups.values() if self._all or self._gains(group)]
        return [*found, strange] if strange else found

    def _is_short(self, file: DataFile) -> bool:
        return file.deleted is not None or file.size < self._options.target_bytes * 3 // 4

    def _gains(self, run: list[DataFile]) -> bool:
        # Rewriting must leave fewer files, or no deleted rows, so that repeating it comes to an end.
        if any(file.deleted for file in run):
            return True
        return -(-sum(file.size for file in run) // self._options.target_bytes) < len(run) > 1

    # -- their rows ----------------------------------------------------------------------------

    def run(self, groups: list[list[DataFile]], advance: Advance) -> Compacted:
        """Write the new files and commit them."""
        storage = self._objects.storage
        prefix = new_id()[:8]
        lease = storage.lease(prefix)  # It may take longer than the grace period of a vacuum.
        try:
            replacements: list[Replacement] = []
            with FileSetWriter(self._objects, self._options, prefix) as writer:
                for group in groups:
                    start = len(writer.files)
                    self._rewrite(group, writer, advance)
                    level = 1 + max(file.level for file in group)
                    new = tuple(file.replace(level=level) for file in writer.files[start:])
                    replacements.append(Replacement(tuple(group), new))
            made = [file for one in replacements for file in one.new]
            try:
                version = self._commit(replacements, made)
            except OutcomeUnknownError:
                raise  # The files may be part of the table.
            except AtioError:
                discard(storage, made)
                raise
        finally:
            if lease is not None:
                lease.release()
        return _result(version, groups, made, dry_run=False)

    def _commit(self, replacements: list[Replacement], made: list[DataFile]) -> int:
        in_order = self._order is None and not self._table.parts
        change = Rewrite(tuple(replacements), self._schema, in_order=in_order)
        request = Request("compact", (StillThere(tuple(made)), change), message=self._layout.message)
        return self._committer.commit(request).snapshot.version

    def _rewrite(self, group: list[DataFile], writer: FileSetWriter, advance: Advance) -> None:
        packer = _Packer(writer, self._schema, self._options, max(group, key=lambda file: file.rows))
        # Rows of one partition stay in it; those of other layouts are parted anew.
        of_now = self._table.has(group[0].partition) and group[0].schema_id >= self._since
        alike = of_now or not self._table.parts
        into = layouts.Layout(self._schema) if alike else self._table
        for table in map(_joined, gathered(self._rows(group, into), _GROUP_ROWS, _GROUP_BYTES)):
            for partition, rows in into.cut(table):
                writer.begin(group[0].partition if alike and self._table.parts else partition)
                packer.write(rows)
            advance(table.num_rows)
        writer.finish()

    def _rows(self, group: list[DataFile], into: layouts.Layout) -> Iterator[pa.Table]:
        order = self._order
        if order is None and not into.parts:
            return self._read(group, None)
        from atio.table.sorting import RUN_BYTES, External

        within: Keys = _no_keys
        directions = ("ascending",) * len(into.parts)
        if order is not None:
            rows, columns = sum(file.live for file in group), order.columns
            within = order.keys(self._schema, rows, lambda: self._read(group, columns))
            directions += order.key_directions

        def keys(table: pa.Table) -> list[pa.ChunkedArray]:
            return [*into.partition_keys(table), *within(table)]

        memory = min(RUN_BYTES, self._options.target_bytes)
        schema = self._scan.schema.remove_metadata()
        return External(schema, keys, directions, memory).sorted(self._read(group, None))

    def _read(self, group: list[DataFile], columns: tuple[str, ...] | None) -> Iterator[pa.Table]:
        scan = msgspec.structs.replace(self._scan, columns=columns)
        yield from scan.pieces(group)


def _joined(held: list[pa.Table]) -> pa.Table:
    """Of very many pieces one: encoders take each by itself."""
    whole = pa.concat_tables(held)
    many = any(column.num_chunks > _PIECES for column in whole.columns)
    return whole.combine_chunks() if many else whole


class _Packer:
    """Cuts rows into files of about the target size, by what a row took in the last file.

    A writer alone knows a file's size only after each row group, which may be many files' worth.
    """

    def __init__(
        self, writer: FileSetWriter, schema: BoundSchema, options: FileOptions, like: DataFile
    ) -> None:
        self._writer = writer
        self._schema = schema
        self._target = options.target_bytes
        self._rows = 0
        self._files = len(writer.files)
        self._most = self._rows_like(like)

    def write(self, table: pa.Table) -> None:
        table = pa.Table.from_arrays(unified(table).columns, schema=self._schema.arrow)
        self._look_at_last()
        start = 0
        while start < table.num_rows:
            piece = table.slice(start, self._most - self._rows)
            start += piece.num_rows
            self._rows += piece.num_rows
            self._writer.write(piece, self._schema)
            if self._rows >= self._most:
                self._writer.finish()
            self._look_at_last()

    def _look_at_last(self) -> None:
        if len(self._writer.files) > self._files:
            self._files = len(self._writer.files)
            self._most, self._rows = self._rows_like(self._writer.files[-1]), 0

    def _rows_like(self, file: DataFile) -> int:
        return max(1, self._target * file.rows // max(file.size, 1))
