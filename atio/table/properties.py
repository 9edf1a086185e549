"""A table's properties: which there are, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pyarrow as pa

from atio.errors import AtioError, InputError
from atio.formats import get_format
from atio.table.datafiles import TARGET_BYTES, FileOptions

_FREE = re.compile(r"user\..+")


def _boolean(value: str) -> None:
    if value not in ("true", "false"):
        raise ValueError("it is 'true' or 'false'")


def _size(value: str) -> None:
    if not re.fullmatch(r"\d{1,15}", value) or int(value) < 2**16:
        raise ValueError("it is a number of bytes, at least 65536")


def _format(value: str) -> None:
    if get_format(value).name != value:
        raise ValueError(f"its name is {get_format(value).name!r}")


KNOWN: dict[str, Callable[[str], None]] = {
    "format": _format,
    "file.target_bytes": _size,
    "append.merge": _boolean,
}
"""Property → what checks a value. ``<format>.…`` options are the format's own; ``user.…`` is free."""


def check(properties: Mapping[str, str | None], effective: Mapping[str, str]) -> None:
    """Raise ``InputError`` for an unknown property or a bad value; ``effective`` is after the change."""
    form = effective.get("format", "parquet")
    for name, value in properties.items():
        if value is None or _FREE.fullmatch(name):
            continue
        if not isinstance(value, str):
            raise InputError(f"property {name!r} is {value!r}; properties are strings")
        if name.startswith(f"{form}."):
            continue
        if name not in KNOWN:
            raise InputError(
                f"there is no property {name!r}",
                hint=f"there are {', '.join(KNOWN)}, the options of the format as '{form}.…', "
                "and 'user.…' for your own",
            )
        try:
            KNOWN[name](value)
        except AtioError:
            raise
        except ValueError as error:
            raise InputError(f"property {name!r} cannot be {value!r}: {error}") from None
    options = file_options(effective)
    _try_options(options)


def _try_options(options: FileOptions) -> None:
    """A format checks its options when a file is begun."""
    schema = pa.schema([pa.field("x", pa.int64())])
    writer = get_format(options.format).writer(pa.BufferOutputStream(), schema, options.options)
    writer.write(schema.empty_table())
    writer.close()


def file_options(properties: Mapping[str, str]) -> FileOptions:
    """How the table's data files are made."""
    form = properties.get("format", "parquet")
    prefix = f"{form}."
    return FileOptions(
        format=form,
        target_bytes=int(properties.get("file.target_bytes", TARGET_BYTES)),
        options={name[len(prefix) :]: v for name, v in properties.items() if name.startswith(prefix)},
    )


def merges(properties: Mapping[str, str]) -> bool:
    """Whether appends merge tiny files."""
    return properties.get("append.merge", "true") == "true"
