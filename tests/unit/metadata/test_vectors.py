"""Deletion vectors are Roaring bitmaps, and forged ones are refused."""

from __future__ import annotations

import struct

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from atio.errors import DamagedError, UnsupportedError
from atio.metadata import vectors
from atio.metadata.objects import Objects
from atio.metadata.vectors import Vector
from atio.model.snapshot import DataFile, Deleted
from atio.storage import MemoryStorage

Rounds = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def file(rows: int, count: int, deleted: Deleted | None = None) -> DataFile:
    made = deleted or Deleted(path="data/x.dv", size=1, hash="0" * 16, offset=0, length=1, count=count)
    return DataFile(path="data/x.parquet", size=1, hash="0" * 16, rows=rows, deleted=made)


def mask(places: set[int], rows: int) -> pa.BooleanArray:
    return pa.array([place in places for place in range(rows)], pa.bool_())


@st.composite
def positions(draw: st.DrawFn) -> tuple[int, set[int]]:
    """Rows of a file, and some of them: sparse, dense and in runs."""
    rows = draw(st.sampled_from([2, 9, 4_100, 65_535, 65_536, 65_537, 140_000, 300_000]))
    found: set[int] = set()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, rows - 1))
        step = draw(st.sampled_from([1, 2, 3, 97]))
        found.update(range(start, min(rows, start + step * draw(st.integers(1, 20_000))), step))
    return rows, found if len(found) < rows else found - {0}


@Rounds
@given(positions(), st.data())
def test_vectors_are_bitmaps_of_the_library_both_ways(
    drawn: tuple[int, set[int]], data: st.DataObject
) -> None:
    rows, places = drawn
    dead = mask(places, rows)
    written = vectors.encode(dead)
    assert set(BitMap.deserialize(written)) == places
    plain, runs = BitMap(places), BitMap(places)
    runs.run_optimize()
    for encoded in (written, plain.serialize(), runs.serialize()):
        vector = Vector(encoded, file(rows, len(places)))
        vector.check()
        assert vector.dead(0, rows).equals(dead)
        start = data.draw(st.integers(0, rows - 1))
        length = data.draw(st.integers(0, rows - start))
        assert vector.dead(start, length).equals(dead.slice(start, length))
        assert vector.alive(start, length).true_count == length - dead.slice(start, length).true_count


@Rounds
@given(positions(), st.data())
def test_an_offset_mask_is_encoded_alike(drawn: tuple[int, set[int]], data: st.DataObject) -> None:
    rows, places = drawn
    skipped = data.draw(st.integers(0, min(9, rows - 1)))
    sliced = mask(places, rows).slice(skipped)
    assume(sliced.true_count)
    assert set(BitMap.deserialize(vectors.encode(sliced))) == {p - skipped for p in places if p >= skipped}


@Rounds
@given(positions(), st.data())
def test_altered_vectors_are_refused_or_name_as_many_rows(
    drawn: tuple[int, set[int]], data: st.DataObject
) -> None:
    """Flipped bits and cut ends, with the checksum right again: never a crash, never a row too many."""
    rows, places = drawn
    made = BitMap(places)
    if data.draw(st.booleans()):
        made.run_optimize()
    bad = bytearray(made.serialize())
    for _ in range(data.draw(st.integers(1, 3))):
        bad[data.draw(st.integers(0, min(len(bad) - 1, 40)))] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(bad)[: data.draw(st.sampled_from([len(bad), len(bad) - 1, len(bad) // 2, 3, 0]))]
    try:
        vector = Vector(cut, file(rows, len(places)))
        vector.check()
        found = vector.dead(0, rows)
    except DamagedError as error:
        assert error.file == "data/x.dv"
        return
    assert found.true_count == len(places)


def header(*containers: tuple[int, int]) -> bytes:
    return struct.pack("<II", 12346, len(containers)) + b"".join(
        struct.pack("<HH", *one) for one in containers
    )


@pytest.mark.parametrize(
    ("data", "rows", "count"),
    [
        (b"", 10, 1),
        (b"garbage!", 10, 1),
        (struct.pack("<II", 12346, 2**31), 10, 1),
        (struct.pack("<HH", 12347, 65_535), 10, 1),
        (BitMap([3]).serialize(), 10, 2),
        (BitMap([10]).serialize(), 10, 1),
        (BitMap([70_000]).serialize(), 10, 1),
        (BitMap([2**32 - 1]).serialize(), 10, 1),
        (BitMap([1]).serialize() + b"\0", 10, 1),
        (header((0, 1)) + struct.pack("<IHH", 16, 5, 5), 10, 2),
        (header((1, 0), (0, 0)) + struct.pack("<IIHH", 24, 26, 5, 5), 200_000, 2),
        (header((0, 0), (0, 0)) + struct.pack("<IIHH", 24, 26, 5, 6), 200_000, 2),
        (header((0, 0)) + struct.pack("<IH", 2**31, 5), 10, 1),
        (struct.pack("<HHBHHHHHHH", 12347, 0, 1, 0, 4, 2, 0, 2, 1, 1), 100, 5),
        (struct.pack("<HHBHHHHH", 12347, 0, 1, 0, 9, 1, 65_530, 9), 70_000, 10),
        (header((0, 65_535)) + struct.pack("<I", 16) + b"\xff" * 8192, 65_530, 65_536),
    ],
)
def test_forged_vectors_are_refused(data: bytes, rows: int, count: int) -> None:
    entry = file(count + 1, count)
    msgspec.structs.force_setattr(entry, "rows", rows)
    with pytest.raises(DamagedError, match=r"deletion vector of data/x\.parquet is not valid"):
        Vector(data, entry).check()


@pytest.mark.parametrize("count", [0, 10, 11])
def test_an_entry_has_some_rows_deleted_and_not_all(count: int) -> None:
    with pytest.raises(ValueError, match=r"of 10 rows of data/x\.parquet are deleted"):
        file(10, count)


@pytest.mark.parametrize(
    "change", [{"offset": 1}, {"length": 2}, {"path": "metadata/x.json"}, {"path": "../x"}]
)
def test_a_vector_lies_within_its_file(change: dict[str, object]) -> None:
    whole = {"path": "data/x.dv", "size": 1, "hash": "0" * 16, "offset": 0, "length": 1, "count": 1}
    with pytest.raises(ValueError, match=r"beyond|below data|absolute"):
        Deleted(**{**whole, **change})  # type: ignore[arg-type]


def test_many_vectors_share_few_files() -> None:
    objects = Objects(MemoryStorage())
    parts = [BitMap(range(0, 2 * n, 2)).serialize() for n in range(1, 40)]
    large = BitMap(range(0, 40_000_000, 2)).serialize()
    given_ = [(data, len(BitMap.deserialize(data))) for data in (*parts, large, *parts)]
    made = vectors.write(objects, given_)
    assert len({one.path for one in made}) == 3
    for (data, count), deleted in zip(given_, made, strict=True):
        assert deleted.size <= max(vectors.PACKED, len(data))
        vector = vectors.load(objects, file(40_000_000, count, deleted))
        assert vector is not None
        assert vector.dead(0, 100).equals(mask({p for p in range(100) if p in BitMap.deserialize(data)}, 100))


def test_a_file_of_too_many_rows_is_refused() -> None:
    class Long:
        def __len__(self) -> int:
            return 2**32 + 2**16

        def slice(self, start: int, length: int) -> pa.BooleanArray:
            return pa.array([start >= 2**32])

    with pytest.raises(UnsupportedError, match="too long"):
        vectors.encode(Long())  # type: ignore[arg-type]
