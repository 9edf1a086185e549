"""``schemas/<id>.json``: columns with permanent ids and Arrow types (spec/schema.md)."""

from __future__ import annotations

from typing import Any, Literal

from atio.model.base import Count, Model

JsonValue = str | int | float | bool | None


class StructType(Model, frozen=True, omit_defaults=True, tag_field="kind", tag="struct"):
    fields: tuple[Field, ...]


class ListType(Model, frozen=True, omit_defaults=True, tag_field="kind", tag="list"):
    """A list; ``layout`` is how Arrow lays it out, ``size`` the length of a fixed-size one."""

    item: Field
    layout: Literal["list", "large_list", "list_view", "large_list_view", "fixed_size_list"] = "list"
    size: int | None = None


class MapType(Model, frozen=True, omit_defaults=True, tag_field="kind", tag="map"):
    key: Field
    value: Field
    sorted: bool = False


class DictionaryType(Model, frozen=True, omit_defaults=True, tag_field="kind", tag="dictionary"):
    """Categories. ``values`` keeps their order; None when there are too many to keep."""

    index: str
    value: Type
    ordered: bool = False
    values: tuple[JsonValue, ...] | None = None


class RunEndEncodedType(Model, frozen=True, omit_defaults=True, tag_field="kind", tag="run_end_encoded"):
    index: str
    value: Type


class ExtensionType(Model, frozen=True, omit_defaults=True, tag_field="kind", tag="extension"):
    """An Arrow extension type: its registered name, its storage, and itself.

    ``message`` is an Arrow IPC schema message (base64) whose only field has the type, parameters included.
    """

    name: str
    storage: Type
    message: str


Type = str | StructType | ListType | MapType | DictionaryType | RunEndEncodedType | ExtensionType
"""A primitive type by its Arrow name (``int64``, ``timestamp[us, tz=UTC]``) or a nested one."""


class Field(Model, frozen=True, omit_defaults=True, kw_only=True):
    """A column, or a part of one. The id is permanent; the name is not.

    ``default`` is the value of rows in files that do not have the field, and of rows that are written
    without it.
    """

    id: Count
    name: str
    type: Type
    nullable: bool = True
    default: JsonValue = None
    metadata: dict[str, str] = {}

    def __post_init__(self) -> None:
        self.freeze("metadata")

    def structure(self) -> Any:
        """What decides how a file written with this field is read: all but dictionary values."""
        return (self.id, self.name, self.nullable, self.default, _structure(self.type))


class Schema(Model, frozen=True, omit_defaults=True, kw_only=True):
    """The columns of a table at some versions. ``metadata`` is the dataframe's own (pandas…)."""

    id: Count
    fields: tuple[Field, ...]
    metadata: dict[str, str] = {}

    def __post_init__(self) -> None:
        self.freeze("metadata")
        for what in ("name", "id"):
            if len({getattr(field, what) for field in self.fields}) < len(self.fields):
                raise ValueError(f"two columns have the same {what}")

    def structure(self) -> Any:
        return tuple(field.structure() for field in self.fields)


def _structure(kind: Type) -> Any:
    match kind:
        case str():
            return kind
        case StructType():
            return ("struct", *(f.structure() for f in kind.fields))
        case ListType():
            return ("list", kind.layout, kind.size, kind.item.structure())
        case MapType():
            return ("map", kind.sorted, kind.key.structure(), kind.value.structure())
        case DictionaryType():
            return ("dictionary", kind.ordered, _structure(kind.value))
        case RunEndEncodedType():
            return ("run_end_encoded", kind.index, _structure(kind.value))
        case ExtensionType():
            return ("extension", kind.name, kind.message, _structure(kind.storage))
