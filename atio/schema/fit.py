"""Incoming rows -> the table's schema: by name, with exact casts, growing it only where nothing changes.

A schema grows without being asked in two cases: a column that was all null takes the type of the first
real values, and categories get new values.
"""

from __future__ import annotations

import pyarrow as pa

from atio.errors import SchemaError, meant
from atio.frames.base import check_names
from atio.model import schema as spec
from atio.schema import scalars
from atio.schema.bound import BoundSchema
from atio.schema.cast import cast, castable
from atio.schema.parts import completed, grown
from atio.schema.read import default, plain, positions
from atio.schema.types import MAX_DICTIONARY, Ids, field_from_arrow, type_from_arrow

_INDEX_TYPES = (pa.int8(), pa.int16(), pa.int32(), pa.int64())


class Fitter:
    """Fits the tables of one write, one after the other.

    Parameters
    ----------
    current
        The table's schema, or None when the first table decides it.
    previous
        Where ``current`` is None: a schema whose ids are kept for columns of equal name and type.
    last_schema_id, last_field_id
        The highest ids ever used.
    grow
        Columns, and parts of structs, that the schema does not have are added to it, behind the others and
        nullable.
    """

    def __init__(
        self,
        current: BoundSchema | None,
        *,
        previous: BoundSchema | None = None,
        last_schema_id: int = 0,
        last_field_id: int = 0,
        grow: bool = False,
    ) -> None:
        self._grow = grow
        self._previous = previous
        self._ids = Ids(last_field_id)
        self._new_schema_id = last_schema_id + 1
        self._current = current
        self._schema = current
        self._categories: dict[str, pa.Array | None] = dict(current.categories) if current else {}
        self._grown = False
        self._rows = 0

    @property
    def last_field_id(self) -> int:
        return self._ids.last

    def schema(self) -> BoundSchema:
        """The schema that all tables fitted so far have; the current one itself if nothing grew."""
        assert self._schema is not None
        if self._grown:
            self._schema = self._with_categories(self._schema)
            self._grown = False
        previous = self._previous
        if previous is not None and self._schema.spec.replace(id=previous.spec.id) == previous.spec:
            return previous
        return self._schema

    def start(self, schema: pa.Schema) -> None:
        """Decide the columns, if no schema did: names, types and the dataframe's own metadata."""
        check_names(schema.names)
        if self._schema is None:
            metadata = {scalars.text(k): scalars.text(v) for k, v in (schema.metadata or {}).items()}
            fields = tuple(self._new_field(field) for field in schema)
            self._schema = BoundSchema(spec.Schema(id=self._new_schema_id, fields=fields, metadata=metadata))

    def _new_field(self, field: pa.Field) -> spec.Field:
        if self._previous is not None and field.name in self._previous.arrow.names:
            known = self._previous.arrow.get_field_index(field.name)
            if self._previous.arrow.field(known).type == field.type:
                same = self._previous.spec.fields[known]
                made = field_from_arrow(field, Ids(0))
                kind = same.type
                if isinstance(kind, spec.DictionaryType):
                    kind = kind.replace(values=None)
                return made.replace(id=same.id, type=kind)
        return field_from_arrow(field, self._ids)

    def fit(self, table: pa.Table) -> pa.Table:
        """The table with exactly the columns and types of ``schema()``.

        Raises
        ------
        SchemaError
            Naming the column, what was expected, what was found, and what to do.
        """
        self.start(table.schema)
        assert self._schema is not None
        target = self._schema.arrow
        if not (table.schema.names == target.names and self._plain(table.schema, target)):
            check_names(table.schema.names)
            self._check_columns(table)
            self._promote(table.schema)
            target = self._schema.arrow
            columns = [self._column(table, field) for field in target]
            target = self._schema.arrow  # New categories can need a wider index.
        else:
            columns = [
                cast(column, field, self._rows) if not field.nullable else column
                for column, field in zip(table.columns, target, strict=True)
            ]
        self._rows += table.num_rows
        if not columns:
            return table.select([])
        return pa.Table.from_arrays(columns, schema=target)

    def _plain(self, found: pa.Schema, target: pa.Schema) -> bool:
        return found.types == target.types and not any(pa.types.is_dictionary(kind) for kind in target.types)

    def _check_columns(self, table: pa.Table) -> None:
        assert self._schema is not None
        known = set(self._schema.arrow.names)
        fresh = [field for field in table.schema if field.name not in known]
        if fresh and self._grow:
            added = tuple(field_from_arrow(field.with_nullable(True), self._ids) for field in fresh)
            self._evolve((*self._schema.spec.fields, *added))
        elif fresh:
            name = fresh[0].name
            raise SchemaError(
                f"column {name!r} ({fresh[0].type}) is not in the table",
                column=name,
                hint=meant(name, known) or "add it with schema_mode='merge', or drop it from the data",
            )

    def _promote(self, found: pa.Schema) -> None:
        """Columns that were all null so far take the type of the data."""
        assert self._schema is not None
        fields = []
        for field in self._schema.spec.fields:
            if field.name in found.names:
                promoted = _promoted(field.type, found.field(field.name).type, self._ids, grow=self._grow)
                if promoted is not field.type:
                    field = field.replace(type=promoted)  # noqa: PLW2901
            fields.append(field)
        if any(new is not old for new, old in zip(fields, self._schema.spec.fields, strict=True)):
            self._evolve(tuple(fields))

    def _evolve(self, fields: tuple[spec.Field, ...]) -> None:
        assert self._schema is not None
        metadata = self._schema.spec.metadata
        self._schema = BoundSchema(spec.Schema(id=self._new_schema_id, fields=fields, metadata=metadata))

    def _column(self, table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
        assert self._schema is not None
        own = self._schema.spec.fields[self._schema.arrow.get_field_index(field.name)]
        position = table.schema.get_field_index(field.name)
        if position < 0:
            if own.default is not None:
                return pa.chunked_array([default(own, table.num_rows, field.type)])
            if not field.nullable:
                raise SchemaError(
                    f"column {field.name!r} ({field.type}) is missing in the data and may not be null",
                    column=field.name,
                    hint="add the column to the data",
                )
            return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        column = completed(table.column(position), own, field.type)
        if pa.types.is_dictionary(field.type) and castable(column.type, field.type):
            return self._categorical(column, field)
        return cast(column, field, self._rows)

    def _categorical(self, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
        if not pa.types.is_dictionary(column.type):
            column = cast(column, pa.field(field.name, field.type.value_type), self._rows).dictionary_encode()
        column = column.unify_dictionaries()
        found = column.chunk(0).dictionary if column.num_chunks else pa.array([], column.type.value_type)
        found = cast(pa.chunked_array([found]), pa.field(field.name, field.type.value_type)).combine_chunks()
        if column.type.ordered and not field.type.ordered:
            raise SchemaError(
                f"column {field.name!r} has ordered categories in the data and unordered ones in the table",
                column=field.name,
                hint="cast the column to the table's type",
            )
        self._learn(field, found, declared=column.type.ordered or not field.type.ordered)
        kind = self._index_for(field)
        chunks = [_with_dictionary(chunk, found, kind) for chunk in column.chunks]
        return cast(pa.chunked_array(chunks, kind), pa.field(field.name, kind, field.nullable))

    def _index_for(self, field: pa.Field) -> pa.DataType:
        """The table's type, with indices wide enough for the categories known by now."""
        known = self._categories.get(field.name)
        needed = len(known) if known is not None else 2**31 - 1
        kind: pa.DataType = field.type.index_type
        if needed - 1 > _largest(kind):
            kind = next(t for t in _INDEX_TYPES if needed - 1 <= _largest(t))
            fields = tuple(
                f.replace(type=f.type.replace(index=str(kind)))
                if f.name == field.name and isinstance(f.type, spec.DictionaryType)
                else f
                for f in self._schema.spec.fields  # type: ignore[union-attr]
            )
            self._evolve(fields)
        return pa.dictionary(kind, field.type.value_type, ordered=field.type.ordered)

    def _learn(self, field: pa.Field, found: pa.Array, *, declared: bool) -> None:
        """Add categories; the order of ordered ones must agree with the table's."""
        kind = found.type
        found = plain(found).drop_null()
        known = self._categories.get(field.name)
        if field.name in self._categories and known is None:
            return
        if known is None:
            grown = found
        else:
            known = plain(known)
            fresh = found.filter(positions(found, known).is_null())
            if field.type.ordered:
                self._check_order(field, known, found, fresh, declared=declared)
            if not len(fresh):
                return
            grown = pa.concat_arrays([known, fresh])
        keep = len(grown) <= MAX_DICTIONARY or field.type.ordered
        keep = keep and scalars.to_json(grown[:0]) is not None
        self._categories[field.name] = grown.cast(kind) if keep else None
        self._grown = True

    @staticmethod
    def _check_order(
        field: pa.Field, known: pa.Array, found: pa.Array, fresh: pa.Array, *, declared: bool
    ) -> None:
        places = positions(found, known).drop_null().to_pylist()
        grows_at_end = len(fresh) == 0 or found[len(found) - len(fresh) :].equals(fresh)
        complete = len(fresh) == 0 or len(places) == len(known)
        if not declared and not len(fresh):
            return
        if places != sorted(places) or not grows_at_end or not complete or not declared:
            raise SchemaError(
                f"column {field.name!r} has ordered categories {known.to_pylist()[:8]} in the table, "
                f"which {found.to_pylist()[:8]} in the data contradicts",
                column=field.name,
                hint="give the data the table's categories in the table's order; new ones go at the end",
            )

    def _with_categories(self, schema: BoundSchema) -> BoundSchema:
        fields = tuple(
            field.replace(type=field.type.replace(values=_values(self._categories[field.name])))
            if isinstance(field.type, spec.DictionaryType) and field.name in self._categories
            else field
            for field in schema.spec.fields
        )
        return BoundSchema(spec.Schema(id=self._new_schema_id, fields=fields, metadata=schema.spec.metadata))


def _promoted(kind: spec.Type, found: pa.DataType, ids: Ids, *, grow: bool) -> spec.Type:
    if kind == "null":
        return kind if pa.types.is_null(found) else type_from_arrow(found, ids)
    if isinstance(kind, spec.StructType) and pa.types.is_struct(found):
        fields = tuple(
            f.replace(type=_promoted(f.type, found.field(f.name).type, ids, grow=grow))
            if found.get_field_index(f.name) >= 0
            else f
            for f in kind.fields
        )
        same = all(new.type is old.type for new, old in zip(fields, kind.fields, strict=True))
        made = kind if same else kind.replace(fields=fields)
        return grown(made, found, ids) if grow else made
    if isinstance(kind, spec.ListType) and hasattr(found, "value_field"):
        item = _promoted(kind.item.type, found.value_type, ids, grow=False)
        return kind if item is kind.item.type else kind.replace(item=kind.item.replace(type=item))
    if isinstance(kind, spec.MapType) and pa.types.is_map(found):
        value = _promoted(kind.value.type, found.item_type, ids, grow=False)
        return kind if value is kind.value.type else kind.replace(value=kind.value.replace(type=value))
    return kind


def _largest(kind: pa.DataType) -> int:
    bits: int = kind.bit_width - (1 if pa.types.is_signed_integer(kind) else 0)
    return (1 << bits) - 1


def _values(array: pa.Array | None) -> tuple[scalars.JsonValue, ...] | None:
    return None if array is None else scalars.to_json(array)


def _with_dictionary(chunk: pa.DictionaryArray, dictionary: pa.Array, kind: pa.DictionaryType) -> pa.Array:
    indices = chunk.indices.cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=kind.ordered)
