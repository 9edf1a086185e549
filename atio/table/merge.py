"""Merging tiny data files inside the append that makes them too many (spec/commit.md).

Eight files in a row of one level become one of the next, so n tiny appends leave O(log n) files and
every row is rewritten O(log n) times. Row order stays; no version number is taken.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa

from atio.commit.state import Draft, file_schema, put_schema
from atio.errors import DamagedError
from atio.metadata import vectors
from atio.model.snapshot import DataFile
from atio.schema.bound import BoundSchema
from atio.schema.read import reader, source_columns
from atio.table.alive import without
from atio.table.datafiles import FileOptions, FileSetWriter, decode_file, read_file
from atio.table.layout import Partition, layout_of, recorded_since

FANOUT = 8
TINY = 2**20
"""Bytes above which a file is left alone."""
_LOOKED_AT = 1024
"""Files among which those of one partition are looked for."""


class MergeTiny(msgspec.Struct, frozen=True):
    """The change that does it, after the rows were added."""

    options: FileOptions

    def apply(self, draft: Draft) -> Draft:
        for run in _runs(draft):
            draft = self._merged(draft, run)
        return draft

    def _merged(self, draft: Draft, run: _Run) -> Draft:
        assert draft.schema is not None
        schema = put_schema(draft.objects, draft.schema)
        draft = msgspec.structs.replace(draft, schema=schema)
        files = run.whole()
        try:
            rows = pa.concat_tables([self._read(draft, schema, file) for file in files])
        except DamagedError:
            return draft  # Damage elsewhere is no reason to refuse these rows; reading will name it.
        with FileSetWriter(draft.objects, self.options) as writer:
            writer.begin(run.partition)
            writer.write_whole(layout_of(draft.catalog, schema).sorted_within(_written(rows, schema)), schema)
        (made,) = writer.files
        made = made.replace(added=draft.version, level=files[0].level + 1)
        fresh = tuple(file for file in files if file.added == draft.version)
        touched = tuple(file for file in files if file.path in draft.touched and file not in fresh)
        thinned = draft.without(frozenset(file.path for file in files))
        return msgspec.structs.replace(
            thinned,
            files=(*thinned.files, made),
            changes=thinned.changes.replace(
                merged=(*thinned.changes.merged, *fresh), touched=(*thinned.changes.touched, *touched)
            ),
            summary=thinned.summary.replace(
                bytes=thinned.summary.bytes + made.size - sum(f.size for f in files),
                files=thinned.summary.files + 1 - len(files),
            ),
        )

    @staticmethod
    def _read(draft: Draft, schema: BoundSchema, file: DataFile) -> pa.Table:
        source = file_schema(draft.objects, file, schema, draft.older_schemas)
        names = schema.arrow.names
        columns = source_columns(source, schema, names)
        kept = draft.objects.kept(file.path)
        if kept is None:
            found = read_file(draft.objects.storage, file, source.arrow, columns, threads=False)
        else:
            found = decode_file(pa.py_buffer(kept), file, source.arrow, columns, threads=False)
        vector = vectors.load(draft.objects, file)
        made = reader(source, schema, names)(found)
        return made if vector is None else without(made, vector, 0)


def _written(table: pa.Table, schema: BoundSchema) -> pa.Table:
    table = table.unify_dictionaries()
    return pa.Table.from_arrays(table.columns, schema=schema.arrow)


class _Run:
    """Newest files of one partition, gathered from the newest to the oldest while they belong into one."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.ended = False
        self._files: list[DataFile] = []
        self._whole = self._level = self._count = self._size = 0

    def add(self, file: DataFile) -> None:
        if self._count == FANOUT:
            # What was gathered counts as one file of the next level.
            self._level, self._count = self._level + 1, 1
        self._size += file.size
        if file.level != self._level or not 0 < file.size <= TINY or self._size > FANOUT * TINY:
            self.ended = True
            return
        self._files.append(file)
        self._count += 1
        if self._count == FANOUT:
            self._whole = len(self._files)

    def whole(self) -> list[DataFile]:
        """Those that belong into one, oldest first; none if they are too few yet."""
        return self._files[: self._whole][::-1]


def _runs(draft: Draft) -> list[_Run]:
    """What is to be merged: of the partitions that the newest rows are of."""
    assert draft.schema is not None
    fresh = [file for file in draft.files if file.added == draft.version]
    since = recorded_since(
        draft.objects, draft.schema, draft.older_schemas, {file.partition for file in fresh}
    )
    runs = {file.partition: _Run(file.partition) for file in fresh if _is_told(file, since)}
    plain = runs.get(())
    for looked, file in enumerate(draft.newest_files()):
        if plain is not None and file.partition:
            plain.ended = True  # Files without a partition are in row order: nothing is merged past another.
        run = runs.get(file.partition) if _is_told(file, since) else None
        if run is not None and not run.ended:
            run.add(file)
        if looked > _LOOKED_AT or all(run.ended for run in runs.values()):
            break
    return [run for run in runs.values() if run.whole()]


def _is_told(file: DataFile, since: int) -> bool:
    """Whether the partition that a file records is what it would be now."""
    return not file.partition or file.schema_id >= since
