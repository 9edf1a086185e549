"""Commands that move data: ``import``, ``export`` and ``copy``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atio.cli import documents
from atio.cli.arguments import (
    AsJson,
    AsOf,
    Columns,
    Message,
    TablePath,
    Version,
    chosen,
    names,
    open_snapshot,
    open_table,
)
from atio.cli.kinds import KINDS, STDIN, compressed, kind_of
from atio.cli.output import Progress, Screen, plural, print_json, progress, size
from atio.errors import InputError, NotFoundError, UnsupportedError

if TYPE_CHECKING:
    import pyarrow as pa

    from atio.cli.sources import Sources
    from atio.table.snapshot import Snapshot
    from atio.table.table import Table

_KINDS = "|".join(KINDS)


def import_(
    table: TablePath,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help=f"{', '.join(KINDS)}; - is standard input.")
    ],
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace rows and columns.")] = False,
    partitions: Annotated[
        bool, typer.Option("--partitions", help="Replace the table's partitions that the new rows are of.")
    ] = False,
    message: Message = None,
    token: Annotated[
        str | None, typer.Option("--token", metavar="TEXT", help="Import once: a second run does nothing.")
    ] = None,
    expected_version: Annotated[
        int | None,
        typer.Option("--expected-version", metavar="N", min=0, help="Only if this is the newest version."),
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="Of a new table's data files [parquet].")
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option("--input-format", metavar=_KINDS, help="Of the files, if their names do not tell."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="COLUMN=TYPE", help="Type of a column of text files (repeatable)."),
    ] = None,
    null: Annotated[
        list[str] | None,
        typer.Option("--null", metavar="TEXT", help="Unquoted CSV value that is null (repeatable) [empty]."),
    ] = None,
    encoding: Annotated[str, typer.Option("--encoding", metavar="NAME", help="Of CSV files.")] = "utf8",
    json: AsJson = False,
) -> None:
    """Append files (or overwrite with them) as one version: all of them or nothing.

    Files are streamed; columns are matched by name. CSV and JSON lines are read with the types of the table's
    columns; the types of new ones are guessed from the first 16 MiB (007 becomes 7: use --type zip=string).
    """
    from atio.cli.sources import Settings, Sources

    found = open_table(table)
    settings = Settings(input_format, _types(types), ("", *null) if null else ("",), encoding)
    before = _newest(found)
    if format is not None:
        _check_format(found, before, format)
    if overwrite and partitions:
        raise InputError("--overwrite replaces all, --partitions some", hint="leave one of them out")
    known = before.schema if before is not None and not overwrite else None
    with progress("reading") as passed:
        sources = Sources(files, settings, known, passed)
        try:
            snapshot = _commit(
                found,
                sources,
                overwrite=overwrite,
                partitions=partitions,
                message=message,
                token=token,
                expected_version=expected_version,
                new_format=format if before is None and not partitions else None,
                place=table,  # not as the table calls itself: that leaves out who is asking
            )
        except InputError as error:  # of the rows: before the first file there is no current one
            error.at(file=sources.current)
            raise
    replayed = before is not None and snapshot.version <= before.version
    if json:
        print_json(
            {
                "table": found.url,
                **documents.commit(snapshot, {}),
                "imported": 0 if replayed else sources.rows,
                "replayed": replayed,
            }
        )
    elif replayed:
        Screen().line(f"nothing to do: version {snapshot.version} was made with this token")
    else:
        Screen().line(
            f"version {snapshot.version}: {plural(sources.rows, 'row')} of {plural(len(files), 'file')}; "
            f"the table has {plural(snapshot.rows, 'row')}"
        )


def export(
    table: TablePath,
    file: Annotated[str, typer.Argument(metavar="FILE", help="To write; - is standard output.")],
    *,
    columns: Columns = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=0, help="The first N rows.")
    ] = None,
    version: Version = None,
    as_of: AsOf = None,
    format: Annotated[
        str | None, typer.Option("--format", metavar=_KINDS, help="If the file's name does not tell.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a version into one file, streamed; an existing file is replaced at once or not at all.

    In CSV and JSON lines bytes are base64; JSON lines have null for NaN and infinities.
    """
    from atio.cli.targets import encode, replacing, standard_output

    kind = kind_of(file, format, "--format")
    if file == STDIN and json:
        raise InputError("standard output holds the rows: --json does not go with -")
    if file != STDIN and compressed(file):
        raise UnsupportedError("files are not compressed as a whole", file=file, hint="leave the suffix out")
    found = open_table(table)
    snapshot = open_snapshot(found, version, as_of)
    scan = snapshot.scan(names(columns), limit)
    if file == STDIN:
        encode(scan.to_batches(), scan.schema, kind, standard_output())
        return
    _check_outside(found, file)
    with progress("writing") as passed, replacing(file) as out:
        rows = encode(_counted(scan.to_batches(), passed), scan.schema, kind, out)
    written = Path(file).stat().st_size
    if json:
        print_json(
            {
                "table": found.url,
                "version": snapshot.version,
                "file": file,
                "format": kind,
                "rows": rows,
                "bytes": written,
            }
        )
    else:
        Screen().line(f"{file}: {plural(rows, 'row')} of version {snapshot.version}, {size(written)}")


def copy(
    table: TablePath,
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="Folder or URL without a table.", show_default=False)
    ],
    *,
    version: Version = None,
    as_of: AsOf = None,
    json: AsJson = False,
) -> None:
    """Copy a table to where there is none: all retained versions, or one as the only one.

    Every file is checked on its way. Run it again after a failure: what is there is kept.
    """
    found = open_table(table)
    number, moment = chosen(version, as_of)
    with progress("copying"):
        made = found.copy_to(destination, version=number, as_of=moment)
    snapshot = made.snapshot()
    if json:
        print_json({"table": found.url, "destination": made.url, **documents.commit(snapshot, made.tags)})
        return
    what = "all versions" if version is None and as_of is None else "one version"
    rows = f"{plural(snapshot.rows, 'row')}, {size(snapshot.bytes)}"
    Screen().line(f"{made.url}: {what} copied, the newest is {snapshot.version} with {rows}")


# -- importing ---------------------------------------------------------------------------------------


def _newest(table: Table) -> Snapshot | None:
    try:
        return table.snapshot()
    except NotFoundError:
        if table.branch is not None:
            raise  # branches are not made by writing
        return None


def _types(given: list[str] | None) -> dict[str, pa.DataType]:
    if not given:
        return {}
    from atio.cli.textual import named_type

    found = {}
    for text in given:
        name, equals, kind = text.rpartition("=")
        if not equals:
            raise InputError(f"--type {text}: there is no =", hint="write --type COLUMN=TYPE")
        found[name] = named_type(kind.strip())
    return found


def _check_format(table: Table, before: Snapshot | None, wanted: str) -> None:
    from atio.formats import get_format

    name = get_format(wanted).name
    if before is not None and (now := table.properties.get("format", "parquet")) != name:
        raise InputError(
            f"the table's format is {now}, not {name}",
            table=table.url,
            hint="--format is for tables that do not exist yet: leave it out",
        )


def _commit(
    table: Table,
    sources: Sources,
    *,
    overwrite: bool,
    partitions: bool,
    message: str | None,
    token: str | None,
    expected_version: int | None,
    new_format: str | None,
    place: str,
) -> Snapshot:
    rows = sources.tables()
    if new_format is not None:
        # Created with the first file's columns, so that nothing is left behind if that cannot be read.
        first = next(rows)
        table.create(place, first.schema, format=new_format)
        rows = chain((first,), rows)
    if partitions:
        return table.overwrite(
            rows, partitions=True, message=message, token=token, expected_version=expected_version
        )
    write = table.overwrite if overwrite else table.append
    return write(rows, message=message, token=token, expected_version=expected_version)


# -- exporting ---------------------------------------------------------------------------------------


def _counted(batches: Iterator[pa.RecordBatch], passed: Progress) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        yield batch
        rows += batch.num_rows
        passed(rows)


def _check_outside(table: Table, file: str) -> None:
    """A table's own files are not to be replaced."""
    if "://" in table.url:
        return
    folder = os.path.realpath(table.url)
    if os.path.commonpath([folder, os.path.realpath(file)]) == folder:
        raise InputError(
            "is inside the table's folder", file=file, table=table.url, hint="write it elsewhere"
        )
