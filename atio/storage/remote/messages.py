"""Requests, answers, addresses, and the two ways in which there is no answer."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import msgspec

from atio.errors import InputError
from atio.storage.base import Buffer

_PORTS = {"http": 80, "https": 443}


class UnreachableError(Exception):
    """No connection could be made: nothing was sent."""


class LostError(Exception):
    """It was sent, at least in part, and the answer did not arrive whole: it may have taken effect."""


class Request(msgspec.Struct, frozen=True):
    """One request; ``path`` is percent-encoded, ``query`` is not."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}
    body: Buffer = b""

    def __repr__(self) -> str:
        """Without headers and query, where credentials are; tracebacks can show it."""
        return f"<{self.method} {self.path}>"

    @property
    def target(self) -> str:
        return f"{self.path}?{encoded(self.query)}" if self.query else self.path

    def with_headers(self, **headers: str) -> Request:
        """Add headers; ``_`` stands for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return msgspec.structs.replace(self, headers={**self.headers, **named})


class Response(msgspec.Struct, frozen=True):
    """A whole answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Without what a server says: it may repeat what it was told."""
        return f"<answer {self.status}>"


def encoded(query: tuple[tuple[str, str], ...]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)


class Endpoint(msgspec.Struct, frozen=True):
    """A server's address; ``path`` stands before the path of every request."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            parts, port = None, 0
        if parts is None or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
            # The text is not repeated: there may be a password in it.
            raise InputError(
                "the endpoint is not a URL of the form https://host[:port][/path]",
                hint="give credentials as storage_options, not in the URL",
            )
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """Host and port as the Host header says them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        import ipaddress

        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False


class Line(msgspec.Struct, frozen=True):
    """How to reach a server: seconds to wait, and whose certificate to believe.

    Attributes
    ----------
    verify
        False believes anyone; a text is the path of certificates (PEM) of authorities.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    verify: bool | str = True
