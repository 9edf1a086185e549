"""The kinds of objects that are written: the rows of the matrix."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sized
from enum import Enum
from functools import lru_cache
from typing import Any


class Kind(Enum):
    """What an object is, as far as writing it goes; the value is what it is called."""

    PANDAS = "pandas DataFrame"
    POLARS = "Polars DataFrame"
    LAZY = "Polars LazyFrame"
    NUMPY = "NumPy array"
    ARRAYS = "dict of arrays"
    ARROW = "Arrow table"
    STREAM = "Arrow stream"
    RECORDS = "list or dict of records"
    ITERATOR = "iterator of frames or records"
    TEXT = "str"
    BYTES = "bytes"
    OBJECT = "any other object"


FRAMES = tuple(kind for kind in Kind if kind not in {Kind.TEXT, Kind.BYTES, Kind.OBJECT})
"""Kinds that have rows and columns (a NumPy array if it is structured or two-dimensional)."""


def kind_of(obj: object) -> Kind:
    """Recognise an object; no library is imported to do so."""
    found = _of_library(type(obj))  # type: ignore[arg-type]  # classes are hashable, whatever mypy says
    if found is not None:
        return found
    if isinstance(obj, str):
        return Kind.TEXT
    if isinstance(obj, bytes | bytearray | memoryview):
        return Kind.BYTES
    if isinstance(obj, Mapping):
        return _of_mapping(obj)
    if hasattr(obj, "__arrow_c_stream__") or hasattr(obj, "__arrow_c_array__"):
        return Kind.STREAM
    if isinstance(obj, list | tuple):
        return _of_list(obj)
    if isinstance(obj, Iterator) or (isinstance(obj, Iterable) and not isinstance(obj, Sized)):
        return Kind.ITERATOR
    return Kind.OBJECT


@lru_cache(maxsize=256)
def _of_library(cls: type) -> Kind | None:
    """Ask the libraries that are loaded; a class of another one cannot exist."""
    for module, names, kind in _CLASSES:
        library = sys.modules.get(module)
        classes = tuple(found for name in names if isinstance(found := getattr(library, name, None), type))
        if issubclass(cls, classes):
            return kind
    return None


_CLASSES = (
    ("pandas", ("DataFrame", "Series"), Kind.PANDAS),
    ("polars", ("DataFrame", "Series"), Kind.POLARS),
    ("polars", ("LazyFrame",), Kind.LAZY),
    ("numpy", ("ndarray",), Kind.NUMPY),
    ("pyarrow", ("Table", "RecordBatch", "StructArray"), Kind.ARROW),
    ("pyarrow", ("RecordBatchReader",), Kind.STREAM),
    ("pyarrow.dataset", ("Dataset", "Scanner"), Kind.STREAM),
)


def _of_mapping(obj: Mapping[Any, Any]) -> Kind:
    if not obj:
        return Kind.OBJECT
    if all(map(_is_column, obj.values())):
        return Kind.ARRAYS
    return Kind.RECORDS if all(isinstance(value, Mapping) for value in obj.values()) else Kind.OBJECT


def _is_column(value: object) -> bool:
    if isinstance(value, str | bytes | bytearray | memoryview | Mapping | set | frozenset):
        return False
    return hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def _of_list(obj: list[Any] | tuple[Any, ...]) -> Kind:
    if hasattr(obj, "_asdict"):
        return Kind.OBJECT
    if not obj:
        return Kind.RECORDS
    if is_record(obj[0]):
        return Kind.RECORDS
    first = kind_of(obj[0])
    return Kind.ITERATOR if first in FRAMES and not isinstance(obj[0], list | tuple) else Kind.OBJECT


def is_record(obj: object) -> bool:
    """Tell whether an item is one row: a dict, dataclass, pydantic model or named tuple."""
    if isinstance(obj, Mapping):
        return True
    cls = type(obj)
    if cls is type:
        return False
    return (
        hasattr(cls, "__dataclass_fields__")
        or (hasattr(cls, "model_fields") and hasattr(cls, "model_dump"))
        or (isinstance(obj, tuple) and hasattr(obj, "_asdict"))
    )
