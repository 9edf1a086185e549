"""The rows of a scan as a dataset that DuckDB reads: the columns a query needs, afresh for each query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import types as pt

from atio.errors import AtioError, UnsupportedError

if TYPE_CHECKING:
    import pyarrow.compute as pc

    from atio.table.scan import Scan

_DIGITS = 38
"""Of DuckDB's widest decimal."""


class Rows(ds.Dataset):  # type: ignore[misc]
    """As much of a ``pyarrow.dataset.Dataset`` as DuckDB uses: ``schema`` and ``scanner``.

    DuckDB asks objects of this class, and of no other, for some columns only.

    Attributes
    ----------
    failure
        What ended the last stream before its time: DuckDB passes on the words of an error alone.
    """

    def __init__(self, scan: Scan) -> None:
        # Not the base's: there is no dataset of Arrow below.
        self._scan = scan
        self._schema = readable_schema(scan.schema)
        self.failure: AtioError | None = None

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(
        self, columns: Sequence[str] | None = None, filter: pc.Expression | None = None, **_: Any
    ) -> _Scanner:
        """A fresh stream of these columns of the rows for which ``filter`` is true."""
        names = self._schema.names if columns is None else list(columns)
        return _Scanner(self._reader(names, filter))

    def _reader(self, names: list[str], filter: pc.Expression | None) -> pa.RecordBatchReader:
        schema = pa.schema([self._schema.field(name) for name in names])
        return pa.RecordBatchReader.from_batches(schema, self._batches(names, filter))

    def _batches(self, names: list[str], filter: pc.Expression | None) -> Iterator[pa.RecordBatch]:
        read = list(names)
        if filter is not None:
            # An expression does not say which columns it needs; its text has their names somewhere.
            text = str(filter)
            read += [name for name in self._schema.names if name in text and name not in names]
        schema = pa.schema([self._schema.field(name) for name in read])
        try:
            for batch in msgspec.structs.replace(self._scan, columns=tuple(read)).to_batches():
                table = readable(pa.Table.from_batches([batch]), schema)
                if filter is not None:
                    table = table.filter(filter).select(names)
                yield from table.to_batches()
        except AtioError as error:
            self.failure = error
            raise


class _Scanner:
    """As much of a ``pyarrow.dataset.Scanner`` as DuckDB uses."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader

    @property
    def projected_schema(self) -> pa.Schema:
        return self._reader.schema

    def to_reader(self) -> pa.RecordBatchReader:
        return self._reader


def readable_schema(schema: pa.Schema) -> pa.Schema:
    """The schema in types that DuckDB takes, with the same values.

    Raises
    ------
    UnsupportedError
        Naming a column for which there is none.
    """
    return pa.schema([_field(field) for field in schema])


def readable(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns' types of a readable schema."""
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _field(field: pa.Field) -> pa.Field:
    try:
        return field.with_type(_equivalent(field.type))
    except UnsupportedError as error:
        raise error.at(column=field.name) from None


def _equivalent(kind: pa.DataType) -> pa.DataType:
    if pt.is_float16(kind):
        return pa.float32()
    if pt.is_decimal(kind):
        return _decimal(kind)
    if pt.is_struct(kind):
        return pa.struct([field.with_type(_equivalent(field.type)) for field in kind])
    if pt.is_map(kind):
        item = kind.item_field
        return pa.map_(_equivalent(kind.key_type), item.with_type(_equivalent(item.type)), kind.keys_sorted)
    build = next((build for test, build in _LISTS if test(kind)), None)
    if build is not None:
        return build(kind.value_field.with_type(_equivalent(kind.value_type)), kind)
    if pt.is_dictionary(kind) and _equivalent(kind.value_type) != kind.value_type:
        return _equivalent(kind.value_type)
    return kind


_LISTS: tuple[tuple[Any, Any], ...] = (
    (pt.is_list, lambda item, _: pa.list_(item)),
    (pt.is_large_list, lambda item, _: pa.large_list(item)),
    (pt.is_list_view, lambda item, _: pa.list_view(item)),
    (pt.is_large_list_view, lambda item, _: pa.large_list_view(item)),
    (pt.is_fixed_size_list, lambda item, kind: pa.list_(item, kind.list_size)),
)


def _decimal(kind: pa.DataType) -> pa.DataType:
    scale = max(kind.scale, 0)
    precision = max(kind.precision - min(kind.scale, 0), scale)
    if precision > _DIGITS:
        raise UnsupportedError(
            f"DuckDB has no type for {kind}", hint="leave the column out: scan(columns=[…])"
        )
    same = kind.bit_width <= 128 and (precision, scale) == (kind.precision, kind.scale)
    return kind if same else pa.decimal128(precision, scale)
