"""Files to import -> a stream of Arrow tables, in bounded memory."""

# Paths stay text: they are shown as they were given.
# ruff: noqa: PTH116

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from atio.cli.kinds import STDIN, compressed, kind_of
from atio.cli.textual import asked_of_csv, asked_of_json, made
from atio.errors import InputError, NotFoundError, SchemaError, UnsupportedError
from atio.storage.failures import translating

_BLOCK = 16 * 2**20
"""Bytes of text parsed at once; types of new columns are told from the first such block of a file."""
_ROWS = 2**16
_TEXT = frozenset({"csv", "tsv", "jsonl"})
_NUMBERED = re.compile(r"In CSV column #(\d+): ")


@dataclass(frozen=True, slots=True)
class Settings:
    """How files are read.

    Attributes
    ----------
    kind
        Of all files; None tells it from each name.
    types
        Of columns of text files, given by the user; they override everything.
    nulls
        Unquoted CSV values that are null.
    encoding
        Of CSV files.
    """

    kind: str | None = None
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    nulls: Sequence[str] = ("",)
    encoding: str = "utf8"


class Sources:
    """The rows of some files, one after the other.

    ``current`` is the file being read, ``rows`` how many have passed.
    """

    def __init__(
        self,
        paths: Sequence[str],
        settings: Settings,
        known: pa.Schema | None,
        passed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._kinds = [kind_of(path, settings.kind, "--input-format") for path in paths]
        for path, kind in zip(paths, self._kinds, strict=True):
            if path == STDIN and kind not in (*_TEXT, "arrow"):
                raise UnsupportedError(
                    f"{kind} cannot be read from standard input", hint="csv, tsv, jsonl and arrow can"
                )
            _check_there(path)
        self._paths = paths
        self._settings = settings
        self._known = {f.name: f.type for f in known} if known is not None else None
        self._passed = passed
        self.current: str | None = None
        self.rows = 0

    def tables(self) -> Iterator[pa.Table]:
        for path, kind in zip(self._paths, self._kinds, strict=True):
            self.current = path
            with _located(path):
                for table in self._file(path, kind):
                    yield table
                    self.rows += table.num_rows
                    self._passed(self.rows)

    def _file(self, path: str, kind: str) -> Iterator[pa.Table]:
        if kind not in _TEXT:
            yield from _BINARY[kind](path)
            return
        wanted = {**(self._known or {}), **self._settings.types}
        reader = _json_lines if kind == "jsonl" else _csv
        first = True
        for table in reader(path, wanted, self._settings, "\t" if kind == "tsv" else ","):
            if first and self._known is None:
                # Later files are read with the first one's types: 007 stays text if it was.
                self._known = {f.name: f.type for f in table.schema if not pa.types.is_null(f.type)}
            first = False
            yield table


def _check_there(path: str) -> None:
    """Before anything is written, not when the file's turn comes."""
    if path == STDIN:
        return
    with translating(path):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            raise NotFoundError("there is no such file", file=path) from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError("is a folder, not a file", file=path, hint="name the files in it")


@contextmanager
def _located(path: str) -> Iterator[None]:
    """Name the file in what goes wrong with it."""
    try:
        with translating(path):
            yield
    except InputError as error:
        error.at(file=path)
        raise
    except pa.ArrowCancelled:
        raise KeyboardInterrupt from None  # Ctrl-C met Arrow's own code
    except pa.ArrowException as error:
        raise InputError(f"cannot be read: {_first_line(error)}", file=path) from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


# -- text --------------------------------------------------------------------------------------------


def _csv(
    path: str, wanted: Mapping[str, pa.DataType], settings: Settings, delimiter: str
) -> Iterator[pa.Table]:
    from pyarrow import csv

    asked = {name: a for name, kind in wanted.items() if (a := asked_of_csv(kind)) is not None}
    convert = csv.ConvertOptions(
        column_types=asked,
        null_values=list(settings.nulls),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    read = csv.ReadOptions(block_size=_BLOCK, encoding=settings.encoding)
    try:
        with _text(path) as stream, csv.open_csv(stream, read, parse, convert) as reader:
            _check_guesses(reader.schema, asked)
            yield from _finished(reader, wanted)
    except LookupError:
        raise InputError(f"there is no encoding {settings.encoding!r}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not {settings.encoding}: {error.reason}", hint="name its --encoding") from error
    except pa.ArrowInvalid as error:
        raise _csv_error(error, path, delimiter, settings.encoding) from error


def _check_guesses(schema: pa.Schema, asked: Mapping[str, pa.DataType]) -> None:
    """Text that is not UTF-8 is guessed to be bytes; nobody writes those into CSV."""
    for found in schema:
        if pa.types.is_binary(found.type) and found.name not in asked:
            raise InputError(
                f"column {found.name!r} is not UTF-8 text",
                column=found.name,
                hint="name the file's encoding: --encoding latin1",
            )


def _csv_error(error: pa.ArrowInvalid, path: str, delimiter: str, encoding: str) -> InputError:
    text = _first_line(error)
    match = _NUMBERED.match(text)
    if match is None:
        return InputError(f"cannot be read: {text}")
    number = int(match[1])
    names = _header(path, delimiter, encoding)
    column = names[number] if number < len(names) else None
    return SchemaError(
        f"column {number + 1 if column is None else repr(column)}: {text[match.end() :]}",
        column=column,
        hint=f"if that means null: --null TEXT; if the column is new: --type {column or 'NAME'}=string",
    )


def _header(path: str, delimiter: str, encoding: str) -> list[str]:
    """The names of the columns, which pyarrow's errors only count; none of a pipe that is read already."""
    import csv

    if path == STDIN or not stat.S_ISREG(os.stat(path).st_mode):
        return []
    with _text(path) as stream, io.TextIOWrapper(stream, encoding, "replace") as text:
        return next(csv.reader(text, delimiter=delimiter), [])


def _json_lines(
    path: str, wanted: Mapping[str, pa.DataType], settings: Settings, _: str
) -> Iterator[pa.Table]:
    del settings
    from pyarrow import json

    asked = {name: a for name, kind in wanted.items() if (a := asked_of_json(kind)) is not None}
    parse = json.ParseOptions(explicit_schema=pa.schema(list(asked.items())))
    try:
        with _text(path) as stream:
            reader = json.open_json(stream, json.ReadOptions(block_size=_BLOCK), parse)
            yield from _finished(reader, wanted)
    except pa.ArrowInvalid as error:
        hint = "give the column's type: --type NAME=string" if "olumn" in str(error) else None
        raise InputError(f"cannot be read: {_first_line(error)}", hint=hint) from error


def _finished(reader: Any, wanted: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
    """An empty table for the columns, then the rows, with the types that were wanted."""
    yield _made(reader.schema.empty_table(), wanted)
    for batch in reader:
        yield _made(pa.Table.from_batches([batch]), wanted)


def _made(table: pa.Table, wanted: Mapping[str, pa.DataType]) -> pa.Table:
    columns = [
        made(column, wanted[name], name) if name in wanted else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def _text(path: str) -> pa.NativeFile:
    """A file, decompressed by its suffix; standard input; or a pipe, such as a shell's ``<(…)``."""
    if path == STDIN:
        return pa.PythonFile(sys.stdin.buffer, "r")
    if stat.S_ISREG(os.stat(path).st_mode):
        return pa.input_stream(path, compression="detect")
    return pa.PythonFile(open(path, "rb"), "r")  # noqa: PTH123 - closed with the stream


# -- the others --------------------------------------------------------------------------------------


def _parquet(path: str) -> Iterator[pa.Table]:
    from pyarrow import parquet

    with _whole(path) as file:
        source = parquet.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
        schema = source.schema_arrow
        yield schema.empty_table()
        for batch in source.iter_batches(_ROWS):
            yield pa.Table.from_batches([batch]).cast(schema)


def _arrow(path: str) -> Iterator[pa.Table]:
    if path == STDIN:
        yield from _arrow_stream(pa.PythonFile(sys.stdin.buffer, "r"))
        return
    with _whole(path) as file:
        magic = file.read(6)
        file.seek(0)
        if magic[:4] == b"FEA1":
            raise UnsupportedError("is of version 1 of Feather", hint="write it again with a recent library")
        if magic != b"ARROW1":
            yield from _arrow_stream(file)
            return
        reader = pa.ipc.open_file(file)
        yield reader.schema.empty_table()
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])


def _arrow_stream(file: pa.NativeFile) -> Iterator[pa.Table]:
    reader = pa.ipc.open_stream(file)
    yield reader.schema.empty_table()
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _orc(path: str) -> Iterator[pa.Table]:
    from pyarrow import orc

    with _whole(path) as file:
        try:
            source = orc.ORCFile(file)
        except OSError as error:  # how pyarrow reports a file that is no ORC
            raise InputError(f"cannot be read: {_first_line(error)}") from error
        yield source.schema.empty_table()
        for index in range(source.nstripes):
            yield pa.Table.from_batches([source.read_stripe(index)])


def _whole(path: str) -> pa.NativeFile:
    if compressed(path):
        raise UnsupportedError("is compressed as a whole", hint="decompress it first")
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("is not a regular file, which this format needs")
    return pa.OSFile(path)


_BINARY: dict[str, Callable[[str], Iterator[pa.Table]]] = {
    "parquet": _parquet,
    "arrow": _arrow,
    "orc": _orc,
}
