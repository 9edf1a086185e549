"""What things cost: requests, and how many of them wait for each other."""

from __future__ import annotations

import itertools
import math
import random
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from atio import Table
from atio.storage import MemoryStorage
from atio.storage.remote import objects
from atio.storage.remote.objects import ObjectStorage
from tests.remote.proxy import Message, Proxy, Seen
from tests.remote.servers import Server


def meet(count: int, first: int = 0) -> Callable[[Message], object]:
    """Let nothing through until there are so many at once; ``first`` requests precede them."""
    barrier = threading.Barrier(count, timeout=30)
    left = [None] * first

    def wait(_: Message) -> None:
        if left:
            left.pop()
        else:
            barrier.wait()

    return wait


def test_one_request_each(storage: ObjectStorage, proxy: Proxy) -> None:
    """What tables do all the time is one request."""
    token = storage.swap("current", b"0", None)  # with a trial of the server
    steps: list[Callable[[], object]] = [
        lambda: storage.load("current"),
        lambda: storage.load("missing"),
        lambda: storage.swap("current", b"1", token),
        lambda: storage.create("data/a", b"x" * 1_000_000),
        lambda: storage.read("data/a"),
        lambda: storage.read("data/a", 17, 100),
        lambda: storage.read("data/a", 0, 1_000_001),
        lambda: storage.size("data/a"),
        lambda: storage.delete(["data/a"]),
        lambda: list(storage.list()),
    ]
    for number, step in enumerate(steps):
        proxy.log.clear()
        step()
        assert proxy.log.total == 1, number


def test_several_at_once(storage: ObjectStorage, proxy: Proxy) -> None:
    """Objects that are written together wait for nothing; nor do deletions."""
    proxy.before = meet(8)
    storage.create_all({f"data/{number}": b"x" for number in range(8)})
    assert (proxy.log.total, proxy.log.depth) == (8, 1)
    proxy.log.clear()
    requests = 1 if storage.url.startswith("s3://") else 8
    proxy.before = meet(requests)
    storage.delete([f"data/{number}" for number in range(8)])
    assert (proxy.log.total, proxy.log.depth) == (requests, 1)


def test_an_append(storage: ObjectStorage, proxy: Proxy) -> None:
    """The pointer is read, rows and snapshot are written at once, the pointer is swapped."""
    table = Table.open(storage)
    for number in range(3):
        table.append({"x": [number]})
    proxy.log.clear()
    table.append({"x": [3]})
    assert proxy.log.total == 4
    assert table.to_arrow()["x"].to_pylist() == [0, 1, 2, 3]


def test_an_append_to_a_table_opened_just_now(storage: ObjectStorage, proxy: Proxy) -> None:
    """Four round trips as well: what the pointer names comes at once, and what is new goes at once."""
    Table(storage).append({"x": [0]})
    numbers, pair = itertools.count(), threading.Barrier(2, timeout=30)

    def in_pairs(_: Message) -> None:
        if 1 <= next(numbers) <= 4:
            pair.wait()

    proxy.log.clear()
    proxy.before = in_pairs
    assert Table(storage).append({"x": [1]}).version == 2
    assert (proxy.log.total, proxy.log.depth) == (6, 4)


def test_opening(storage: ObjectStorage, proxy: Proxy) -> None:
    """The pointer, then all that it names at once."""
    table = Table.open(storage)
    table.append({"x": [1]})
    proxy.log.clear()
    proxy.before = meet(2, first=1)
    assert Table.open(storage).snapshot().schema.names == ["x"]
    assert (proxy.log.total, proxy.log.depth) == (3, 2)
    proxy.before = lambda _: None
    table.tag("v1")
    proxy.log.clear()
    proxy.before = meet(3, first=1)
    opened = Table.open(storage)
    assert opened.snapshot().rows == 1
    assert (proxy.log.total, proxy.log.depth) == (4, 2)
    proxy.before = lambda _: None
    proxy.log.clear()
    assert opened.snapshot().rows == 1
    assert proxy.log.total == 1, "the rest is in memory"


def test_verifying(storage: ObjectStorage, proxy: Proxy) -> None:
    """Files of all versions are asked about at once; a damaged one is named once, with its versions."""
    table = Table.create(storage, properties={"append.merge": "false"})
    for number in range(12):
        table.append({"x": [number, -1]})
    table.delete("x = 3")
    files = table.snapshot().files()
    proxy.log.clear()
    proxy.latency = 0.02
    for deep in (False, True):
        proxy.log.clear()
        assert table.verify(deep=deep).ok
        assert proxy.log.depth <= proxy.log.total / 2
    storage.delete([files[7].path])
    proxy.latency = 0.0
    for deep in (False, True):
        (problem,) = table.verify(deep=deep).problems
        assert (problem.file, problem.versions) == (files[7].path, tuple(range(8, 14)))


def test_large_objects(storage: ObjectStorage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read in pieces at once, two round trips in all, and come out as they went in."""
    monkeypatch.setattr(objects, "_LARGE", 2 << 20)
    monkeypatch.setattr(objects, "_RANGE", 1 << 20)
    monkeypatch.setattr(objects, "_READERS", 8)
    content = random.Random(3).randbytes((7 << 20) + 11)
    storage.create("data/a", content)
    ranges = ((0, None, 6), (1, None, 6), (5, 4 << 20, 3), (7, 1 << 40, 7), (6 << 20, None, 0))
    for offset, length, pieces in ranges:
        proxy.log.clear()
        proxy.before = meet(max(1, pieces), first=1)
        end = None if length is None else offset + length
        assert storage.read("data/a", offset, length) == content[offset:end]
        assert proxy.log.total == 1 + pieces
        assert proxy.log.depth == (2 if pieces else 1)


def lists(seen: Seen) -> bool:
    """Whether a request asks for names, in any of the stores' languages."""
    path, _, query = seen.target.partition("?")
    asks = "list-type" in query or "comp=list" in query.split("&") or path.endswith("/o")
    return seen.method == "GET" and asks


def test_time_travel(server: Server, storage: ObjectStorage, proxy: Proxy, folder: str) -> None:
    """An old version takes no more requests in a row than the history has levels; nothing is listed."""
    local = Table(MemoryStorage())
    for number in range(400):
        local.append({"x": [number]})
    local.copy_to(server.storage(folder))
    for version in (1, 17, 200, 399):
        table = Table(storage)
        proxy.log.clear()
        assert table.snapshot(version).rows == version
        assert proxy.log.depth <= 2 + math.ceil(math.log2(400))
        assert not [seen.target for seen in proxy.log.seen if lists(seen)]


def test_only_vacuum_lists(storage: ObjectStorage, proxy: Proxy) -> None:
    """Whatever else is done with a table that is there; making one looks for the remains of another."""
    table = Table.create(storage)
    proxy.log.clear()
    for number in range(4):
        table.append({"x": [number]})
    table.tag("v1", version=2)
    table.overwrite({"x": [9]})
    table.restore(3)
    assert Table(storage).snapshot("v1").to_arrow().num_rows == 2
    table.compact()
    table.expire(keep_last=2)
    assert table.verify().ok
    assert not [seen.target for seen in proxy.log.seen if lists(seen)]
    table.vacuum(timedelta(0))
    assert len([seen.target for seen in proxy.log.seen if lists(seen)]) == 1
