"""Arrow types <-> the specification's types (spec/schema.md)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import pyarrow as pa

from atio.errors import DamagedError, NewerFormatError, UnsupportedError
from atio.model import schema as spec
from atio.schema import scalars

FIELD_ID = b"PARQUET:field_id"
MAX_DICTIONARY = 10_000
"""Dictionaries with more values than this are not kept in the schema; their order is not either."""

_PLAIN = {
    str(t): t
    for t in (
        pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(),
        pa.uint32(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(),
        pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(), pa.date32(), pa.date64(),
        pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.duration("s"),
        pa.duration("ms"), pa.duration("us"), pa.duration("ns"), pa.timestamp("s"), pa.timestamp("ms"),
        pa.timestamp("us"), pa.timestamp("ns"), pa.month_day_nano_interval(),
    )
}  # fmt: skip
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns), tz=(.{1,64})\]")
_DECIMAL = re.compile(r"decimal(32|64|128|256)\((\d{1,2}), (-?\d{1,3})\)")
_FIXED = re.compile(r"fixed_size_binary\[(\d{1,9})\]")
_WIDEST = 2**24
"""Bytes, or items, of one value of a fixed size: every null takes as much, however small the files are."""
_LISTS: dict[str, Callable[[pa.Field], pa.DataType]] = {
    "list": pa.list_,
    "large_list": pa.large_list,
    "list_view": pa.list_view,
    "large_list_view": pa.large_list_view,
}
_LAYOUTS: tuple[tuple[Literal["list", "large_list", "list_view", "large_list_view"], Any], ...] = (
    ("list", pa.types.is_list),
    ("large_list", pa.types.is_large_list),
    ("list_view", pa.types.is_list_view),
    ("large_list_view", pa.types.is_large_list_view),
)


class Ids:
    """Hands out permanent field ids."""

    def __init__(self, last: int) -> None:
        self.last = last

    def new(self) -> int:
        self.last += 1
        return self.last


# -- Arrow to specification ------------------------------------------------------------------------


def field_from_arrow(field: pa.Field, ids: Ids) -> spec.Field:
    metadata = {
        scalars.text(key): scalars.text(value)
        for key, value in (field.metadata or {}).items()
        if key != FIELD_ID and not key.startswith(b"ARROW:extension:")
    }
    identity = ids.new()
    return spec.Field(
        id=identity,
        name=field.name,
        type=type_from_arrow(field.type, ids),
        nullable=field.nullable,
        metadata=metadata,
    )


def type_from_arrow(kind: pa.DataType, ids: Ids) -> spec.Type:
    if _width(kind) > _WIDEST:
        raise UnsupportedError(
            f"values of {kind} are too large: at most {_WIDEST:,} bytes or items",
            hint="use a type of variable size",
        )
    name = str(kind)
    if name in _PLAIN or _TIMESTAMP.fullmatch(name) or _DECIMAL.fullmatch(name) or _FIXED.fullmatch(name):
        return name
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return spec.ExtensionType(
            name=kind.extension_name,
            message=base64.b64encode(pa.schema([pa.field("", kind)]).serialize()).decode(),
            storage=type_from_arrow(kind.storage_type, ids),
        )
    if types.is_struct(kind):
        return spec.StructType(fields=tuple(field_from_arrow(f, ids) for f in kind.fields))
    if types.is_map(kind):
        return spec.MapType(
            key=field_from_arrow(kind.key_field, ids),
            value=field_from_arrow(kind.item_field, ids),
            sorted=kind.keys_sorted,
        )
    if types.is_dictionary(kind) and _can_be_known(kind.value_type):
        return spec.DictionaryType(
            index=str(kind.index_type),
            value=type_from_arrow(kind.value_type, ids),
            ordered=kind.ordered,
        )
    if types.is_fixed_size_list(kind):
        item = field_from_arrow(kind.value_field, ids)
        return spec.ListType(item=item, layout="fixed_size_list", size=kind.list_size)
    for layout, test in _LAYOUTS:
        if test(kind):
            return spec.ListType(item=field_from_arrow(kind.value_field, ids), layout=layout)
    if types.is_run_end_encoded(kind):
        return spec.RunEndEncodedType(
            index=str(kind.run_end_type),
            value=type_from_arrow(kind.value_type, ids),
        )
    raise UnsupportedError(f"Arrow type {kind} cannot be kept in a table", hint="cast the column first")


def _width(kind: pa.DataType) -> int:
    """Bytes, or items, that a null of the type takes at least."""
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width(kind.value_type)
    return 1


# -- specification to Arrow ------------------------------------------------------------------------


def field_to_arrow(field: spec.Field, *, ids: bool = True) -> pa.Field:
    """The Arrow field, with field ids in its metadata (and its children's) or as the user gave it."""
    metadata = metadata_to_arrow(field.metadata)
    if ids:
        metadata = {FIELD_ID: str(field.id).encode(), **metadata}
    kind = type_to_arrow(field.type, ids=ids)
    return pa.field(field.name, kind, nullable=field.nullable, metadata=metadata or None)


def metadata_to_arrow(metadata: dict[str, str]) -> dict[bytes, bytes]:
    return {scalars.untext(key): scalars.untext(value) for key, value in metadata.items()}


def type_to_arrow(kind: spec.Type, *, ids: bool = True) -> pa.DataType:
    match kind:
        case str():
            return primitive(kind)
        case spec.StructType():
            return pa.struct([field_to_arrow(f, ids=ids) for f in kind.fields])
        case spec.ListType(layout="fixed_size_list"):
            item = field_to_arrow(kind.item, ids=ids)
            if kind.size is None or not 0 <= kind.size * max(_width(item.type), 1) <= _WIDEST:
                raise DamagedError(f"the schema has a list of the fixed size {kind.size}")
            return pa.list_(item, kind.size)
        case spec.ListType():
            return _LISTS[kind.layout](field_to_arrow(kind.item, ids=ids))
        case spec.MapType():
            key, value = field_to_arrow(kind.key, ids=ids), field_to_arrow(kind.value, ids=ids)
            return pa.map_(key, value, keys_sorted=kind.sorted)
        case spec.DictionaryType() | spec.RunEndEncodedType():
            return _encoded(kind, primitive(kind.index), type_to_arrow(kind.value, ids=ids))
        case spec.ExtensionType():
            return _extension(kind)


def _encoded(
    kind: spec.DictionaryType | spec.RunEndEncodedType, index: pa.DataType, value: pa.DataType
) -> pa.DataType:
    try:
        if isinstance(kind, spec.RunEndEncodedType):
            return pa.run_end_encoded(index, value)
        if _can_be_known(value):
            return pa.dictionary(index, value, ordered=kind.ordered)
        reason = "it has parts"
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = str(error)
    raise DamagedError(f"the schema has a column of {value}, encoded by {index}, which cannot be: {reason}")


def _can_be_known(kind: pa.DataType) -> bool:
    """Whether values can be looked up in a dictionary."""
    return not (pa.types.is_nested(kind) or pa.types.is_dictionary(kind))


@lru_cache(maxsize=1024)
def primitive(name: str) -> pa.DataType:
    if name in _PLAIN:
        return _PLAIN[name]
    try:
        if match := _TIMESTAMP.fullmatch(name):
            return pa.timestamp(match[1], tz=match[2])
        if match := _DECIMAL.fullmatch(name):
            make = getattr(pa, f"decimal{match[1]}")
            return make(int(match[2]), int(match[3]))
        if (match := _FIXED.fullmatch(name)) and int(match[1]) <= _WIDEST:
            return pa.binary(int(match[1]))
    except (pa.ArrowException, ValueError) as error:
        raise DamagedError(f"the schema has a type that Arrow refuses: {name}: {error}") from error
    raise NewerFormatError(f"the schema has an unknown type: {name}", hint="upgrade atio")


def _extension(kind: spec.ExtensionType) -> pa.DataType:
    # Reading an IPC message is how Arrow looks a type up among those registered; an unknown one stays
    # its storage, as the Arrow specification wants it.
    try:
        message = pa.py_buffer(base64.b64decode(kind.message, validate=True))
        found = pa.ipc.read_schema(message).field(0).type
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DamagedError(f"the schema's extension type {kind.name} cannot be read: {error}") from error
    storage = type_to_arrow(kind.storage)
    plain = found.storage_type if isinstance(found, pa.BaseExtensionType) else found
    return found if plain == storage else storage


def dictionary_values(kind: spec.DictionaryType) -> pa.Array | None:
    """The kept categories as an Arrow array."""
    if kind.values is None:
        return None
    value_type = type_to_arrow(kind.value)
    try:
        return pa.array([scalars.decode(v, value_type) for v in kind.values], type=value_type)
    except (pa.ArrowException, ArithmeticError, TypeError, ValueError) as error:
        raise DamagedError(f"the schema has categories that are no {value_type}: {error}") from error
