"""``_SUCCESS`` flags: a small file beside a written one that vouches for its bytes.

The flag of ``data.csv`` is ``.data.csv._SUCCESS``. It has size, SHA-256 and time of the file. While the file
is replaced, the flag vouches for both: the new content is announced in it first (``pending``), so that at no
instant, and after no crash, a whole file is without its flag.
"""

# Paths stay text, as in atio.storage.

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import BinaryIO

import msgspec

from atio.errors import AtioError, DamagedError, NotFoundError
from atio.model.decoding import decoder
from atio.storage.failures import translating
from atio.storage.leases import FileLease
from atio.storage.locking import Waiting
from atio.storage.replace import SUFFIX
from atio.writers.places import open_target
from atio.writers.targets import LocalTarget, Target

_PIECE = 1 << 20
_WAIT = 30.0


class Vouched(msgspec.Struct, frozen=True):
    """What a flag vouches for.

    Attributes
    ----------
    size
        Bytes of the file.
    sha256
        Of its content, in hexadecimal.
    time
        When it was written.
    """

    size: int
    sha256: str
    time: datetime


class _Flag(msgspec.Struct, frozen=True, omit_defaults=True):
    file: str
    size: int
    sha256: str
    time: datetime
    pending: tuple[Vouched, ...] = ()

    @property
    def all(self) -> tuple[Vouched, ...]:
        return (Vouched(self.size, self.sha256, self.time), *self.pending)


def vouch(file: BinaryIO) -> Vouched:
    """Measure the content of a file, from its beginning."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return Vouched(size, digest.hexdigest(), datetime.now(UTC))


def verify(
    path: str | os.PathLike[str] | Target, *, storage_options: Mapping[str, object] | None = None
) -> Vouched:
    """Check a file against its ``_SUCCESS`` flag, byte for byte; both as :func:`write` takes them.

    Raises
    ------
    NotFoundError
        There is no file, or no flag: no write with ``success_flag=True`` has finished.
    DamagedError
        The file is not what the flag vouches for.
    """
    target = open_target(path, storage_options)
    place = target.beside(_name)
    flag = _load(place)
    while flag is not None:
        with target.stream() as file:
            found = vouch(file)
        for one in flag.all:
            if (one.size, one.sha256) == (found.size, found.sha256):
                return one
        before, flag = flag, _load(place)
        if flag == before:
            raise DamagedError(
                f"the file has {found.size:,} bytes and is not the one of {before.size:,} bytes "
                f"that was written at {before.time.isoformat(timespec='seconds')}",
                file=target.url,
                hint="write it again with success_flag=True; if nobody else did, look at the disk",
            )
    with target.stream():
        pass
    raise NotFoundError(
        "there is no _SUCCESS flag", file=target.url, hint="write the file with success_flag=True"
    )


class Flagging:
    """The flag of one file while that is replaced."""

    def __init__(self, target: Target, *, durable: bool) -> None:
        self._target = target
        self._durable = durable

    @cached_property
    def _place(self) -> Target:
        return self._target.beside(_name)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other writers of the flag out, on local disks: file and flag change in the same order."""
        if not isinstance(self._place, LocalTarget):
            yield
            return
        path = os.path.realpath(self._place.url) + SUFFIX
        with translating(path):
            lease = FileLease(path, Waiting(_WAIT, time.monotonic, time.sleep))
        try:
            yield
        finally:
            lease.release()

    def announce(self, new: Vouched) -> None:
        """Before the file is replaced: vouch for the new content too."""
        old = _load(self._place)
        if old is not None:
            self._save(msgspec.structs.replace(old, pending=(*old.pending, new)))

    def confirm(self, new: Vouched) -> None:
        """After the file was replaced."""
        name = self._target.url.rpartition("/")[2]
        with _written("but not its _SUCCESS flag"):
            self._save(_Flag(name, new.size, new.sha256, new.time))

    def remove(self) -> None:
        """The file was replaced by one that nothing vouches for."""
        with _written("but the _SUCCESS flag of the one before is still there"):
            self._place.remove()

    def _save(self, flag: _Flag) -> None:
        with self._place.replacing(durable=self._durable, backup=False) as draft:
            draft.file.write(msgspec.json.encode(flag) + b"\n")


@contextmanager
def _written(but: str) -> Iterator[None]:
    """Say in errors of the block that the file itself is in its place."""
    try:
        yield
    except AtioError as error:
        error.message = f"the file was written, {but}: {error.message}"
        error.hint = "verify() refuses the file as it is; write it again"
        raise


def _name(name: str) -> str:
    return f".{name}._SUCCESS"


def _load(place: Target) -> _Flag | None:
    try:
        with translating(place.url), place.open() as file:
            data = file.read()
    except NotFoundError:
        return None
    try:
        found: _Flag = decoder(_Flag).decode(data)
    except msgspec.MsgspecError as error:
        raise DamagedError(
            f"the _SUCCESS flag cannot be read: {error}", file=place.url, hint="write the file again"
        ) from error
    return found
