"""What a table needs of a bucket, whoever runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import msgspec

from atio.storage.base import Buffer, Entry


class Condition(msgspec.Struct, frozen=True):
    """What must be there for a write to happen: the object with this token; None: no object."""

    token: str | None


class Part(msgspec.Struct, frozen=True):
    """A range of an object, and from the same answer the token and size of all of it."""

    data: bytes
    token: str
    size: int


class Facts(msgspec.Struct, frozen=True):
    """An object without its content; ``mark`` is what its writer called the write ("" if nothing)."""

    size: int
    token: str
    mark: str


class TakenError(Exception):
    """The condition does not hold: nothing was written now.

    But perhaps by an earlier attempt of the same request, whose answer was lost or which somebody on the
    way repeated.
    """


class ContendedError(Exception):
    """Another write was under way (409): nothing was written."""


class Upload(ABC):
    """A new object sent in parts."""

    parallel: ClassVar[bool]
    """Whether several parts may be sent at once."""

    @abstractmethod
    def part(self, number: int, data: Buffer) -> None:
        """Send part ``number`` (from 0).

        All but the last have one size, a multiple of 256 KiB (GCS wants that), 8 MiB or more (S3: 5).
        """

    @abstractmethod
    def finish(self, number: int, last: Buffer) -> None:
        """Send the last part and make the object.

        Raises
        ------
        TakenError
            An object is there that was not to be replaced; or an earlier attempt has made it.
        """

    @abstractmethod
    def abort(self) -> None:
        """Remove the parts. May raise ``AtioError``."""


class Bucket(ABC):
    """The requests a storage makes. Keys are those of the bucket.

    Errors are those of :mod:`atio.errors`, and the ones named. What is not conditional on a token, or
    is but carries a ``mark``, may be repeated by the implementation; a swap must not be.
    """

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def server(self) -> str:
        """Who runs it."""
        return ""

    @property
    @abstractmethod
    def proven(self) -> bool:
        """Whether it is known to heed conditions, so that there is no need to try them out."""

    @abstractmethod
    def get(self, key: str, start: int, stop: int, *, into: memoryview | None = None) -> Part | None:
        """Bytes ``start … stop``; None if there is no such object.

        Parameters
        ----------
        into
            Where they go, of exactly the size that is there; ``Part.data`` is empty then.
        """

    @abstractmethod
    def head(self, key: str) -> Facts | None: ...

    @abstractmethod
    def put(self, key: str, data: Buffer, condition: Condition | None, mark: str) -> str:
        """Write and return the token ("" if the store did not tell).

        Raises
        ------
        TakenError, ContendedError
            See there.
        """

    @abstractmethod
    def swap(self, key: str, data: Buffer, condition: Condition | None) -> str:
        """Write with one request, and return the token.

        Raises
        ------
        TakenError, ContendedError
            See there.
        LostError
            It may have been written.
        """

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; a missing one is no error."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Entry]:
        """Objects whose keys start with ``prefix``; the entries' paths are keys."""

    @abstractmethod
    def upload(self, key: str, mark: str, *, replace: bool = False) -> Upload:
        """Begin an object, which may ``replace`` one that is there, or not."""
