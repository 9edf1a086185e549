"""Arrays: NumPy's own formats, raw bytes, text."""

from __future__ import annotations

import zipfile
from typing import Any, ClassVar

import pyarrow as pa

from atio.errors import InputError, UnsupportedError
from atio.writers.base import Progress
from atio.writers.cells import Function, Native
from atio.writers.failures import calling
from atio.writers.files import Cells, Draft, FileWriter, Refused, for_frames
from atio.writers.kinds import Kind, kind_of
from atio.writers.sources import Readers, Source, by_function

_ONE_ARRAY = "it holds one array: hand over a NumPy array (frame.to_numpy()), or write npz, an array a column"


def plain_array(array: Any, name: str | None = None) -> Any:
    """Refuse what NumPy would pickle."""
    import numpy as np

    found = np.asanyarray(array)
    if found.dtype.hasobject:
        where = "the array" if name is None else f"the array {name!r}"
        raise UnsupportedError(
            f"{where} holds Python objects, which NumPy can only pickle",
            column=name,
            hint='convert it to a real dtype with .astype(), or name format="pickle"',
        )
    if isinstance(found, np.ma.MaskedArray) and np.ma.is_masked(found):
        raise UnsupportedError(
            "a masked array has no place for its mask here",
            column=name,
            hint="fill it first: array.filled(…), or write parquet or arrow",
        )
    return np.asarray(found)


# -- npy ---------------------------------------------------------------------------------------------


def _save(obj: Any, draft: Draft, progress: Progress) -> None:
    import numpy as np

    array = plain_array(obj)
    with calling("numpy.save", draft.url):
        np.save(draft.file, array, allow_pickle=False)
    progress.advance(len(array) if array.ndim else 1)


def _load(source: Source) -> Any:
    import numpy as np

    return np.load(source.file, allow_pickle=False)


class NpyWriter(FileWriter):
    """One NumPy array."""

    formats = ("npy",)
    suffixes = (".npy",)
    cells: ClassVar[Cells] = for_frames(
        Refused(_ONE_ARRAY),
        {
            Kind.NUMPY: Function("numpy.save", _save),
        },
    )
    readers: ClassVar[Readers] = {"numpy": by_function("numpy.load", _load)}


# -- npz ---------------------------------------------------------------------------------------------


def _savez(obj: Any, draft: Draft, progress: Progress, *, compression: int) -> None:
    """Write an archive of arrays, as ``numpy.savez`` does, which has no place for some names."""
    import numpy as np

    arrays = arrays_of(obj, kind_of(obj))
    progress.expect(len(arrays))
    with calling("numpy.savez", draft.url), zipfile.ZipFile(draft.file, "w", compression) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
            progress.advance(1)


def arrays_of(obj: Any, kind: Kind) -> dict[str, Any]:
    if kind is Kind.NUMPY:
        return {"arr_0": plain_array(obj)}
    if kind is Kind.ARRAYS:
        for name in obj:
            if not isinstance(name, str):
                raise InputError(
                    f"the name {name!r} of an array is no string", hint="name arrays by str keys"
                )
        return {name: _column(array, name) for name, array in obj.items()}
    from atio.writers.rows import table_of

    (table,) = table_of(obj, kind).tables
    return {
        name: _of_arrow(column, name) for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _column(values: Any, name: str) -> Any:
    """One array of a dict: whatever is no NumPy array goes through Arrow, which knows its type."""
    import numpy as np

    if isinstance(values, np.ndarray):
        return plain_array(values, name)
    from atio.writers.rows import table_of

    (table,) = table_of({name: values}, Kind.ARRAYS).tables
    return _of_arrow(table.column(0), name)


def _of_arrow(column: pa.ChunkedArray, name: str) -> Any:
    import numpy as np
    from pyarrow import types as pt

    kind = column.type
    if pt.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if column.null_count and not pt.is_floating(kind):
        raise UnsupportedError(
            f"the column {name!r} has nulls, which a NumPy array of {kind} cannot hold",
            column=name,
            hint="fill them first, or write parquet or arrow",
        )
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return np.array(column.to_pylist(), dtype=np.str_)
    return plain_array(column.to_numpy(), name)


def _load_archive(source: Source) -> Any:
    import numpy as np

    with np.load(source.file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _archive(compression: int, call: str) -> Cells:
    def write(obj: Any, draft: Draft, progress: Progress) -> None:
        _savez(obj, draft, progress, compression=compression)

    return for_frames(Function(call, write), {})


_ARCHIVES: Readers = {"numpy": by_function("numpy.load", _load_archive)}


class NpzWriter(FileWriter):
    """Several NumPy arrays, by name."""

    formats = ("npz",)
    suffixes = (".npz",)
    cells: ClassVar[Cells] = _archive(zipfile.ZIP_STORED, "numpy.savez")
    readers: ClassVar[Readers] = _ARCHIVES


class CompressedNpzWriter(FileWriter):
    """Several NumPy arrays, by name, compressed."""

    formats = ("npz_compressed",)
    cells: ClassVar[Cells] = _archive(zipfile.ZIP_DEFLATED, "numpy.savez_compressed")
    readers: ClassVar[Readers] = _ARCHIVES


# -- bin ---------------------------------------------------------------------------------------------


def _write_raw(obj: Any, draft: Draft, progress: Progress) -> None:
    import numpy as np

    array = plain_array(obj)
    with calling("numpy.ndarray.tofile", draft.url):
        # As bytes: dates are no buffers, and shapes may have zeros.
        draft.file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    progress.advance(len(array) if array.ndim else 1)


def _write_bytes(obj: Any, draft: Draft, progress: Progress) -> None:
    del progress
    with calling("write", draft.url):
        draft.file.write(obj)


def _read_raw(source: Source, *, dtype: Any = "uint8") -> Any:
    import numpy as np

    return np.frombuffer(source.file.read(), dtype).copy()


def _read_bytes(source: Source) -> bytes:
    return source.file.read()


class BinWriter(FileWriter):
    """Raw bytes: of an array without its shape and dtype, or as they are."""

    formats = ("bin", "raw")
    suffixes = (".bin",)
    cells: ClassVar[Cells] = for_frames(
        Refused("hand over a NumPy array or bytes"),
        {
            Kind.NUMPY: Function("numpy.ndarray.tofile", _write_raw),
            Kind.BYTES: Function("atio.bin", _write_bytes, label="as it is"),
        },
    )
    readers: ClassVar[Readers] = {
        "python": by_function("bin", _read_bytes),
        "numpy": by_function("numpy.fromfile", _read_raw),
    }


# -- txt ---------------------------------------------------------------------------------------------


def _savetxt(
    obj: Any,
    draft: Draft,
    progress: Progress,
    *,
    fmt: Any = "%.18e",
    delimiter: str = " ",
    newline: str = "\n",
    header: str = "",
    footer: str = "",
    comments: str = "# ",
    encoding: str | None = None,
) -> None:
    import numpy as np

    with calling("numpy.savetxt", draft.url):
        np.savetxt(
            draft.file,
            obj,
            fmt=fmt,
            delimiter=delimiter,
            newline=newline,
            header=header,
            footer=footer,
            comments=comments,
            encoding=encoding,
        )
    progress.advance(len(obj))


def _write_text(obj: str, draft: Draft, progress: Progress, *, encoding: str = "utf-8") -> None:
    del progress
    with calling("str.encode", draft.url):
        draft.file.write(obj.encode(encoding))


def _read_text(source: Source, *, encoding: str = "utf-8") -> str:
    return source.file.read().decode(encoding)


def _loadtxt(source: Source, **kwargs: Any) -> Any:
    import numpy as np

    return np.loadtxt(source.file, **kwargs)


class TxtWriter(FileWriter):
    """Plain text."""

    formats = ("txt", "text")
    suffixes = (".txt",)
    cells: ClassVar[Cells] = for_frames(
        Refused("write csv, tsv or markdown"),
        {
            Kind.PANDAS: Native("pandas", "to_string", where="text"),
            Kind.NUMPY: Function("numpy.savetxt", _savetxt),
            Kind.TEXT: Function("atio.txt", _write_text, label="as it is"),
        },
    )
    readers: ClassVar[Readers] = {
        "python": by_function("txt", _read_text),
        "numpy": by_function("numpy.loadtxt", _loadtxt),
    }
