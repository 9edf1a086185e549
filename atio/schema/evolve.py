"""Changes of a table's columns that touch no data file: by field id (spec/schema.md, "Evolution").

An edit is a function from one list of fields to the next. Paths lead through structs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from atio.errors import SchemaError, UnsupportedError, meant
from atio.frames.base import check_names
from atio.model import schema as spec
from atio.schema import scalars
from atio.schema.types import Ids, field_from_arrow, type_from_arrow, type_to_arrow

Fields = tuple[spec.Field, ...]
Path = tuple[str, ...]


class Edit(Protocol):
    """One change of the columns; ``renamed`` are the names that top-level columns get."""

    def apply(self, fields: Fields, ids: Ids) -> Fields: ...

    @property
    def renamed(self) -> dict[str, str]: ...


class AddColumn(msgspec.Struct, frozen=True):
    """Rows that were written before have ``default`` in it, or null."""

    path: Path
    field: pa.Field
    default: Any = None
    after: str | None = None
    first: bool = False
    renamed: dict[str, str] = {}

    def apply(self, fields: Fields, ids: Ids) -> Fields:
        name = self.path[-1]
        made = field_from_arrow(self.field.with_name(name), ids).replace(default=self._default())
        if not made.nullable and self.default is None:
            raise SchemaError(
                f"column {_shown(self.path)} may not be null, so rows that are there need a value in it",
                column=_dotted(self.path),
                hint="give a default, or let it be nullable",
            )

        def add(found: Fields) -> Fields:
            if name in [field.name for field in found]:
                raise SchemaError(f"there is a column {_shown(self.path)} already", column=_dotted(self.path))
            place = 0 if self.first else len(found)
            if self.after is not None:
                place = _place(found, self.after, (*self.path[:-1], self.after)) + 1
            return (*found[:place], made, *found[place:])

        return _within(fields, self.path[:-1], add)

    def _default(self) -> spec.JsonValue:
        if self.default is None:
            return None
        kind = self.field.type
        try:
            (value,) = scalars.to_json(pa.array([self.default], kind)) or (None,)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise SchemaError(
                f"the default {self.default!r} of column {_shown(self.path)} is no {kind}: {error}",
                column=_dotted(self.path),
                hint="give a default of the column's type",
            ) from error
        if value is None:
            raise UnsupportedError(
                f"a column of type {kind} cannot have a default",
                column=_dotted(self.path),
                hint="leave it out: the rows that are there get null",
            )
        return value


class DropColumn(msgspec.Struct, frozen=True):
    path: Path
    renamed: dict[str, str] = {}

    def apply(self, fields: Fields, ids: Ids) -> Fields:
        del ids

        def drop(found: Fields) -> Fields:
            place = _place(found, self.path[-1], self.path)
            if len(found) == 1:
                raise SchemaError(
                    f"column {_shown(self.path)} is the only one there",
                    column=_dotted(self.path),
                    hint="overwrite the table, or drop what it is a part of",
                )
            return (*found[:place], *found[place + 1 :])

        return _within(fields, self.path[:-1], drop)


class RenameColumn(msgspec.Struct, frozen=True):
    path: Path
    name: str

    @property
    def renamed(self) -> dict[str, str]:
        return {self.path[0]: self.name} if len(self.path) == 1 else {}

    def apply(self, fields: Fields, ids: Ids) -> Fields:
        del ids

        def rename(found: Fields) -> Fields:
            place = _place(found, self.path[-1], self.path)
            if self.name in [field.name for field in found if field is not found[place]]:
                raise SchemaError(f"there is a column {self.name!r} already", column=self.name)
            return (*found[:place], found[place].replace(name=self.name), *found[place + 1 :])

        return _within(fields, self.path[:-1], rename)


class OrderColumns(msgspec.Struct, frozen=True):
    """The named ones first, in this order; the others after them, as they are."""

    parent: Path
    names: tuple[str, ...]
    renamed: dict[str, str] = {}

    def apply(self, fields: Fields, ids: Ids) -> Fields:
        del ids
        check_names(list(self.names))

        def order(found: Fields) -> Fields:
            places = [_place(found, name, (*self.parent, name)) for name in self.names]
            return (
                *(found[place] for place in places),
                *(field for place, field in enumerate(found) if place not in set(places)),
            )

        return _within(fields, self.parent, order)


class WidenColumn(msgspec.Struct, frozen=True):
    """A type that holds every value of the old one."""

    path: Path
    type: pa.DataType
    renamed: dict[str, str] = {}

    def apply(self, fields: Fields, ids: Ids) -> Fields:
        def widen(found: Fields) -> Fields:
            place = _place(found, self.path[-1], self.path)
            field = found[place]
            old = type_to_arrow(field.type)
            if not holds_all(self.type, old):
                raise SchemaError(
                    f"column {_shown(self.path)} is {old}, and {self.type} does not hold all values of that",
                    column=_dotted(self.path),
                    hint="write the table anew with the other type: read it, cast the column, overwrite()",
                )
            kept = field.default
            if kept is not None:
                value = pa.array([scalars.decode(kept, old)], old).cast(self.type)
                (kept,) = scalars.to_json(value) or (None,)
            made = field.replace(type=type_from_arrow(self.type, ids), default=kept)
            return (*found[:place], made, *found[place + 1 :])

        return _within(fields, self.path[:-1], widen)


class MakeNullable(msgspec.Struct, frozen=True):
    path: Path
    renamed: dict[str, str] = {}

    def apply(self, fields: Fields, ids: Ids) -> Fields:
        del ids

        def make(found: Fields) -> Fields:
            place = _place(found, self.path[-1], self.path)
            return (*found[:place], found[place].replace(nullable=True), *found[place + 1 :])

        return _within(fields, self.path[:-1], make)


class ForbidNulls(msgspec.Struct, frozen=True):
    """Of a column, not of a part of one: where a struct is null, so are its parts."""

    path: Path
    renamed: dict[str, str] = {}

    def apply(self, fields: Fields, ids: Ids) -> Fields:
        del ids
        if len(self.path) > 1:
            raise UnsupportedError(
                f"{_shown(self.path)} is a part of a column: only whole columns can be made not nullable",
                column=_dotted(self.path),
                hint=f'a check does it: add_check(…, "{".".join(self.path)} is not null")',
            )
        place = _place(fields, self.path[0], self.path)
        return (*fields[:place], fields[place].replace(nullable=False), *fields[place + 1 :])


def path_to(name: str | Sequence[str], known: Sequence[str]) -> Path:
    """The path that a name means: a column of that name, or ``"point.x"`` a part of one."""
    if not isinstance(name, str):
        return tuple(name)
    return (name,) if name in known or "." not in name else tuple(name.split("."))


def _within(fields: Fields, parent: Path, action: Callable[[Fields], Fields], above: Path = ()) -> Fields:
    if not parent:
        return action(fields)
    here = (*above, parent[0])
    place = _place(fields, parent[0], here)
    field = fields[place]
    if not isinstance(field.type, spec.StructType):
        raise SchemaError(f"column {_shown(here)} is no struct: it has no parts", column=_dotted(here))
    inner = _within(field.type.fields, parent[1:], action, here)
    made = field.replace(type=field.type.replace(fields=inner))
    return (*fields[:place], made, *fields[place + 1 :])


def _place(fields: Fields, name: str, path: Path) -> int:
    names = [field.name for field in fields]
    if names.count(name) != 1:
        what = "no column" if name not in names else "more than one column"
        raise SchemaError(
            f"there is {what} {_shown(path)}",
            column=_dotted(path),
            hint=meant(name, names) or f"there are {', '.join(names[:20])}",
        )
    return names.index(name)


def _shown(path: Path) -> str:
    return repr(_dotted(path))


def _dotted(path: Path) -> str:
    return ".".join(path)


# -- types that hold all of another's values ---------------------------------------------------------

t = pa.types
_UNITS = ("s", "ms", "us", "ns")
_MANTISSA = {16: 11, 32: 24, 64: 53}
_GROWN = {
    pa.string(): (pa.large_string(), pa.string_view()),
    pa.large_string(): (pa.string_view(),),
    pa.binary(): (pa.large_binary(), pa.binary_view()),
    pa.large_binary(): (pa.binary_view(),),
}


def holds_all(wide: pa.DataType, narrow: pa.DataType) -> bool:
    """Whether every value of one type is a value of the other."""
    if wide == narrow or t.is_null(narrow):
        return True
    if t.is_integer(narrow):
        bits, signed = narrow.bit_width, t.is_signed_integer(narrow)
        if t.is_integer(wide):
            if signed and not t.is_signed_integer(wide):
                return False
            return bool(
                wide.bit_width > bits or (wide.bit_width == bits and signed == t.is_signed_integer(wide))
            )
        if t.is_floating(wide):
            return bool(_MANTISSA[wide.bit_width] >= bits - signed)
        digits = len(str(2 ** (bits - signed)))
        return bool(t.is_decimal(wide) and wide.precision - wide.scale >= digits and wide.scale >= 0)
    if t.is_floating(narrow):
        return bool(t.is_floating(wide) and wide.bit_width >= narrow.bit_width)
    if t.is_decimal(narrow):
        return bool(
            t.is_decimal(wide)
            and wide.scale >= narrow.scale
            and wide.precision - wide.scale >= narrow.precision - narrow.scale
        )
    if t.is_timestamp(narrow) and t.is_timestamp(wide):
        # Nanoseconds in 64 bits end with the year 2262.
        finer = _UNITS.index(wide.unit) >= _UNITS.index(narrow.unit)
        return finer and wide.tz == narrow.tz and wide.unit != "ns"
    return wide in _GROWN.get(narrow, ())
