"""Where files are read from, and the ways to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import msgspec

from atio.writers import options
from atio.writers.failures import calling, missing


class Source(msgspec.Struct, frozen=True):
    """One file to read.

    Attributes
    ----------
    url
        For messages.
    file
        Its bytes, decompressed; can seek.
    path
        Of a local file that is not compressed as a whole, for what maps it into memory.
    """

    url: str
    file: BinaryIO
    path: str | None

    @property
    def place(self) -> str | BinaryIO:
        return self.path or self.file


Reader = Callable[[Source, Mapping[str, Any]], Any]
"""Takes the file and the user's arguments."""
Readers = Mapping[str, Reader]
"""By what is asked for; see :class:`atio.writers.files.FileWriter`."""


def by_library(library: str, function: str, *, place: bool = False, **fixed: Any) -> Reader:
    """A function of pandas or Polars; ``place`` lets it open the file itself."""

    def read(source: Source, kwargs: Mapping[str, Any]) -> Any:
        call = f"{library}.{function}"
        try:
            module = __import__(library)
        except ImportError as error:
            raise missing(library, f"reading as {library}") from error
        wanted = getattr(module, function)
        options.check(call, wanted, kwargs, fixed)
        with calling(call, source.url):
            return wanted(source.place if place else source.file, **fixed | dict(kwargs))

    return read


def by_function(call: str, function: Callable[..., Any]) -> Reader:
    """A function of ours: ``function(source, **kwargs)``; its keywords are the user's."""

    def read(source: Source, kwargs: Mapping[str, Any]) -> Any:
        options.check(call, function, kwargs)
        with calling(call, source.url):
            return function(source, **kwargs)

    return read
