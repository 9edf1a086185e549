"""What the tests stand on: the servers' conditional writes are atomic, which not every emulator's are."""

from __future__ import annotations

import pytest

from atio.errors import ConflictError, ExistsError
from tests.remote.servers import Server
from tests.support.processes import FRESH

PATIENT = 600
"""Seconds: sixteen processes on a small machine wait long for answers, and a lost one proves nothing."""


def create(server: Server, folder: str, who: int, count: int) -> list[int]:
    storage = server.storage(folder, read_timeout=PATIENT)
    won = []
    for number in range(count):
        try:
            storage.create(f"data/{number}", b"%d" % who)
        except ExistsError:
            continue
        won.append(number)
    return won


def count_up(server: Server, folder: str, who: int, count: int) -> int:
    storage = server.storage(folder, read_timeout=PATIENT)
    lost = 0
    for number in range(count):
        while True:
            value = storage.load("current")
            assert value is not None
            now = int(value.data.split()[0])
            try:
                storage.swap("current", b"%d %d.%d" % (now + 1, who, number), value.token)
            except ConflictError:
                lost += 1
                continue
            break
    return lost


@pytest.mark.parametrize(
    ("processes", "count"), [(4, 15), pytest.param(16, 8, marks=pytest.mark.slow)], ids=["quick", "sixteen"]
)
def test_a_race_of_processes(server: Server, folder: str, processes: int, count: int) -> None:
    """Each name is won once; a counter that is only ever swapped loses no step, although many swaps fail."""
    storage = server.storage(folder)
    storage.swap("current", b"0", None)
    with FRESH.Pool(processes) as pool:
        won = pool.starmap(create, [(server, folder, who, count) for who in range(processes)], 1)
        lost = pool.starmap(count_up, [(server, folder, who, count) for who in range(processes)], 1)
    assert sorted(number for numbers in won for number in numbers) == list(range(count))
    for who, numbers in enumerate(won):
        assert {storage.read(f"data/{number}") for number in numbers} <= {b"%d" % who}
    value = storage.load("current")
    assert value is not None
    assert int(value.data.split()[0]) == processes * count
    assert sum(lost) > 0, "nobody ever met a conflict: this was no race"
