"""Requests that are signed, and repeated with growing pauses where that is harmless."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from atio.errors import StorageError
from atio.storage.backoff import Backoff
from atio.storage.remote.connections import Connections
from atio.storage.remote.failures import UnsettledError
from atio.storage.remote.messages import LostError, Request, Response, UnreachableError

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WISH = 30.0
"""Seconds: a server that asks for a longer pause gets this one."""


class Signer(Protocol):
    """Adds credentials to requests."""

    def sign(self, request: Request, host: str) -> Request: ...

    def redact(self, text: str) -> str:
        """Blank out the credentials in a text that somebody else wrote."""


class Client:
    """Sends to one server, as one user."""

    def __init__(self, connections: Connections, signer: Signer, backoff: Backoff) -> None:
        self._connections = connections
        self._signer = signer
        self._backoff = backoff

    @property
    def server(self) -> str:
        place = self._connections.endpoint
        return f"{place.scheme}://{place.authority}{place.path}"

    def redact(self, text: str) -> str:
        return self._signer.redact(text)

    def send(
        self,
        request: Request,
        *,
        into: memoryview | None = None,
        limit: int | None = None,
        again: Callable[[Response], bool] = lambda _: False,
    ) -> Response:
        """Send until there is an answer that repeating would not change.

        Parameters
        ----------
        again
            Further answers, besides those that say "busy", after which to repeat.

        Raises
        ------
        StorageError
            Nothing came through. Of ``UnsettledError``, an attempt may have taken effect.
        """
        answer: Response | None = None
        why, cls = "", StorageError
        for attempt in self._backoff.tries():
            try:
                answer = self._once(request, into, limit)
            except (UnreachableError, LostError) as error:
                answer, why = None, str(error)
                cls = UnsettledError if isinstance(error, LostError) else cls
            else:
                if not (busy(answer) or again(answer)):
                    break
                if attempt + 1 < self._backoff.attempts:
                    self._wait_as_told(answer)
        if answer is None:
            raise cls(
                f"{why} ({self._backoff.attempts} attempts)", hint="try again when the store can be reached"
            )
        return answer

    def send_once(self, request: Request) -> Response:
        """Send a request that must not be repeated unseen; the answer, if any, is its outcome.

        Raises
        ------
        StorageError
            Surely not sent.
        LostError
            Perhaps carried out.
        """
        why = ""
        for _ in self._backoff.tries():
            try:
                answer = self._once(request, None, None)
            except UnreachableError as error:
                why = str(error)
                continue
            if busy(answer) or (answer.status >= 500 and answer.status != 501):
                raise LostError(f"the answer is {answer.status}, which settles nothing")
            return answer
        raise StorageError(why, hint="try again when the store can be reached")

    def _once(self, request: Request, into: memoryview | None, limit: int | None) -> Response:
        signed = self._signer.sign(request, self._connections.endpoint.authority)
        if limit is None:
            return self._connections.send(signed, into=into)
        return self._connections.send(signed, into=into, limit=limit)

    def _wait_as_told(self, answer: Response) -> None:
        with suppress(KeyError, ValueError):
            self._backoff.sleep(min(_LONGEST_WISH, max(0.0, float(answer.headers["retry-after"]))))


def busy(answer: Response) -> bool:
    """Whether it says that the server could not now, and may or may not have begun."""
    return answer.status in _BUSY or (answer.status == 400 and b"<Code>RequestTimeout</Code>" in answer.body)


def settled(answer: Response) -> Response:
    """Return it, unless it sends us elsewhere: whether anything was written there is not known.

    Raises
    ------
    LostError
        It is no answer to what was asked.
    """
    if not 200 <= answer.status < 300 and answer.status < 400:
        raise LostError(f"the answer is {answer.status}, which settles nothing")
    return answer


def told(token: str) -> str:
    """Return it, unless it is none: then what was written is not known well enough.

    Raises
    ------
    LostError
        It is empty.
    """
    if not token:
        raise LostError("the answer does not tell the token of what was written")
    return token
