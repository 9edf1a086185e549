"""What a format has to do for one schema, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Generic, TypeVar

import pyarrow as pa

from atio.errors import DamagedError, InputError, SchemaError, UnsupportedError
from atio.formats.errors import encoding
from atio.formats.recode import CrowdedError, Recoding, RefusedError, Rule

T = TypeVar("T")
# Choices of columns that a plan remembers the schema of.
_PARTS = 64


class PerSchema(Generic[T]):
    """A small cache, first by the schema object itself, then by equality including metadata.

    Hashing a schema costs as much as planning it, and pyarrow's ``==`` ignores metadata. A schema
    is kept alive with its entry, so its id stays its own.
    """

    def __init__(self, make: Callable[[pa.Schema], T], size: int = 32) -> None:
        self._make = make
        self._size = size
        self._entries: dict[int, tuple[pa.Schema, T]] = {}
        self._lock = Lock()

    def __call__(self, schema: pa.Schema) -> T:
        entry = self._entries.get(id(schema))
        return self._remember(schema) if entry is None else entry[1]

    def _remember(self, schema: pa.Schema) -> T:
        with self._lock:
            known = list(self._entries.values())
        equal = (made for kept, made in reversed(known) if kept.equals(schema, check_metadata=True))
        made = next(equal, None) or self._make(schema)
        with self._lock:
            while len(self._entries) >= self._size:
                self._entries.pop(next(iter(self._entries)))
            self._entries[id(schema)] = (schema, made)
        return made


class Plan:
    """The recodings of a schema's columns.

    Attributes
    ----------
    stored
        The schema inside the file: stored types, no schema metadata.
    changed
        Positions of the columns that are not stored as they are.
    """

    def __init__(self, schema: pa.Schema, rule: Rule, name: str, *, nullable: bool = False) -> None:
        self.name = name
        self.schema = schema
        self.recodings = tuple(_recoding(field, rule, name) for field in schema)
        stored = [
            field.with_type(recoding.stored) if recoding.stored is not recoding.type else field
            for field, recoding in zip(schema, self.recodings, strict=True)
        ]
        if nullable:
            stored = [field.with_nullable(True) for field in stored]
        self.stored = pa.schema(stored)
        self.encoded = tuple(i for i, r in enumerate(self.recodings) if r.encode is not None)
        self.changed = frozenset(i for i, r in enumerate(self.recodings) if r.decode is not None)
        self.required = tuple(i for i, field in enumerate(schema) if not field.nullable)
        self.index = {field.name: i for i, field in enumerate(schema)}
        self._parts: dict[tuple[int, ...] | None, tuple[pa.Schema, bool]] = {}
        self.dictionaries = frozenset(i for i, field in enumerate(schema) if _holds_dictionary(field.type))

    def accept(self, table: pa.Table) -> None:
        """Raise ``SchemaError`` unless the table is one of this plan's schema."""
        if not table.schema.equals(self.schema):
            message = f"the rows have not the columns the file was begun with:\n{table.schema}"
            raise SchemaError(message, hint=f"the file's columns are:\n{self.schema}")
        for i in self.required:
            if table.column(i).null_count:
                raise InputError("nulls in a column that may not have any", column=self.schema.field(i).name)

    def encode(self, table: pa.Table) -> pa.Table:
        """The table as it is stored."""
        if not self.encoded:
            return table
        columns = table.columns
        for i in self.encoded:
            recoding = self.recodings[i]
            assert recoding.encode is not None
            with encoding(self.name, self.schema.field(i).name):
                chunks = [recoding.encode(chunk) for chunk in columns[i].chunks]
                columns[i] = pa.chunked_array(chunks, recoding.stored)
        return _with_rows(columns, self.stored, table.num_rows)

    def positions(self, columns: Sequence[str] | None) -> list[int] | None:
        """The chosen columns' positions; None for all of them in order."""
        if columns is None:
            return None
        try:
            return [self.index[name] for name in columns]
        except KeyError as error:
            raise InputError(f"no column {error.args[0]!r}", column=error.args[0]) from None

    def decode(self, stored: pa.Table, positions: Sequence[int] | None) -> pa.Table:
        """The table as it was, from the stored columns at ``positions``."""
        schema, simple = self._part(None if positions is None else tuple(positions))
        if simple and stored.schema.equals(schema, check_metadata=True):
            return stored
        columns = [
            self._column(stored.column(k), stored.field(k).name, i)
            for k, i in enumerate(range(len(self.schema)) if positions is None else positions)
        ]
        return _with_rows(columns, schema, stored.num_rows)

    def _part(self, positions: tuple[int, ...] | None) -> tuple[pa.Schema, bool]:
        """The schema of some columns, and whether they are stored as they are."""
        part = self._parts.get(positions)
        if part is None:
            chosen = range(len(self.schema)) if positions is None else positions
            fields = [self.schema.field(i) for i in chosen]
            simple = bool(fields) and self.changed.isdisjoint(chosen) and self.dictionaries.isdisjoint(chosen)
            part = (pa.schema(fields, self.schema.metadata), simple)
            if len(self._parts) < _PARTS:
                self._parts[positions] = part
        return part

    def arranged(self, table: pa.Table, positions: Sequence[int] | None) -> pa.Table:
        """The columns of ``table``, which are in the schema's order, in the order asked for."""
        if positions is None:
            return table
        order = sorted(set(positions))
        return table if order == list(positions) else table.select([order.index(i) for i in positions])

    def _column(self, column: pa.ChunkedArray, name: str, i: int) -> pa.ChunkedArray:
        recoding = self.recodings[i]
        expected = self.stored.field(i)
        if isinstance(column.type, pa.BaseExtensionType) and column.type.storage_type == expected.type:
            # A field's metadata may name an extension type that this process happens to know.
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], expected.type)
        if column.type != expected.type:
            raise DamagedError(
                f"cannot be decoded as {self.name}: holds {column.type}, not {expected.type}",
                column=expected.name,
            )
        if name != expected.name:
            raise DamagedError(
                f"cannot be decoded as {self.name}: holds {name!r} instead", column=expected.name
            )
        if recoding.decode is not None:
            chunks = [piece for chunk in column.chunks for piece in _pieces(recoding, chunk)]
            column = pa.chunked_array(chunks, recoding.type)
        if i in self.dictionaries and column.num_chunks > 1:
            column = _unified(column)
        return column


def slices(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    """The table in pieces of at most ``rows`` rows."""
    for start in range(0, table.num_rows, rows):
        piece = table.slice(start, rows)
        yield (
            piece
            if table.num_columns
            else rows_only(min(rows, table.num_rows - start), table.schema.metadata)
        )


def _recoding(field: pa.Field, rule: Rule, name: str) -> Recoding:
    try:
        return rule(field.type)
    except RefusedError as error:
        from atio.formats import holders  # the registry is above its formats

        inner = "" if error.type == field.type else f" (because of {error.type})"
        able = holders(field.type)
        hint = f"these formats can: {', '.join(able)}" if able else "no format here can: cast the column"
        raise UnsupportedError(
            f"{name} files cannot hold the type {field.type}{inner}", column=field.name, hint=hint
        ) from None


def _pieces(recoding: Recoding, chunk: pa.Array) -> list[pa.Array]:
    assert recoding.decode is not None
    try:
        return [recoding.decode(chunk)]
    except CrowdedError as error:
        if len(chunk) < 2:
            raise DamagedError(f"more distinct values in one row than {recoding.type} can count") from error
    half = len(chunk) // 2
    return _pieces(recoding, chunk[:half]) + _pieces(recoding, chunk[half:])


def unified(table: pa.Table) -> pa.Table:
    """The table with one dictionary for all chunks of a column, where there can be one."""
    columns = [
        _unified(column) if column.num_chunks > 1 and _holds_dictionary(column.type) else column
        for column in table.columns
    ]
    return _with_rows(columns, table.schema, table.num_rows)


def _unified(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type) and pa.types.is_floating(column.type.value_type):
        return column  # Arrow takes all NaNs for one: their bits would be lost
    try:
        return column.unify_dictionaries()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Too many values for the index type, or values that cannot be hashed: chunks may differ.
        return column


def _holds_dictionary(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return True
    return any(_holds_dictionary(type_.field(i).type) for i in range(type_.num_fields))


def _with_rows(columns: list[pa.ChunkedArray], schema: pa.Schema, rows: int) -> pa.Table:
    return pa.Table.from_arrays(columns, schema=schema) if columns else rows_only(rows, schema.metadata)


def rows_only(rows: int, metadata: dict[bytes, bytes] | None = None) -> pa.Table:
    """A table without columns; Arrow keeps its number of rows only when the last columns are taken away."""
    # Not pa.table, which imports pandas to see whether it was given a frame.
    return pa.Table.from_arrays([pa.nulls(rows)], [""]).replace_schema_metadata(metadata).select([])
