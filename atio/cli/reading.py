"""Commands that only look."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from atio.cli import documents
from atio.cli.arguments import (
    AsJson,
    AsOf,
    Columns,
    TablePath,
    Version,
    names,
    number_or_tag,
    open_snapshot,
    open_table,
)
from atio.cli.output import Column, Screen, clean, local, plural, print_json, size

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN_COLUMNS = 20
_SHOWN_COMMITS = 5
_CELL = 40


def show(table: TablePath, *, version: Version = None, as_of: AsOf = None, json: AsJson = False) -> None:
    """One screen about a table: rows, size, columns, tags, properties, last commits."""
    found = open_table(table)
    snapshot = open_snapshot(found, version, as_of)
    tags = found.tags
    properties = found.properties
    files = len(snapshot.files())
    commits = found.history(_SHOWN_COMMITS + 1)
    if json:
        print_json(
            {
                "table": found.url,
                **documents.commit(snapshot, tags),
                "files": files,
                "columns": documents.columns(snapshot.schema),
                "all_tags": tags,
                "properties": properties,
                "newest": commits[0].version,
                "last_commits": [documents.commit(s, tags) for s in commits[:_SHOWN_COMMITS]],
            }
        )
        return
    screen = Screen()
    newest = "newest" if snapshot == commits[0] else f"the newest is {commits[0].version}"
    pairs = [
        ("table", found.url),
        ("version", f"{snapshot.version} ({newest}), {snapshot.operation} {local(snapshot.time)}"),
        ("message", snapshot.message or ""),
        ("rows", f"{snapshot.rows:,}"),
        ("size", f"{size(snapshot.bytes)} in {plural(files, 'data file')}"),
        ("tags", ", ".join(f"{name} → {tagged}" for name, tagged in sorted(tags.items()))),
        ("properties", ", ".join(f"{name}={value}" for name, value in sorted(properties.items()))),
    ]
    screen.fields([(name, value) for name, value in pairs if value])
    screen.line()
    schema = snapshot.schema
    screen.line(plural(len(schema.names), "column"), style="bold")
    screen.fields([(f"  {clean(f.name)}", _type(f)) for f in list(schema)[:_SHOWN_COLUMNS]])
    if len(schema.names) > _SHOWN_COLUMNS:
        screen.line(f"  … {len(schema.names) - _SHOWN_COLUMNS:,} more: atio schema {table}", style="dim")
    screen.line()
    screen.line("last commits", style="bold")
    before = commits[_SHOWN_COMMITS] if len(commits) > _SHOWN_COMMITS else None
    documents.print_commits(screen, commits[:_SHOWN_COMMITS], tags, before)


def log(
    table: TablePath,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many versions.")] = 20,
    everything: Annotated[bool, typer.Option("--all", "-a", help="All retained versions.")] = False,
    json: AsJson = False,
) -> None:
    """The retained versions, newest first."""
    found = open_table(table)
    snapshots = found.history(None if everything else limit + 1)
    tags = found.tags
    shown = snapshots if everything else snapshots[:limit]
    more = len(snapshots) > len(shown)
    if json:
        versions = [documents.commit(s, tags) for s in shown]
        print_json({"table": found.url, "versions": versions, "more": more})
        return
    screen = Screen()
    documents.print_commits(screen, shown, tags, snapshots[-1] if more else None)
    if more and screen.terminal:
        screen.line("… older ones: --all", style="dim")


def head(
    table: TablePath,
    *,
    rows: Annotated[int, typer.Option("--rows", "-n", min=0, help="How many rows.")] = 10,
    columns: Columns = None,
    version: Version = None,
    as_of: AsOf = None,
    json: AsJson = False,
) -> None:
    """The first rows."""
    from atio.frames.rows import records

    found = open_table(table)
    snapshot = open_snapshot(found, version, as_of)
    scan = snapshot.scan(names(columns), rows)
    read = [record for batch in scan.to_batches() for record in records(batch)]
    if json:
        print_json(
            {
                "table": found.url,
                "version": snapshot.version,
                "columns": documents.columns(scan.schema),
                "rows": read,
            }
        )
        return
    _print_rows(Screen(), scan.schema, read)


def schema(table: TablePath, *, version: Version = None, as_of: AsOf = None, json: AsJson = False) -> None:
    """The columns: names, types, whether they may be null."""
    found = open_table(table)
    snapshot = open_snapshot(found, version, as_of)
    columns = documents.columns(snapshot.schema)
    if json:
        print_json({"table": found.url, "version": snapshot.version, "columns": columns})
        return
    headings = (Column("column", style="cyan"), Column("type"), Column("null"))
    Screen().table(headings, [(f.name, str(f.type), "yes" if f.nullable else "no") for f in snapshot.schema])


def files(table: TablePath, *, version: Version = None, as_of: AsOf = None, json: AsJson = False) -> None:
    """The data files of a version, in row order."""
    found = open_table(table)
    snapshot = open_snapshot(found, version, as_of)
    data = snapshot.files()
    if json:
        parts = ("path", "rows", "format", "hash", "added", "level")
        listed = [{**{p: getattr(f, p) for p in parts}, "bytes": f.size} for f in data]
        print_json({"table": found.url, "version": snapshot.version, "files": listed})
        return
    screen = Screen()
    headings = (
        Column("file"),
        Column("format"),
        Column("rows", number=True),
        Column("size", number=True),
        Column("since version", number=True),
    )
    screen.table(headings, [(f.path, f.format, f"{f.rows:,}", size(f.size), str(f.added)) for f in data])
    if screen.terminal:
        total = sum(f.size for f in data)
        screen.line(f"{plural(len(data), 'file')}, {snapshot.rows:,} rows, {size(total)}", style="dim")


def changes(
    table: TablePath,
    since: Annotated[str, typer.Argument(metavar="SINCE", help="A version's number, or a tag.")],
    until: Annotated[
        str | None, typer.Argument(metavar="[UNTIL]", help="Likewise; the newest by default.")
    ] = None,
    *,
    rows: Annotated[int, typer.Option("--rows", "-n", min=0, help="How many of them.")] = 100,
    columns: Columns = None,
    json: AsJson = False,
) -> None:
    """Rows that were inserted, deleted and updated after a version, the first ones first."""
    from atio.frames.rows import records

    found = open_table(table)
    last = None if until is None else number_or_tag(until)
    feed = found.changes(number_or_tag(since), last, columns=names(columns))
    read = list(islice((record for batch in feed for record in records(batch)), rows))
    if json:
        print_json({"table": found.url, "columns": documents.columns(feed.schema), "rows": read})
        return
    _print_rows(Screen(), feed.schema, read)


def diff(
    table: TablePath,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A version's number, or a tag.")],
    new: Annotated[
        str | None, typer.Argument(metavar="[NEW]", help="Likewise; the newest by default.")
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """What changed between two versions: rows, files, columns."""
    found = open_table(table)
    result = found.diff(number_or_tag(old), None if new is None else number_or_tag(new))
    if json:
        print_json({"table": found.url, **asdict(result)})
        return
    columns = (
        [f"+{name}" for name in result.columns_added]
        + [f"-{name}" for name in result.columns_removed]
        + [f"~{name}" for name in result.columns_changed]
    )
    Screen().fields(
        [
            ("versions", f"{result.old} → {result.new}"),
            ("rows", f"+{result.rows_added:,} -{result.rows_removed:,}"),
            ("files", f"+{len(result.files_added):,} -{len(result.files_removed):,}"),
            ("columns", ", ".join(columns) or "the same"),
        ]
    )


def _type(field: pa.Field) -> str:
    return f"{field.type}" if field.nullable else f"{field.type}, not null"


def _print_rows(screen: Screen, schema: pa.Schema, read: list[dict[str, object]]) -> None:
    import pyarrow as pa

    cells = [[_cell(row[name], short=screen.terminal) for name in schema.names] for row in read]
    numeric = [
        pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t) for t in schema.types
    ]
    headings = [Column(name, number=number) for name, number in zip(schema.names, numeric, strict=True)]
    fitting = _fitting(screen, headings, cells) if screen.terminal else len(headings)
    if headings:
        screen.table(headings[:fitting], [row[:fitting] for row in cells])
    elif read:
        screen.line(f"{plural(len(read), 'row')} without columns")
    if hidden := [column.name for column in headings[fitting:]]:
        screen.line(f"… {plural(len(hidden), 'more column')}: {', '.join(hidden[:10])}", style="dim")


def _cell(value: object, *, short: bool) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = value
    else:
        import json

        text = json.dumps(value, ensure_ascii=False)
    return text[: _CELL - 1] + "…" if short and len(text) > _CELL else text


def _fitting(screen: Screen, headings: list[Column], cells: list[list[str]]) -> int:
    """How many columns fit on a line; at least one."""
    left = screen.width
    for index, column in enumerate(headings):
        left -= max([len(column.name), *(len(row[index]) for row in cells)]) + 2
        if left < -2:
            return max(index, 1)
    return len(headings)
