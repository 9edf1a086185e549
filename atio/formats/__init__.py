"""Data-file formats: the table of names, each loaded on first use."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

import pyarrow as pa

from atio.errors import UnsupportedError
from atio.formats.base import ColumnStats, FileInfo, FileWriter, Format, Out
from atio.formats.recode import RefusedError, Rule

__all__ = ["FORMATS", "ColumnStats", "FileInfo", "FileWriter", "Format", "Out", "get_format", "holders"]

#: name → (module, class)
FORMATS: dict[str, tuple[str, str]] = {
    "parquet": ("atio.formats.parquet", "ParquetFormat"),
    "arrow": ("atio.formats.arrow", "ArrowFormat"),
    "orc": ("atio.formats.orc", "OrcFormat"),
    "jsonl": ("atio.formats.jsonl", "JsonlFormat"),
    "csv": ("atio.formats.csv", "CsvFormat"),
}

_ALIASES = {"feather": "arrow", "ipc": "arrow", "json": "jsonl", "jsonlines": "jsonl", "ndjson": "jsonl"}


def get_format(name: str) -> Format:
    """The format of that name or alias; ``UnsupportedError`` lists the known ones."""
    known = _ALIASES.get(name.lower(), name.lower())
    if known not in FORMATS:
        raise UnsupportedError(
            f"no data-file format is called {name!r}", hint=f"there are: {', '.join(FORMATS)}"
        )
    return _load(known)


@cache
def _load(name: str) -> Format:
    module, class_name = FORMATS[name]
    return cast("Format", getattr(import_module(module), class_name)())


def holders(type_: pa.DataType) -> list[str]:
    """The names of the formats that hold a type exactly."""
    return [name for name in FORMATS if _holds(name, type_)]


def _holds(name: str, type_: pa.DataType) -> bool:
    # Not through check(), whose error asks for the holders.
    rule = cast("Rule", import_module(FORMATS[name][0]).rule)
    try:
        rule(type_)
    except RefusedError:
        return False
    return True
