"""An answer is whole or it is lost."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio.errors import InputError
from atio.storage.remote.messages import LostError, Request, Response
from atio.storage.remote.wire import Wire


def exchange(
    data: bytes, method: str = "GET", limit: int = 1000, into: memoryview | None = None
) -> tuple[Response, bool]:
    """What is made of these bytes, after which the server hangs up."""
    mine, theirs = socket.socketpair()
    wire = Wire(mine)
    try:
        with theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            return wire.exchange(Request(method, "/x"), "host", into, limit)
    finally:
        wire.close()


SIZED = b'HTTP/1.1 200 OK\r\nETag: "abc"\r\nContent-Length: 10\r\n\r\n0123456789'
CHUNKED = (
    b"HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4;ext=1\r\n0123\r\n006\r\n456789\r\n0\r\nTrailer: x\r\n\r\n"
)
EMPTY = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "abc"\r\n\r\n'
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED
REFUSED = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 4\r\n\r\nbody"
NOTHING = b"HTTP/1.1 204 No Content\r\nx-amz-request-id: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (SIZED, b"0123456789"),
        (CHUNKED, b"0123456789"),
        (EMPTY, b""),
        (CONTINUED, b"0123456789"),
        (REFUSED, b"body"),
        (NOTHING, b""),
        (SIZED.replace(b"\r\n", b"\n"), b"0123456789"),
    ],
    ids=["sized", "chunked", "empty", "continued", "refused", "nothing", "bare line ends"],
)
def test_every_place_to_break_off(data: bytes, body: bytes) -> None:
    """At no byte before the last is there an answer, and so no shorter token, size or content."""
    response, reusable = exchange(data)
    assert response.body == body
    assert reusable
    for end in range(len(data)):
        with pytest.raises((LostError, OSError)):
            exchange(data[:end])
    if len(body) == 10:
        space = bytearray(10)
        response, _ = exchange(data, into=memoryview(space))
        assert (response.body, bytes(space)) == (b"", body)
        for size in (9, 11):
            with pytest.raises(LostError):
                exchange(data, into=memoryview(bytearray(size)))


def test_head_has_no_body() -> None:
    """The length is that of the object."""
    head = SIZED.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    response, reusable = exchange(head, "HEAD")
    assert response.headers["content-length"] == "10"
    assert reusable


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nContent-Length: ٣\r\n\r\nabc".encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(300)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\r\n",
        b"",
    ],
)
def test_answers_that_are_none(data: bytes) -> None:
    """They are lost, at no cost in memory."""
    with pytest.raises((LostError, OSError)):
        exchange(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: SIZED[:30] + tail))
def test_noise(data: bytes) -> None:
    """Nothing else comes out than an answer or its loss."""
    with contextlib.suppress(LostError, OSError):
        exchange(data)


def test_connections_that_end() -> None:
    """They are used again only where the server said that they can be."""
    assert not exchange(SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"))[1]
    assert not exchange(SIZED.replace(b'ETag: "abc"', b"Connection: close"))[1]
    long = b"HTTP/1.1 500 Oops\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    response, reusable = exchange(long)
    assert len(response.body) < 100_000
    assert not reusable


def test_nothing_is_smuggled_in() -> None:
    """A line end in a header would begin another one."""
    mine, theirs = socket.socketpair()
    wire = Wire(mine)
    with theirs, pytest.raises(InputError):
        wire.exchange(Request("GET", "/x", headers={"If-Match": "1\r\nX: y"}), "host", None, 10)
    wire.close()
