"""pandas → Arrow."""

from __future__ import annotations

import json
import sys
from typing import Any

import pyarrow as pa

from atio.errors import InputError, UnsupportedError
from atio.frames.base import Incoming, RangeIndex, check_names, empty_columns, with_metadata
from atio.frames.pandas.labels import encode, encode_index, named_dtype, text
from atio.frames.pandas.notes import Note, Notes, default_is_object
from atio.frames.values import convert


def from_pandas(obj: Any) -> Incoming | None:
    """Take a DataFrame or Series; None when ``obj`` is neither."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not hasattr(pandas, "DataFrame"):
        return None
    if isinstance(obj, pandas.Series):
        obj = obj.to_frame()
    return _from_frame(obj) if isinstance(obj, pandas.DataFrame) else None


def is_column(obj: object) -> bool:
    """Recognise a Series, Index or extension array without importing pandas."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not hasattr(pandas, "Series"):
        return False
    return isinstance(obj, pandas.Series | pandas.Index | pandas.api.extensions.ExtensionArray)


def column(values: Any, name: str) -> pa.Array:
    """Convert a Series, Index or extension array alone; what Arrow cannot say is dropped."""
    return _column(values, name)[0]


def _from_frame(frame: Any) -> Incoming:
    notes = Notes()
    names = _field_names(frame.columns, notes)
    arrays = []
    for name, values in zip(names, _columns(frame), strict=True):
        array, note = _column(values, name)
        arrays.append(array)
        if note is not None:
            notes.columns[name] = note
    index = _index(frame.index, names, arrays, notes)
    if frame.attrs:
        notes.attrs = _attrs(frame.attrs)
    table = pa.Table.from_arrays(arrays, names=names) if names else empty_columns(len(frame))
    metadata = notes.to_metadata(table.schema)
    return Incoming.of(with_metadata(table, metadata) if metadata else table, index)


def _columns(frame: Any) -> list[Any]:
    """List the columns as arrays; a Series for each would cost half the time of a small append."""
    arrays = getattr(frame, "_iter_column_arrays", None)
    return list(arrays()) if arrays is not None else [series.array for _, series in frame.items()]


def _field_names(columns: Any, notes: Notes) -> list[str]:
    import pandas as pd

    if type(columns) is pd.Index and columns.dtype in ("str", "object") and columns.name is None:
        names = columns.tolist()
        plain = len(names) > 0 and (columns.dtype == "str" or _default_is_object(names))
        if plain and all(type(name) is str for name in names):
            check_names(names)
            return names
    names = [text(label) for label in columns]
    check_names(names)
    notes.labels = encode_index(columns)
    return names


def _default_is_object(names: list[Any]) -> bool:
    """Tell whether labels of text are object labels by default: before pandas 3."""
    import pandas as pd

    return bool(pd.Index(names[:1]).dtype == object)


# -- the index ---------------------------------------------------------------------------------


def _index(index: Any, names: list[str], arrays: list[Any], notes: Notes) -> RangeIndex | None:
    """Append the index levels to the columns, unless they are a range."""
    import pandas as pd

    if any(name is not None and not isinstance(name, str) for name in index.names):
        notes.names = [encode(name) for name in index.names]
    if type(index) is pd.RangeIndex:
        return _range(index)
    notes.multi = isinstance(index, pd.MultiIndex) and index.nlevels == 1
    for i in range(index.nlevels):
        level = index.get_level_values(i)
        name = _level_field(level.name, i, names)
        array, note = _labels(level, name)
        names.append(name)
        arrays.append(array)
        notes.index.append(name)
        notes.index_names[name] = None if level.name is None else text(level.name)
        if note is not None:
            notes.columns[name] = note
    return None


def _range(index: Any) -> RangeIndex | None:
    if index.start == 0 and index.step == 1 and index.name is None:
        return None
    return RangeIndex(index.start, index.stop, index.step, None if index.name is None else text(index.name))


def _level_field(name: Any, level: int, taken: list[str]) -> str:
    """Name the field of an index level as pyarrow does."""
    if name is not None and text(name) not in taken:
        return text(name)
    while f"__index_level_{level}__" in taken:
        level += 1
    return f"__index_level_{level}__"


def _labels(index: Any, name: str) -> tuple[Any, Note | None]:
    """Convert an index as a column, noting its frequency."""
    array, note = _column(index, name)
    freq = _freq(index)
    return array, note if freq is None else Note(None if note is None else note.dtype, freq=freq)


def _freq(index: Any) -> str | None:
    """Name the frequency, where its name says all of it (a calendar of holidays has no name)."""
    import pandas as pd

    freq = getattr(index, "freq", None)
    if freq is None or isinstance(index, pd.PeriodIndex):
        return None
    try:
        return str(freq.freqstr) if pd.tseries.frequencies.to_offset(freq.freqstr) == freq else None
    except ValueError:
        return None


def _attrs(attrs: Any) -> dict[str, Any]:
    for key, value in attrs.items():
        try:
            same = isinstance(key, str) and json.loads(json.dumps(value, allow_nan=False)) == value
        except (TypeError, ValueError, RecursionError):
            same = False
        if not same:
            raise InputError(
                f"DataFrame.attrs[{key!r}] cannot be stored as JSON without loss",
                hint=f"use text, numbers, lists and dicts with str keys, or remove it: del df.attrs[{key!r}]",
            )
    return dict(attrs)


# -- columns -----------------------------------------------------------------------------------


def _column(values: Any, name: str) -> tuple[Any, Note | None]:
    """Convert one column; the note says what its Arrow type does not."""
    kind = getattr(values.dtype, "kind", "O")
    if isinstance(values.dtype, _numpy_dtype()):
        return _objects(values, name) if kind == "O" else (_numbers(values, name), None)
    return _extension(values, name)


def _numpy_dtype() -> Any:
    return sys.modules["numpy"].dtype  # pandas has imported it


def _numbers(values: Any, name: str) -> pa.Array:
    try:
        return pa.array(getattr(values, "_ndarray", values), from_pandas=True)
    except pa.ArrowException as error:
        raise UnsupportedError(
            f"pandas dtype {values.dtype} has no Arrow type",
            column=name,
            hint="split complex numbers into two columns; use float64 for long doubles",
        ) from error


def _objects(values: Any, name: str) -> tuple[pa.Array, Note | None]:
    found = convert(values, name, exact=True)
    null = next(iter(found.missing)) if len(found.missing) == 1 else None
    note = Note(
        dtype=None if default_is_object(found.array.type) else "object",
        kind=_kind(found.types),
        null=None if null == "None" else null,
    )
    return found.array, None if note == Note() else note


def _kind(types: frozenset[type]) -> str | None:
    names = {cls.__name__ for cls in types} & {"list", "tuple", "Timestamp", "Timedelta"}
    if "list" in names:
        return "list"
    return next(iter(names)).lower() if names else None


def _extension(values: Any, name: str) -> tuple[Any, Note | None]:
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(values, name)
    if isinstance(dtype, pd.SparseDtype):
        raise UnsupportedError(
            f"sparse columns ({dtype}) have no Arrow type",
            column=name,
            hint="store it dense: df[column] = df[column].sparse.to_dense()",
        )
    if not hasattr(dtype, "__from_arrow__") and not isinstance(dtype, pd.DatetimeTZDtype):
        raise _unknown(dtype, name)
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UnsupportedError(
            f"pandas dtype {dtype} cannot be stored: {error}",
            column=name,
            hint="convert the column with .astype() to a dtype Arrow knows",
        ) from error
    if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype):
        array = array.storage
    return array, _extension_note(dtype, name)


def _extension_note(dtype: Any, name: str) -> Note | None:
    import pandas as pd

    if isinstance(dtype, pd.DatetimeTZDtype):
        return None
    if isinstance(dtype, pd.ArrowDtype):
        return Note("pyarrow")
    if isinstance(dtype, pd.StringDtype):
        missing = "str" if dtype.na_value is not pd.NA else "string"
        said = missing if dtype.storage == "pyarrow" else f"{missing}[{dtype.storage}]"
        return None if said == "str" else Note(said)
    try:
        known = named_dtype(str(dtype)) == dtype
    except (TypeError, ValueError):
        known = False
    if not known:
        raise _unknown(dtype, name)
    return Note(str(dtype))


def _unknown(dtype: Any, name: str) -> UnsupportedError:
    return UnsupportedError(
        f"pandas dtype {dtype} ({type(dtype).__module__}) could not be restored",
        column=name,
        hint="convert the column with .astype() to a dtype of pandas or NumPy",
    )


def _categorical(values: Any, name: str) -> tuple[Any, Note | None]:
    """Store codes and categories; the categories are a column of their own kind."""
    import pandas as pd

    categorical = values if isinstance(values, pd.Categorical) else pd.Categorical(values)
    categories = categorical.categories
    stored, note = _labels(categories, f"{name} (categories)")
    if pa.types.is_null(stored.type):
        stored = stored.cast(pa.string())  # of no categories: a dictionary of nulls has no file format
        note = Note("object")
    if isinstance(stored, pa.ChunkedArray):
        stored = stored.combine_chunks()
    codes = pa.array(categorical.codes, mask=categorical.codes < 0)
    array = pa.DictionaryArray.from_arrays(codes, stored, ordered=categorical.ordered)
    return array, None if note is None else Note(categories=note)
