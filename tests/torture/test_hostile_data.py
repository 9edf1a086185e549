"""Random bits of data files are flipped, and read by every way of reading: refused, or the same rows."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atio import Table
from atio.formats import FORMATS
from tests.support.share import EVERY, at_most
from tests.torture.conftest import Figure
from tests.torture.hostile import Outcomes
from tests.torture.test_hostile import UNSEEN, WRONG

READS: dict[str, Callable[[Table], Any]] = {
    "everything": lambda t: t.to_arrow(),
    "numbers": lambda t: t.to_arrow(["i"]),
    "a column": lambda t: t.to_arrow(["text"]),
    "nested": lambda t: t.to_arrow(["words"]),
    "two columns": lambda t: t.to_arrow(["x", "gaps"]),
    "the first rows": lambda t: t.to_arrow(limit=70_000),
    "batches": lambda t: list(t.snapshot().to_batches(["gaps", "text"], rows=30_000)),
    "some rows": lambda t: t.to_arrow(["text", "words"], where="i between 50000 and 60000"),
    "batches of some rows": lambda t: list(t.scan(["x"], where="i >= 70000").to_batches(30_000)),
}
"""Ways to read: a large Parquet file is verified as a whole, or where it is read."""


def frame(rows: int) -> pa.Table:
    chance = np.random.default_rng(7)
    picked = chance.integers(0, 1000, rows)
    return pa.table(
        {
            "i": np.arange(rows),
            "x": chance.random(rows),
            "text": pa.array([f"word {k}" for k in picked]),
            "gaps": pa.array([None if k % 3 == 0 else int(k) for k in picked]),
            "words": pa.array([None if k % 7 == 0 else [f"w{k % 50}", f"v{k % 3}"] for k in picked]),
        }
    )


class Victim:
    """A table of one data file, whose bytes can be flipped in place."""

    def __init__(self, folder: Path, format: str, rows: int) -> None:
        data = frame(rows)
        if format == "csv":
            data = data.drop_columns(["words"])
        self.folder = folder / f"{format}{rows}"
        self.table = Table.create(self.folder, data.schema, format=format, durable=False)
        self.table.append(data)
        (self.file,) = self.table.snapshot().files()
        self.path = self.folder / self.file.path
        self.reads = {k: v for k, v in READS.items() if format != "csv" or k not in ("nested", "some rows")}
        self.expected = {name: read(self.table) for name, read in self.reads.items()}
        self._fd = os.open(self.path, os.O_RDWR)

    def attack(self, place: int, bit: int, read: str, outcomes: Outcomes) -> None:
        found = os.pread(self._fd, 1, place)
        os.pwrite(self._fd, bytes([found[0] ^ 1 << bit]), place)
        fresh = Table.open(self.folder)
        outcomes.read((self.file.path,), lambda: self.reads[read](fresh), self.expected[read])
        os.pwrite(self._fd, found, place)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Victim]]:
    made: dict[str, Victim] = {}

    class Made(dict[str, Victim]):
        def __missing__(self, key: str) -> Victim:
            kind, _, rows = key.partition(" ")
            made[key] = self[key] = Victim(tmp_path_factory.mktemp("victim"), kind, int(rows))
            return made[key]

    yield Made()
    for victim in made.values():
        victim.close()


LARGE = "parquet 200000"
"""Above the size up to which a file is read whole."""


READ_BY = {"i": "numbers", "x": "two columns", "text": "a column", "gaps": "two columns", "words": "nested"}


def headers(victim: Victim) -> Iterator[tuple[int, str]]:
    """Where column chunks begin, which is with their first page's header; and what reads them."""
    metadata = pq.read_metadata(victim.path)
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            read = READ_BY[column.path_in_schema.partition(".")[0]]
            for start in {column.data_page_offset, column.dictionary_page_offset or column.data_page_offset}:
                yield start, read


def random_flips(victim: Victim, count: int, seed: int, outcomes: Outcomes) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        read = chance.choice(list(victim.reads))
        victim.attack(chance.randrange(victim.file.size), chance.randrange(8), read, outcomes)


def test_large_files_are_read_in_part(victims: dict[str, Victim]) -> None:
    assert victims[LARGE].file.footer is not None, "or this attacks nothing"


@pytest.mark.parametrize("format", FORMATS)
def test_some_bits(victims: dict[str, Victim], format: str) -> None:
    outcomes = Outcomes()
    random_flips(victims[LARGE if format == "parquet" else f"{format} 3000"], 60, 1, outcomes)
    assert outcomes.refused > 10


def test_page_headers(victims: dict[str, Victim]) -> None:
    """Parquet's page checksums do not cover them: a bit there took rows away, silently."""
    victim, outcomes = victims[LARGE], Outcomes()
    places = [(start + offset, read) for start, read in headers(victim) for offset in range(1, 22, 4)]
    for number, (place, read) in enumerate(places):
        victim.attack(place, number % 8, read, outcomes)
    assert outcomes.refused == len(places)


# -- make torture ----------------------------------------------------------------------------------


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(6))
def test_many_bits_of_a_large_file(victims: dict[str, Victim], seed: int, torture_figure: Figure) -> None:
    told(torture_figure, lambda outcomes: random_flips(victims[LARGE], at_most(1000), 10 + seed, outcomes))


@pytest.mark.torture
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rows", [1000, 40_000])
def test_many_bits(victims: dict[str, Victim], format: str, rows: int, torture_figure: Figure) -> None:
    victim = victims[f"{format} {rows}"]
    told(torture_figure, lambda outcomes: random_flips(victim, at_most(500), 20, outcomes))


@pytest.mark.torture
def test_every_bit_of_page_headers(victims: dict[str, Victim], torture_figure: Figure) -> None:
    victim = victims[LARGE]

    def attack(outcomes: Outcomes) -> None:
        for start, read in headers(victim):
            for place in range(start, start + 24, EVERY):
                for bit in range(8):
                    victim.attack(place, bit, read, outcomes)

    told(torture_figure, attack)


@pytest.mark.torture
def test_verify_finds_every_bit(victims: dict[str, Victim], torture_figure: Figure) -> None:
    chance, seen, tried = random.Random(3), 0, at_most(500)
    for _ in range(tried):
        victim = victims[chance.choice([LARGE, "csv 1000", "arrow 1000", "orc 1000", "jsonl 1000"])]
        place, bit = chance.randrange(victim.file.size), chance.randrange(8)
        data = bytearray(victim.path.read_bytes())
        data[place] ^= 1 << bit
        victim.path.write_bytes(data)
        seen += [p.file for p in Table.open(victim.folder).verify().problems] == [victim.file.path]
        data[place] ^= 1 << bit
        victim.path.write_bytes(data)
    torture_figure(UNSEEN, tried, tried - seen)
    assert seen == tried


def told(figure: Figure, attack: Callable[[Outcomes], None]) -> None:
    outcomes = Outcomes()
    try:
        attack(outcomes)
    finally:
        figure(WRONG, outcomes.tried, outcomes.wrong)
