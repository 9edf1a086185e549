"""What commands print: one JSON document for machines, or text for people.

Tables hold other people's strings: nothing of them reaches the terminal as a control character, and
nothing is taken for markup.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

_GAP = "  "


# -- values ------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Text on one line, with escapes for what would move the cursor or change the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def iso(moment: datetime) -> str:
    """For machines: ISO 8601, UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local(moment: datetime, *, offset: bool = True) -> str:
    """For people: local time, as ``--as-of`` takes it with its offset and without."""
    here = moment.astimezone()
    return (here if offset else here.replace(tzinfo=None)).isoformat(sep=" ", timespec="seconds")


def size(count: int) -> str:
    """``1.4 MB`` of 1,400,000 bytes."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    units = ["TB", "GB", "MB", "kB"]
    value /= 1000
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        units.pop()
    return f"{value:,.1f} {units[-1]}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def spans(numbers: Iterable[int]) -> str:
    """``1-3, 7`` of 1, 2, 3, 7."""
    from atio.table import lookup

    return ", ".join(lookup.spans(numbers))


# -- for machines ------------------------------------------------------------------------------------


def print_json(document: object) -> None:
    """Print one document; characters that the stream cannot encode are escaped as JSON does it."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(document, indent=2, ensure_ascii=not utf8, allow_nan=False)
    sys.stdout.write(text + "\n")


# -- for people --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and whether its cells are numbers."""

    name: str
    number: bool = False
    style: str = ""


class Screen:
    """Standard output: with colour and fitted to its width on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self.terminal = self._console.is_terminal

    @property
    def width(self) -> int:
        return self._console.width

    def line(self, text: str = "", style: str = "") -> None:
        if self.terminal:
            self._console.print(Text(clean(text), style=style))
        else:
            self._raw(clean(text))

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values, one pair a line."""
        wide = max((cell_len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            label = name.ljust(wide)
            if self.terminal:
                self._console.print(Text.assemble((label, "dim"), _GAP, clean(value)))
            else:
                self._raw(f"{label}{_GAP}{clean(value)}".rstrip())

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        cells = [[clean(cell) for cell in row] for row in rows]
        if self.terminal:
            grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
            for column in columns:
                grid.add_column(
                    Text(clean(column.name)),
                    justify="right" if column.number else "left",
                    style=column.style,
                    no_wrap=column is not columns[-1],
                    overflow="fold",
                )
            for row in cells:
                grid.add_row(*map(Text, row))
            self._console.print(grid)
            return
        names = [clean(column.name) for column in columns]
        widths = [max(map(cell_len, each)) for each in zip(names, *cells, strict=True)]
        for row in (names, *cells):
            padded = [
                " " * (wide - cell_len(cell)) + cell
                if column.number
                else cell + " " * (wide - cell_len(cell))
                for column, cell, wide in zip(columns, row, widths, strict=True)
            ]
            self._raw(_GAP.join(padded).rstrip())

    def _raw(self, text: str) -> None:
        sys.stdout.write(text + "\n")


class Progress(Protocol):
    """Takes the number of rows that have passed."""

    def __call__(self, rows: int, /) -> None: ...


@contextmanager
def progress(verb: str) -> Iterator[Progress]:
    """Show rows that pass on standard error, if that is a terminal."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(f"{verb} …") as status:
        yield lambda rows: status.update(f"{verb} … {rows:,} rows")
