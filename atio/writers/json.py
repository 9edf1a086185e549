"""JSON documents and JSON lines.

pandas and Polars write their own frames. Everything else is encoded here, exactly: floats with all their
digits, decimals as text, dates and times in ISO 8601, bytes in base64; NaN and infinities, which JSON has
not, are null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, ClassVar

import msgspec

from atio.writers.base import Progress
from atio.writers.cells import Function, Native
from atio.writers.failures import calling
from atio.writers.files import Cells, Draft, FileWriter, for_frames
from atio.writers.kinds import Kind, is_record, kind_of
from atio.writers.sources import Readers, Source, by_function, by_library

_LINES = 4096
"""Rows encoded at a time."""

Default = Callable[[Any], Any]


def _encoder(default: Default | None, *, sort_keys: bool) -> msgspec.json.Encoder:
    return msgspec.json.Encoder(enc_hook=default or _plain, order="sorted" if sort_keys else None)


def _plain(obj: Any) -> Any:
    """What JSON has for objects of libraries."""
    for method in ("model_dump", "_asdict", "tolist", "isoformat"):
        convert = getattr(obj, method, None)
        if callable(convert):
            return convert()
    raise TypeError(
        f"a {type(obj).__module__}.{type(obj).__qualname__} has no JSON form; give default= to make one"
    )


# -- rows of any frame -------------------------------------------------------------------------------


def _pieces(obj: Any, kind: Kind, progress: Progress) -> Iterator[list[Any]]:
    """The rows as Python values, some at a time."""
    if kind is Kind.ITERATOR:
        items = iter(obj)
        first = next(items, None)
        if first is None:
            return
        if is_record(first):
            yield from _gathered(map(_row, chain((first,), items)), progress)
            return
        obj = chain((first,), items)
    elif kind is Kind.RECORDS and not isinstance(obj, Mapping):
        progress.expect(len(obj))
        yield from _gathered(map(_row, obj), progress)
        return
    yield from _of_frame(obj, kind, progress)


def _of_frame(obj: Any, kind: Kind, progress: Progress) -> Iterator[list[Any]]:
    from atio.frames.rows import records
    from atio.writers.rows import rows_of

    source = rows_of(obj, kind)
    progress.expect(source.rows)
    for table in source.tables:
        for batch in table.to_batches(max_chunksize=_LINES):
            yield list(records(batch))
            progress.advance(batch.num_rows)


def _gathered(items: Iterable[Any], progress: Progress) -> Iterator[list[Any]]:
    held: list[Any] = []
    for item in items:
        held.append(item)
        if len(held) == _LINES:
            yield held
            progress.advance(len(held))
            held = []
    yield held
    progress.advance(len(held))


def _row(record: Any) -> Any:
    return record._asdict() if isinstance(record, tuple) and hasattr(record, "_asdict") else record


# -- JSON lines --------------------------------------------------------------------------------------


def _write_lines(
    obj: Any,
    draft: Draft,
    progress: Progress,
    *,
    default: Default | None = None,
    sort_keys: bool = False,
) -> None:
    encoder = _encoder(default, sort_keys=sort_keys)
    for rows in _pieces(obj, kind_of(obj), progress):
        with calling("json lines", draft.url):
            draft.file.write(encoder.encode_lines(rows))


# -- JSON --------------------------------------------------------------------------------------------


def _write_rows(
    obj: Any,
    draft: Draft,
    progress: Progress,
    *,
    default: Default | None = None,
    sort_keys: bool = False,
    indent: int | None = None,
) -> None:
    """Write a list of objects, without ever holding all of it."""
    encoder = _encoder(default, sort_keys=sort_keys)
    before = b"[\n"
    for rows in _pieces(obj, kind_of(obj), progress):
        with calling("json", draft.url):
            for row in rows:
                data = encoder.encode(row)
                draft.file.write(before + (data if indent is None else _indented(data, indent)))
                before = b",\n"
    with calling("json", draft.url):
        draft.file.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _write_document(
    obj: Any,
    draft: Draft,
    progress: Progress,
    *,
    default: Default | None = None,
    sort_keys: bool = False,
    indent: int | None = None,
) -> None:
    """Write one value as it is."""
    del progress
    with calling("json", draft.url):
        data = _encoder(default, sort_keys=sort_keys).encode(obj)
        draft.file.write(data if indent is None else _indented(data, indent))


def _write_records(obj: Any, draft: Draft, progress: Progress, **options: Any) -> None:
    """Write a list row by row, and a dict as it is."""
    write = _write_document if isinstance(obj, Mapping) else _write_rows
    write(obj, draft, progress, **options)


def _indented(data: bytes, indent: int) -> bytes:
    return msgspec.json.format(data, indent=indent)


# -- reading -----------------------------------------------------------------------------------------


def _read_document(source: Source) -> Any:
    return msgspec.json.decode(source.file.read())


def _read_lines(source: Source) -> Any:
    return msgspec.json.Decoder().decode_lines(source.file.read())


def _read_lines_arrow(source: Source, *, read_options: Any = None, parse_options: Any = None) -> Any:
    import pyarrow.json as pa_json

    return pa_json.read_json(source.place, read_options=read_options, parse_options=parse_options)


_ROWS = Function("atio.json", _write_rows, label="JSON", streams=True)
_DOCUMENT = Function("atio.json", _write_document, label="JSON")
_RECORDS = Function("atio.json", _write_records, label="JSON", keywords=_write_document)
_JSONL = Function("atio.jsonl", _write_lines, label="JSON", streams=True)


class JsonWriter(FileWriter):
    """JSON documents."""

    formats = ("json",)
    suffixes = (".json",)
    cells: ClassVar[Cells] = for_frames(
        _ROWS,
        {
            Kind.PANDAS: Native("pandas", "to_json"),
            Kind.POLARS: Native("polars", "write_json", where="memory"),
            Kind.NUMPY: _DOCUMENT,
            Kind.ARRAYS: _DOCUMENT,
            Kind.RECORDS: _RECORDS,
            Kind.TEXT: _DOCUMENT,
            Kind.OBJECT: _DOCUMENT,
        },
    )
    readers: ClassVar[Readers] = {
        "pandas": by_library("pandas", "read_json"),
        "polars": by_library("polars", "read_json"),
        "python": by_function("json", _read_document),
    }


class JsonLinesWriter(FileWriter):
    """JSON lines: one object a line."""

    formats = ("jsonl", "ndjson", "jsonlines")
    suffixes = (".jsonl", ".ndjson")
    cells: ClassVar[Cells] = for_frames(
        _JSONL,
        {
            Kind.PANDAS: Native("pandas", "to_json", fixed={"orient": "records", "lines": True}),
            Kind.POLARS: Native("polars", "write_ndjson", defaults={"check_extension": False}),
            Kind.LAZY: Native("polars", "sink_ndjson", defaults={"check_extension": False}, streams=True),
        },
    )
    readers: ClassVar[Readers] = {
        "pandas": by_library("pandas", "read_json", lines=True),
        "polars": by_library("polars", "read_ndjson"),
        "arrow": by_function("pyarrow.json.read_json", _read_lines_arrow),
        "python": by_function("json lines", _read_lines),
    }
