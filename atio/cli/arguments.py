"""Arguments and options that several commands share, and the table they lead to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from atio.table.snapshot import Snapshot
    from atio.table.table import Table

TablePath = Annotated[
    str,
    typer.Argument(
        metavar="TABLE", help="Folder or URL of the table; TABLE@NAME for a branch of it.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen.")]
Version = Annotated[
    str | None,
    typer.Option("--version", "-v", metavar="VERSION|TAG", help="A version's number, or a tag."),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        help="The newest version at a moment (2026-01-31 or '2026-01-31 18:00', to its end) "
        "or that long ago (2h).",
    ),
]
Columns = Annotated[
    str | None, typer.Option("--columns", "-c", metavar="A,B,…", help="Only these columns, in this order.")
]
Message = Annotated[str | None, typer.Option("--message", "-m", metavar="TEXT", help="Kept with it.")]


def open_table(path: str) -> Table:
    from atio.table.table import Table

    folder, at, branch = path.rpartition("@")
    # A folder's own name may have the sign.
    if not at or not folder or not branch or "/" in branch or os.sep in branch or Table.exists(path):
        return Table.open(path)
    return Table.open(folder, branch=branch)


def open_snapshot(table: Table, version: str | None, as_of: str | None) -> Snapshot:
    number, moment = chosen(version, as_of)
    return table.snapshot(number, as_of=moment)


def chosen(version: str | None, as_of: str | None) -> tuple[int | str | None, datetime | None]:
    """What the options say, as the library takes it."""
    from atio.cli.durations import parse_as_of

    return (
        None if version is None else number_or_tag(version),
        None if as_of is None else parse_as_of(as_of),
    )


def number_or_tag(text: str) -> int | str:
    """Digits are a version's number, anything else a tag."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else text


def names(text: str | None) -> list[str] | None:
    """``a,b`` as columns; quotes protect a comma, as in CSV."""
    if text is None:
        return None
    import csv

    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
