"""ORC, as far as pyarrow's goes.

ORC's own types: booleans, signed integers, floats, text, binary, ``decimal128``, ``date32``,
``timestamp[ns]``, lists, maps, structs. Others travel as these:

================================  =========================================================
unsigned integers                 the next wider integer; ``uint64`` as ``decimal128(20, 0)``
other timestamps, times, …        the count of the type's unit, an integer (pyarrow reads ORC's
                                  timestamps as nanoseconds only: the year 9999 would not fit)
``float16``                       ``float32``
decimals of 32 and 64 bits        ``decimal128``; ``decimal256`` and odd scales as text
dictionaries, runs, extensions    their values, their storage
null, struct<>                    booleans that are null
================================  =========================================================

Unions and dictionaries of nested values are refused. pyarrow's reader can crash on damaged bytes: a
file must be hashed before it is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import types as pt

from atio.columns import scalar
from atio.errors import DamagedError
from atio.formats import recode, text
from atio.formats.base import FileWriter, Out
from atio.formats.options import Parse, between, one_of
from atio.formats.plan import Plan, rows_only
from atio.formats.recode import Recoding, RefusedError, cast, chain, keep, relabel
from atio.formats.recoded import RecodedFormat, RecodedWriter
from atio.formats.source import opened
from atio.formats.validate import validate

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def rule(type_: pa.DataType) -> Recoding:
    """A column's recoding; raises ``RefusedError``."""
    if type_ in _WIDER:
        return cast(type_, _WIDER[type_])
    if pt.is_string(type_) or pt.is_binary(type_) or pt.is_date32(type_) or pt.is_float64(type_):
        return keep(type_)
    if pt.is_timestamp(type_) and type_.unit == "ns":
        return keep(type_) if type_.tz is None else relabel(type_, pa.timestamp("ns"))
    if pt.is_float16(type_):
        return chain(text.widened(type_, pa.float32()), text.quiet(pa.float32()))
    if pt.is_float32(type_):
        return text.quiet(type_)  # liborc holds it as a double meanwhile
    if pt.is_large_binary(type_) or pt.is_binary_view(type_) or (pt.is_fixed_size_binary(type_)):
        return cast(type_, pa.binary())
    if pt.is_interval(type_):
        return chain(relabel(type_, pa.binary(16)), cast(pa.binary(16), pa.binary()))
    if pt.is_decimal(type_) and 0 <= type_.scale <= type_.precision <= 38:
        wide = pa.decimal128(type_.precision, type_.scale)
        return keep(type_) if type_ == wide else cast(type_, wide)
    if pt.is_null(type_):
        return Recoding(
            type_, pa.bool_(), lambda array: array.cast(pa.bool_()), lambda array: pa.nulls(len(array))
        )
    if pt.is_struct(type_) and type_.num_fields == 0:
        return recode.empty_struct(type_)
    recoding = text.flat(type_, rule)
    if recoding is not None:
        return recoding
    if pt.is_union(type_) or (pt.is_struct(type_) and len(set(type_.names)) < type_.num_fields):
        raise RefusedError(type_)
    return _nested(type_)


def _nested(type_: pa.DataType) -> Recoding:
    inner = recode.nested(type_, rule)
    if pt.is_list(type_) or (not pt.is_map(type_) and not pt.is_struct(type_)):
        inner = chain(inner, recode.as_list(inner.stored))
    return chain(inner, _bare(inner.stored))


def _bare(type_: pa.DataType) -> Recoding:
    """The type with the names, nullability and (no) metadata that ORC gives back."""
    if pt.is_list(type_):
        bare = pa.list_(pa.field("item", type_.value_type))
    elif pt.is_map(type_):
        bare = pa.map_(type_.key_type, type_.item_type)
    else:
        bare = pa.struct([pa.field(field.name, field.type) for field in type_])
    if bare.equals(type_, check_metadata=True):
        return keep(type_)
    return recode.renamed(type_, bare)


class _Writer(RecodedWriter):
    silent = True  # liborc throws through pyarrow: a full disk would abort the process

    def __init__(self, out: Out, plan: Plan, options: dict[str, Any]) -> None:
        super().__init__(out, plan)
        from pyarrow import orc

        self._names = _names(plan)
        with self._guarded():
            compression = options.get("compression", "zstd")
            self._encoder = orc.ORCWriter(
                pa.PythonFile(self._sink, mode="w"),
                compression="UNCOMPRESSED" if compression == "none" else compression,
                stripe_size=options.get("stripe_size", 2**26),
            )
            self._put(plan.stored.empty_table())

    def _put(self, table: pa.Table) -> None:
        columns = packed(table).columns
        # pyarrow crashes on files without columns: one of nulls counts the rows.
        columns = columns or [pa.chunked_array([pa.nulls(table.num_rows, pa.bool_())])]
        self._encoder.write(pa.Table.from_arrays(columns, self._names))

    def _finish(self) -> None:
        self._encoder.close()


def packed(table: pa.Table) -> pa.Table:
    """The same rows, with nothing else behind them.

    Arrow 26 writes the wrong children of slices, and of structs and lists where they are null but their
    children have values, without an error.
    """
    columns = [pa.chunked_array([_packed(c) for c in found.chunks], found.type) for found in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _packed(array: pa.Array) -> pa.Array:
    type_ = array.type
    if pt.is_struct(type_) and type_.num_fields:
        children = [_packed(child) for child in array.flatten()]
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=array.is_null())
    if pt.is_map(type_):
        entries = recode.as_list(type_)
        assert entries.encode is not None
        assert entries.decode is not None
        return entries.decode(_packed(entries.encode(array)))
    if pt.is_list(type_) or pt.is_large_list(type_):
        import pyarrow.compute as pc

        make, offset = (pa.ListArray, pa.int32()) if pt.is_list(type_) else (pa.LargeListArray, pa.int64())
        zero = scalar(0, offset)
        ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array), zero))
        offsets = pa.concat_arrays([pa.repeat(zero, 1), ends])
        return make.from_arrays(offsets, _packed(array.flatten()), type_, mask=array.is_null())
    return pa.concat_arrays([array]) if array.offset or pt.is_nested(type_) else array


class OrcFormat(RecodedFormat):
    """Options: ``compression`` (none, snappy, zlib, lz4, zstd), ``stripe_size`` in bytes."""

    name = "orc"
    suffix = ".orc"
    options: ClassVar[dict[str, Parse]] = {
        "compression": one_of("none", "snappy", "zlib", "lz4", "zstd"),
        "stripe_size": between(2**16, 2**30),
    }
    _rule = staticmethod(rule)

    def _writer(self, out: Out, plan: Plan, options: dict[str, Any]) -> FileWriter:
        return _Writer(out, plan, options)

    def _read(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, *, threads: bool
    ) -> pa.Table:
        del threads
        with opened(source) as file:
            reader, names = _reader(file, plan, order)
            if names == []:
                return rows_only(reader.nrows)
            return _named(reader.read(columns=names), plan, order)

    def _batches(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, rows: int
    ) -> Iterator[pa.Table]:
        del rows  # a stripe is small
        with opened(source) as file:
            reader, names = _reader(file, plan, order)
            if names == []:
                yield rows_only(reader.nrows)
                return
            for i in range(reader.nstripes):
                stripe = reader.read_stripe(i, columns=names)
                yield _named(pa.Table.from_batches([stripe]), plan, order)


def _names(plan: Plan) -> list[str]:
    """Names inside the file: pyarrow selects ORC columns by dotted paths, so odd names are replaced."""
    names: list[str] = plan.schema.names or ["rows"]
    return names if all(map(_PLAIN_NAME.fullmatch, names)) else [f"c{i}" for i in range(len(names))]


def _reader(file: pa.NativeFile, plan: Plan, order: list[int] | None) -> tuple[Any, list[str] | None]:
    from pyarrow import orc

    reader = orc.ORCFile(file)
    names = _names(plan)
    if reader.schema.names != names:
        raise DamagedError("cannot be decoded as orc: holds other columns")
    if not len(plan.schema):
        order = []
    return reader, None if order is None else [names[i] for i in order]


def _named(table: pa.Table, plan: Plan, order: list[int] | None) -> pa.Table:
    names = plan.schema.names
    validate(table)  # the reader takes any bytes for text
    return table.rename_columns(names if order is None else [names[i] for i in order])
