"""A proxy between client and server that counts requests, adds a round trip, and does them harm.

Nothing is left to chance: a request that is held back is let go at a chosen moment, not after some seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Self


class Fault(Enum):
    """What happens to one request."""

    NONE = "nothing"
    CUT_CONNECTION = "it never arrives, and the connection is cut"
    CUT_REQUEST = "half of it arrives, and the connection is cut"
    RESET = "the connection is reset before it is read"
    HOLD_REQUEST = "it arrives when the client has long given up, after the next request"
    HOLD_LONGER = "it arrives when the client has long given up, after the next three requests"
    DROP_RESPONSE = "it is carried out, and the connection is cut"
    CUT_RESPONSE = "it is carried out, and half of the answer arrives"
    HOLD_RESPONSE = "it is carried out, and the answer comes when the client has given up"
    DUPLICATE = "it arrives twice, and the second answer is passed on"
    DUPLICATE_LATE = "it arrives once more after the next request"
    BUSY = "it never arrives, and the answer is 503"
    THROTTLED = "it never arrives, and the answer is 429"
    FAILED_AFTER = "it is carried out, and the answer is 500"

    @property
    def slow(self) -> bool:
        """Whether the client has to wait until its patience ends."""
        return self in (Fault.HOLD_REQUEST, Fault.HOLD_LONGER, Fault.HOLD_RESPONSE)


@dataclass(frozen=True)
class Message:
    """A request, and which one it is."""

    number: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def writes_pointer(self) -> bool:
        """Whether it is a swap of the table's pointer, in any of the stores' languages."""
        if self.method == "PUT":
            return self.target.partition("?")[0].endswith("/current")
        return self.method == "POST" and b'/current"' in self.body[:2000]


@dataclass
class Seen:
    """A request that came by: when, in seconds, and with which answer (0: none)."""

    method: str
    target: str
    start: float
    end: float = math.inf
    status: int = 0


@dataclass
class Held:
    message: Message
    countdown: int


@dataclass
class Log:
    """What came by since ``clear``."""

    seen: list[Seen] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.seen)

    @property
    def depth(self) -> int:
        """The longest chain of requests of which each began when the one before it had ended."""
        depths: list[tuple[float, int]] = []  # end, depth
        for one in sorted(self.seen, key=lambda one: one.start):
            depths.append((one.end, 1 + max((depth for end, depth in depths if end <= one.start), default=0)))
        return max((depth for _, depth in depths), default=0)

    def clear(self) -> None:
        self.seen.clear()


class Proxy:
    """Listens on loopback and passes requests on to ``port``.

    Parameters
    ----------
    plan
        What is to happen to each request.
    latency
        Seconds that each request takes longer.
    drops
        Names of headers, in lower case, and of parameters that are not passed on.
    """

    def __init__(
        self,
        port: int,
        plan: Callable[[Message], Fault] = lambda _: Fault.NONE,
        *,
        latency: float = 0.0,
        drops: frozenset[str] = frozenset(),
    ) -> None:
        self.plan = plan
        self.latency = latency
        self.drops = drops
        self.before: Callable[[Message], object] = lambda _: None
        """Called when a request has come, before anything is done with it; may wait for others."""
        self.log = Log()
        self.done: dict[Fault, int] = {}
        self._target = port
        self._lock = threading.Lock()
        self._held: list[Held] = []
        self._count = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def release(self) -> None:
        """Let everything go that is held back."""
        with self._lock:
            held, self._held = self._held, []
        self._forward_late(held)

    # -- connections -----------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            with self._lock:
                self._open.add(client)
                self._threads = [t for t in self._threads if t.is_alive()] + [thread]
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as stream:
                while True:
                    message = self._receive(stream)
                    if message is None or not self._handle(message, client):
                        return
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(client)

    def _receive(self, stream: object) -> Message | None:
        line = stream.readline()  # type: ignore[attr-defined]
        if not line.strip():
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = []
        while raw := stream.readline().decode("latin-1").strip():  # type: ignore[attr-defined]
            name, _, value = raw.partition(":")
            headers.append((name, value.strip()))
        length = int(next((value for name, value in headers if name.lower() == "content-length"), 0))
        body = stream.read(length)  # type: ignore[attr-defined]
        with self._lock:
            self._count += 1
            return Message(self._count, method, target, tuple(headers), body)

    # -- one request -----------------------------------------------------------------------

    def _handle(self, message: Message, client: socket.socket) -> bool:
        """Returns whether the connection goes on."""
        seen = Seen(message.method, message.target, time.monotonic())
        self.log.seen.append(seen)
        self.before(message)
        fault = self.plan(message)
        with self._lock:
            self.done[fault] = self.done.get(fault, 0) + 1
        if self.latency:
            time.sleep(self.latency)
        try:
            return self._harm(message, fault, client, seen)
        finally:
            seen.end = time.monotonic()
            self._let_go()

    def _harm(self, message: Message, fault: Fault, client: socket.socket, seen: Seen) -> bool:
        if fault in (Fault.BUSY, Fault.THROTTLED):
            status = 503 if fault is Fault.BUSY else 429
            return self._reply(
                client, message, (status, [("Retry-After", "0")], b"<Error><Code>SlowDown</Code></Error>")
            )
        if fault is Fault.CUT_CONNECTION:
            return False
        if fault is Fault.RESET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if fault is Fault.CUT_REQUEST:
            self._forward_half(message)
            return False
        if fault in (Fault.HOLD_REQUEST, Fault.HOLD_LONGER):
            with self._lock:
                self._held.append(Held(message, 2 if fault is Fault.HOLD_REQUEST else 4))
            self._wait_until_given_up(client)
            return False
        answer = self._forward(message)
        seen.status = answer[0]
        if fault is Fault.DUPLICATE:
            answer = self._forward(message)
        elif fault is Fault.DUPLICATE_LATE:
            with self._lock:
                self._held.append(Held(message, 2))
        elif fault is Fault.FAILED_AFTER:
            answer = (500, [], b"<Error><Code>InternalError</Code></Error>")
        elif fault is Fault.HOLD_RESPONSE:
            self._wait_until_given_up(client)
            return False
        elif fault is Fault.DROP_RESPONSE:
            return False
        return self._reply(client, message, answer, whole=fault is not Fault.CUT_RESPONSE)

    def _let_go(self) -> None:
        with self._lock:
            for one in self._held:
                one.countdown -= 1
            due = [one for one in self._held if one.countdown <= 0]
            self._held = [one for one in self._held if one.countdown > 0]
        self._forward_late(due)

    def _forward_late(self, held: list[Held]) -> None:
        for one in held:
            with contextlib.suppress(OSError, http.client.HTTPException):  # nobody waits for the answer
                self._forward(one.message)

    def _wait_until_given_up(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client.settimeout(60)
            while client.recv(65536):
                pass

    def _forward(self, message: Message) -> tuple[int, list[tuple[str, str]], bytes]:
        server = http.client.HTTPConnection("127.0.0.1", self._target, timeout=60)
        try:
            path, _, query = message.target.partition("?")
            kept = [pair for pair in query.split("&") if pair and pair.partition("=")[0] not in self.drops]
            target = f"{path}?{'&'.join(kept)}" if kept else path
            server.putrequest(message.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in message.headers:
                if name.lower() not in {"connection", *self.drops}:
                    server.putheader(name, value)
            server.putheader("Connection", "close")
            server.endheaders(message.body)
            answer = server.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            server.close()

    def _forward_half(self, message: Message) -> None:
        lines = [f"{message.method} {message.target} HTTP/1.1", *(f"{n}: {v}" for n, v in message.headers)]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        with socket.create_connection(("127.0.0.1", self._target)) as server, contextlib.suppress(OSError):
            server.sendall(head + message.body[: len(message.body) // 2] if message.body else head[:-4])
            server.shutdown(socket.SHUT_WR)
            while server.recv(65536):
                pass

    def _reply(
        self,
        client: socket.socket,
        message: Message,
        answer: tuple[int, list[tuple[str, str]], bytes],
        *,
        whole: bool = True,
    ) -> bool:
        status, headers, body = answer
        skipped = {"connection", "transfer-encoding", "keep-alive"}
        bodiless = message.method == "HEAD" or status in (204, 304)
        if not bodiless:
            skipped.add("content-length")
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '?')}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() not in skipped]
        if not bodiless:
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if bodiless else body)
        client.sendall(
            data if whole else data[: max(1, len(data) - max(1, len(body) // 2) if body else len(data) // 2)]
        )
        return whole
