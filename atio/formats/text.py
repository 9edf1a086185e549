"""Recodings for formats made of text: exact, and readable where that costs nothing.

=====================  ===================================================================
floating (CSV only)    shortest decimal that reads back as the same bits; ``nan:7ff8…``, the
                       bits in hexadecimal, for NaNs other than the usual one
decimal                decimal text (unscaled digits for a negative scale)
dates, times, …        the count of the type's unit, an integer
binary, intervals      base64
null                   an empty column of text
=====================  ===================================================================
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pyarrow as pa
from pyarrow import types as pt

from atio.formats import recode
from atio.formats.recode import Recoding, Rule, as_type, cast, chain, hashable, keep, relabel

_NAN = {32: 0x7FC00000, 64: 0x7FF8000000000000}


def flat(type_: pa.DataType, rule: Rule) -> Recoding | None:
    """The recoding of a type that is neither nested nor floating, or None; ``rule`` is for what is inside."""
    if pt.is_null(type_):
        return _nulls(type_)
    if pt.is_boolean(type_) or pt.is_integer(type_) or pt.is_string(type_):
        return keep(type_)
    if pt.is_large_string(type_) or pt.is_string_view(type_):
        return cast(type_, pa.string())
    if pt.is_decimal(type_):
        return _decimals(type_)
    if pt.is_interval(type_):
        return chain(relabel(type_, pa.binary(16)), _base64(pa.binary(16)))
    if pt.is_temporal(type_):
        return relabel(type_, pa.int32() if type_.bit_width == 32 else pa.int64())
    if pt.is_dictionary(type_):
        return recode.plain_dictionary(type_, rule(type_.value_type))
    if pt.is_run_end_encoded(type_):
        return recode.run_ends(type_, rule(type_.value_type))
    if isinstance(type_, pa.BaseExtensionType):
        return recode.extension(type_, rule(type_.storage_type))
    if pt.is_nested(type_) or pt.is_floating(type_):
        return None
    return _base64(type_)


def _nulls(type_: pa.DataType) -> Recoding:
    def decode(array: pa.Array) -> pa.Array:
        if array.null_count != len(array):
            raise pa.ArrowInvalid("values in a column of nulls")
        return pa.nulls(len(array))

    return Recoding(type_, pa.string(), lambda array: pa.nulls(len(array), pa.string()), decode)


def _decimals(type_: pa.DataType) -> Recoding:
    if 0 <= type_.scale <= type_.precision:
        return cast(type_, pa.string())
    make = {32: pa.decimal32, 64: pa.decimal64, 128: pa.decimal128, 256: pa.decimal256}[type_.bit_width]
    unscaled = make(type_.precision, 0)
    return chain(relabel(type_, unscaled), cast(unscaled, pa.string()))


def _base64(type_: pa.DataType) -> Recoding:
    def encode(array: pa.Array) -> pa.Array:
        texts = [None if value is None else b64encode(value).decode() for value in array.to_pylist()]
        return pa.array(texts, pa.string())

    def decode(array: pa.Array) -> pa.Array:
        values = [None if text is None else b64decode(text, validate=True) for text in array.to_pylist()]
        return pa.array(values, type_)

    return Recoding(type_, pa.string(), encode, decode)


def widened(type_: pa.DataType, stored: pa.DataType) -> Recoding:
    """A narrow float as a wider one, refusing the values (signalling NaNs) that would not come back."""

    def narrow(array: pa.Array) -> pa.Array:
        for step in (pa.float32(), pa.float16()):
            if array.type.bit_width > type_.bit_width:
                array = array.cast(step)
        return array

    def encode(array: pa.Array) -> pa.Array:
        wide = array.cast(pa.float32()).cast(stored)
        if not hashable(narrow(wide)).equals(hashable(array)):
            raise pa.ArrowInvalid("a NaN with bits that do not survive")
        return wide

    return Recoding(type_, stored, encode, narrow)


def quiet(type_: pa.DataType) -> Recoding:
    """A float that passes through a wider one inside an encoder: refuses NaNs that would not come back."""
    check = widened(type_, pa.float64()).encode
    assert check is not None

    def encode(array: pa.Array) -> pa.Array:
        check(array)
        return array

    return Recoding(type_, type_, encode)


def floats(type_: pa.DataType) -> Recoding:
    if pt.is_float16(type_):
        return chain(widened(type_, pa.float32()), floats(pa.float32()))
    return Recoding(type_, pa.string(), _float_texts, lambda array: _text_floats(array, type_))


def _float_texts(array: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    bits = hashable(array)
    odd = pc.and_(pc.is_nan(array), pc.not_equal(bits, pa.scalar(_NAN[array.type.bit_width], bits.type)))
    texts = array.cast(pa.string())
    if not odd.true_count:
        return texts
    mask = 2**array.type.bit_width - 1
    patched: list[Any] = texts.to_pylist()
    for i in pc.indices_nonzero(odd.fill_null(False)).to_pylist():
        patched[i] = f"nan:{bits[i].as_py() & mask:x}"
    return pa.array(patched, pa.string())


def _text_floats(array: pa.Array, type_: pa.DataType) -> pa.Array:
    import pyarrow.compute as pc

    odd = pc.starts_with(array, "nan:")
    if not odd.true_count:
        return array.cast(type_)
    usual = pc.if_else(odd, "nan", array).cast(type_)
    bits: list[Any] = hashable(usual).to_pylist()
    for i in pc.indices_nonzero(odd.fill_null(False)).to_pylist():
        pattern = int(array[i].as_py()[4:], 16)
        bits[i] = pattern - 2**type_.bit_width if pattern >> (type_.bit_width - 1) else pattern
    return as_type(pa.array(bits, hashable(usual).type), type_)
