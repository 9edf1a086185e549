"""Murmur3 (x86, 32 bits, seed 0) of many values at once: the hash that ``bucket`` partitions by.

Arrow's kernels do it for all values of one length together, so that millions take no loop in Python.
"""

from __future__ import annotations

from functools import partial

import pyarrow as pa

_C1, _C2 = 0xCC9E2D51, 0x1B873593
_MASK = 0xFFFFFFFF
_LONGEST = 256
_FEW = 32
"""Values of one length, up to which calling kernels costs more than it saves."""


def of_integers(values: pa.Array) -> pa.Array:
    """Hashes (uint32) of 64-bit integers: of their 8 bytes, the least first. Nulls stay nulls."""
    import pyarrow.compute as pc

    bits = values.view(pa.uint64())
    low = pc.bit_wise_and(bits, pa.scalar(_MASK, pa.uint64())).cast(pa.uint32())
    high = pc.shift_right(bits, pa.scalar(32, pa.uint64())).cast(pa.uint32())
    return _finished(_mixed(_mixed(pa.scalar(0, pa.uint32()), low), high), 8)


def of_bytes(values: pa.Array) -> pa.Array:
    """Hashes (uint32) of binary values (``large_binary``). Nulls stay nulls."""
    import pyarrow.compute as pc

    encoded = values.dictionary_encode()
    distinct = encoded.dictionary
    lengths = pc.binary_length(distinct)
    places: list[pa.Array] = []
    hashes: list[pa.Array] = []
    for line in lengths.value_counts().to_pylist():
        length, count = line["values"], line["counts"]
        where = pc.indices_nonzero(pc.equal(lengths, length))
        found = distinct.take(where)
        places.append(where)
        if count > _FEW and length <= _LONGEST:
            hashes.append(_of_length(found, length))
        else:
            hashes.append(pa.array([of_value(value) for value in found.to_pylist()], pa.uint32()))
    if not places:
        return pa.nulls(len(values), pa.uint32())
    back = pc.sort_indices(pa.concat_arrays(places))
    return pa.concat_arrays(hashes).take(back).take(encoded.indices)


def of_value(data: bytes) -> int:
    """The hash of one value."""
    state, whole = 0, len(data) // 4 * 4
    for start in range(0, whole, 4):
        state ^= _block(int.from_bytes(data[start : start + 4], "little"))
        state = (_rotated(state, 13) * 5 + 0xE6546B64) & _MASK
    if whole < len(data):
        state ^= _block(int.from_bytes(data[whole:], "little"))
    state ^= len(data)
    state = ((state ^ state >> 16) * 0x85EBCA6B) & _MASK
    state = ((state ^ state >> 13) * 0xC2B2AE35) & _MASK
    return state ^ state >> 16


def _block(value: int) -> int:
    return _rotated(value * _C1 & _MASK, 15) * _C2 & _MASK


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _MASK


# -- the same, a column at a time ------------------------------------------------------------------

_number = partial(pa.scalar, type=pa.uint32())


def _of_length(values: pa.Array, length: int) -> pa.Array:
    import pyarrow.compute as pc

    state = pa.repeat(_number(0), len(values))
    whole = length // 4 * 4
    for start in range(0, whole, 4):
        state = _mixed(state, _read(pc.binary_slice(values, start, start + 4)))
    if whole < length:
        padding = pa.scalar(bytes(4 - length % 4), pa.large_binary())
        rest = pc.binary_join_element_wise(
            pc.binary_slice(values, whole, length), padding, pa.scalar(b"", pa.large_binary())
        )
        state = pc.bit_wise_xor(state, _scrambled(_read(rest)))
    return _finished(state, length)


def _read(four_bytes: pa.Array) -> pa.Array:
    return four_bytes.cast(pa.binary(4)).view(pa.uint32())


def _mixed(state: pa.Array | pa.Scalar, block: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    state = _rotated_left(pc.bit_wise_xor(state, _scrambled(block)), 13)
    return pc.add(pc.multiply(state, _number(5)), _number(0xE6546B64))


def _scrambled(block: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.multiply(_rotated_left(pc.multiply(block, _number(_C1)), 15), _number(_C2))


def _rotated_left(values: pa.Array, bits: int) -> pa.Array:
    import pyarrow.compute as pc

    return pc.bit_wise_or(pc.shift_left(values, _number(bits)), pc.shift_right(values, _number(32 - bits)))


def _finished(state: pa.Array, length: int) -> pa.Array:
    import pyarrow.compute as pc

    state = pc.bit_wise_xor(state, _number(length))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        state = pc.multiply(pc.bit_wise_xor(state, pc.shift_right(state, _number(shift))), _number(factor))
    return pc.bit_wise_xor(state, pc.shift_right(state, _number(16)))
