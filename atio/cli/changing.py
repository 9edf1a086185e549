"""Commands that change rows: ``delete``, ``update`` and ``upsert``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from atio.cli.arguments import AsJson, Message, TablePath, names, open_table
from atio.cli.output import Screen, plural, print_json, progress
from atio.errors import InputError

if TYPE_CHECKING:
    from atio.predicate import AnyNode
    from atio.table.changing import Changed
    from atio.table.table import Table

Where = Annotated[
    str, typer.Option("--where", metavar="SQL", help="The rows for which it is true.", show_default=False)
]


def delete(table: TablePath, *, where: Where, message: Message = None, json: AsJson = False) -> None:
    """Delete rows, as one version. Older versions keep them."""
    found = open_table(table)
    _tell(found, found.delete(where, message=message), "no row matches", json=json)


def update(
    table: TablePath,
    *,
    set: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="COLUMN=SQL",
            help="Its new value, of the old ones (repeatable).",
            show_default=False,
        ),
    ],
    where: Where,
    message: Message = None,
    json: AsJson = False,
) -> None:
    """Give rows other values, as one version: --set "price=price * 1.1" --set "note='raised'"."""
    found = open_table(table)
    _tell(found, found.update(_values(set), where, message=message), "no row matches", json=json)


def upsert(
    table: TablePath,
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="As for import; - is standard input.")],
    *,
    on: Annotated[
        str, typer.Option("--on", metavar="A,B,…", help="The columns that are the key.", show_default=False)
    ],
    message: Message = None,
    input_format: Annotated[
        str | None, typer.Option("--input-format", metavar="FORMAT", help="If the files' names do not tell.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Insert the rows of files, and replace those that have the same key, as one version."""
    from atio.cli.sources import Settings, Sources

    found = open_table(table)
    schema = found.snapshot().schema
    with progress("reading") as passed:
        sources = Sources(files, Settings(input_format, {}, ("",), "utf8"), schema, passed)
        try:
            result = found.upsert(sources.tables(), names(on) or [], message=message)
        except InputError as error:
            error.at(file=sources.current)
            raise
    _tell(found, result, "there are no rows", json=json)


def _values(given: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for text in given:
        name, equals, expression = text.partition("=")
        if not equals:
            raise InputError(f"--set {text}: there is no =", hint="write --set COLUMN=SQL")
        if name.strip() in values:
            raise InputError(f"--set {text}: the column is set twice")
        values[name.strip()] = _expression(expression)
    return values


def _expression(text: str) -> AnyNode:
    from atio.predicate import parse

    return parse(text)


def _tell(table: Table, result: Changed, nothing: str, *, json: bool) -> None:
    if json:
        print_json({"table": table.url, **asdict(result)})
        return
    if result.version is None:
        Screen().line(f"nothing to do: {nothing}")
        return
    counts = {"inserted": result.inserted, "updated": result.updated, "deleted": result.deleted}
    done = ", ".join(f"{plural(count, 'row')} {what}" for what, count in counts.items() if count)
    Screen().line(f"version {result.version}: {done or 'nothing changed'}")
