"""The functions of atio 2, over :class:`atio.Table`: same names, parameters and defaults."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from atio.errors import ConflictError, DamagedError, InputError, NotFoundError, VersionNotFoundError
from atio.formats import get_format
from atio.storage import open_storage
from atio.table.expire import Expired
from atio.table.face.handle import Location
from atio.table.snapshot import Snapshot
from atio.table.table import Table

MARKER = "_SUCCESS"


def write_snapshot(
    obj: object, table_path: Location, mode: str = "overwrite", format: str = "parquet", **kwargs: Any
) -> Snapshot:
    """Write ``obj`` as a new version of the table, then its ``_SUCCESS`` marker.

    Parameters
    ----------
    mode
        ``"overwrite"`` or ``"append"``.
    format
        Of the data files. Files of earlier versions keep theirs.
    kwargs
        ``message``, ``token`` and ``expected_version`` of :meth:`atio.Table.append`.
    """
    if mode not in ("overwrite", "append"):
        raise InputError(f"mode is {mode!r}; it is 'overwrite' or 'append'")
    name = get_format(format).name
    if Table.exists(table_path):
        table = Table.open(table_path)
        if table.properties.get("format", "parquet") != name:
            table.set_properties({"format": name})
    elif name == "parquet":
        table = Table.open(table_path)
    else:
        table = Table.create(table_path, format=name)
    write = table.append if mode == "append" else table.overwrite
    snapshot = write(obj, **kwargs)
    _mark(table_path, snapshot)
    return snapshot


def read_table(
    table_path: Location,
    version: int | str | None = None,
    output_as: Literal["pandas", "polars", "arrow"] = "pandas",
) -> Any:
    """Read a version (the newest by default) as a pandas or Polars frame, or an Arrow table."""
    snapshot = Table.open(table_path).snapshot(version)
    match output_as:
        case "pandas":
            return snapshot.to_pandas()
        case "polars":
            return snapshot.to_polars()
        case "arrow":
            return snapshot.to_arrow()
    raise InputError(f"output_as is {output_as!r}; it is 'pandas', 'polars' or 'arrow'")


def expire_snapshots(
    table_path: Location, keep_for: timedelta = timedelta(days=7), dry_run: bool = True
) -> Expired:
    """Forget versions older than ``keep_for`` and remove orphaned files; by default only tell which.

    The newest version and tagged ones stay whatever their age.
    """
    table = Table.open(table_path)
    expired = table.expire(keep_for, dry_run=dry_run)
    orphans = table.vacuum(dry_run=dry_run)
    return replace(
        expired,
        files=tuple(sorted({*expired.files, *orphans.files})),
        bytes=expired.bytes + orphans.bytes,
    )


def check_success(table_path: Location) -> Snapshot:
    """The version that the ``_SUCCESS`` marker vouches for, if it is there and is what was marked.

    Raises
    ------
    NotFoundError
        There is no marker: no write through :func:`write_snapshot` has finished.
    DamagedError
        The marker and the table contradict each other.
    """
    storage = open_storage(table_path)
    value = storage.load(MARKER)
    if value is None:
        raise NotFoundError("there is no _SUCCESS marker", table=storage.url, file=MARKER)
    try:
        marked = json.loads(value.data)
        version, identity = int(marked["version"]), str(marked["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError("the _SUCCESS marker cannot be read", table=storage.url, file=MARKER) from error
    try:
        snapshot = Table.open(storage).snapshot(version)
    except VersionNotFoundError as error:
        raise DamagedError(
            f"the marker is for version {version}, which is not there", table=storage.url, file=MARKER
        ) from error
    if snapshot.id != identity:
        raise DamagedError(
            f"the marker is for another version {version}", table=storage.url, version=version, file=MARKER
        )
    return snapshot


def _mark(table_path: Location, snapshot: Snapshot) -> None:
    """Write the marker, unless a later version's is there already."""
    storage = open_storage(table_path)
    line = {
        "version": snapshot.version,
        "id": snapshot.id,
        "time": snapshot.time.isoformat(),
        "rows": snapshot.rows,
    }
    data = json.dumps(line).encode() + b"\n"
    while True:
        value = storage.load(MARKER)
        if value is not None and _version(value.data) > snapshot.version:
            return
        try:
            storage.swap(MARKER, data, value.token if value else None)
        except ConflictError:
            continue
        return


def _version(data: bytes) -> int:
    try:
        return int(json.loads(data)["version"])
    except (ValueError, KeyError, TypeError):
        return -1
