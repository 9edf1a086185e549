"""JSON Lines: an object a row, nested types included (see :mod:`atio.formats.text`).

Floats are numbers; JSON has none for infinities and NaN, which are the strings ``"Infinity"``,
``"-Infinity"``, ``"NaN"`` and, for NaNs with other bits than usual, ``"NaN:7ff8…"``. Maps are lists
of ``{"key": …, "value": …}``. Unions, dictionaries of nested values and structs that use one name
twice are refused.

Encoded and decoded with the standard library: pyarrow's JSON reader takes neither such strings nor
maps, and writes nothing.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow import types as pt

from atio.formats import recode, text
from atio.formats.base import FileWriter, Out
from atio.formats.plan import Plan, rows_only
from atio.formats.recode import Recoding, RefusedError, chain, keep
from atio.formats.recoded import RecodedFormat, RecodedWriter
from atio.formats.source import opened

_INFINITY = float("inf")
_NAN_BITS = 0x7FF8000000000000
_WRITE_ROWS = 2**13


def rule(type_: pa.DataType) -> Recoding:
    """A column's recoding; raises ``RefusedError``."""
    if pt.is_floating(type_):
        return keep(type_) if pt.is_float64(type_) else text.widened(type_, pa.float64())
    recoding = text.flat(type_, rule)
    if recoding is not None:
        return recoding
    if pt.is_union(type_) or (pt.is_struct(type_) and len(set(type_.names)) < type_.num_fields):
        raise RefusedError(type_)
    recoding = recode.nested(type_, rule)
    return chain(recoding, recode.as_list(recoding.stored))


class _Writer(RecodedWriter):
    def _put(self, table: pa.Table) -> None:
        for start in range(0, table.num_rows, _WRITE_ROWS):
            rows = table.slice(start, _WRITE_ROWS).to_pylist()
            if not table.num_columns:
                rows = [{}] * min(_WRITE_ROWS, table.num_rows - start)
            self._sink.write("".join(_line(row) for row in rows).encode())

    def _finish(self) -> None:
        pass


def _line(row: dict[str, Any]) -> str:
    try:
        return _dumps(row)
    except ValueError:  # a float that JSON has no number for
        return _dumps(_spelled(row))


def _dumps(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _spelled(value: Any) -> Any:
    """The value with its infinities and NaNs as strings."""
    if isinstance(value, dict):
        return {key: _spelled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spelled(inner) for inner in value]
    if not isinstance(value, float) or value - value == 0:
        return value
    if value in {_INFINITY, -_INFINITY}:
        return "Infinity" if value > 0 else "-Infinity"
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return "NaN" if bits == _NAN_BITS else f"NaN:{bits:x}"


def _heard(value: Any, type_: pa.DataType) -> Any:
    """The value with the strings that stand for floats as floats."""
    if value is None:
        return None
    if pt.is_struct(type_):
        return {field.name: _heard(value[field.name], field.type) for field in type_}
    if pt.is_list(type_):
        return [_heard(inner, type_.value_type) for inner in value]
    if pt.is_floating(type_) and isinstance(value, str):
        if value.startswith("NaN:"):
            return struct.unpack("<d", struct.pack("<Q", int(value[4:], 16)))[0]
        return {"NaN": float("nan"), "Infinity": _INFINITY, "-Infinity": -_INFINITY}[value]
    return value


class JsonlFormat(RecodedFormat):
    """No options."""

    name = "jsonl"
    suffix = ".jsonl"
    _rule = staticmethod(rule)

    def _writer(self, out: Out, plan: Plan, options: dict[str, Any]) -> FileWriter:
        del options
        return _Writer(out, plan)

    def _read(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, *, threads: bool
    ) -> pa.Table:
        del threads
        pieces = [_table([], plan, order), *self._batches(source, plan, order, 2**16)]
        if not pieces[0].num_columns:
            return rows_only(sum(piece.num_rows for piece in pieces))
        return pa.concat_tables(pieces)

    def _batches(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, rows: int
    ) -> Iterator[pa.Table]:
        with opened(source) as file, io.BufferedReader(_Raw(file), 2**20) as lines:
            while parsed := [_row(line, plan) for line in islice(lines, rows)]:
                yield _table(parsed, plan, order)


class _Raw(io.RawIOBase):
    """pyarrow's file as Python's, for its fast line reading."""

    def __init__(self, file: pa.NativeFile) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._file.readinto(buffer))


def _row(line: bytes, plan: Plan) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("the last line has no end")
    row = json.loads(line, parse_constant=_no_constant)
    if not isinstance(row, dict) or len(row) != len(plan.schema):
        raise ValueError(f"a line is not an object of {len(plan.schema)} columns")
    return row


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _table(rows: list[dict[str, Any]], plan: Plan, order: list[int] | None) -> pa.Table:
    fields = list(plan.stored) if order is None else [plan.stored.field(i) for i in order]
    if not fields:
        return rows_only(len(rows))
    columns = [_array([row[field.name] for row in rows], field.type) for field in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _array(values: list[Any], type_: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # floats spelled as strings
        return pa.array([_heard(value, type_) for value in values], type_)
