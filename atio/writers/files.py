"""Writers of files: for each kind of object, a cell that says how it is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar, Protocol

from atio.errors import UnsupportedError
from atio.writers.base import Progress, Writer
from atio.writers.kinds import FRAMES, Kind, kind_of
from atio.writers.sources import Readers


class Draft(Protocol):
    """The new content of a target, until it takes the old one's place."""

    @property
    def url(self) -> str:
        """The target, for messages."""

    @property
    def file(self) -> BinaryIO:
        """Where the bytes go. Not always seekable; closing it is not the writer's business."""

    @property
    def place(self) -> str | BinaryIO:
        """A path, for libraries that are faster when they open the file themselves; else ``file``."""


class Cell(ABC):
    """How objects of one kind become files of one format."""

    streams: bool = False
    """Memory is bounded by a piece of the object, not by all of it."""
    label: str
    """What the matrix shows."""
    call: str
    """The function that does the work, as its users know it."""

    @abstractmethod
    def write(self, obj: Any, draft: Draft, progress: Progress, kwargs: Mapping[str, Any]) -> None: ...


class Refused(Cell):
    """There is no such combination; the error says which one there is."""

    label = "–"
    call = ""

    def __init__(self, hint: str) -> None:
        self.hint = hint

    def write(self, obj: Any, draft: Draft, progress: Progress, kwargs: Mapping[str, Any]) -> None:
        raise NotImplementedError


Cells = Mapping[Kind, Cell]


def for_frames(cell: Cell, others: Cells) -> Cells:
    """One cell for every kind of frame, but for those that have others."""
    return {**dict.fromkeys(FRAMES, cell), **others}


class FileWriter(Writer):
    """Writes (and reads) files of one format.

    Subclasses fill ``cells``, or override ``write``.

    Attributes
    ----------
    suffixes
        Ends of names that mean this format, with the dot, in lower case.
    cells
        How each kind of object is written.
    readers
        How files are read, by what is asked for: ``"pandas"``, ``"polars"``, ``"arrow"``, ``"numpy"``,
        ``"python"``. The first is the default.
    needs
        Optional libraries, any of which may be missing until they are used.
    trusted
        Reading runs code that the file may hold, so it must be asked for by ``format=``.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    cells: ClassVar[Cells] = {}
    readers: ClassVar[Readers] = {}
    needs: ClassVar[tuple[str, ...]] = ()
    trusted: ClassVar[bool] = False

    def cell(self, kind: Kind) -> Cell | None:
        """How objects of this kind are written; None if they are not."""
        cell = self.cells.get(kind)
        return None if isinstance(cell, Refused) else cell

    def write(self, obj: Any, target: Draft, *, progress: Progress, **kwargs: Any) -> None:
        kind = kind_of(obj)
        cell = self.cell(kind)
        if cell is None:
            raise self.refusal(kind, obj)
        cell.write(obj, target, progress, kwargs)

    def refusal(self, kind: Kind, obj: Any = None) -> UnsupportedError:
        """Return the error for a combination that there is not."""
        name = kind.value
        if kind is Kind.OBJECT and obj is not None:
            name = f"{type(obj).__module__}.{type(obj).__qualname__}".removeprefix("builtins.")
        cell = self.cells.get(kind)
        takes = ", ".join(k.value for k, c in self.cells.items() if not isinstance(c, Refused))
        hint = cell.hint if isinstance(cell, Refused) else f"{self.formats[0]} takes: {takes}"
        article = "an" if name[0] in "aeiouA" else "a"
        return UnsupportedError(f"{article} {name} cannot be written as {self.formats[0]}", hint=hint)

    def describe(self, obj: Any) -> str:
        cell = self.cell(kind_of(obj))
        return cell.call.rpartition(".")[2] if cell is not None else super().describe(obj)
