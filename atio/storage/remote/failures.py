"""Answers that say no, in words of atio. Nothing of a request is repeated, so no credentials are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atio.errors import (
    AccessError,
    AtioError,
    MissingDependencyError,
    NotFoundError,
    StorageError,
    StorageFullError,
    UnsupportedError,
)
from atio.storage.remote.messages import Response

_FULL = ("QuotaExceeded", "quotaExceeded", "InsufficientCapacity", "AccountStorageQuotaExceeded")
_LONGEST = 300
_ECHO = re.compile(r"(?i)authorization:|AWS4-HMAC-SHA256 Credential|SharedKey \S+:|Bearer \S")
"""Where a server begins to repeat the credentials that it was sent."""


class UnsettledError(StorageError):
    """No answer told whether a request was carried out: it may have been."""


@contextmanager
def harmless() -> Iterator[None]:
    """For requests that change nothing anybody sees: whether a failed one was carried out is no question."""
    try:
        yield
    except UnsettledError as error:
        raise StorageError(error.message, file=error.file, hint=error.hint) from None


def refusal(
    answer: Response, file: str, said: tuple[str, str], redact: Callable[[str], str] = lambda text: text
) -> AtioError:
    """The error for an answer that is no success; ``said`` are the store's own code and message."""
    code, message = (_ECHO.split(redact(" ".join(text.split())))[0][:_LONGEST] for text in said)
    text = f"the store answered {answer.status}" + "".join(f", {word}" for word in (code, message) if word)
    if answer.status in (401, 403):
        return AccessError(
            text,
            file=file,
            hint="check the credentials and what they allow: reading, writing, deleting and listing objects",
        )
    if answer.status == 404:
        return NotFoundError(
            text, file=file, hint="check the name of the bucket; atio does not create buckets"
        )
    if 300 <= answer.status < 400:
        return StorageError(
            f"{text}: it sends us elsewhere, where credentials must not follow",
            file=file,
            hint="give the bucket's own region or endpoint",
        )
    if answer.status == 501:
        return UnsupportedError(text, file=file, hint="this server lacks what atio needs of an object store")
    if code in _FULL or answer.status == 507:
        return StorageFullError(text, file=file, hint="free some space or raise the quota, then write again")
    cls = UnsettledError if answer.status >= 500 else StorageError
    return cls(text, file=file, hint="try again; if it stays, the store's own log knows more")


def missing(library: str, extra: str, why: str) -> MissingDependencyError:
    return MissingDependencyError(f"{why} needs {library}", hint=f"pip install 'atio[{extra}]'")
