"""The table of formats: name → writer, each loaded on first use."""

from __future__ import annotations

import logging
import threading
from functools import cache
from importlib import import_module

from atio.errors import ExistsError, InputError, UnsupportedError, meant
from atio.writers.base import Writer
from atio.writers.files import FileWriter

GROUP = "atio.writers"
"""The group of entry points: each is called like a format and leads to a subclass of Writer."""

#: name → (module, class): the writers of atio itself, in the order of the matrix.
BUILTIN: dict[str, tuple[str, str]] = {
    "csv": ("atio.writers.csv", "CsvWriter"),
    "tsv": ("atio.writers.csv", "TsvWriter"),
    "parquet": ("atio.writers.parquet", "ParquetWriter"),
    "arrow": ("atio.writers.arrow", "ArrowWriter"),
    "orc": ("atio.writers.orc", "OrcWriter"),
    "avro": ("atio.writers.avro", "AvroWriter"),
    "json": ("atio.writers.json", "JsonWriter"),
    "jsonl": ("atio.writers.json", "JsonLinesWriter"),
    "excel": ("atio.writers.documents", "ExcelWriter"),
    "html": ("atio.writers.documents", "HtmlWriter"),
    "xml": ("atio.writers.documents", "XmlWriter"),
    "markdown": ("atio.writers.documents", "MarkdownWriter"),
    "stata": ("atio.writers.documents", "StataWriter"),
    "hdf5": ("atio.writers.hdf5", "Hdf5Writer"),
    "npy": ("atio.writers.arrays", "NpyWriter"),
    "npz": ("atio.writers.arrays", "NpzWriter"),
    "npz_compressed": ("atio.writers.arrays", "CompressedNpzWriter"),
    "bin": ("atio.writers.arrays", "BinWriter"),
    "txt": ("atio.writers.arrays", "TxtWriter"),
    "pickle": ("atio.writers.pickle", "PickleWriter"),
    "sql": ("atio.writers.sql", "SqlWriter"),
    "database": ("atio.writers.sql", "DatabaseWriter"),
}

#: other names, so that only the module in question is loaded.
ALIASES = {
    "pq": "parquet",
    "feather": "arrow",
    "ipc": "arrow",
    "ndjson": "jsonl",
    "jsonlines": "jsonl",
    "xlsx": "excel",
    "md": "markdown",
    "dta": "stata",
    "hdf": "hdf5",
    "h5": "hdf5",
    "raw": "bin",
    "text": "txt",
    "pkl": "pickle",
}

#: suffix → name, for the same reason.
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".orc": "orc",
    ".avro": "avro",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "excel",
    ".html": "html",
    ".htm": "html",
    ".xml": "xml",
    ".md": "markdown",
    ".markdown": "markdown",
    ".dta": "stata",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".npy": "npy",
    ".npz": "npz",
    ".bin": "bin",
    ".txt": "txt",
    ".pickle": "pickle",
    ".pkl": "pickle",
}

_log = logging.getLogger("atio")
_changing = threading.Lock()
_registered: dict[str, Writer] = {}
_suffixes: dict[str, str] = {}


# -- registering -------------------------------------------------------------------------------------


def register_writer(writer: Writer | type[Writer], *, replace: bool = False) -> None:
    """Make a writer known for this process, under all names in its ``formats`` and ``suffixes``.

    Packages that are installed can do it for every process: by an entry point of the group
    ``atio.writers`` that is called like the format and leads to the class.

    Parameters
    ----------
    writer
        A :class:`~atio.writers.base.Writer`, most likely a :class:`~atio.writers.files.FileWriter`.
    replace
        Take over names that are in use.

    Raises
    ------
    InputError
        It is no writer, or has no names.
    ExistsError
        A name is in use.
    """
    made = writer() if isinstance(writer, type) and issubclass(writer, Writer) else writer
    if not isinstance(made, Writer):
        raise InputError(
            f"a {type(made).__name__} is no writer", hint="subclass atio.writers.FileWriter or Writer"
        )
    names = tuple(name.lower() for name in getattr(made, "formats", ()))
    suffixes = made.suffixes if isinstance(made, FileWriter) else ()
    if not names:
        raise InputError(f"{type(made).__name__}.formats names no format", hint='for example ("fasta",)')
    if wrong := [suffix for suffix in suffixes if not suffix.startswith(".") or suffix != suffix.lower()]:
        raise InputError(f"{wrong[0]!r} is no suffix", hint="it starts with a dot and is in lower case")
    with _changing:
        if not replace:
            _refuse_used(names, suffixes)
        _registered.update(dict.fromkeys(names, made))
        _suffixes.update(dict.fromkeys(suffixes, names[0]))


def _refuse_used(names: tuple[str, ...], suffixes: tuple[str, ...]) -> None:
    used = [name for name in names if name in BUILTIN or name in ALIASES or name in _registered]
    used += [suffix for suffix in suffixes if suffix in SUFFIXES or suffix in _suffixes]
    if used:
        raise ExistsError(f"{used[0]!r} is in use", hint="choose another name, or pass replace=True")


# -- finding -----------------------------------------------------------------------------------------


def get_writer(name: str | Writer) -> Writer:
    """The writer of a format, or the one given; ``UnsupportedError`` lists the known names."""
    if isinstance(name, Writer):
        return name
    if not isinstance(name, str):
        raise InputError(f"format is a {type(name).__name__}, not the name of a format")
    wanted = name.lower()
    found = _registered.get(wanted) or _builtin(ALIASES.get(wanted, wanted)) or _entry_points().get(wanted)
    if found is None:
        close = meant(wanted, [*BUILTIN, *ALIASES, *_registered, *_entry_points()])
        listed = f"there are: {', '.join(known_formats())}"
        raise UnsupportedError(f"no format is called {name!r}", hint=f"{close} {listed}" if close else listed)
    return found


def format_of(suffix: str) -> str | None:
    """The format whose names end like this; None if there is none."""
    found = _suffixes.get(suffix) or SUFFIXES.get(suffix)
    if found is None and suffix:
        for name, writer in _entry_points().items():
            if isinstance(writer, FileWriter) and suffix in writer.suffixes:
                return name
    return found


def known_formats() -> list[str]:
    """The canonical names of all formats, atio's own first."""
    others = [writer.formats[0] for writer in (*_registered.values(), *_entry_points().values())]
    return list(dict.fromkeys([*BUILTIN, *others]))


@cache
def _builtin(name: str) -> Writer | None:
    if name not in BUILTIN:
        return None
    module, class_name = BUILTIN[name]
    cls: type[Writer] = getattr(import_module(module), class_name)
    return cls()


@cache
def _entry_points() -> dict[str, Writer]:
    """Writers of other packages; looked for only when a name is not known."""
    from importlib.metadata import entry_points

    found = {}
    for point in entry_points(group=GROUP):
        try:
            cls = point.load()
        except Exception as error:  # noqa: BLE001 - of somebody else's module
            _log.warning("the writer %r (%s) cannot be loaded: %r", point.name, point.value, error)
            continue
        if isinstance(cls, type) and issubclass(cls, Writer):
            found[point.name.lower()] = cls()
        else:
            _log.warning("the entry point %r (%s) leads to no writer", point.name, point.value)
    return found
