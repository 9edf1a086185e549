"""``atio.read``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from atio.errors import InputError, Located, UnsupportedError
from atio.writers import registry
from atio.writers.base import Writer
from atio.writers.compression import decompressing
from atio.writers.files import FileWriter
from atio.writers.names import parse
from atio.writers.places import open_target
from atio.writers.sources import Reader, Source
from atio.writers.targets import Target

_FRAMES = ("pandas", "polars", "arrow")


def read(
    path: str | os.PathLike[str] | Target,
    format: str | Writer | None = None,
    output_as: str | None = None,
    storage_options: Mapping[str, object] | None = None,
    **kwargs: Any,
) -> Any:
    """Read a file that :func:`write` or anything else has written.

    Parameters
    ----------
    path
        As for :func:`write`; a compression in the name is undone.
    format
        The name of the format, if the suffix does not tell. Pickles and HDF5 files must be named: reading
        them runs what they hold.
    output_as
        ``"pandas"``, ``"polars"`` or ``"arrow"`` for rows and columns, ``"numpy"`` for arrays,
        ``"python"`` for plain objects. By default what the format holds: pandas for tables, NumPy for arrays.
    storage_options
        As for :func:`write`.
    **kwargs
        For the library that reads.

    Raises
    ------
    NotFoundError
        There is no such file.
    UnsupportedError
        The format, or reading it as this.
    InputError
        The library refused the file, or an argument.
    """
    target = open_target(path, storage_options)
    with Located(file=target.url):
        name = parse(target.url)
        writer = _writer_for(name.suffix, format)
        reader, convert = _reader(writer, output_as)
        with target.open() as file:
            if name.compression:
                source = Source(target.url, decompressing(file, name.compression), None)
            else:
                source = Source(target.url, file, target.path())
            found = reader(source, kwargs)
        return _converted(found, convert) if convert else found


def _writer_for(suffix: str, format: str | Writer | None) -> FileWriter:
    wanted = format if format is not None else registry.format_of(suffix)
    if wanted is None:
        raise UnsupportedError(
            "the name tells no format", hint=f"say which: format={registry.known_formats()[0]!r}"
        )
    writer = registry.get_writer(wanted)
    if not isinstance(writer, FileWriter) or not writer.readers:
        raise UnsupportedError(f"{writer.formats[0]} cannot be read back")
    if writer.trusted and format is None:
        raise InputError(
            f"reading {writer.formats[0]} runs whatever code the file holds",
            hint=f"if you trust it: read(…, format={writer.formats[0]!r})",
        )
    return writer


def _reader(writer: FileWriter, output_as: str | None) -> tuple[Reader, str | None]:
    """The reader, and to what its result is converted then."""
    readers = writer.readers
    if output_as is None:
        return next(iter(readers.values())), None
    if output_as in readers:
        return readers[output_as], None
    if output_as in _FRAMES:
        for source in ("arrow", "pandas", "polars"):
            if source in readers:
                return readers[source], output_as
    can = [*readers, *(o for o in _FRAMES if o not in readers and any(f in readers for f in _FRAMES))]
    raise UnsupportedError(
        f"{writer.formats[0]} cannot be read as {output_as!r}", hint=f"it can as: {', '.join(can)}"
    )


def _converted(found: Any, output_as: str) -> Any:
    from atio.frames import incoming, to_pandas, to_polars

    source = incoming(found)
    (table,) = source.tables
    if output_as == "arrow":
        return table
    return to_polars(table) if output_as == "polars" else to_pandas(table, source.index)
