"""Tables with a key: no two rows have the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from atio.commit.state import Draft, State
from atio.errors import ExistsError, InputError
from atio.metadata.objects import Objects
from atio.model.schema import DictionaryType
from atio.model.snapshot import DataFile
from atio.schema.bound import BoundSchema
from atio.schema.read import reader, source_columns
from atio.table.datafiles import decode_file, read_file
from atio.table.finding import MOST_AGAIN, Finder, Finding, View, noting, view_of
from atio.table.keys import Keys
from atio.table.scan import Scan


class NewKeys(Finding):
    """A commit's change, before it adds rows: none of the keys may be there.

    ``alone``: all other rows go, so that only the new ones are compared with each other.
    """

    def __init__(self, keys: Keys | None, *, alone: bool = False) -> None:
        self._keys = keys
        self._alone = alone or keys is None
        self._finder = None if keys is None else Finder(keys.condition, note=noting)

    def prepare(self, view: View) -> None:
        if self._finder is not None and not self._alone:
            self._finder.look(view)

    def apply(self, draft: Draft) -> Draft:
        if not self._alone:
            assert self._finder is not None
            assert self._keys is not None
            found = self._finder.look(view_of(draft), MOST_AGAIN)
            if found:
                there = sum(part.num_rows for one in found for part in one.noted)
                shown = self._keys.shown(found[0].noted[0])
                raise ExistsError(
                    f"{there} of the keys are in the table already, such as {shown}",
                    column=self._keys.names[0],
                    hint="on_conflict='update' replaces their rows, 'ignore' leaves them; so does upsert()",
                )
        return msgspec.structs.replace(draft, keyed=True)


def key_of(state: State) -> tuple[str, ...]:
    """The names of the columns that are the table's key; none if it has no key."""
    names = {field.id: field.name for field in state.schema.spec.fields}
    return tuple(names[identity] for identity in state.catalog.key)


def new_keys(
    objects: Objects, state: State, files: Iterable[tuple[DataFile, BoundSchema]], *, alone: bool = False
) -> NewKeys:
    """What makes sure that the rows of files, each with its schema, have keys of their own."""
    names = key_of(state)
    parts = [_read(objects, file, source, names, state) for file, source in files]
    if not parts:
        return NewKeys(None)
    return NewKeys(Keys(pa.concat_tables(parts)), alone=alone)


def _read(
    objects: Objects, file: DataFile, source: BoundSchema, names: Sequence[str], state: State
) -> pa.Table:
    """The key's columns of a file that may not have been written yet."""
    columns = source_columns(source, state.schema, names)
    if len(columns) < len(names):
        raise InputError("a column of the table's key is missing in the data", column=names[0])
    kept = objects.kept(file.path)
    if kept is None:
        found = read_file(objects.storage, file, source.arrow, columns)
    else:
        found = decode_file(pa.py_buffer(kept), file, source.arrow, columns)
    made = reader(source, _without_categories(state.schema), names)(found)
    return pa.table([_decoded(column) for column in made.columns], names=list(names))


def _without_categories(bound: BoundSchema) -> BoundSchema:
    """The same columns, whose categories may be any: those of new rows may be new."""
    fields = tuple(
        field.replace(type=field.type.replace(values=None))
        if isinstance(field.type, DictionaryType)
        else field
        for field in bound.spec.fields
    )
    return BoundSchema(bound.spec.replace(fields=fields))


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], column.type.value_type)


def get(objects: Objects, state: State, url: str, key: tuple[object, ...]) -> dict[str, Any] | None:
    """See ``Table.get``."""
    names = key_of(state)
    if not names:
        raise InputError("the table has no key", hint="make it with Table.create(key=…), or read with where=")
    if len(key) != len(names):
        raise InputError(f"the key has {len(names)} columns ({', '.join(names)}), not {len(key)}")
    columns = [_value(name, value, state.schema.public) for name, value in zip(names, key, strict=True)]
    condition = Keys(pa.table(columns, names=list(names))).condition(state.schema)
    scan = Scan(objects, state.snapshot, state.schema, url, limit=1, condition=condition)
    found: list[dict[str, Any]] = scan.to_arrow().to_pylist()
    return found[0] if found else None


def _value(name: str, value: object, schema: pa.Schema) -> pa.Array:
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    try:
        return pa.array([value], kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{value!r} is no value of the column {name!r} ({kind})", column=name) from error
