"""Between client and server everything goes wrong; what comes out is right all the same."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from atio import Table
from atio.commit.loop import RetryPolicy
from atio.errors import AtioError, ConflictError, OutcomeUnknownError, ResponseLostError, StorageError
from atio.storage.backoff import Backoff
from tests.remote.proxy import Fault, Message, Proxy
from tests.remote.servers import QUICK, Server
from tests.support.share import at_most

HARMS = [fault for fault in Fault if fault is not Fault.NONE]
ONLY_BEFORE = (Fault.CUT_CONNECTION, Fault.RESET, Fault.BUSY, Fault.THROTTLED, Fault.CUT_REQUEST)
LANDED = (Fault.DROP_RESPONSE, Fault.CUT_RESPONSE, Fault.HOLD_RESPONSE, Fault.FAILED_AFTER)
HELD = (Fault.HOLD_REQUEST, Fault.HOLD_LONGER)


def first(fault: Fault, when: Callable[[Message], bool] = lambda _: True) -> Callable[[Message], Fault]:
    """The first such request meets the fault."""
    left = [fault]
    return lambda message: left.pop() if left and when(message) else Fault.NONE


@pytest.mark.parametrize("fault", HARMS, ids=lambda fault: fault.name)
def test_a_swap_never_guesses(server: Server, folder: str, fault: Fault) -> None:
    """Landed is a token or "lost", never a conflict with oneself; what is surely not written is not there."""
    direct = server.storage(folder)
    old = direct.swap("current", b"old", None)
    with Proxy(server.port) as proxy:
        storage = server.at(proxy.port).storage(folder, QUICK, read_timeout=0.3)
        proxy.plan = first(fault)
        outcome: str | Exception
        try:
            outcome = storage.swap("current", b"new", old)
        except AtioError as error:
            outcome = error
        if fault in (Fault.DUPLICATE, Fault.DUPLICATE_LATE):
            value = direct.load("current")
            assert value is not None
            assert (value.data, value.token) == (b"new", outcome)
        else:
            assert isinstance(outcome, ResponseLostError)
            value = direct.load("current")
            assert value is not None
            assert value.data == (b"new" if fault in LANDED else b"old")
        # What comes late comes to nothing once somebody has built upon it.
        token = direct.swap("current", b"newer", value.token)
        proxy.release()
        value = direct.load("current")
        assert value is not None
        assert (value.data, value.token) == (b"newer", token)


@pytest.mark.parametrize("fault", HARMS, ids=lambda fault: fault.name)
def test_a_conflict_stays_one(server: Server, folder: str, fault: Fault) -> None:
    """A swap that must not happen does not, however often its request arrives."""
    direct = server.storage(folder)
    old = direct.swap("current", b"old", None)
    new = direct.swap("current", b"new", old)
    with Proxy(server.port, first(fault)) as proxy:
        storage = server.at(proxy.port).storage(folder, QUICK, read_timeout=0.3)
        with pytest.raises((ConflictError, ResponseLostError)):
            storage.swap("current", b"late", old)
        proxy.release()
    value = direct.load("current")
    assert value is not None
    assert (value.data, value.token) == (b"new", new)


@pytest.mark.parametrize("fault", HARMS, ids=lambda fault: fault.name)
def test_everything_else_is_simply_done(server: Server, folder: str, fault: Fault) -> None:
    """Reads, creations, listings and deletions come through a fault as if there were none."""
    with Proxy(server.port) as proxy:
        storage = server.at(proxy.port).storage(folder, QUICK, read_timeout=0.3)

        def harm() -> None:
            proxy.plan = first(fault)

        harm()
        storage.create("data/a", b"content")
        harm()
        assert storage.read("data/a") == b"content"
        harm()
        assert storage.size("data/a") == 7
        harm()
        assert [(entry.path, entry.size) for entry in storage.list()] == [("data/a", 7)]
        harm()
        assert storage.load("data/b") is None
        harm()
        storage.delete(["data/a", "data/b"])
        if fault not in (Fault.DUPLICATE_LATE, *HELD):
            assert list(storage.list()) == []


@pytest.mark.parametrize("fault", HARMS, ids=lambda fault: fault.name)
@pytest.mark.parametrize(
    "request_number", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 1, 4, 5)[: at_most(4)])]
)
def test_uploads_in_parts(server: Server, folder: str, fault: Fault, request_number: int) -> None:
    """Any request of an upload may meet any fault: the object is whole."""
    content = random.Random(1).randbytes((16 << 20) + 7)
    count = itertools.count(1)
    with Proxy(server.port, lambda _: fault if next(count) == request_number else Fault.NONE) as proxy:
        storage = server.at(proxy.port).storage(folder, QUICK, read_timeout=1.0 if fault.slow else 30.0)
        sink = storage.sink("data/a")
        try:
            for start in range(0, len(content), 3 << 20):
                sink.write(content[start : start + (3 << 20)])
            sink.close()
        except StorageError:
            # This server cannot resume (it appends whatever comes): see test_resumable.py.
            assert server.scheme == "gs"
            return
    direct = server.storage(folder)
    assert direct.read("data/a") == content


def test_a_server_that_is_down(server: Server, folder: str) -> None:
    """Patience ends; what was surely not sent is said to be surely not written."""
    pauses: list[float] = []
    backoff = Backoff(attempts=4, sleep=pauses.append, uniform=lambda low, high: high)
    with Proxy(server.port) as proxy:
        port = proxy.port
    storage = server.at(port).storage(folder, backoff)
    calls: list[Callable[[], object]] = [
        lambda: storage.load("current"),
        lambda: storage.swap("current", b"x", "0"),
        lambda: storage.create("data/a", b"x"),
    ]
    for call in calls:
        with pytest.raises(AtioError, match="cannot be reached") as caught:
            call()
        assert not isinstance(caught.value, OutcomeUnknownError)
    assert pauses == [0.2, 0.4, 0.8] * 3


def test_throttling_backs_off(server: Server, folder: str) -> None:
    """Pauses grow, and a server's own wish is heeded."""
    pauses: list[float] = []
    backoff = Backoff(attempts=5, sleep=pauses.append, uniform=lambda low, high: high)
    left = [Fault.THROTTLED, Fault.BUSY, Fault.BUSY]
    with Proxy(server.port, lambda _: left.pop() if left else Fault.NONE) as proxy:
        storage = server.at(proxy.port).storage(folder, backoff)
        assert storage.load("current") is None
        assert proxy.log.total == 4
    assert pauses == [0.0, 0.2, 0.0, 0.4, 0.0, 0.8]


# -- tables ------------------------------------------------------------------------------------


class Attack:
    """Chooses faults at random, more often where it hurts most."""

    def __init__(self, seed: int, often: float) -> None:
        self._random = random.Random(seed)
        self._often = often
        self.count = 0

    def __call__(self, message: Message) -> Fault:
        likely = self._often * (4 if message.writes_pointer else 1)
        if self._random.random() >= likely:
            return Fault.NONE
        self.count += 1
        fault = self._random.choice(HARMS)
        if fault.slow and self._random.random() < 0.7:  # these cost the client's patience
            return Fault.DROP_RESPONSE
        return fault


def append_under(server: Server, folder: str, attack: Attack, faults: int) -> Counter[int]:
    """Append until there were so many faults; returns how often each number is there."""
    storage = server.storage(folder)
    retry = RetryPolicy(attempts=12, pause=0.001, longest=0.05)
    expected: Counter[int] = Counter()
    unknown = set()
    with Proxy(server.port, attack) as proxy:
        harmed = server.at(proxy.port).storage(folder, QUICK, read_timeout=0.3)
        for number in itertools.count():
            if attack.count >= faults:
                break
            table = Table(harmed, retry=retry)
            try:
                table.append(pa.table({"number": [number]}))
            except OutcomeUnknownError:
                unknown.add(number)
            except AtioError:
                expected[number] = 0
            else:
                expected[number] = 1
        attack.count = -(10**9)
        proxy.release()
    table = Table(storage, retry=retry)
    found = Counter(table.to_arrow()["number"].to_pylist())
    assert table.verify().ok
    for number, times in expected.items():
        assert found[number] == times, f"append {number} is there {found[number]} times, not {times}"
    assert set(found) <= set(expected) | unknown
    assert all(found[number] <= 1 for number in unknown)
    # Unknown is for what cannot be told, not for what was not looked at.
    assert len(unknown) <= len(expected) // 20
    return found


def test_appends_under_faults(server: Server, folder: str) -> None:
    """The quick one."""
    assert append_under(server, folder, Attack(7, 0.1), 40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_appends_under_a_thousand_faults(server: Server, folder: str, seed: int) -> None:
    """Every acknowledged append is there exactly once, and nothing else."""
    assert append_under(server, folder, Attack(seed, 0.1), max(at_most(340), 100))


def test_a_copy_after_others_built_upon_the_first(server: Server, folder: str) -> None:
    """A swap sent twice, another commit in between: the refusal of the second copy is no conflict."""
    direct = server.storage(folder)
    Table(direct).append({"a": [0]})
    swaps = itertools.count(1)

    class Slow(Proxy):
        def _forward(self, message: Message) -> Any:
            if message.writes_pointer and next(swaps) == 2:
                Table(direct).append({"a": [100]})
            return super()._forward(message)

    with Slow(server.port, first(Fault.DUPLICATE, lambda m: m.writes_pointer)) as proxy:
        table = Table(server.at(proxy.port).storage(folder, QUICK))
        assert table.append({"a": [1]}).version == 2
    table = Table(server.storage(folder))
    assert table.to_arrow()["a"].to_pylist() == [0, 1, 100]
    assert table.verify().ok
