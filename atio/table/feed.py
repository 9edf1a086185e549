"""The change feed: what each version did to rows, one version after the other (spec/snapshot.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import msgspec
import pyarrow as pa

from atio.commit.state import State, consistently, load_schema
from atio.errors import InputError, VersionNotFoundError, meant
from atio.metadata import manifests, vectors
from atio.metadata.objects import Objects
from atio.model.snapshot import DataFile, Snapshot
from atio.schema.bound import BoundSchema
from atio.schema.read import reader, source_columns
from atio.table import lookup
from atio.table.keyed import key_of
from atio.table.scan import Scan, live_files

_ADDED = (
    pa.field("_change_type", pa.string(), nullable=False),
    pa.field("_commit_version", pa.int64(), nullable=False),
    pa.field("_commit_timestamp", pa.timestamp("us", "UTC"), nullable=False),
)
_MOVES_ROWS = "compact"
"""The operation that writes rows to other files, and is none of theirs."""


def changes(
    objects: Objects, url: str, since: int | str, until: int | str | None, columns: Sequence[str] | None
) -> pa.RecordBatchReader:
    """See ``Table.changes``."""
    feed = consistently(objects, partial(_feed, objects, url, since, until, columns))
    return pa.RecordBatchReader.from_batches(feed.schema, feed.batches())


def _feed(
    objects: Objects,
    url: str,
    since: int | str,
    until: int | str | None,
    columns: Sequence[str] | None,
    state: State,
) -> _Feed:
    last = lookup.find(objects, state, until, None)
    begin = _begin(objects, state, since)
    if begin > last.version:
        raise InputError(f"version {begin} comes after version {last.version}: nothing lies between them")
    bound = load_schema(objects, last.schema_ref)
    known = bound.arrow.names
    names = tuple(known if columns is None else columns)
    for name in names:
        if name not in known:
            raise InputError(f"there is no column {name!r}", column=name, hint=meant(name, known))
    for field in _ADDED:
        if field.name in names:
            raise InputError(
                f"column {field.name!r} has a name that the feed needs",
                column=field.name,
                hint="rename it, or leave it out with columns=",
            )
    steps = [lookup.find(objects, state, number, None) for number in range(begin + 1, last.version + 1)]
    before = _before(objects, state, begin, steps)
    return _Feed(objects, url, bound, names, key_of(state), before, tuple(steps))


def _begin(objects: Objects, state: State, since: int | str) -> int:
    if isinstance(since, str):
        return lookup.find(objects, state, since, None).version
    if isinstance(since, bool) or not isinstance(since, int) or since < 0:
        raise InputError(f"since is {since!r}; it is a version or a tag")
    return since


def _before(objects: Objects, state: State, begin: int, steps: Sequence[Snapshot]) -> Snapshot | None:
    """The version that the first step was built upon, if that is needed."""
    if not steps or begin < state.pointer.first_version or not _removes(steps[0]):
        return None
    try:
        return lookup.find(objects, state, begin, None)
    except VersionNotFoundError as error:
        raise VersionNotFoundError(
            f"version {begin} is gone, and with it the rows that version {begin + 1} deleted",
            version=begin,
            hint="begin with a retained version; a tag keeps one from expiring",
        ) from error


def _removes(snapshot: Snapshot) -> bool:
    done = snapshot.changes
    return bool(done.removed or done.replaced or done.deleted or done.restored is not None)


class _Part(msgspec.Struct, frozen=True):
    """Rows of a data file: those that live in the entry, or those of ``mask``."""

    scan: Scan
    file: DataFile
    mask: pa.BooleanArray | None = None


class _Feed(msgspec.Struct, frozen=True):
    objects: Objects
    url: str
    bound: BoundSchema
    names: tuple[str, ...]
    key: tuple[str, ...]
    before: Snapshot | None
    steps: tuple[Snapshot, ...]

    @property
    def schema(self) -> pa.Schema:
        public = self.bound.public.remove_metadata()
        return pa.schema([*(public.field(name) for name in self.names), *_ADDED])

    def batches(self) -> Iterator[pa.RecordBatch]:
        before = self.before
        for step in self.steps:
            for kind, table in self._events(before, step):
                yield from self._told(step, kind, table).to_batches()
            before = step

    def _told(self, step: Snapshot, kind: str, table: pa.Table) -> pa.Table:
        values = (kind, step.version, step.time)
        told = [
            pa.chunked_array([pa.repeat(pa.scalar(value, field.type), table.num_rows)])
            for value, field in zip(values, _ADDED, strict=True)
        ]
        return pa.Table.from_arrays([*table.select(self.names).columns, *told], schema=self.schema)

    def _events(self, before: Snapshot | None, step: Snapshot) -> Iterator[tuple[str, pa.Table]]:
        if step.operation == _MOVES_ROWS:
            return
        gone, came = self._parts(before, step)
        if step.operation == "update":
            yield from (("update_preimage", table) for table in self._rows(gone))
            yield from (("update_postimage", table) for table in self._rows(came))
        elif gone and came and self.key and not step.changes.replaced:
            yield from self._paired(gone, came, "delete", "update_preimage")
            yield from self._paired(came, gone, "insert", "update_postimage")
        else:
            yield from (("delete", table) for table in self._rows(gone))
            yield from (("insert", table) for table in self._rows(came))

    def _paired(
        self, these: list[_Part], others: list[_Part], alone: str, both: str
    ) -> Iterator[tuple[str, pa.Table]]:
        """Rows whose key is among the others are one half of an update."""
        import pyarrow.compute as pc

        from atio.table.keys import Keys

        known = Keys(pa.concat_tables(list(self._rows(others, self.key))))
        names = tuple(dict.fromkeys((*self.names, *self.key)))
        for table in self._rows(these, names):
            is_there = pc.fill_null(known.matches(table.select(self.key)), False)
            yield both, table.filter(is_there)
            yield alone, table.filter(pc.invert(is_there))

    # -- which rows --------------------------------------------------------------------------------

    def _parts(self, before: Snapshot | None, step: Snapshot) -> tuple[list[_Part], list[_Part]]:
        """The rows that a version took away, and those that it added."""
        with ExitStack() as stack:
            for one in (before, step):
                if one is not None:  # It may be expired by now.
                    stack.enter_context(Scan(self.objects, one, self.bound, self.url).located())
            return self._compared(before, step)
        raise AssertionError

    def _compared(self, before: Snapshot | None, step: Snapshot) -> tuple[list[_Part], list[_Part]]:
        now, done = self._scan(step), step.changes
        gone: list[_Part] = []
        came = [_Part(now, file) for file in done.merged]
        if before is None or not _removes(step):
            return gone, [*came, *(_Part(now, file) for file in self._added(step))]
        old = self._scan(before)
        known = {file.path: file for file in live_files(self.objects, before)}
        files = {file.path: file for file in live_files(self.objects, step)}
        if done.replaced or done.restored is not None:
            gone += (_Part(old, file) for path, file in known.items() if path not in files)
            came += (_Part(now, file) for path, file in files.items() if path not in known)
        else:
            gone += (_Part(old, known[path]) for path in done.removed if path in known)
            came += (_Part(now, file) for file in self._added(step))
        for file in (*done.touched, *files.values()):
            was = known.get(file.path)
            if was is not None and was.deleted != file.deleted:
                gone += self._newly(old, was, file)
                came += self._newly(now, file, was)
        return gone, came

    def _newly(self, scan: Scan, one: DataFile, other: DataFile) -> Iterator[_Part]:
        """The rows that live in ``one`` entry of a data file and not in the other."""
        import pyarrow.compute as pc

        dead = vectors.load(self.objects, other)
        if dead is None:
            return
        mask = dead.dead(0, one.rows)
        own = vectors.load(self.objects, one)
        if own is not None:
            mask = pc.and_(mask, own.alive(0, one.rows))
        if mask.true_count:
            yield _Part(scan, one, mask)

    def _added(self, step: Snapshot) -> Iterator[DataFile]:
        """The live files with rows that a version added."""
        for ref in step.manifests:
            if ref.last_added >= step.version:
                yield from (f for f in manifests.live(self.objects, ref) if _is_of(f, step))
        yield from (file for file in step.files if _is_of(file, step))

    def _scan(self, snapshot: Snapshot) -> Scan:
        return Scan(self.objects, snapshot, load_schema(self.objects, snapshot.schema_ref), self.url)

    # -- their values ------------------------------------------------------------------------------

    def _rows(self, parts: Sequence[_Part], names: tuple[str, ...] | None = None) -> Iterator[pa.Table]:
        """Columns of the feed's last version, a bounded number of rows at a time."""
        wanted = self.names if names is None else names
        for part in parts:
            if part.mask is None:
                there = source_columns(part.scan.bound, self.bound, wanted)
                convert = reader(part.scan.bound, self.bound, wanted)
                scan = msgspec.structs.replace(part.scan, columns=tuple(there))
                yield from map(convert, scan.pieces([part.file]))
            else:
                yield from self._picked(part, part.mask, wanted)

    def _picked(self, part: _Part, mask: pa.BooleanArray, names: tuple[str, ...]) -> Iterator[pa.Table]:
        from atio.predicate import bind_value
        from atio.table.matching import Matching

        everything = bind_value(True, self.bound.public)
        matching = Matching(self.objects, self.bound, names, everything)
        with part.scan.located():
            yield from matching.rows_at(part.file, part.scan.source(part.file), mask)


def _is_of(file: DataFile, step: Snapshot) -> bool:
    return file.added == step.version and file.level == 0
