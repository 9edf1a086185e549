"""A schema of the specification together with its Arrow form and its categories."""

from __future__ import annotations

from functools import cached_property

import msgspec
import pyarrow as pa

from atio.model import schema as spec
from atio.model.snapshot import SchemaRef
from atio.schema.types import dictionary_values, field_to_arrow, metadata_to_arrow


class BoundSchema(msgspec.Struct, frozen=True, dict=True):
    """What readers and writers of one version need to know of its columns.

    ``ref`` is None while the schema is new and not yet written.
    """

    spec: spec.Schema
    ref: SchemaRef | None = None

    @cached_property
    def arrow(self) -> pa.Schema:
        """With field ids in the fields' metadata, without the dataframe's own metadata."""
        return pa.schema([field_to_arrow(f) for f in self.spec.fields])

    @cached_property
    def public(self) -> pa.Schema:
        """As the user gave it: no field ids, the dataframe's metadata attached."""
        fields = [field_to_arrow(field, ids=False) for field in self.spec.fields]
        return pa.schema(fields, metadata=metadata_to_arrow(self.spec.metadata) or None)

    @cached_property
    def categories(self) -> dict[str, pa.Array]:
        """Kept dictionary values by column name."""
        found = {}
        for column in self.spec.fields:
            if isinstance(column.type, spec.DictionaryType):
                values = dictionary_values(column.type)
                if values is not None:
                    found[column.name] = values
        return found

    @cached_property
    def has_dictionaries(self) -> bool:
        return any(pa.types.is_dictionary(kind) for kind in self.arrow.types)

    def empty(self) -> pa.Table:
        """No rows, and all categories, as the user gave it."""
        columns = []
        for field in self.public:
            if field.name in self.categories:
                indices = pa.array([], field.type.index_type)
                values = self.categories[field.name]
                columns.append(pa.DictionaryArray.from_arrays(indices, values, ordered=field.type.ordered))
            else:
                columns.append(pa.array([], field.type))
        return pa.Table.from_arrays(columns, schema=self.public)

    @cached_property
    def leaf_ids(self) -> dict[tuple[str, ...], int]:
        """Ids of the leaves that can have statistics, by path."""
        found: dict[tuple[str, ...], int] = {}

        def visit(fields: tuple[spec.Field, ...], path: tuple[str, ...]) -> None:
            for child in fields:
                here = (*path, child.name)
                if isinstance(child.type, spec.StructType):
                    visit(child.type.fields, here)
                else:
                    found[here] = child.id

        visit(self.spec.fields, ())
        return found

    @cached_property
    def paths(self) -> dict[int, tuple[str, ...]]:
        """Where columns, and the parts of structs, are: by id."""
        found: dict[int, tuple[str, ...]] = {}

        def visit(fields: tuple[spec.Field, ...], above: tuple[str, ...]) -> None:
            for field in fields:
                found[field.id] = (*above, field.name)
                if isinstance(field.type, spec.StructType):
                    visit(field.type.fields, found[field.id])

        visit(self.spec.fields, ())
        return found

    @cached_property
    def largest_field_id(self) -> int:
        def largest(kind: object) -> int:
            if isinstance(kind, spec.Field):
                return max(kind.id, largest(kind.type))
            parts = [
                getattr(kind, name) for name in ("item", "key", "value", "storage") if hasattr(kind, name)
            ]
            return max((largest(part) for part in (*parts, *getattr(kind, "fields", ()))), default=0)

        return max((largest(f) for f in self.spec.fields), default=0)

    def same_structure(self, other: BoundSchema) -> bool:
        """Files written with either are read alike."""
        return self.spec is other.spec or self.spec.structure() == other.spec.structure()
