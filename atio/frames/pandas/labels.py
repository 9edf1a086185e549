"""Labels of pandas (of columns, of index levels) ↔ JSON, exactly.

A label that JSON knows is written as it is; any other as a dict with one key that names its type.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from atio.errors import UnsupportedError

JSON = Any


def text(label: Any) -> str:
    """Name the Arrow field of a column with this label, as pyarrow does."""
    if isinstance(label, str):
        return label
    if isinstance(label, bytes):
        return label.decode("utf-8", "backslashreplace")
    if isinstance(label, tuple):
        return str(tuple(map(text, label)))
    return str(label)


def encode(label: Any) -> JSON:
    """Write one label."""
    import numpy as np
    import pandas as pd

    if isinstance(label, np.generic) and not isinstance(label, np.datetime64 | np.timedelta64):
        label = label.item()
    if label is None or isinstance(label, str | bool | int):
        return label
    if label is pd.NaT or label is pd.NA:
        return {"missing": str(label)}
    if isinstance(label, float):
        return label if math.isfinite(label) else {"float": str(label)}
    if isinstance(label, tuple):
        return {"tuple": [encode(item) for item in label]}
    for cls, name, write, _ in _TAGGED():
        if type(label) is cls:
            return {name: write(label)}
    raise UnsupportedError(
        f"a label of type {type(label).__module__}.{type(label).__qualname__} cannot be stored: {label!r}",
        hint="rename it to text, a number, a timestamp or a tuple of these",
    )


def decode(value: JSON) -> Any:
    """Read one label."""
    import pandas as pd

    if not isinstance(value, dict):
        return value
    ((name, inner),) = value.items()
    if name == "missing":
        return pd.NaT if inner == "NaT" else pd.NA
    if name == "float":
        return float(inner)
    if name == "tuple":
        return tuple(decode(item) for item in inner)
    for _, known, _, build in _TAGGED():
        if known == name:
            return build(inner)
    raise ValueError(f"unknown kind of label {name!r}")


def _TAGGED() -> tuple[tuple[type, str, Callable[[Any], JSON], Callable[[Any], Any]], ...]:  # noqa: N802 a table
    import pandas as pd

    return (
        (bytes, "bytes", lambda v: base64.b64encode(v).decode(), base64.b64decode),
        (Decimal, "decimal", str, Decimal),
        (datetime, "datetime", _naive, datetime.fromisoformat),
        (date, "date", date.isoformat, date.fromisoformat),
        (pd.Timestamp, "timestamp", lambda v: [v.asm8.astype("i8").item(), v.unit, _zone(v.tz)], _timestamp),
        (pd.Timedelta, "timedelta", lambda v: [v.asm8.astype("i8").item(), v.unit], _timedelta),
        (pd.Period, "period", lambda v: [v.ordinal, v.freqstr], lambda v: pd.Period(ordinal=v[0], freq=v[1])),
        (
            pd.Interval,
            "interval",
            lambda v: [encode(v.left), encode(v.right), v.closed],
            lambda v: pd.Interval(decode(v[0]), decode(v[1]), v[2]),
        ),
    )


def _naive(value: datetime) -> str:
    if value.tzinfo is not None:
        raise UnsupportedError(
            f"a datetime label with a zone cannot be stored: {value!r}", hint="use pandas.Timestamp for it"
        )
    return value.isoformat()


def _zone(tz: Any) -> str | None:
    import pyarrow as pa

    return None if tz is None else str(pa.lib.tzinfo_to_string(tz))


def _timestamp(value: list[Any]) -> Any:
    import numpy as np
    import pandas as pd

    stamp = pd.Timestamp(np.datetime64(value[0], value[1]))
    return stamp if value[2] is None else stamp.tz_localize("UTC").tz_convert(_tzinfo(value[2]))


def _timedelta(value: list[Any]) -> Any:
    import numpy as np
    import pandas as pd

    return pd.Timedelta(np.timedelta64(value[0], value[1]))


def _tzinfo(zone: str) -> Any:
    import pandas as pd

    return pd.DatetimeTZDtype("ns", zone).tz


# -- whole indexes -----------------------------------------------------------------------------


def encode_index(index: Any) -> dict[str, JSON]:
    """Write an Index or MultiIndex with its names, dtypes and frequency."""
    import pandas as pd

    levels = [_level(index.get_level_values(i)) for i in range(index.nlevels)]
    return {"multi": levels} if isinstance(index, pd.MultiIndex) else levels[0]


def decode_index(value: dict[str, JSON]) -> Any:
    """Read it back."""
    import pandas as pd

    if "multi" not in value:
        return _index(value)
    levels = [_index(level) for level in value["multi"]]
    return pd.MultiIndex.from_arrays(levels, names=[level.name for level in levels])


def _level(index: Any) -> dict[str, JSON]:
    said = _values(index)
    if index.name is not None:
        said["name"] = encode(index.name)
    return said


def _values(index: Any) -> dict[str, JSON]:
    import pandas as pd

    if isinstance(index, pd.RangeIndex):
        return {"range": [index.start, index.stop, index.step]}
    if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex | pd.PeriodIndex):
        return _times(index)
    if isinstance(index, pd.IntervalIndex):
        return {"interval": [_values(index.left), _values(index.right)], "closed": index.closed}
    if isinstance(index, pd.CategoricalIndex):
        codes, categories = index.codes.tolist(), _values(index.categories)
        return {"codes": codes, "categories": categories, "ordered": index.ordered}
    said: dict[str, JSON] = {"values": [encode(label) for label in index.tolist()]}
    return said if index.dtype == pd.Index(["a"]).dtype else said | {"dtype": _dtype_name(index.dtype)}


def _times(index: Any) -> dict[str, JSON]:
    import pandas as pd

    counts = index.asi8.tolist()
    if isinstance(index, pd.PeriodIndex):
        return {"period": counts, "freq": index.freqstr}
    if isinstance(index, pd.TimedeltaIndex):
        return {"timedelta": counts, "unit": index.unit, "freq": index.freqstr}
    return {"datetime": counts, "unit": index.unit, "zone": _zone(index.tz), "freq": index.freqstr}


def _dtype_name(dtype: Any) -> str:
    import pandas as pd

    if isinstance(dtype, pd.StringDtype):
        return f"{dtype}[{dtype.storage}]"
    return str(dtype)


def _index(value: dict[str, JSON]) -> Any:
    index = _read_values(value)
    return index.rename(decode(value["name"])) if "name" in value else index


def _read_values(value: dict[str, JSON]) -> Any:
    return next(read for key, read in _READERS if key in value)(value)


def _read_range(value: dict[str, JSON]) -> Any:
    import pandas as pd

    index = pd.RangeIndex(*value["range"])
    if len(index) > _MOST:
        raise ValueError(f"labels of {len(index)} columns")
    return index


def _read_datetime(value: dict[str, JSON]) -> Any:
    import numpy as np
    import pandas as pd

    index = pd.DatetimeIndex(np.array(value["datetime"], "i8").view(f"M8[{value['unit']}]"))
    if value["zone"] is not None:
        index = index.tz_localize("UTC").tz_convert(_tzinfo(value["zone"]))
    return with_freq(index, value["freq"])


def _read_timedelta(value: dict[str, JSON]) -> Any:
    import numpy as np
    import pandas as pd

    index = pd.TimedeltaIndex(np.array(value["timedelta"], "i8").view(f"m8[{value['unit']}]"))
    return with_freq(index, value["freq"])


def _read_period(value: dict[str, JSON]) -> Any:
    import pandas as pd

    ordinals = value["period"]
    return pd.PeriodIndex.from_ordinals(ordinals, freq=value["freq"])  # type: ignore[attr-defined]


def _read_interval(value: dict[str, JSON]) -> Any:
    import pandas as pd

    left, right = map(_read_values, value["interval"])
    return pd.IntervalIndex.from_arrays(left, right, closed=value["closed"])


def _read_categorical(value: dict[str, JSON]) -> Any:
    import pandas as pd

    dtype = pd.CategoricalDtype(_read_values(value["categories"]), value["ordered"])
    return pd.CategoricalIndex(pd.Categorical.from_codes(value["codes"], dtype=dtype))


def _read_labels(value: dict[str, JSON]) -> Any:
    import pandas as pd

    labels = [decode(label) for label in value["values"]]
    if value.get("dtype") == "object":
        return object_index(labels)
    return pd.Index(labels, dtype=named_dtype(value["dtype"]) if "dtype" in value else pd.Index(["a"]).dtype)


_MOST = 1_000_000
"""Columns a range may label: a few bytes of metadata must not make a reader count for hours."""
_READERS = (
    ("range", _read_range),
    ("datetime", _read_datetime),
    ("timedelta", _read_timedelta),
    ("period", _read_period),
    ("interval", _read_interval),
    ("codes", _read_categorical),
    ("values", _read_labels),
)


def object_index(labels: list[Any]) -> Any:
    """Build an index element by element: pandas would turn tuples into levels and dates into timestamps."""
    import numpy as np
    import pandas as pd

    values = np.empty(len(labels), dtype=object)
    for i, label in enumerate(labels):
        values[i] = label
    return pd.Index(values, dtype=object, tupleize_cols=False)


@lru_cache(maxsize=256)
def named_dtype(name: str) -> Any:
    """Turn the name of a dtype into the dtype."""
    import numpy as np
    import pandas as pd

    if name in ("str[python]", "str[pyarrow]"):
        return pd.StringDtype(name[4:-1], na_value=np.nan)
    return pd.api.types.pandas_dtype(name)


def with_freq(index: Any, freq: str | None) -> Any:
    """Give an index its frequency back, unless its labels no longer follow it (a filter, an append)."""
    import pandas as pd

    if freq is None:
        return index
    try:
        index.freq = pd.tseries.frequencies.to_offset(freq)
    except ValueError:
        return index
    return index
