"""Every byte of the metadata is flipped, files are cut, exchanged, and old pointers put back.

What tests/crash/test_damage.py shows for some damage to each file, exhaustively: refused with an error that
names the file, or the same rows. Never others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations, islice

import pytest

from atio import Table
from atio.errors import DamagedError
from atio.storage import MemoryStorage
from tests.crash.test_damage import frame, table
from tests.support import forge
from tests.support.share import EVERY
from tests.support.tables import content, rows
from tests.torture.conftest import Figure
from tests.torture.hostile import (
    Outcomes,
    altered,
    attack,
    exchanged,
    files,
    flipped,
    found_by_verify,
    metadata,
    repaired,
    size,
    spots,
)  # fmt: skip

DAMAGE = "bytes flipped, files cut, emptied, missing or exchanged"
WRONG = f"{DAMAGE}: other rows than were written"
UNSEEN = f"{DAMAGE}: verify() does not find it"
UNREPAIRED = f"{DAMAGE}: repair() does not return to the last intact version"


@pytest.fixture
def outcomes(torture_figure: Figure, request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    made = Outcomes()
    yield made
    if request.node.get_closest_marker("torture"):
        torture_figure(WRONG, made.tried, made.wrong)


def test_some_bytes(outcomes: Outcomes) -> None:
    for number, (path, place) in enumerate(spots(29)):
        storage = flipped(path, place, number % 8)
        attack(storage, path, outcomes=outcomes)
        if number % 8 == 0:
            found_by_verify(storage, path)


def test_the_number_of_the_format_is_flipped() -> None:
    """Three bits of it make a newer format of this one: that is damage, or nobody could repair it."""
    place = len('{"format_version":')
    assert table().read("current")[place : place + 1] == b"1"
    for bit in range(8):
        storage = flipped("current", place, bit)
        with pytest.raises(DamagedError):
            Table(storage).snapshot()
        repaired(storage, "current")


def test_some_files_are_exchanged(outcomes: Outcomes) -> None:
    chance = random.Random(1)
    for one, other in chance.sample(list(combinations(files(), 2)), 60):
        attack(exchanged(one, other), one, other, outcomes=outcomes)


def old_pointers(*, clean: bool) -> Iterator[tuple[MemoryStorage, object]]:
    """A table with each of its pointers put back, and what it had then."""
    storage = MemoryStorage()
    made = Table(storage, clock=lambda: 4 * 10**15)
    saved = []
    for i in range(30):
        if i % 7 == 6:
            made.overwrite(frame(i))
        elif i % 5 == 4:
            made.tag(f"v{i}")
        else:
            made.append(frame(i), token=f"t{i}")
        saved.append((storage.read("current"), content(storage)))
    if clean:
        made.expire(timedelta(0), keep_last=3)
        made.vacuum(timedelta(0))
    for pointer, before in saved:
        forge.put(storage, "current", pointer)
        yield storage, before


def test_every_old_pointer_put_back() -> None:
    """Nothing was removed since: the table is the old one, whole."""
    for storage, before in old_pointers(clean=False):
        assert content(storage) == before
        assert Table(storage).verify().ok


def test_old_pointers_after_an_expiry(outcomes: Outcomes) -> None:
    """What they refer to is gone in part: told by name, and never other rows."""
    refused = 0
    for storage, before in old_pointers(clean=True):
        assert isinstance(before, dict)
        broken = Table(storage)
        for version, told in before["versions"].items():
            outcomes.tried += 1
            try:
                assert rows(broken.snapshot(version)) == told[3]
                outcomes.same += 1
            except DamagedError as error:
                assert error.file, error
                outcomes.refused += 1
        refused += not broken.verify().ok
    assert refused > 10


# -- make torture ----------------------------------------------------------------------------------


@pytest.mark.torture
@pytest.mark.parametrize("bit", range(8))
def test_every_byte_of_the_metadata(bit: int, outcomes: Outcomes) -> None:
    for path, place in spots(EVERY, bit % EVERY):
        attack(flipped(path, place, bit), path, outcomes=outcomes)


@pytest.mark.torture
def test_every_length_of_the_metadata(outcomes: Outcomes) -> None:
    for path, place in spots(EVERY):
        attack(altered(path, table().read(path)[:place]), path, outcomes=outcomes)


@pytest.mark.torture
def test_many_lengths_of_the_data(outcomes: Outcomes) -> None:
    for path in set(files()) - set(metadata()):
        for length in range(0, size(path), 23 * EVERY):
            attack(altered(path, table().read(path)[:length]), path, outcomes=outcomes)
        missing = altered(path, b"")
        missing.delete([path])
        attack(missing, path, outcomes=outcomes)


@pytest.mark.torture
def test_all_files_are_exchanged(outcomes: Outcomes) -> None:
    for one, other in islice(combinations(files(), 2), 0, None, EVERY):
        attack(exchanged(one, other), one, other, outcomes=outcomes)


@pytest.mark.torture
@pytest.mark.parametrize("share", range(2))
def test_verify_finds_it(share: int, torture_figure: Figure) -> None:
    tried = 0
    try:
        for number, (path, place) in enumerate(spots(14 * EVERY, 7 * share * EVERY)):
            tried += 1
            found_by_verify(flipped(path, place, number % 8), path)
    except AssertionError:
        torture_figure(UNSEEN, tried, 1)
        raise
    torture_figure(UNSEEN, tried, 0)


@pytest.mark.torture
@pytest.mark.parametrize("share", range(2))
def test_repair_returns(share: int, torture_figure: Figure) -> None:
    tried = 0
    try:
        for number, (path, place) in enumerate(spots(62 * EVERY, 31 * share * EVERY)):
            tried += 1
            repaired(flipped(path, place, number % 8), path)
    except AssertionError:
        torture_figure(UNREPAIRED, tried, 1)
        raise
    torture_figure(UNREPAIRED, tried, 0)
