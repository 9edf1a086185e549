"""Commands about versions: ``tag``, ``untag``, ``restore``, and those of branches."""

from __future__ import annotations

from typing import Annotated

import typer

from atio.cli import documents
from atio.cli.arguments import AsJson, Message, TablePath, Version, number_or_tag, open_table
from atio.cli.output import Column, Screen, print_json
from atio.errors import InputError

TagName = Annotated[str, typer.Argument(metavar="NAME", help="Of the tag.")]
BranchName = Annotated[str, typer.Argument(metavar="NAME", help="Of the branch.")]


def tag(
    table: TablePath,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of the tag; without it tags are listed.")
    ] = None,
    *,
    version: Version = None,
    message: Message = None,
    move: Annotated[bool, typer.Option("--move", help="Move a tag that is on another version.")] = False,
    json: AsJson = False,
) -> None:
    """Name a version (the newest by default), which keeps it from expiring; or list the tags."""
    found = open_table(table)
    if name is None:
        if version is not None or message is not None or move:
            raise InputError(
                "no name was given for the tag", hint="atio tag TABLE NAME; atio tag TABLE lists"
            )
        _list(found.url, "tag", found.tags, as_json=json)
        return
    if isinstance(number_or_tag(name), int):
        raise InputError(
            f"{name!r} cannot be a tag here: digits are a version's number", hint="call it v" + name
        )
    wanted = found.snapshot(None if version is None else number_or_tag(version)).version
    found.tag(name, wanted, message=message, move=move)
    if json:
        print_json({"table": found.url, "tag": name, "version": wanted})
    else:
        Screen().line(f"{name} → version {wanted}")


def untag(table: TablePath, name: TagName, *, json: AsJson = False) -> None:
    """Remove a tag; its version stays until it expires."""
    found = open_table(table)
    found.untag(name)
    if json:
        print_json({"table": found.url, "removed": name})
    else:
        Screen().line(f"removed tag {name}")


def restore(
    table: TablePath,
    version: Annotated[str, typer.Argument(metavar="VERSION|TAG", help="What to return to.")],
    *,
    message: Message = None,
    json: AsJson = False,
) -> None:
    """Make an older version's rows and columns the newest version; nothing in between is lost."""
    found = open_table(table)
    snapshot = found.restore(number_or_tag(version), message=message)
    if json:
        print_json({"table": found.url, **documents.commit(snapshot, found.tags)})
    else:
        Screen().line(f"version {snapshot.version}: {snapshot.rows:,} rows again as in {version}")


def branch(
    table: TablePath,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of the branch; without it branches are listed.")
    ] = None,
    *,
    version: Version = None,
    json: AsJson = False,
) -> None:
    """Begin a branch at a version (the newest by default); or list the branches."""
    found = open_table(table)
    if name is None:
        if version is not None:
            raise InputError(
                "no name was given for the branch", hint="atio branch TABLE NAME; atio branch TABLE lists"
            )
        _list(found.url, "branch", found.branches, as_json=json)
        return
    made = found.create_branch(name, None if version is None else number_or_tag(version)).version
    if json:
        print_json({"table": found.url, "branch": name, "version": made})
    else:
        Screen().line(f"branch {name} begins with version {made}; its table is {table}@{name}")


def merge_branch(
    table: TablePath, name: BranchName, *, message: Message = None, json: AsJson = False
) -> None:
    """Bring what was committed on a branch to the table; if both moved on, what was appended."""
    found = open_table(table)
    snapshot = found.merge_branch(name, message=message)
    if json:
        print_json({"table": found.url, **documents.commit(snapshot, found.tags)})
    else:
        Screen().line(f"version {snapshot.version}: {snapshot.rows:,} rows")


def drop_branch(table: TablePath, name: BranchName, *, json: AsJson = False) -> None:
    """Remove a branch; vacuum removes the files that only it needed."""
    found = open_table(table)
    found.drop_branch(name)
    if json:
        print_json({"table": found.url, "removed": name})
    else:
        Screen().line(f"removed branch {name}")


def _list(url: str, kind: str, found: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({"table": url, "tags" if kind == "tag" else "branches": found})
        return
    Screen().table(
        (Column(kind, style="yellow"), Column("version", number=True, style="cyan")),
        [(name, str(version)) for name, version in sorted(found.items(), key=lambda pair: pair[1])],
    )
