"""HTTP/1.1 on one connection: a request, and its answer whole or not at all.

The standard library's client takes headers that break off for whole ones. A write would seem refused,
or a token or size come out too short; so this reads for itself.
"""

from __future__ import annotations

import contextlib
import io
import re
import selectors
import socket
from collections.abc import Mapping
from typing import cast

from atio.errors import InputError
from atio.storage.files import flat
from atio.storage.remote.messages import LostError, Request, Response

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: .*)?\r?\n", re.DOTALL)
_HEX = re.compile(rb"[0-9a-fA-F]{1,16}")
_SLICE = 1 << 18
"""A socket's timeout is for one call: a slow line gets it anew for every slice of a body."""
_ONE_PACKET = 1 << 14
_LINE = 1 << 16
_HEADERS = 200
_ERROR_BODY = 1 << 16


class Wire:
    """A connected socket, plain or TLS."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._stream = cast(io.BufferedReader, connection.makefile("rb", buffering=1 << 16))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
            self._socket.close()

    @property
    def hung_up(self) -> bool:
        """Whether there is something to read where nothing was asked, which can only be the end."""
        with selectors.DefaultSelector() as selector:
            try:
                selector.register(self._socket, selectors.EVENT_READ)
            except (ValueError, OSError):
                return True
            return bool(selector.select(0))

    def exchange(
        self, request: Request, host: str, into: memoryview | None, limit: int
    ) -> tuple[Response, bool]:
        """Send and receive; also whether the connection can be used again.

        Raises
        ------
        LostError
            There was no whole answer.
        OSError
            Likewise.
        """
        all_sent = self._send(request, host)
        keeps, status, headers = self._head()
        while status < 200:  # 100 Continue and the like precede the answer.
            keeps, status, headers = self._head()
        bodiless = request.method == "HEAD" or status in (204, 304)
        good = 200 <= status < 300
        body, ended = b"", True
        if not bodiless and "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._chunks(limit if good else _ERROR_BODY, into if good else None)
        elif not bodiless:
            body, ended = self._sized(headers, limit if good else _ERROR_BODY, into if good else None, good)
        keeps = keeps and ended and all_sent and headers.get("connection", "").lower() != "close"
        return Response(status, headers, body), keeps

    def _send(self, request: Request, host: str) -> bool:
        """Send; False if the server stopped reading, which it may do once it knows its answer."""
        body = flat(request.body)
        lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if body.nbytes or request.method in ("PUT", "POST"):
            lines.append(f"Content-Length: {body.nbytes}")
        if any("\r" in line or "\n" in line for line in lines):
            raise InputError("a line end cannot stand in a request")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            if body.nbytes <= _ONE_PACKET:
                self._socket.sendall(head + body)
                return True
            self._socket.sendall(head)
            for start in range(0, body.nbytes, _SLICE):
                self._socket.sendall(body[start : start + _SLICE])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    # -- receiving -----------------------------------------------------------------------------

    def _line(self) -> bytes:
        line = self._stream.readline(_LINE)
        if not line.endswith(b"\n"):
            raise LostError("the connection broke: it ended early")
        return line

    def _head(self) -> tuple[bool, int, dict[str, str]]:
        """Whether the server keeps connections, the status, the headers."""
        first = _STATUS.fullmatch(self._line())
        if first is None:
            raise LostError("the connection broke: the answer is not HTTP")
        headers: dict[str, str] = {}
        while line := self._line().rstrip(b"\r\n"):
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()
            if len(headers) > _HEADERS:
                raise LostError("the connection broke: the answer has too many headers")
        return first[1] == b"1", int(first[2]), headers

    def _sized(
        self, headers: Mapping[str, str], limit: int, into: memoryview | None, good: bool
    ) -> tuple[bytes, bool]:
        """A body of known length, and whether all of it was read; of an error's the beginning will do."""
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            raise LostError("the connection broke: nobody can tell whether the answer is whole")
        size = int(length)
        if good and size > (limit if into is None else into.nbytes):
            raise LostError("the answer is longer than it can be")
        wanted = min(size, limit)
        if into is None:
            body = self._stream.read(wanted)
            found = len(body)
        else:
            body, found = b"", self._stream.readinto(into[:size])
            wanted = into.nbytes
        if found != wanted:
            raise LostError("the connection broke: it ended early")
        return body, size == wanted

    def _chunks(self, limit: int, into: memoryview | None) -> bytes:
        pieces = []
        total = 0
        while size := self._chunk_size():
            total += size
            if total > limit:
                raise LostError("the answer is longer than it can be")
            piece = self._stream.read(size)
            if len(piece) != size or self._line().strip():
                raise LostError("the connection broke: it ended early")
            pieces.append(piece)
        while self._line().strip():
            pass  # Trailers say nothing that is needed here.
        body = b"".join(pieces)
        if into is None:
            return body
        if len(body) != into.nbytes:
            raise LostError("the connection broke: it ended early")
        into[:] = body
        return b""

    def _chunk_size(self) -> int:
        digits = self._line().partition(b";")[0].strip()
        if not _HEX.fullmatch(digits):
            raise LostError("the connection broke: the answer is not HTTP")
        return int(digits, 16)
