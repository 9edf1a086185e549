"""What a schema is in a Parquet file: how its types travel, and which leaf columns it has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import types as pt

from atio.formats import recode, stats
from atio.formats.parquet.encodings import is_countable, is_text
from atio.formats.plan import Plan
from atio.formats.recode import Recoding, RefusedError, keep

FEW_COLUMNS = 128
"""Up to which it is worth to look at each of a file's leaf columns."""


def _value_rule(type_: pa.DataType) -> Recoding:
    if pt.is_date64(type_):
        return recode.relabel(type_, pa.timestamp("ms"))
    if pt.is_timestamp(type_) and type_.unit == "s":
        return recode.cast(type_, pa.timestamp("ms", type_.tz))
    if pt.is_time32(type_) and type_.unit == "s":
        return recode.seconds(type_)
    if pt.is_interval(type_):
        return recode.relabel(type_, pa.binary(16))
    if pt.is_decimal(type_) and not 0 <= type_.scale <= type_.precision:
        return recode.relabel(type_, _decimal(type_, 0))
    if pt.is_fixed_size_binary(type_) and type_.byte_width == 0:
        return recode.cast(type_, pa.binary())
    if isinstance(type_, pa.BaseExtensionType):
        return recode.extension(type_, _value_rule(type_.storage_type))
    if pt.is_run_end_encoded(type_):
        return recode.run_ends(type_, _value_rule(type_.value_type))
    if pt.is_dictionary(type_):
        return recode.plain_dictionary(type_, _value_rule(type_.value_type))
    if pt.is_struct(type_) and type_.num_fields == 0:
        return recode.empty_struct(type_)
    if pt.is_union(type_):
        raise RefusedError(type_)
    return recode.nested(type_, _value_rule) if pt.is_nested(type_) else keep(type_)


def rule(type_: pa.DataType) -> Recoding:
    """Only whole columns can be dictionaries: inside others, pyarrow reads but one row group."""
    if pt.is_dictionary(type_):
        try:
            held = recode.text_or_bytes(type_.value_type)
            return recode.without_null_values(recode.wide_index(type_, held))
        except RefusedError:
            pass  # not text: its values
    return _value_rule(type_)


def _decimal(type_: pa.DataType, scale: int) -> pa.DataType:
    make = {32: pa.decimal32, 64: pa.decimal64, 128: pa.decimal128, 256: pa.decimal256}[type_.bit_width]
    # A scale above the precision (0.00123 as decimal(3, 5)) is as strange to Parquet as one below 0.
    return make(type_.precision, scale)


class Leaf(msgspec.Struct, frozen=True):
    """One Parquet column with statistics of use: the ``number``-th of the file."""

    number: int
    path: tuple[str, ...]
    convert: stats.Convert | None
    floating: bool
    nothing: bool
    """Of the null type, of which Parquet keeps no statistics."""
    counted: int | None
    """Position of the top-level column whose NaNs are counted."""


class ParquetPlan(Plan):
    """What to do for a schema.

    Attributes
    ----------
    leaves
        The leaf columns with statistics.
    spans
        Of each column the numbers of its leaf columns.
    columns
        How many leaf columns there are.
    nested
        Whether any column has parts. Of several row groups they are not to be assembled at once: readers
        do that in one piece, with 32-bit offsets.
    """

    def __init__(self, schema: pa.Schema) -> None:
        super().__init__(schema, rule, "parquet")
        self.leaves: list[Leaf] = []
        self.spans: list[range] = []
        self._count = 0
        for i, (field, stored) in enumerate(zip(schema, self.stored, strict=True)):
            start = self._count
            self._walk((field.name,), field.type, stored.type, i)
            self.spans.append(range(start, self._count))
        self.columns = self._count
        self.nested = any(pt.is_nested(field.type) for field in self.stored)

    def chosen(self, positions: Sequence[int] | None) -> tuple[list[int], list[int]]:
        """Columns, all or those at these positions, in the file's order, and their leaf columns."""
        order = sorted(set(range(len(self.spans)) if positions is None else positions))
        return order, [leaf for i in order for leaf in self.spans[i]]

    @cached_property
    def paths(self) -> list[str]:
        """Of all leaf columns, as Parquet writes them."""
        return [path for field in self.stored for path in _paths(field.name, field.type)]

    @cached_property
    def flat(self) -> list[tuple[int, str]]:
        """Position and name of columns whose encoding can be chosen: not those of other columns' paths."""
        fields = enumerate(self.stored) if self.columns <= FEW_COLUMNS else ()
        return [(i, field.name) for i, field in fields if is_countable(field.type) and "." not in field.name]

    @cached_property
    def texts(self) -> list[int]:
        """The leaf columns of text and bytes that are no part of others."""
        fields = enumerate(self.stored) if self.columns <= FEW_COLUMNS else ()
        return [self.spans[i].start for i, field in fields if is_text(field.type)]

    def _walk(self, path: tuple[str, ...], type_: pa.DataType, stored: pa.DataType, top: int | None) -> None:
        if pt.is_struct(stored) and pt.is_struct(type_):
            for inner, held in zip(_fields(type_), _fields(stored), strict=True):
                self._walk((*path, inner.name), inner.type, held.type, None)
            return
        if pt.is_nested(stored):
            self._count += len(_paths("", stored))
            return
        if len(self.leaves) < stats.COLUMNS:
            floating = pt.is_floating(type_)
            convert = stats.from_parquet(type_, stored)
            counted = top if floating else None
            self.leaves.append(Leaf(self._count, path, convert, floating, pt.is_null(type_), counted))
        self._count += 1


def _fields(type_: pa.DataType) -> list[pa.Field]:
    return [type_.field(i) for i in range(type_.num_fields)]


def _paths(path: str, type_: pa.DataType) -> list[str]:
    """The leaf columns of a column of this stored type."""
    if not pt.is_nested(type_):
        return [path]
    if pt.is_map(type_):
        parts = (("key", type_.key_type), ("value", type_.item_type))
        return [inner for name, part in parts for inner in _paths(f"{path}.key_value.{name}", part)]
    if pt.is_struct(type_):
        return [inner for field in _fields(type_) for inner in _paths(f"{path}.{field.name}", field.type)]
    return _paths(f"{path}.list.element", type_.field(0).type)


class GroupStats(msgspec.Struct, frozen=True):
    """Of a leaf column in one row group.

    ``nothing``: it has no values that bounds could be about. ``known``: it has them, or needs none.
    """

    lower: Any = None
    upper: Any = None
    nulls: int | None = None
    nothing: bool = False
    known: bool = False


def group_stats(leaf: Leaf, group: Any) -> GroupStats:
    found = group.column(leaf.number).statistics
    if found is None:
        return GroupStats()
    nulls = found.null_count
    if leaf.convert is not None and found.has_min_max:
        lower, upper = leaf.convert(found.min_raw, found.max_raw)
        return GroupStats(lower, upper, nulls, known=True)
    # Values without bounds: too long, or without an order. (Of floats: all are NaN.)
    nothing = leaf.convert is not None and (leaf.floating or not found.num_values)
    return GroupStats(nulls=nulls, nothing=nothing)
