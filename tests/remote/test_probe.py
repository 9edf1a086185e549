"""Servers that do not heed conditions are found out before a table is on them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from atio import Table
from atio.errors import ConflictError, ResponseLostError, UnsupportedError
from atio.storage.remote.objects import ObjectStorage
from tests.remote.proxy import Fault, Proxy
from tests.remote.servers import QUICK, Server

DROPS = {
    "creation": frozenset({"if-none-match"}),
    "replacement": frozenset({"if-match"}),
    "everything": frozenset({"if-none-match", "if-match"}),
}


@pytest.fixture(params=DROPS.values(), ids=DROPS)
def careless(s3: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    with Proxy(s3.port, drops=request.param) as proxy:
        yield s3.at(proxy.port)


def test_a_careless_server(careless: Server, folder: str) -> None:
    """No table is made there, and nothing is left over."""
    storage = careless.storage(folder)
    with pytest.raises(UnsupportedError, match=r"does not heed[^→]*→[^→]*single_writer"):
        Table(storage).append({"a": [1]})
    assert storage.load("current") is None
    with pytest.raises(UnsupportedError):
        storage.probe()
    assert [entry.path for entry in storage.list() if entry.path.endswith(".probe")] == []


def test_a_careless_gcs(started: object, folder: str) -> None:
    """Generations are parameters of the URL."""
    server: Server = started("gs")  # type: ignore[operator]
    with Proxy(server.port, drops=frozenset({"ifGenerationMatch"})) as proxy:
        storage = server.at(proxy.port).storage(folder)
        with pytest.raises(UnsupportedError, match="heed"):
            storage.swap("current", b"x", None)


def test_a_careful_server(server: Server, folder: str) -> None:
    """The trial passes, and leaves nothing."""
    storage = server.storage(folder)
    storage.probe()
    assert list(storage.list()) == []


@pytest.mark.parametrize("fault", [Fault.DROP_RESPONSE, Fault.CUT_CONNECTION, Fault.FAILED_AFTER])
def test_a_single_writer_knows_no_more(s3: Server, folder: str, fault: Fault) -> None:
    """A lost answer is as lost to who is alone."""
    token = s3.storage(folder).swap("current", b"old", None)
    with Proxy(s3.port, lambda m: fault if m.writes_pointer else Fault.NONE) as proxy:
        storage = ObjectStorage(s3.at(proxy.port).bucket(QUICK), folder, single_writer=True)
        with pytest.raises(ResponseLostError):
            storage.swap("current", b"new", token)


def test_a_single_writer_may_use_a_careless_server(careless: Server, folder: str) -> None:
    """Who says so writes; that the table cannot keep others out is declared."""
    storage = ObjectStorage(careless.bucket(), folder, single_writer=True)
    assert not storage.capabilities.swap
    table = Table(storage)
    for number in range(3):
        table.append(pa.table({"a": [number]}))
    assert table.to_arrow()["a"].to_pylist() == [0, 1, 2]
    assert table.verify().ok
    old = storage.load("current")
    assert old is not None
    table.append(pa.table({"a": [3]}))
    with pytest.raises(ConflictError):
        storage.swap("current", b"x", old.token)
    with pytest.raises(ConflictError):
        storage.swap("current", b"x", None)
