"""What a writer is.

A :class:`Writer` brings an object to a target under the name of a format. Files are written by
:class:`atio.writers.files.FileWriter`, which knows what each kind of object needs; databases have writers
of their own. ``atio.writers.conformance`` tests those of files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol


class Progress(Protocol):
    """Takes note of what has been written. Safe to call from any thread; costs next to nothing."""

    def expect(self, rows: int | None) -> None:
        """Say how many rows will come, if that is known."""

    def advance(self, rows: int) -> None:
        """Say that so many more rows were written."""

    def step(self, text: str) -> None:
        """Say what was done, in a few words, for ``verbose=True``."""


class Silent:
    """Progress that nobody looks at."""

    def expect(self, rows: int | None) -> None:
        del rows

    def advance(self, rows: int) -> None:
        del rows

    def step(self, text: str) -> None:
        del text


class Writer(ABC):
    """Writes objects under one or more names of formats.

    Attributes
    ----------
    formats
        The names users give as ``format=``; the first is the canonical one.
    needs_path
        Whether ``atio.write`` needs a ``target_path``. Where not, it must be None, and ``write`` gets None.
    """

    formats: ClassVar[tuple[str, ...]]
    needs_path: ClassVar[bool] = True

    @abstractmethod
    def write(self, obj: Any, target: Any, *, progress: Progress, **kwargs: Any) -> None:
        """Write the whole object, or change nothing.

        Parameters
        ----------
        obj
            Whatever the user handed over.
        target
            For files a :class:`atio.writers.files.Draft`, which becomes the target when this returns; None
            for writers that need no path.
        progress
            To be told of rows as they are written.
        **kwargs
            The user's, for the library that does the work. Unknown ones raise ``InputError``.

        Raises
        ------
        UnsupportedError
            The object cannot be written as this format; the hint says which combination would work.
        InputError
            An unknown argument, or an object that does not fit.
        AtioError
            Whatever else; errors of libraries are translated.
        """

    def describe(self, obj: Any) -> str:
        """Name what does the work, for ``verbose=True``: ``"to_parquet"``."""
        del obj
        return type(self).__name__
