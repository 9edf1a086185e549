"""NumPy arrays → Arrow."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from atio.errors import InputError, UnsupportedError
from atio.frames.base import Incoming
from atio.frames.values import convert

# Units Arrow lacks, and the nearest finer one it has.
_UNITS = {
    "M": {"Y": "D", "M": "D", "W": "D", "h": "s", "m": "s"},
    "m": {"W": "s", "D": "s", "h": "s", "m": "s"},
}


def from_numpy(array: Any) -> Incoming:
    """Take a structured array (its fields are the columns) or a 2-D array (columns ``"0"``, ``"1"``, …)."""
    if array.dtype.names is not None and array.ndim == 1:
        columns = {name: array[name] for name in array.dtype.names}
    elif array.ndim == 2 and array.dtype.names is None:
        columns = {str(i): array[:, i] for i in range(array.shape[1])}
    else:
        raise UnsupportedError(
            f"a NumPy array of shape {array.shape} and dtype {array.dtype} is no table",
            hint='name the columns: {"x": array}',
        )
    return Incoming.of(pa.table({name: column(values, name) for name, values in columns.items()}))


def column(array: Any, name: str) -> pa.Array:
    """Convert a 1-D array; masked elements become null, NaN stays NaN."""
    import numpy as np

    if array.ndim != 1:
        raise InputError(
            f"a column of shape {array.shape} is not one-dimensional",
            column=name,
            hint="for rows that are lists use list(array)",
        )
    mask = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
    values = _native(np.ma.getdata(array), name)
    if values.dtype.kind == "O":
        values = values if mask is None else np.where(mask, None, values)
        return convert(values, name).array
    if values.dtype.names is not None:
        fields = {child: column(values[child], f"{name}.{child}") for child in values.dtype.names}
        mask = None if mask is None else pa.array(np.asarray([bool(any(m)) for m in mask]))
        return pa.StructArray.from_arrays(list(fields.values()), names=list(fields), mask=mask)
    return pa.array(values, mask=mask)


def _native(array: Any, name: str) -> Any:
    """Bring an array to a dtype pyarrow reads, without changing a value."""
    import numpy as np

    dtype = array.dtype
    if dtype.kind in "Mm":
        unit = np.datetime_data(dtype)[0]
        unit = _UNITS[dtype.kind].get(unit, unit)
        if unit not in ("D", "s", "ms", "us", "ns") or (dtype.kind, unit) == ("m", "D"):
            raise UnsupportedError(
                f"NumPy dtype {dtype} has no Arrow type",
                column=name,
                hint="convert it to a unit from days to nanoseconds with .astype()",
            )
        array = array.astype(f"{dtype.kind}8[{unit}]", copy=False)
    elif (dtype.kind in "cV" and dtype.names is None) or dtype.char == "g":
        raise UnsupportedError(
            f"NumPy dtype {dtype} has no Arrow type",
            column=name,
            hint="split complex numbers into two columns; use float64 for long doubles",
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)
