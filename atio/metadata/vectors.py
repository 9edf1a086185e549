"""Deletion vectors: which rows of a data file are deleted, as Roaring bitmaps (spec/data.md).

A bitmap is cut into containers of 65,536 positions. What comes from a file is checked as it is used:
no container can name a row that the data file does not have, nor more rows than the metadata count.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate, pairwise

import pyarrow as pa

from atio.errors import DamagedError, UnsupportedError
from atio.metadata.objects import Objects, digest
from atio.model.base import Ref
from atio.model.snapshot import DataFile, Deleted

PACKED = 2**20
"""Bytes at which a file of vectors is closed and the next begun."""
_SPAN = 2**16
"""Positions of a container."""
_BITSET = _SPAN // 8
_SPARSE = 4096
"""Cardinality up to which a container is an array."""
_RUNS, _NO_RUNS = 12347, 12346
_FEW = 4
"""Containers below which a bitmap with runs has no list of offsets."""
_EMPTY = bytes(_BITSET)


class Vector:
    """The deleted rows of one data file.

    Parameters
    ----------
    data
        A Roaring bitmap in its portable form.
    file
        Whose entry says how many rows there are, and how many of them are deleted.

    Raises
    ------
    DamagedError
        It is no such bitmap. What its containers hold is looked at when it is asked for.
    """

    def __init__(self, data: bytes, file: DataFile) -> None:
        assert file.deleted is not None
        self._data = data
        self._file = file
        with _valid(file):
            self._containers = {key: found for key, *found in _containers(data)}
            if sum(cardinality for cardinality, *_ in self._containers.values()) != file.deleted.count:
                raise ValueError(f"it does not have {file.deleted.count} positions")
            if max(self._containers, default=0) * _SPAN >= file.rows:
                raise ValueError(f"it has positions beyond the {file.rows} rows")

    @property
    def digest(self) -> str:
        """Hash of the bitmap as it is written."""
        return digest(self._data)

    def dead(self, start: int, length: int) -> pa.BooleanArray:
        """Which of so many rows from ``start`` on are deleted."""
        first, last = start // _SPAN, -(-(start + length) // _SPAN)
        with _valid(self._file):
            bits = b"".join(self._bits(key) for key in range(first, last))
        return pa.Array.from_buffers(pa.bool_(), length, [None, pa.py_buffer(bits)], 0, start - first * _SPAN)

    def alive(self, start: int, length: int) -> pa.BooleanArray:
        """Which of so many rows from ``start`` on are not deleted."""
        import pyarrow.compute as pc

        return pc.invert(self.dead(start, length))

    def check(self) -> None:
        """Look at all of it; ``DamagedError`` if something is wrong."""
        with _valid(self._file):
            for key in self._containers:
                self._bits(key)

    def _bits(self, key: int) -> bytes:
        """A container as bits, least significant first."""
        if key not in self._containers:
            return _EMPTY
        cardinality, offset, end, is_runs = self._containers[key]
        data = self._data[offset:end]
        if is_runs:
            bits = _of_runs(data)
        elif cardinality <= _SPARSE:
            bits = _of_places(data)
        else:
            bits = data
        found = _mask(bits)
        if found.true_count != cardinality:
            raise ValueError(f"container {key} does not have {cardinality} positions")
        rest = self._file.rows - key * _SPAN
        if rest < _SPAN and found.slice(rest).true_count:
            raise ValueError(f"it has positions beyond the {self._file.rows} rows")
        return bits


def _mask(bits: bytes) -> pa.BooleanArray:
    return pa.Array.from_buffers(pa.bool_(), _SPAN, [None, pa.py_buffer(bits)], 0)


def _of_places(data: bytes) -> bytes:
    flags = bytearray(_SPAN)
    for (place,) in struct.iter_unpack("<H", data):
        flags[place] = 1
    return _packed(flags)


def _of_runs(data: bytes) -> bytes:
    flags = bytearray(_SPAN)
    end = 0
    for start, more in struct.iter_unpack("<HH", data[2:]):
        if start < end or start + more >= _SPAN:
            raise ValueError("its runs are out of order")
        end = start + more + 1
        flags[start:end] = b"\1" * (more + 1)
    return _packed(flags)


def _packed(flags: bytearray) -> bytes:
    whole = pa.Array.from_buffers(pa.uint8(), _SPAN, [None, pa.py_buffer(flags)], 0)
    return whole.cast(pa.bool_()).buffers()[1].to_pybytes()[:_BITSET]  # type: ignore[no-any-return]


def _containers(data: bytes) -> Iterator[tuple[int, int, int, int, bool]]:
    """Key, cardinality, where it begins and ends, and whether it is runs, of each container."""
    try:
        yield from _listed(data)
    except (struct.error, IndexError):
        raise ValueError("it ends too early") from None


def _listed(data: bytes) -> Iterator[tuple[int, int, int, int, bool]]:
    cookie, many = struct.unpack_from("<HH", data)
    if cookie == _RUNS:
        count, at = many + 1, 4
        flags = data[at : at + (count + 7) // 8]
        at += len(flags)
    elif cookie == _NO_RUNS and many == 0:
        (count,), at, flags = struct.unpack_from("<I", data, 4), 8, b""
    else:
        raise ValueError("it does not begin as a Roaring bitmap does")
    if count > _SPAN or at + 4 * count > len(data):
        raise ValueError("it ends too early")
    header = list(struct.iter_unpack("<HH", data[at : at + 4 * count]))
    at += 4 * count
    offsets = None
    if not flags or count >= _FEW:
        offsets = struct.unpack_from(f"<{count}I", data, at)
        at += 4 * count
    before = -1
    for place, (key, less) in enumerate(header):
        if key <= before or (offsets is not None and offsets[place] != at):
            raise ValueError("its containers are out of order")
        is_runs = bool(flags and flags[place // 8] >> place % 8 & 1)
        if is_runs:
            size = 2 + 4 * struct.unpack_from("<H", data, at)[0]
        else:
            size = 2 * (less + 1) if less < _SPARSE else _BITSET
        yield key, less + 1, at, at + size, is_runs
        before, at = key, at + size
    if at != len(data):
        raise ValueError(f"it has {len(data)} bytes, not {at}")


def encode(dead: pa.BooleanArray) -> bytes:
    """The bitmap of the rows that are true, of a mask of all rows of a data file without nulls."""
    import pyarrow.compute as pc

    parts = [dead.slice(start, _SPAN) for start in range(0, len(dead), _SPAN)]
    counts = [part.true_count for part in parts]
    keys = [(key, count - 1) for key, count in enumerate(counts) if count]
    if keys and keys[-1][0] >= _SPAN:
        raise UnsupportedError(
            f"a data file of {len(dead)} rows is too long for single ones to be deleted",
            hint="compact() with a smaller target_size makes shorter ones",
        )
    if max(counts, default=0) <= _SPARSE:  # the places of all at once, of which 16 bits are kept
        places = pc.indices_nonzero(dead).cast(pa.uint16(), safe=False).buffers()[1].to_pybytes()
        bounds = pairwise(accumulate((2 * count for count in counts), initial=0))
        contents = [places[start:end] for start, end in bounds if start < end]
    else:
        contents = [_content(part, count) for part, count in zip(parts, counts, strict=True) if count]
    head = struct.pack("<II", _NO_RUNS, len(keys)) + b"".join(struct.pack("<HH", *one) for one in keys)
    ends = accumulate(map(len, contents), initial=len(head) + 4 * len(keys))
    offsets = [offset for offset, _ in zip(ends, contents, strict=False)]
    return b"".join((head, struct.pack(f"<{len(keys)}I", *offsets), *contents))


def _content(part: pa.BooleanArray, cardinality: int) -> bytes:
    import pyarrow.compute as pc

    if cardinality <= _SPARSE:
        places = pc.indices_nonzero(part).cast(pa.uint16())
        return places.buffers()[1].to_pybytes()[: 2 * cardinality]  # type: ignore[no-any-return]
    padded = part if len(part) == _SPAN else pa.concat_arrays([part, pa.repeat(False, _SPAN - len(part))])
    aligned = pa.concat_arrays([padded, pa.array([], pa.bool_())]) if padded.offset else padded
    return aligned.buffers()[1].to_pybytes()[:_BITSET]  # type: ignore[no-any-return]


# -- in files --------------------------------------------------------------------------------------


class _Packed(bytes):
    """A file of vectors, as it is."""


def load(objects: Objects, file: DataFile) -> Vector | None:
    """The deleted rows of a data file; None if there are none."""
    found = file.deleted
    if found is None:
        return None
    ref = Ref(path=found.path, size=found.size, hash=found.hash)
    return Vector(objects.parsed(ref, _Packed, _Packed)[found.offset : found.offset + found.length], file)


@contextmanager
def _valid(file: DataFile) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        assert file.deleted is not None
        raise DamagedError(
            f"{file.deleted.path}: the deletion vector of {file.path} is not valid: {error}",
            file=file.deleted.path,
            hint="repair() returns to the last intact version",
        ) from error


def write(objects: Objects, vectors: Iterable[tuple[bytes, int]]) -> list[Deleted]:
    """Write encoded vectors, each with its count, packed into as few files as may be."""
    made: list[Deleted] = []
    held: list[tuple[bytes, int]] = []
    size = 0

    def put() -> None:
        nonlocal held, size
        ref = objects.put("data", b"".join(data for data, _ in held), suffix=".dv")
        offset = 0
        for data, count in held:
            made.append(
                Deleted(
                    path=ref.path, size=ref.size, hash=ref.hash, offset=offset, length=len(data), count=count
                )
            )
            offset += len(data)
        held, size = [], 0

    for data, count in vectors:
        if held and size + len(data) > PACKED:
            put()
        held.append((data, count))
        size += len(data)
    if held:
        put()
    return made
