"""What is made of a store's refusals: "taken", "busy with another's" and "never" are three things."""

from __future__ import annotations

from typing import Any

import pytest

from atio import Table
from atio.errors import ExistsError, OutcomeUnknownError, ResponseLostError, StorageError
from tests.remote.proxy import Message, Proxy
from tests.remote.servers import QUICK, Server
from tests.remote.test_security import Talker, storage_at


class Contended(Proxy):
    """The store answers the next few writes of a file with 409: it is at another one of the same name."""

    def __init__(self, server: Server, name: str, count: int) -> None:
        super().__init__(server.port)
        self.name = name
        self.left = count

    def _forward(self, message: Message) -> tuple[int, list[tuple[str, str]], bytes]:
        path = message.target.partition("?")[0]
        named = path.endswith(self.name) or f'{self.name}"'.encode() in message.body[:2000]
        if self.left and named and message.method in ("PUT", "POST"):
            self.left -= 1
            return 409, [], b"<Error><Code>ConditionalRequestConflict</Code></Error>"
        return super()._forward(message)


def test_a_contended_file(server: Server, folder: str) -> None:
    """It is tried again, or said to be contended; one that is there is another matter."""
    direct = server.storage(folder)
    with Contended(server, "/a", 2) as proxy:
        storage = server.at(proxy.port).storage(folder, QUICK)
        if server.scheme == "az":  # where it tells of something that does not pass by itself
            with pytest.raises(StorageError, match="another writer is making it"):
                storage.create("data/a", b"mine")
            proxy.left = 0
            storage.create("data/a", b"mine")
        else:
            storage.create("data/a", b"mine")
            assert proxy.log.total == 3
        assert direct.read("data/a") == b"mine"
        with pytest.raises(ExistsError):
            storage.create("data/a", b"other")
        assert direct.read("data/a") == b"mine"


def test_a_contended_swap(server: Server, folder: str) -> None:
    """What was refused and is unchanged is no conflict with anybody; the commit is made in the end."""
    direct = server.storage(folder)
    old = direct.swap("current", b"old", None)
    with Contended(server, "/current", 1) as proxy:
        with pytest.raises(ResponseLostError):
            server.at(proxy.port).storage(folder, QUICK).swap("current", b"new", old)
        value = direct.load("current")
        assert value is not None
        assert (value.data, value.token) == (b"old", old)
    table = Table(server.storage(folder + "-2"))
    table.append({"x": [0]})
    with Contended(server, "/current", 2) as proxy:
        harmed = Table(server.at(proxy.port).storage(folder + "-2", QUICK))
        assert harmed.append({"x": [1]}).version == 2
        assert proxy.left == 0
    assert table.to_arrow()["x"].to_pylist() == [0, 1]


@pytest.mark.parametrize(
    ("status", "code"),
    [(412, "LeaseIdMissing"), (409, "BlobImmutableDueToPolicy"), (409, "InvalidBlobType")],
)
def test_what_azure_forbids_is_no_condition(status: int, code: str) -> None:
    """It stays forbidden: surely not written, and said with the store's own word."""

    def refuse(_: Any) -> tuple[int, dict[str, str], bytes]:
        return status, {"x-ms-error-code": code}, f"<Error><Code>{code}</Code></Error>".encode()

    with Talker(refuse) as server:
        storage = storage_at(server.port, "az")
        for call in (lambda: storage.swap("current", b"x", '"1"'), lambda: storage.create("data/a", b"x")):
            with pytest.raises(StorageError, match=code) as caught:
                call()
            assert not isinstance(caught.value, OutcomeUnknownError)
        assert len(server.heard) == 2, "nothing was tried again"
