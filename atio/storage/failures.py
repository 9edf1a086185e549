"""What goes wrong, in words: errors of the operating system become errors of atio here only."""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH112, PTH120

from __future__ import annotations

import errno
import os
from types import TracebackType

from atio.errors import (
    AccessError,
    AtioError,
    ConflictError,
    ExistsError,
    InputError,
    NotFoundError,
    StorageError,
    StorageFullError,
)

_GONE = "if it was moved or cleaned up meanwhile, open the table again"
_TWICE = "files are written once: choose a new name"
_RIGHTS = "check the owner and mode of the file and its folder, and that the disk is not mounted read-only"
_SPACE = "free some space (or inodes, or quota) and write again: nothing took effect"
_LINK = "put the real file or folder there: nothing below a table's folder may be a link"
_LIMIT = "close some files or raise the limit (ulimit -n), then try again"
_DISK = "look at the system's log before trusting this disk; then write again: nothing took effect"

_KNOWN: dict[int, tuple[type[AtioError], str]] = {
    errno.ENOENT: (NotFoundError, _GONE),
    errno.EEXIST: (ExistsError, _TWICE),
    errno.EACCES: (AccessError, _RIGHTS),
    errno.EPERM: (AccessError, _RIGHTS),
    errno.EROFS: (AccessError, _RIGHTS),
    errno.ENOSPC: (StorageFullError, _SPACE),
    getattr(errno, "EDQUOT", errno.ENOSPC): (StorageFullError, _SPACE),
    errno.ENOTDIR: (InputError, "name a folder, or a place that does not exist yet"),
    errno.EISDIR: (InputError, "name a file"),
    errno.ENAMETOOLONG: (InputError, "choose a shorter name"),
    errno.ELOOP: (AccessError, _LINK),
    errno.EMFILE: (StorageError, _LIMIT),
    errno.ENFILE: (StorageError, _LIMIT),
}


class translating:  # noqa: N801 - reads as a word: "with translating(path):"
    """Turn an ``OSError`` of the block into an :class:`AtioError` that names ``path``.

    Errors that are of atio already pass. A class, not a generator: it is on every hot path.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and not isinstance(error, AtioError):
            raise translated(error, self._path) from error


def translated(error: OSError, path: str) -> AtioError:
    """Return the error to raise instead of ``error``, which happened at ``path``."""
    cls, hint = _KNOWN.get(error.errno or 0, (StorageError, _DISK))
    if error.errno == errno.ENOTDIR:
        path = _first_file(path)
        text = "is a file, not a table folder"
    elif error.errno == errno.ELOOP:
        text = "refused to follow a link"
    elif error.errno == errno.EISDIR:
        text = "is a folder, not a file"
    else:
        text = error.strerror or type(error).__name__
    return cls(text, file=path, hint=hint)


def conflict(path: str, *, expected: str | None, found: bool) -> ConflictError:
    """Return the error of a swap that met another object than it was to replace."""
    if not found:
        text = "it does not exist any more"
    elif expected is None:
        text = "another writer has made it meanwhile"
    else:
        text = "another writer has replaced it meanwhile"
    return ConflictError(text, file=path, hint="read it again and build upon what is there now")


def _first_file(path: str) -> str:
    """Return the part of ``path`` that exists but is no folder: the culprit of an ENOTDIR."""
    culprit = path
    while not os.path.lexists(culprit) and (parent := os.path.dirname(culprit)) != culprit:
        culprit = parent
    return culprit if os.path.lexists(culprit) and not os.path.isdir(culprit) else path
