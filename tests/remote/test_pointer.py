"""The pointer where it is not as it should be."""

from __future__ import annotations

from tests.remote.servers import Server


def test_an_empty_pointer_can_be_replaced(server: Server, folder: str) -> None:
    """A store that lost the content did not lose the token; repair needs it."""
    storage = server.storage(folder)
    token = storage.swap("current", b"", None)
    value = storage.load("current")
    assert value is not None
    assert (value.data, value.token) == (b"", token)
    storage.swap("current", b"mended", value.token)
    assert storage.read("current") == b"mended"
