"""Arrow → pandas."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.types as is_

from atio.errors import InputError, MissingDependencyError, UnsupportedError
from atio.frames.base import RangeIndex, with_metadata
from atio.frames.pandas.labels import decode, decode_index, named_dtype, object_index, text, with_freq
from atio.frames.pandas.notes import DOCUMENTED, Note, Notes, damaged, read

_EXACT_FLOAT = 2**53
"""Ints beyond this are not all floats."""
_FEW = 16
"""Columns to insert one by one; each insertion touches all columns behind it."""
_THREADS_PAY = 200_000
"""Rows from which pyarrow's threads gain more than they cost to start."""
_DICTIONARY = pa.dictionary(pa.int8(), pa.string()).id
_INT64 = (pa.int64().id, pa.uint64().id)


def to_pandas(table: pa.Table, index: RangeIndex | None = None, **kwargs: Any) -> Any:
    """Convert to a ``pandas.DataFrame`` as it went in.

    Parameters
    ----------
    table
        Rows whose schema carries the notes that ``incoming`` made. Notes of columns that are not there are
        ignored; without any column of the index the rows are numbered from 0.
    index
        The ``RangeIndex`` of the rows, when they have one other than 0, 1, 2, ….
    **kwargs
        For ``pyarrow.Table.to_pandas``. A ``types_mapper`` wins over the notes.

    Notes
    -----
    A column of ints with nulls becomes ``float64``, as everywhere in pandas, unless a value would change:
    then it becomes ``Int64`` or ``UInt64``.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError("pandas is not installed", hint='pip install "atio[pandas]"') from error
    if index is not None and len(index) != table.num_rows:
        raise InputError(f"a RangeIndex of {len(index)} rows was given for {table.num_rows} rows")
    notes = None if kwargs.get("ignore_metadata") else read(table.schema)
    bare = with_metadata(table, None) if table.schema.metadata else table
    frame = _Reader(bare, notes or Notes(), kwargs).frame()
    if notes is not None:
        _restore_labels(frame, bare, notes)
        frame.attrs.update(notes.attrs)
    if index is not None and not (notes and notes.index):
        frame.index = pd.RangeIndex(index.start, index.stop, index.step, name=index.name)
    # The name of a range went with its bounds, unless they are still known.
    named = notes is not None and notes.names is not None and bool(notes.index or index is not None)
    if notes is not None and named and len(notes.names or ()) == frame.index.nlevels:
        try:
            frame.index.names = [decode(name) for name in notes.names or ()]
        except (ValueError, TypeError) as error:
            raise damaged(error) from error
    return frame


class _Reader:
    """One conversion: the options of pyarrow against the notes of the columns."""

    def __init__(self, table: pa.Table, notes: Notes, options: dict[str, Any]) -> None:
        self.table = table
        self.schema = table.schema
        self.notes = notes
        self.options = {"use_threads": table.num_rows > _THREADS_PAY} | options

    def frame(self) -> Any:
        """Let pyarrow convert all it can in one go, and put the others in between."""
        levels = set(self.notes.index)
        data = [i for i, name in enumerate(self.table.column_names) if name not in levels]
        special = {i for i in data if self._is_special(i)}
        if len(data) == self.table.num_columns and not special:
            return self._by_pyarrow(self.table)
        frame = self._by_pyarrow(self.table.select([i for i in data if i not in special]))
        if special:
            frame = self._with_special(frame, data, special)
        if levels:
            frame.index = self._index()
        return frame

    def _by_pyarrow(self, table: pa.Table) -> Any:
        try:
            return table.to_pandas(**self.options)
        except (pa.ArrowException, ValueError, OverflowError):
            for name, column in zip(table.column_names, table.columns, strict=True):
                _try(column, name)
            raise

    def _with_special(self, frame: Any, data: list[int], special: set[int]) -> Any:
        """Put the special columns where they belong, without copying the others."""
        import pandas as pd

        names = [self.schema.field(i).name for i in data]
        if len(special) <= _FEW:
            for place, i in enumerate(data):
                if i in special:
                    frame.insert(place, names[place], self._restore(i, frame.index), allow_duplicates=True)
            return frame
        plain = iter(range(frame.shape[1]))
        columns = {
            i: self._restore(i, frame.index) if i in special else frame.iloc[:, next(plain)] for i in data
        }
        built = pd.DataFrame(columns, index=frame.index, copy=False)
        built.columns = pd.Index(names)
        return built

    def _is_special(self, i: int) -> bool:
        """Tell whether pyarrow alone would not restore the column."""
        field = self.schema.field(i)
        dictionary, is_int = field.type.id == _DICTIONARY, field.type.id in _INT64
        if not (dictionary or is_int or field.name in self.notes.columns) or self._is_overruled(field):
            return False
        if dictionary or field.name in self.notes.columns:
            return True
        return not self._keeps_ints() and _loses_digits(self.table.column(i))

    def _keeps_ints(self) -> bool:
        return bool(self.options.get("integer_object_nulls"))

    def _is_overruled(self, field: pa.Field) -> bool:
        mapper = self.options.get("types_mapper")
        if mapper is not None and mapper(field.type) is not None:
            return True
        text_to_category = self.options.get("strings_to_categorical") and _is_text(field.type)
        return bool(text_to_category or field.name in (self.options.get("categories") or ()))

    def _restore(self, i: int, index: Any) -> Any:
        """Convert one column to what a frame takes without guessing its dtype."""
        import pandas as pd

        name = self.schema.field(i).name
        values = restore(self.table.column(i), self.notes.columns.get(name, Note()), name)
        return pd.Series(values, index=index, dtype=object, copy=False) if values.dtype == object else values

    def _index(self) -> Any:
        import pandas as pd

        levels, names = [], []
        for name in self.notes.index:
            i = self.table.schema.get_field_index(name)
            levels.append(self._level(i, name))
            names.append(self.notes.index_names[name])
        if len(levels) > 1 or self.notes.multi:
            return pd.MultiIndex.from_arrays(levels, names=names)
        return levels[0].rename(names[0])

    def _level(self, i: int, name: str) -> Any:
        import pandas as pd

        field = self.schema.field(i)
        if self._is_overruled(field):
            values = self.table.column(i).to_pandas(types_mapper=self.options.get("types_mapper"))
            return pd.Index(values, dtype=values.dtype)
        return _labels(self.table.column(i), self.notes.columns.get(name, Note()), name)


def _labels(column: pa.ChunkedArray, note: Note, name: str) -> Any:
    """Convert a column to an Index."""
    import pandas as pd

    values = restore(column, note, name)
    return with_freq(pd.Index(values, dtype=values.dtype, tupleize_cols=False), note.freq)


def restore(column: pa.ChunkedArray, note: Note, name: str) -> Any:
    """Convert one column to a pandas or NumPy array of the noted dtype."""
    import pandas as pd

    if is_.is_dictionary(column.type):
        return _categorical(column, note, name)
    if note.dtype == "pyarrow":
        return pd.arrays.ArrowExtensionArray(column)
    if note.dtype in (None, "object"):
        wants_object = note.dtype == "object" or note.kind is not None or note.null is not None
        return _objects(column, note) if wants_object else _plain(column, name)
    if note.dtype in ("Float32", "Float64") and is_.is_floating(column.type):
        return _floating(column)
    try:
        dtype = named_dtype(str(note.dtype))
        build = dtype.__from_arrow__
    except (TypeError, ValueError, AttributeError) as error:
        raise UnsupportedError(
            f"pandas does not know the dtype {note.dtype}",
            column=name,
            hint="import the library that defines it, or read with ignore_metadata=True",
        ) from error
    return build(column)


def _plain(column: pa.ChunkedArray, name: str) -> Any:
    if is_.is_integer(column.type) and _loses_digits(column):
        return named_dtype(str(column.type).replace("uint", "UInt").replace("int", "Int")).__from_arrow__(
            column
        )
    return _try(column, name).array


def _try(column: pa.ChunkedArray, name: str) -> Any:
    """Let pyarrow convert one column; its own error does not say which one it was."""
    try:
        return column.to_pandas()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise UnsupportedError(
            f"pandas has no values for this {column.type}: {error}",
            column=name,
            hint="read it with types_mapper=pandas.ArrowDtype or to_arrow(), or leave it out with columns=",
        ) from error


def _loses_digits(column: pa.ChunkedArray) -> bool:
    """Tell whether ints with nulls would change as floats."""
    if column.null_count == 0 or column.type.bit_width < 64:
        return False
    import pyarrow.compute as pc

    bounds = pc.min_max(column)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    return low is not None and (low < -_EXACT_FLOAT or high > _EXACT_FLOAT)


def _floating(column: pa.ChunkedArray) -> Any:
    """Keep NaN apart from missing, which pandas' own conversion does not."""
    import numpy as np
    import pandas as pd

    missing = column.is_null().to_numpy() if column.null_count else np.zeros(len(column), bool)
    values = column.fill_null(0) if column.null_count else column
    return pd.arrays.FloatingArray(values.to_numpy().copy(), missing)


def _categorical(column: pa.ChunkedArray, note: Note, name: str) -> Any:
    import numpy as np
    import pandas as pd

    unified = (
        column.unify_dictionaries() if column.num_chunks else pa.chunked_array([pa.array([], column.type)])
    )
    dictionary = unified.chunk(0).dictionary
    categories = _labels(pa.chunked_array([dictionary]), note.categories or Note(), name)
    indices = pa.chunked_array([chunk.indices for chunk in unified.chunks])
    if not is_.is_signed_integer(indices.type):
        indices = indices.cast(pa.int64())
    codes = np.asarray(indices.fill_null(-1))
    try:
        dtype = pd.CategoricalDtype(categories, ordered=column.type.ordered)
        return pd.Categorical.from_codes(codes, dtype=dtype)
    except (ValueError, TypeError):
        return _without_categories(categories, codes, ordered=column.type.ordered)


def _without_categories(values: Any, codes: Any, *, ordered: bool) -> Any:
    """Read a dictionary with nulls, repetitions or dicts among its values, which pandas does not allow."""
    import pandas as pd

    rows = pd.Series(values).take(codes).mask(codes < 0).array
    try:
        return pd.Categorical(rows, categories=values.dropna().unique(), ordered=ordered)
    except TypeError:  # not hashable
        return rows


def _objects(column: pa.ChunkedArray, note: Note) -> Any:
    """Restore Python objects, and the missing value they had."""
    import numpy as np
    import pandas as pd

    values = _python_values(column, note)
    if note.null is not None and column.null_count:
        missing = {"nan": np.nan, "NA": pd.NA, "NaT": pd.NaT}.get(note.null)
        values[column.is_null().to_numpy()] = missing
    return values


def _python_values(column: pa.ChunkedArray, note: Note) -> Any:
    import numpy as np

    if note.kind in ("timestamp", "timedelta"):
        values = column.to_pandas().astype(object).to_numpy(copy=True)
        if column.null_count:
            values[column.is_null().to_numpy()] = None
        return values
    if _is_text(column.type) or is_.is_boolean(column.type):
        return np.array(column.to_numpy(), dtype=object)
    if is_.is_integer(column.type):
        return np.array(column.to_pandas(integer_object_nulls=True), dtype=object)
    if note.kind is None and not (is_.is_temporal(column.type) or is_.is_floating(column.type)):
        return column.to_pandas().to_numpy(copy=True)
    values = np.empty(len(column), dtype=object)
    build = tuple if note.kind == "tuple" else None
    for i, value in enumerate(column.to_pylist()):
        values[i] = value if build is None or value is None else build(value)
    return values


def _is_text(kind: pa.DataType) -> bool:
    return bool(is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind))


def _restore_labels(frame: Any, table: pa.Table, notes: Notes) -> None:
    try:
        if notes.labels is not None:
            frame.columns = _own_labels(notes.labels, frame.columns.tolist())
        elif notes.column_indexes:
            frame.columns = _foreign_labels(table, notes)
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration, pa.ArrowException) as error:
        raise damaged(error) from error


def _own_labels(said: dict[str, Any], names: list[str]) -> Any:
    """Find the label of each field; columns may have been selected, added or renamed since."""
    labels = decode_index(said)
    places = {text(label): i for i, label in enumerate(labels)}
    found = [places.get(name) for name in names]
    if found == list(range(len(labels))):
        return labels
    return labels.take(found) if None not in found else _partly(labels, names, found)


def _partly(labels: Any, names: list[str], found: list[int | None]) -> Any:
    """Label columns that were added or renamed in the table by their names."""
    import pandas as pd

    if labels.nlevels == 1:
        mixed = [name if i is None else labels[i] for name, i in zip(names, found, strict=True)]
        return object_index(mixed).infer_objects().rename(labels.name)
    filler = ("",) * (labels.nlevels - 1)
    tuples = [(name, *filler) if i is None else labels[i] for name, i in zip(names, found, strict=True)]
    return pd.MultiIndex.from_tuples(tuples, names=labels.names)


def _foreign_labels(table: pa.Table, notes: Notes) -> Any:
    """Let pyarrow decode the labels it encoded."""
    data = table.schema.empty_table().select([name for name in table.column_names if name not in notes.index])
    bare = Notes(column_indexes=notes.column_indexes, documented=notes.documented)
    metadata = bare.to_metadata(data.schema)
    return data.replace_schema_metadata({DOCUMENTED: metadata[DOCUMENTED]}).to_pandas().columns
