"""Which commands there are, and what ``atio --help`` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from atio.cli import changing, maintaining, reading, transfer, versions
from atio.cli.failures import EXIT_CODES, USAGE, Commands

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Read": {
        "show": reading.show,
        "log": reading.log,
        "head": reading.head,
        "schema": reading.schema,
        "files": reading.files,
        "diff": reading.diff,
        "changes": reading.changes,
    },
    "Versions": {
        "tag": versions.tag,
        "untag": versions.untag,
        "restore": versions.restore,
        "branch": versions.branch,
        "merge-branch": versions.merge_branch,
        "drop-branch": versions.drop_branch,
    },
    "Change rows": {"delete": changing.delete, "update": changing.update, "upsert": changing.upsert},
    "Move data": {"import": transfer.import_, "export": transfer.export, "copy": transfer.copy},
    "Look after": {
        "expire": maintaining.expire,
        "vacuum": maintaining.vacuum,
        "compact": maintaining.compact,
        "verify": maintaining.verify,
        "repair": maintaining.repair,
    },
}
"""Panel of the help → name → command."""

HELP = """SQLite for dataframes: versioned, crash-safe tables in a folder.

Every command takes the table's path first. With --json it prints one JSON document (times in UTC, sizes in \
bytes), errors included; without, text for people, plain where it is not a terminal.
"""

EPILOG = "Exit codes:\n" + "\n".join(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())

app = typer.Typer(
    name="atio",
    cls=Commands,
    help=HELP,
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print atio's version.")] = False,
) -> None:
    if version:
        from atio import __version__

        typer.echo(f"atio {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


root.__doc__ = HELP

for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
