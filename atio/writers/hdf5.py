"""HDF5, by PyTables: frames as pandas stores them, arrays as arrays.

The file is made in memory: HDF5 locks the files it opens, and so does atio while one is written.
"""

# Names of PyTables that start with _v_ are public: they stay out of the way of the nodes' own.
# ruff: noqa: SLF001

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from atio.errors import InputError, NotFoundError, UnsupportedError
from atio.writers.arrays import arrays_of
from atio.writers.base import Progress
from atio.writers.cells import Function, as_pandas
from atio.writers.failures import calling, missing
from atio.writers.files import Cells, Draft, FileWriter, for_frames
from atio.writers.kinds import Kind, kind_of
from atio.writers.sources import Readers, Source, by_function

_one_at_a_time = threading.Lock()
"""The HDF5 library knows no threads."""
_MEMORY = {"driver": "H5FD_CORE", "driver_core_backing_store": 0}


def _name() -> str:
    """A name that no file has: PyTables looks, also when the file is in memory."""
    return f"atio-{os.urandom(8).hex()}.h5"


def _require() -> None:
    for name, package in (("tables", "tables"), ("pandas", "pandas")):
        try:
            __import__(name)
        except ImportError as error:
            raise missing(package, "HDF5") from error


def _write_frame(
    obj: Any,
    draft: Draft,
    progress: Progress,
    *,
    key: str = "data",
    format: str | None = None,
    complevel: int | None = None,
    complib: str | None = None,
    index: bool = True,
    min_itemsize: Any = None,
    nan_rep: Any = None,
    data_columns: Any = None,
    encoding: str = "UTF-8",
    errors: str = "strict",
) -> None:
    _require()
    import pandas as pd

    frame = obj.to_frame() if isinstance(obj, pd.Series) else obj
    if not isinstance(frame, pd.DataFrame):
        frame = as_pandas(obj, nullable=False)
    _check_objects(frame)
    options = {
        "format": format,
        "index": index,
        "min_itemsize": min_itemsize,
        "nan_rep": nan_rep,
        "data_columns": data_columns,
        "encoding": encoding,
        "errors": errors,
    }
    if "track_times" in inspect.signature(pd.HDFStore.put).parameters:
        options["track_times"] = False
    progress.expect(len(frame))
    store_class: Any = pd.HDFStore
    with (
        calling("pandas.DataFrame.to_hdf", draft.url),
        _one_at_a_time,
        store_class(_name(), "w", complevel=complevel, complib=complib, **_MEMORY) as store,
    ):
        store.put(key, frame, **options)
        file = store.root._v_file
        file.flush()
        draft.file.write(file.get_file_image())
    progress.advance(len(frame))


def _check_objects(frame: Any) -> None:
    """Refuse columns that would be pickled one value at a time."""
    import pandas as pd

    for name, dtype in frame.dtypes.items():
        if dtype.kind == "O" and pd.api.types.infer_dtype(frame[name], skipna=True) not in (
            "string",
            "empty",
        ):
            raise UnsupportedError(
                f"the column {name!r} holds Python objects, which HDF5 can only pickle",
                column=str(name),
                hint='convert the column to a real dtype, or name format="pickle"',
            )


def _write_arrays(obj: Any, draft: Draft, progress: Progress, *, key: str = "data") -> None:
    _require()
    import tables

    kind = kind_of(obj)
    arrays = arrays_of(obj, kind)
    if kind is Kind.NUMPY:
        arrays = {key: arrays["arr_0"]}
    elif key != "data":
        raise InputError("key= is for one array; the keys of the dict name the others")
    for name, array in arrays.items():
        if array.dtype.kind == "U":
            raise UnsupportedError(
                f"the array {name!r} is text, which HDF5 arrays cannot hold",
                column=name,
                hint="encode it (numpy.strings.encode), or hand over a frame",
            )
    progress.expect(len(arrays))
    with (
        calling("tables.File.create_array", draft.url),
        _one_at_a_time,
        tables.open_file(_name(), "w", **_MEMORY) as file,
    ):
        for name, array in arrays.items():
            file.create_array("/", name, array)
            progress.advance(1)
        file.flush()
        draft.file.write(file.get_file_image())


# -- reading -----------------------------------------------------------------------------------------


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """The file as a pandas store; a copy in memory, as HDF5 would lock the file itself."""
    _require()
    import pandas as pd

    store_class: Any = pd.HDFStore
    with (
        _one_at_a_time,
        store_class(_name(), "r", driver_core_image=source.file.read(), **_MEMORY) as store,
    ):
        yield store


def _read_frame(source: Source, *, key: str | None = None) -> Any:
    _require()
    import pandas as pd

    with _opened(source) as store:
        keys = [name.lstrip("/") for name in store.keys()]  # noqa: SIM118 - not a dict
        if key is None:
            if len(keys) != 1:
                raise InputError(
                    f"the file holds {len(keys)} frames: {', '.join(keys)}",
                    file=source.url,
                    hint="say which with key=; arrays are read with output_as='numpy'",
                )
            key = keys[0]
        if key.lstrip("/") not in keys:
            raise NotFoundError(f"there is no frame {key!r}", file=source.url)
        frame = store.get(key)
    numbered = pd.RangeIndex(len(frame))
    if frame.index.name is None and frame.index.nlevels == 1 and frame.index.equals(numbered):
        frame.index = numbered  # stored as a column of numbers
    return frame


def _read_arrays(source: Source) -> Any:
    with _opened(source) as store:
        return {node._v_name: node.read() for node in store.root._v_file.iter_nodes("/", "Array")}


_FRAME = Function("pandas.DataFrame.to_hdf", _write_frame, label="pandas")
_ARRAYS = Function("tables.File.create_array", _write_arrays)


class Hdf5Writer(FileWriter):
    """HDF5 files. PyTables pickles what it notes beside the data, so reading one must be asked for."""

    formats = ("hdf5", "hdf", "h5")
    suffixes = (".h5", ".hdf5", ".hdf")
    needs = ("tables",)
    trusted = True
    cells: ClassVar[Cells] = for_frames(
        _FRAME,
        {
            Kind.PANDAS: Function("pandas.DataFrame.to_hdf", _write_frame),
            Kind.NUMPY: _ARRAYS,
            Kind.ARRAYS: _ARRAYS,
        },
    )
    readers: ClassVar[Readers] = {
        "pandas": by_function("pandas.read_hdf", _read_frame),
        "numpy": by_function("tables.Array.read", _read_arrays),
    }
