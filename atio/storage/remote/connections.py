"""Connections to one server, kept between requests.

No redirect is followed: credentials and conditions are meant for the server they were made for, and a PUT
that is answered by another server's 200 has written nothing. Nothing is repeated here.
"""

from __future__ import annotations

import atexit
import os
import socket
import threading
import time
import weakref
from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from atio.errors import AccessError, InputError
from atio.storage.remote.messages import Endpoint, Line, LostError, Request, Response, UnreachableError
from atio.storage.remote.wire import Wire

if TYPE_CHECKING:
    import ssl

_IDLE = 20.0
"""Seconds after which a server may be closing an idle connection just now."""
_KEPT = 32
_BODY = 64 << 20
"""Bytes: no listing or other answer that is not an object's content is longer."""


@lru_cache(maxsize=16)
def connections(endpoint: Endpoint, line: Line) -> Connections:
    """The connections of this process to a server: tables of one store share them."""
    return Connections(endpoint, line)


class Connections:
    """Connections to one server. For any number of threads."""

    def __init__(self, endpoint: Endpoint, line: Line) -> None:
        self.endpoint = endpoint
        self._line = line
        self._context: ssl.SSLContext | None = None
        self._forget()
        self._proxy = _proxy(endpoint)
        _alive.add(self)

    def _forget(self) -> None:
        """Start anew, as in a forked child, whose sockets and locks are the parent's."""
        self._lock = threading.Lock()
        self._idle: list[tuple[Wire, float]] = []

    def send(self, request: Request, *, into: memoryview | None = None, limit: int = _BODY) -> Response:
        """Send once.

        Parameters
        ----------
        into
            Where the body of a success goes; it must fill it exactly. The answer's body is empty then.
        limit
            The longest body of a success, in bytes.

        Raises
        ------
        UnreachableError
            Surely not sent.
        LostError
            Perhaps carried out.
        """
        wire = self._take()
        try:
            response, reusable = wire.exchange(request, self.endpoint.authority, into, limit)
        except OSError as error:
            wire.close()
            raise LostError(f"the connection broke: {_why(error)}") from None
        except BaseException:
            wire.close()
            raise
        if reusable:
            self._give_back(wire)
        else:
            wire.close()
        return response

    def _take(self) -> Wire:
        now = time.monotonic()
        while True:
            with self._lock:
                if not self._idle:
                    break
                wire, since = self._idle.pop()
            if now - since < _IDLE and not wire.hung_up:
                return wire
            wire.close()
        return self._connect()

    def _give_back(self, wire: Wire) -> None:
        with self._lock:
            if len(self._idle) < _KEPT:
                self._idle.append((wire, time.monotonic()))
                return
        wire.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for wire, _ in idle:
            wire.close()

    __del__ = close

    # -- connecting ----------------------------------------------------------------------------

    def _connect(self) -> Wire:
        context = self._trust() if self.endpoint.scheme == "https" else None
        target = self._proxy or self.endpoint
        try:
            connection = socket.create_connection((target.host, target.port), self._line.connect_timeout)
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._proxy is not None:
                    self._tunnel(connection, self._proxy)
                if context is not None:
                    connection = context.wrap_socket(connection, server_hostname=self.endpoint.host)
            except BaseException:
                connection.close()
                raise
        except (OSError, LostError) as error:
            raise self._unreachable(error) from None
        connection.settimeout(self._line.read_timeout)
        return Wire(connection)

    def _unreachable(self, error: Exception) -> Exception:
        if type(error).__name__ == "SSLCertVerificationError":  # ssl is imported where it is needed only
            return AccessError(
                f"the certificate of {self.endpoint.authority} is not to be believed: {_why(error)}",
                hint="name the authority that signed it: storage_options={'verify': 'path/of/ca.pem'}",
            )
        return UnreachableError(f"{self.endpoint.authority} cannot be reached: {_why(error)}")

    def _tunnel(self, connection: socket.socket, proxy: _Proxy) -> None:
        place = f"{self.endpoint.host}:{self.endpoint.port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", *proxy.headers, "", ""]
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):  # Byte by byte: what follows is TLS.
            byte = connection.recv(1)
            if not byte or len(answer) > _BODY:
                raise LostError("the proxy hung up")
            answer += byte
        if answer.split(b" ", 2)[1][:1] != b"2":
            raise LostError("the proxy refused")

    def _trust(self) -> ssl.SSLContext:
        if self._context is None:
            import ssl

            verify = self._line.verify
            try:
                context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
            except OSError:
                raise InputError(
                    "the file of trusted certificates cannot be read", hint="give a PEM file as verify"
                ) from None
            if verify is False:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._context = context
        return self._context


_alive: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for one in list(_alive):
        one._forget()  # noqa: SLF001 - of this module


def _at_exit() -> None:
    for one in list(_alive):
        one.close()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Proxy(msgspec.Struct, frozen=True):
    host: str
    port: int
    headers: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<proxy {self.host}:{self.port}>"


def _proxy(endpoint: Endpoint) -> _Proxy | None:
    """The proxy that the environment names (``HTTPS_PROXY``, ``NO_PROXY``), for TLS only.

    A proxy would read the credentials of a plain request.
    """
    if endpoint.scheme == "http" or endpoint.loopback:
        return None
    import urllib.request

    url = urllib.request.getproxies().get("https")
    if not url or urllib.request.proxy_bypass(endpoint.host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise InputError("HTTPS_PROXY is not a URL of the form http://host:port")
    headers: tuple[str, ...] = ()
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers = (f"Proxy-Authorization: Basic {b64encode(words).decode()}",)
    return _Proxy(parts.hostname, parts.port or 8080, headers)


def _why(error: BaseException) -> str:
    """What happened in a few words, with nothing of what was sent."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, LostError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
