"""Commands that look after a table: ``expire``, ``vacuum``, ``compact``, ``verify``, ``repair``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from atio.cli.arguments import AsJson, DryRun, Message, TablePath, names, open_table
from atio.cli.durations import parse_age, parse_older_than
from atio.cli.failures import NEGATIVE
from atio.cli.output import Column, Screen, plural, print_json, size, spans

if TYPE_CHECKING:
    from atio.table.verify import Report


def expire(
    table: TablePath,
    *,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE|TIME", help="30m, 12h, 7d, 2w, or a date: 2026-01-31."),
    ] = "7d",
    keep_last: Annotated[
        int, typer.Option("--keep-last", metavar="N", min=1, help="The newest N stay whatever their age.")
    ] = 1,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """Forget old versions and delete the files that only they needed.

    The newest version and tagged ones always stay.
    """
    found = open_table(table)
    result = found.expire(parse_older_than(older_than), keep_last, dry_run=dry_run)
    if json:
        print_json({"table": found.url, **asdict(result)})
        return
    screen = Screen()
    if not result.versions:
        screen.line(f"nothing to expire: no version older than {older_than} that may go")
        return
    screen.line(
        f"{'would forget' if dry_run else 'forgot'} {plural(len(result.versions), 'version')} "
        f"({spans(result.versions)}) and {_deleted(dry_run)} {plural(len(result.files), 'file')}, "
        f"{size(result.bytes)}"
    )


def vacuum(
    table: TablePath,
    *,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="Younger files stay: they may yet be committed."),
    ] = "1d",
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """Delete files that no version needs: leftovers of killed or failed writers."""
    found = open_table(table)
    result = found.vacuum(parse_age(older_than), dry_run=dry_run)
    if json:
        print_json({"table": found.url, **asdict(result)})
        return
    screen = Screen()
    if not result.files:
        screen.line(f"nothing to delete: no leftovers older than {older_than}")
        return
    for path in result.files if dry_run else ():
        screen.line(path)
    verb = "would delete" if dry_run else "deleted"
    screen.line(f"{verb} {plural(len(result.files), 'file')}, {size(result.bytes)}")


def compact(
    table: TablePath,
    *,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="SQL", help="Only files that may have rows for which it is true."),
    ] = None,
    target_size: Annotated[
        int | None, typer.Option("--target-size", metavar="BYTES", help="Of the files to be made.")
    ] = None,
    sort_by: Annotated[
        str | None,
        typer.Option("--sort-by", metavar="A,-B,…", help="Sort the rows by these columns; - for descending."),
    ] = None,
    zorder_by: Annotated[
        str | None,
        typer.Option("--zorder-by", metavar="A,B,…", help="Bring rows together that are alike in these."),
    ] = None,
    message: Message = None,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """Rewrite many small data files into few, as one version with the same rows."""
    found = open_table(table)
    screen = Screen()
    result = found.compact(
        where,
        target_size=target_size,
        sort_by=None if sort_by is None else _directed(names(sort_by) or [], found.schema.names),
        zorder_by=names(zorder_by),
        message=message,
        dry_run=dry_run,
        progress=screen.terminal and not json and not dry_run,
    )
    if json:
        print_json({"table": found.url, **asdict(result)})
        return
    if not result.files:
        screen.line("nothing to compact: no small files beside each other")
        return
    old = f"{plural(len(result.files), 'file')}, {plural(result.rows, 'row')}, {size(result.bytes)}"
    if dry_run:
        screen.line(f"would rewrite {old}")
    else:
        new = f"{plural(len(result.made), 'file')}, {size(result.made_bytes)}"
        screen.line(f"version {result.version}: rewrote {old}, into {new}")


def _directed(columns: list[str], known: list[str]) -> list[str | tuple[str, str]]:
    """A minus means descending, unless it is part of the name."""
    return [(c[1:], "descending") if c.startswith("-") and c not in known else c for c in columns]


def verify(
    table: TablePath,
    *,
    shallow: Annotated[
        bool, typer.Option("--shallow", help="Look at the sizes of data files only, do not read them.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check every file that a retained version needs. Exit code 1 if one is damaged."""
    found = open_table(table)
    report = found.verify(deep=not shallow)
    if json:
        print_json({"table": found.url, "ok": report.ok, **asdict(report)})
    else:
        _print_report(Screen(), report, table)
    if not report.ok:
        raise typer.Exit(NEGATIVE)


def repair(table: TablePath, *, dry_run: DryRun = False, json: AsJson = False) -> None:
    """Return to the newest intact version after damage. Deletes nothing."""
    found = open_table(table)
    result = found.repair(dry_run=dry_run)
    if json:
        print_json({"table": found.url, **asdict(result)})
        return
    screen = Screen()
    if not result.changed:
        screen.line(f"nothing to repair: version {result.version} and all before it are intact")
        return
    would = "would be" if dry_run else "is"
    again = "" if result.content == result.version else f", with the rows of version {result.content}"
    screen.line(f"the newest version {would} {result.version}{again}")
    if result.lost:
        lost = plural(len(result.lost), "damaged version")
        screen.line(f"{'would be' if dry_run else 'were'} given up: {lost} ({spans(result.lost)})")


def _deleted(dry_run: bool) -> str:
    return "delete" if dry_run else "deleted"


def _print_report(screen: Screen, report: Report, table: str) -> None:
    checked = f"{plural(report.versions, 'version')}, {plural(report.files, 'file')}, {size(report.bytes)}"
    if report.ok:
        screen.line(f"intact: {checked}{'' if report.deep else ' (of data files the sizes only)'}")
        return
    screen.table(
        (Column("file", style="red"), Column("problem"), Column("versions")),
        [(p.file, p.error, spans(p.versions)) for p in report.problems],
    )
    screen.line(f"damaged: {plural(len(report.problems), 'file')} of {checked}", style="bold red")
    screen.line(f"  → what can be saved: atio repair {table} --dry-run")
