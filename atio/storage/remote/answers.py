"""What the three services answer in the same way."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from atio.errors import AtioError, StorageError
from atio.storage.remote.bucket import Bucket, Facts, Part
from atio.storage.remote.client import Client
from atio.storage.remote.messages import Response

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


class AnsweringBucket(Bucket):
    """A bucket that is spoken to in HTTP."""

    _client: Client

    @property
    def server(self) -> str:
        return self._client.server

    @abstractmethod
    def refusal(self, answer: Response, key: str) -> AtioError:
        """The error for an answer that is no success."""

    @abstractmethod
    def lacks(self, answer: Response) -> bool:
        """Whether it says that there is no such object; that there is no such bucket is another matter."""

    def part(self, answer: Response, key: str, start: int, token: str) -> Part | None:
        """The range that an answer holds, None if there is no object; ``token`` is the header of that.

        Raises
        ------
        StorageError
            It is not the range that was asked for: some servers and proxies know none.
        """
        if answer.status == 416:
            return Part(b"", "", 0)
        if self.lacks(answer):
            return None
        if answer.status not in (200, 206):
            raise self.refusal(answer, key)
        found = answer.headers.get(token, "")
        if not found:
            raise StorageError("the store told no token of the object", file=f"{self.url}/{key}")
        if answer.status == 200 and start == 0:
            return Part(answer.body, found, int(answer.headers.get("content-length", len(answer.body))))
        span = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if answer.status != 206 or span is None or int(span[1]) != start:
            raise StorageError(
                "the store sent another range than was asked for",
                file=f"{self.url}/{key}",
                hint="something on the way does not pass Range headers on",
            )
        return Part(answer.body, found, int(span[3]))

    def facts(self, answer: Response, key: str, mark: str) -> Facts | None:
        """What an answer to HEAD tells, None if there is no object; ``mark`` is a header."""
        if self.lacks(answer):
            return None
        if answer.status != 200:
            raise self.refusal(answer, key)
        length = answer.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            raise StorageError("the store told no size of the object", file=f"{self.url}/{key}")
        return Facts(int(length), answer.headers.get("etag", ""), answer.headers.get(mark, ""))


@contextmanager
def understood(file: str) -> Iterator[None]:
    """Where answers are taken apart: one that lacks what the protocol promises is an error of the store's."""
    try:
        yield
    except AtioError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration):
        raise StorageError("the store's answer is not what was expected", file=file) from None


def span(start: int, stop: int) -> dict[str, str]:
    """The header that asks for bytes ``start … stop``."""
    return {"Range": f"bytes={start}-{stop - 1}"}
