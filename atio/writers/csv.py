"""CSV and TSV."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import types as pt

from atio.errors import UnsupportedError
from atio.formats.csv import filled
from atio.writers.cells import Encoded, Native
from atio.writers.files import Cells, Draft, FileWriter, for_frames
from atio.writers.kinds import Kind
from atio.writers.rows import plain, plain_type
from atio.writers.sources import Readers, Source, by_function, by_library


class _Encoder:
    """pyarrow's CSV writer, and the types it lacks."""

    def __init__(self, draft: Draft, schema: pa.Schema, options: dict[str, Any]) -> None:
        import pyarrow.csv as pa_csv

        self._stored = pa.schema([field.with_type(_stored(field)) for field in schema])
        self._writer = pa_csv.CSVWriter(
            draft.place, self._stored, write_options=pa_csv.WriteOptions(**options)
        )

    def write(self, table: pa.Table) -> None:
        columns = [_converted(column) for column in table.columns]
        for batch in filled(pa.Table.from_arrays(columns, schema=self._stored)):
            self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


def _stored(field: pa.Field) -> pa.DataType:
    kind = plain_type(field.type)
    if pt.is_nested(kind) or pt.is_interval(kind):
        raise UnsupportedError(
            f"a column of {field.type} does not fit into CSV",
            column=field.name,
            hint="leave it out, or write jsonl, parquet or arrow",
        )
    return pa.string() if _is_binary(kind) else kind


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind))


def _converted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    column = plain(column)
    if not _is_binary(column.type):
        return column
    texts = [None if value is None else b64encode(value).decode() for value in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _open_csv(
    draft: Draft,
    schema: pa.Schema,
    *,
    include_header: bool = True,
    delimiter: str = ",",
    quoting_style: str = "needed",
    null_string: str = "",
    eol: str = "\n",
    batch_size: int = 1024,
) -> _Encoder:
    options = {
        "include_header": include_header,
        "delimiter": delimiter,
        "quoting_style": quoting_style,
        "batch_size": batch_size,
    }
    # Newer ones of pyarrow.
    options |= {"null_string": null_string} if null_string else {}
    options |= {"eol": eol} if eol != "\n" else {}
    return _Encoder(draft, schema, options)


def _open_tsv(
    draft: Draft,
    schema: pa.Schema,
    *,
    include_header: bool = True,
    quoting_style: str = "needed",
    null_string: str = "",
    eol: str = "\n",
    batch_size: int = 1024,
) -> _Encoder:
    return _open_csv(
        draft,
        schema,
        include_header=include_header,
        delimiter="\t",
        quoting_style=quoting_style,
        null_string=null_string,
        eol=eol,
        batch_size=batch_size,
    )


def _cells(opened: Any, pandas: Mapping[str, Any], polars: Mapping[str, Any]) -> Cells:
    encoded = Encoded("pyarrow.csv.CSVWriter", opened)
    return for_frames(
        encoded,
        {
            Kind.PANDAS: Native("pandas", "to_csv", fixed=pandas),
            Kind.POLARS: Native("polars", "write_csv", fixed=polars, defaults={"check_extension": False}),
            Kind.LAZY: Native(
                "polars", "sink_csv", fixed=polars, defaults={"check_extension": False}, streams=True
            ),
        },
    )


def _read_arrow(
    source: Source,
    *,
    delimiter: str = ",",
    read_options: Any = None,
    parse_options: Any = None,
    convert_options: Any = None,
) -> pa.Table:
    import pyarrow.csv as pa_csv

    if parse_options is None:
        parse_options = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    if convert_options is None:
        # As they are written: null is nothing at all, text has quotes.
        convert_options = pa_csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    return pa_csv.read_csv(
        source.place, read_options=read_options, parse_options=parse_options, convert_options=convert_options
    )


def _read_tabs(source: Source, *, read_options: Any = None, convert_options: Any = None) -> pa.Table:
    return _read_arrow(source, delimiter="\t", read_options=read_options, convert_options=convert_options)


class CsvWriter(FileWriter):
    """Comma-separated values."""

    formats = ("csv",)
    suffixes = (".csv",)
    cells: ClassVar[Cells] = _cells(_open_csv, {}, {})
    readers: ClassVar[Readers] = {
        "pandas": by_library("pandas", "read_csv"),
        "polars": by_library("polars", "read_csv"),
        "arrow": by_function("pyarrow.csv.read_csv", _read_arrow),
    }


class TsvWriter(FileWriter):
    """Tab-separated values."""

    formats = ("tsv",)
    suffixes = (".tsv", ".tab")
    cells: ClassVar[Cells] = _cells(_open_tsv, {"sep": "\t"}, {"separator": "\t"})
    readers: ClassVar[Readers] = {
        "pandas": by_library("pandas", "read_csv", sep="\t"),
        "polars": by_library("polars", "read_csv", separator="\t"),
        "arrow": by_function("pyarrow.csv.read_csv", _read_tabs),
    }
