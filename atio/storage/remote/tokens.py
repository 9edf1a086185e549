"""Bearer tokens: fetched by somebody else, kept until shortly before they expire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from atio.storage.remote.messages import Request
from atio.storage.remote.secret import Secret, redacted

_MARGIN = 300.0


class Bearer:
    """Signs with a token.

    Parameters
    ----------
    fetch
        Returns a token and the time of its end, in seconds since the epoch.
    """

    def __init__(
        self, fetch: Callable[[], tuple[Secret, float]], clock: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._end = 0.0

    def sign(self, request: Request, host: str) -> Request:
        del host
        with self._lock:
            if self._token is None or self._clock() > self._end - _MARGIN:
                self._token, self._end = self._fetch()
            token = self._token
        return request.with_headers(Authorization=f"Bearer {token.reveal()}")

    def redact(self, text: str) -> str:
        return redacted(text, [self._token] if self._token else [])
