"""What a pandas frame knows and Arrow does not, as schema metadata.

``pandas`` is the JSON that pandas documents and pyarrow reads, restricted to what says something: index
columns, columns whose dtype does not follow from the Arrow type, attributes. It holds no row counts, no
bounds of a RangeIndex and no versions, so that like frames have one schema. ``atio.pandas`` holds what that
form cannot say. Needs no pandas: tables with pandas metadata arrive where pandas is not installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from atio.errors import DamagedError, InputError, UnsupportedError

DOCUMENTED = b"pandas"
OWN = b"atio.pandas"

_PLAIN = re.compile(r"u?int(8|16|32|64)|float(16|32|64)|bool|str|category|(datetime|timedelta)64.*")
_OWN_DTYPES = ("pyarrow", "str[python]")
"""Dtypes whose text pandas cannot read: they stay out of the documented entry."""


@dataclass(frozen=True, slots=True)
class Note:
    """What the Arrow type of a column does not say.

    Attributes
    ----------
    dtype
        As pandas writes it; ``pyarrow`` for an Arrow-backed column of whatever type.
    kind
        What an object column holds where several Python types share one Arrow type: ``list``, ``tuple``,
        ``timestamp``, ``timedelta``.
    null
        How an object column says "missing", when not by None: ``nan``, ``NA``, ``NaT``.
    freq
        The frequency of an index.
    categories
        The note of a categorical's categories.
    """

    dtype: str | None = None
    kind: str | None = None
    null: str | None = None
    freq: str | None = None
    categories: Note | None = None

    def to_json(self) -> dict[str, Any]:
        """Drop what says nothing."""
        return _without_none(asdict(self))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Note:
        """Read it back; unknown keys are for a newer atio."""
        texts = {
            key: value[key] for key in ("dtype", "kind", "null", "freq") if isinstance(value.get(key), str)
        }
        inner = value.get("categories")
        return cls(**texts, categories=cls.from_json(inner) if inner is not None else None)


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(inner) if isinstance(inner, dict) else inner
        for key, inner in value.items()
        if inner is not None
    }


@dataclass(slots=True)
class Notes:
    """All of a frame's notes, by field name.

    Attributes
    ----------
    index, index_names
        The fields that make the index, and the name each has as a level.
    names
        The names of the levels as ``labels`` encodes them, where one is no string.
    multi
        The index is a MultiIndex though it has one level.
    labels
        The column labels, where they are not plain text.
    column_indexes, documented
        Column labels as pyarrow wrote them, and the entries that go with them.
    attrs
        ``DataFrame.attrs``.
    """

    index: list[str] = field(default_factory=list)
    index_names: dict[str, str | None] = field(default_factory=dict)
    columns: dict[str, Note] = field(default_factory=dict)
    names: list[Any] | None = None
    multi: bool = False
    labels: dict[str, Any] | None = None
    column_indexes: list[dict[str, Any]] = field(default_factory=list)
    documented: list[dict[str, Any]] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)

    def to_metadata(self, schema: pa.Schema) -> dict[bytes, bytes]:
        """Write the entries; none when there is nothing to say."""
        own = self._own()
        columns = self._documented(schema)
        out: dict[bytes, bytes] = {}
        if self.index or columns or self.attrs or self.column_indexes:
            out[DOCUMENTED] = _dump(
                {
                    "index_columns": self.index,
                    "column_indexes": self.column_indexes,
                    "columns": columns,
                    "attributes": self.attrs,
                    "creator": {"library": "atio"},
                }
            )
        if own:
            out[OWN] = _dump(own)
        return out

    def _own(self) -> dict[str, Any]:
        columns = {}
        for name, note in self.columns.items():
            said = note.to_json()
            if said.get("dtype") not in _OWN_DTYPES:
                said.pop("dtype", None)
            if said:
                columns[name] = said
        parts = {
            "columns": columns or None,
            "names": self.names,
            "multi": self.multi or None,
            "labels": self.labels,
        }
        return {key: value for key, value in parts.items() if value is not None}

    def _documented(self, schema: pa.Schema) -> list[dict[str, Any]]:
        entries = list(self.documented)
        for name, note in self.columns.items():
            if name not in self.index_names and note.dtype and note.dtype not in _OWN_DTYPES:
                kind = schema.field(name).type
                entries.append({"name": name, "pandas_type": _logical(kind), "numpy_type": note.dtype})
        for name in self.index:
            kind, note = schema.field(name).type, self.columns.get(name, Note())
            entries.append(
                {
                    "name": self.index_names[name],
                    "field_name": name,
                    "pandas_type": _logical(kind),
                    "numpy_type": _numpy(kind) if note.dtype in (None, *_OWN_DTYPES) else note.dtype,
                    "metadata": None,
                }
            )
        return entries


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _logical(kind: pa.DataType) -> str:
    """Name the type as pandas' metadata does; readers look at ``datetimetz`` only."""
    if pa.types.is_timestamp(kind):
        return "datetimetz" if kind.tz else "datetime"
    if pa.types.is_dictionary(kind):
        return "categorical"
    if _is_text(kind):
        return "unicode"
    return str(kind) if pa.types.is_primitive(kind) and not pa.types.is_temporal(kind) else "object"


def _numpy(kind: pa.DataType) -> str:
    """Name the dtype that pandas gives a column of this type."""
    if pa.types.is_timestamp(kind):
        return f"datetime64[{kind.unit}{f', {kind.tz}' if kind.tz else ''}]"
    if pa.types.is_duration(kind):
        return f"timedelta64[{kind.unit}]"
    if pa.types.is_dictionary(kind):
        return "category"
    if _is_text(kind):
        return "str"
    floats = {"halffloat": "float16", "float": "float32", "double": "float64"}
    return "object" if default_is_object(kind) else floats.get(str(kind), str(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def default_is_object(kind: pa.DataType) -> bool:
    """Tell whether a column of this type becomes an object column by itself."""
    is_ = pa.types
    known = is_.is_integer(kind) or is_.is_floating(kind) or is_.is_boolean(kind) or is_.is_dictionary(kind)
    return not (known or _is_text(kind) or is_.is_timestamp(kind) or is_.is_duration(kind))


# -- reading -----------------------------------------------------------------------------------


def read(schema: pa.Schema) -> Notes | None:
    """Read what ``to_metadata`` (or pyarrow) wrote; None when there is nothing."""
    metadata = schema.metadata or {}
    if DOCUMENTED not in metadata and OWN not in metadata:
        return None
    try:
        notes, _ = _parse(json.loads(metadata.get(DOCUMENTED, b"{}")), schema)
        own = json.loads(metadata.get(OWN, b"{}"))
        for name, value in own.get("columns", {}).items():
            known, said = notes.columns.get(name, Note()), Note.from_json(value)
            notes.columns[name] = Note(
                said.dtype or known.dtype, said.kind, said.null, said.freq, said.categories
            )
        notes.names, notes.labels, notes.multi = own.get("names"), own.get("labels"), bool(own.get("multi"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(error) from error
    return notes


def after_evolution(old: pa.Schema, new: pa.Schema, names: Mapping[str, str]) -> dict[bytes, bytes]:
    """The metadata of a schema whose columns changed; ``names`` are new names by old ones."""
    metadata, notes = dict(old.metadata or {}), read(old)
    if notes is None:
        return metadata
    if notes.labels or notes.column_indexes:
        raise UnsupportedError(
            "the columns of this table have labels of pandas that are not plain text",
            hint="change the columns in a frame and overwrite the table",
        )
    there = set(new.names)
    moved = {name: names.get(name, name) for name in old.names}
    kept = {name: to for name, to in moved.items() if to in there}
    notes.index = [kept[name] for name in notes.index if name in kept]
    notes.index_names = {
        kept[name]: kept[name] if label == name else label
        for name, label in notes.index_names.items()
        if name in kept
    }
    notes.columns = {kept[name]: note for name, note in notes.columns.items() if name in kept}
    metadata.pop(DOCUMENTED, None)
    metadata.pop(OWN, None)
    return {**metadata, **notes.to_metadata(new)}


def damaged(error: Exception) -> DamagedError:
    """Say that stored notes make no sense."""
    return DamagedError(
        f"the pandas metadata of the schema cannot be understood: {error!r}",
        hint="read with to_arrow(), or with to_pandas(ignore_metadata=True)",
    )


def _parse(raw: dict[str, Any], schema: pa.Schema) -> tuple[Notes, list[tuple[int, int, int, str | None]]]:
    notes, fields = Notes(), set(schema.names)
    descriptors = raw.get("index_columns", [])
    notes.index = [name for name in descriptors if isinstance(name, str) and name in fields]
    ranges = [
        (int(d["start"]), int(d["stop"]), int(d["step"]), None if d.get("name") is None else str(d["name"]))
        for d in descriptors
        if isinstance(d, dict) and d.get("kind") == "range" and len(descriptors) == 1 and int(d["step"])
    ]
    entries = raw.get("columns", [])
    by_field = {entry.get("field_name", entry["name"]): entry for entry in entries}
    for name, entry in by_field.items():
        if name in fields:
            _parse_column(notes, name, entry, schema, raw)
    for name in notes.index:
        logical = by_field.get(name, {}).get("name")
        generated = logical == name and re.fullmatch(r"__index_level_\d+__", name)
        notes.index_names[name] = None if generated or logical is None else str(logical)
    notes.attrs = dict(raw.get("attributes") or {})
    if [_label_kind(entry) for entry in raw.get("column_indexes", [])] not in ([], [(None, "unicode")]):
        notes.column_indexes = list(raw["column_indexes"])
        notes.documented = [
            entry for entry in entries if entry.get("field_name", entry["name"]) not in notes.index
        ]
    return notes, ranges


def _label_kind(entry: dict[str, Any]) -> tuple[Any, Any]:
    """Describe one level of column labels; a frame without columns says ``empty`` and means nothing."""
    kind = entry.get("pandas_type")
    return entry.get("name"), "unicode" if kind in ("string", "empty") else kind


def _parse_column(
    notes: Notes, name: str, entry: dict[str, Any], schema: pa.Schema, raw: dict[str, Any]
) -> None:
    dtype, kind = str(entry["numpy_type"]), schema.field(name).type
    if dtype.endswith("[pyarrow]") and dtype != "string[pyarrow]":
        dtype = "pyarrow"
    if _PLAIN.fullmatch(dtype) or pa.types.is_dictionary(kind):
        return
    # Before pandas 3 every text column was an object column: it said nothing.
    old = str(raw.get("pandas_version", "3")).split(".")[0] in ("0", "1", "2")
    if dtype == "object" and (default_is_object(kind) or (old and _is_text(kind))):
        return
    notes.columns[name] = Note(dtype)


def normalise(schema: pa.Schema) -> tuple[dict[bytes, bytes] | None, list[tuple[int, int, int, str | None]]]:
    """Bring the pandas metadata of Arrow data from elsewhere to our form.

    Returns
    -------
    tuple
        The schema's metadata, and the bounds and name of a RangeIndex they described (none or one).
    """
    metadata = dict(schema.metadata or {})
    if DOCUMENTED not in metadata:
        return metadata or None, []
    try:
        raw = json.loads(metadata.pop(DOCUMENTED))
        if raw.get("creator", {}).get("library") == "atio":
            return dict(schema.metadata), []
        notes, ranges = _parse(raw, schema)
        metadata.update(notes.to_metadata(schema))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f'the schema metadata "pandas" cannot be understood: {error!r}',
            hint="drop them with table.replace_schema_metadata(None)",
        ) from error
    return metadata or None, ranges
