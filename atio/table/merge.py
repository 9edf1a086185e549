"""Merging tiny data files inside the append that makes them too many (spec/commit.md).

Eight files in a row of one level become one of the next, so n tiny appends leave O(log n) files and
every row is rewritten O(log n) times. Row order stays; no version number is taken.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa

from atio.commit.state import Draft, file_schema, put_schema
from atio.errors import DamagedError
from atio.model.snapshot import DataFile
from atio.schema.bound import BoundSchema
from atio.schema.read import reader, source_columns
from atio.table.alive import living
from atio.table.datafiles import FileOptions, FileSetWriter, decode_file, read_file

FANOUT = 8
TINY = 2**20
"""Bytes above which a file is left alone."""


class MergeTiny(msgspec.Struct, frozen=True):
    """The change that does it, after the rows were added."""

    options: FileOptions

    def apply(self, draft: Draft) -> Draft:
        run, level = _run(draft)
        if not run:
            return draft
        assert draft.schema is not None
        schema = put_schema(draft.objects, draft.schema)
        draft = msgspec.structs.replace(draft, schema=schema)
        try:
            rows = pa.concat_tables([self._read(draft, schema, file) for file in run])
        except DamagedError:
            return draft  # Damage elsewhere is no reason to refuse these rows; reading will name it.
        with FileSetWriter(draft.objects, self.options) as writer:
            writer.write_whole(_written(rows, schema), schema)
        (made,) = writer.files
        made = made.replace(added=draft.version, level=level)
        fresh = tuple(file for file in run if file.added == draft.version)
        thinned = draft.without(frozenset(file.path for file in run))
        return msgspec.structs.replace(
            thinned,
            files=(*thinned.files, made),
            changes=thinned.changes.replace(merged=fresh),
            summary=thinned.summary.replace(
                bytes=thinned.summary.bytes + made.size - sum(f.size for f in run),
                files=thinned.summary.files + 1 - len(run),
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
        return living(draft.objects, file, reader(source, schema, names)(found))


def _written(table: pa.Table, schema: BoundSchema) -> pa.Table:
    table = table.unify_dictionaries()
    return pa.Table.from_arrays(table.columns, schema=schema.arrow)


def _run(draft: Draft) -> tuple[list[DataFile], int]:
    """The newest files that belong into one, oldest first, and its level; empty when none do."""
    run: list[DataFile] = []
    whole = level = count = size = 0
    for file in draft.newest_files():
        if count == FANOUT:
            level, count = level + 1, 1  # What was gathered counts as one file of the next level.
        size += file.size
        if file.level != level or not 0 < file.size <= TINY or size > FANOUT * TINY:
            break
        run.append(file)
        count += 1
        if count == FANOUT:
            whole = len(run)
    return run[:whole][::-1], (run[whole - 1].level + 1 if whole else 0)
