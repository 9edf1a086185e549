"""Servers, one of each kind for a run, and a folder of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from atio.storage.remote.objects import ObjectStorage
from tests.remote import servers
from tests.remote.proxy import Proxy
from tests.remote.servers import Server

STARTERS = {"s3": servers.s3_server, "gs": servers.gcs_server, "az": servers.azure_server}


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Starts a server when it is first asked for."""
    running: dict[str, Server] = {}
    managers = []

    def start(scheme: str) -> Server:
        if scheme not in running:
            manager = STARTERS[scheme](tmp_path_factory.mktemp(scheme))
            running[scheme] = manager.__enter__()
            managers.append(manager)
        return running[scheme]

    yield start
    for manager in reversed(managers):
        manager.__exit__(None, None, None)


@pytest.fixture(params=["s3", "gs", "az"])
def server(request: pytest.FixtureRequest, started: Callable[[str], Server]) -> Server:
    return started(request.param)


@pytest.fixture
def s3(started: Callable[[str], Server]) -> Server:
    return started("s3")


@pytest.fixture
def folder() -> str:
    return f"folder/{uuid.uuid4().hex}"


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """On the way to the server; does no harm unless it is told to."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def storage(server: Server, proxy: Proxy, folder: str) -> ObjectStorage:
    """The test's folder by way of the proxy."""
    return server.at(proxy.port).storage(folder)
