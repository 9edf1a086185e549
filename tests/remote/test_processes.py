"""Several processes write to one table in a bucket."""

from __future__ import annotations

import os
from collections import Counter

import pyarrow as pa
import pytest

from atio import Table
from atio.storage import open_storage
from tests.remote.proxy import Fault, Proxy
from tests.remote.servers import Server
from tests.remote.test_faults import Attack
from tests.support.processes import FRESH


def append(server: Server, folder: str, who: int, count: int) -> list[int]:
    table = Table(open_storage(server.url(folder), storage_options=server.storage_options))
    return [table.append(pa.table({"who": [who], "number": [number]})).version for number in range(count)]


def check(server: Server, folder: str, results: list[list[int]], count: int) -> None:
    """Each append is there once, as the version that its writer was told."""
    table = Table(server.storage(folder))
    found = table.to_arrow()
    pairs = Counter(zip(found["who"].to_pylist(), found["number"].to_pylist(), strict=True))
    assert pairs == {(who, number): 1 for who in range(len(results)) for number in range(count)}
    assert sorted(version for versions in results for version in versions) == list(
        range(1, len(results) * count + 1)
    )
    assert table.verify().ok


@pytest.mark.parametrize(
    ("processes", "count"), [(3, 6), pytest.param(6, 20, marks=pytest.mark.slow)], ids=["quick", "six"]
)
def test_appends(server: Server, folder: str, processes: int, count: int) -> None:
    """None is lost, none is doubled."""
    with FRESH.Pool(processes) as pool:
        results = pool.starmap(append, [(server, folder, who, count) for who in range(processes)], 1)
    check(server, folder, results, count)


@pytest.mark.slow
def test_appends_under_faults(server: Server, folder: str) -> None:
    """Nor while the network fails them all."""
    with Proxy(server.port, Attack(11, 0.03)) as proxy, FRESH.Pool(4) as pool:
        harmed = Server(server.scheme, server.endpoint, {**server.options, "read_timeout": 2}).at(proxy.port)
        results = pool.starmap(append, [(harmed, folder, who, 12) for who in range(4)], 1)
        proxy.plan = lambda _: Fault.NONE
        proxy.release()
    check(server, folder, results, 12)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads, which is the point
def test_a_forked_child_goes_on(server: Server, folder: str) -> None:
    """Connections, locks and threads of the parent are not the child's: neither hangs nor mixes answers."""
    storage = server.storage(folder)
    storage.create_all({f"data/{number}": b"%d" % number for number in range(4)})
    child = os.fork()
    if child == 0:
        status = 1
        try:
            good = all(storage.read(f"data/{number}") == b"%d" % number for number in range(4))
            storage.create("data/child", b"child")
            status = 0 if good else 2
        finally:
            os._exit(status)
    for _ in range(20):
        for number in range(4):
            assert storage.read(f"data/{number}") == b"%d" % number
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert storage.read("data/child") == b"child"
