"""Which data files an engine's own Parquet reader may read in atio's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from pyarrow import types as pt

from atio.model.snapshot import DataFile
from atio.schema.bound import BoundSchema
from atio.table.doors.verified import verified

if TYPE_CHECKING:
    from atio.table.scan import Scan

Takes = Callable[[pa.DataType], bool]
_MARKS = (b"ARROW:", b"_PL_")
"""Of metadata by which fields are taken for another type than they have."""


class Native(msgspec.Struct, frozen=True):
    """Verified Parquet files that hold the columns of the version as they are, in row order.

    ``nans``: floating columns may hold NaN. Parquet's statistics leave NaN out, and not every engine
    remembers that when it skips row groups by them.
    """

    paths: tuple[str, ...]
    nans: bool


def native(scan: Scan, takes: Takes) -> Native | None:
    """The scan's files; None unless they are all local, of the version's own schema, and need no recoding.

    Parameters
    ----------
    takes
        Whether the engine reads a type from Parquet just as it takes it from Arrow; asked of leaf types,
        and of lists, structs and maps before what is in them.

    Raises
    ------
    DamagedError
        A file is missing or is not what was written.
    """
    files = plain_files(scan, takes)
    return verified_files(scan, files) if files else None


def verified_files(scan: Scan, files: list[DataFile]) -> Native | None:
    """These, of ``plain_files``; None unless they are local. Raises what ``native`` does."""
    paths = verified(scan, files)
    return None if paths is None else Native(tuple(paths), may_hold_nan(files, scan.bound))


def plain_files(scan: Scan, takes: Takes) -> list[DataFile] | None:
    """The scan's files, if they are Parquet of the version's own schema, and need no recoding."""
    bound = scan.bound
    if not all(_as_it_is(field, takes) for field in bound.arrow):
        return None
    files: list[DataFile] = []
    schemas = {bound.spec.id}
    for file in scan.files():
        if file.format != "parquet" or not file.size or file.deleted is not None:
            return None
        source = scan.source(file)
        if source.spec.id not in schemas:
            if not source.same_structure(bound):
                return None
            schemas.add(source.spec.id)
        files.append(file)
    return files


def _as_it_is(field: pa.Field, takes: Takes) -> bool:
    if any(key.startswith(_MARKS) for key in field.metadata or ()):
        return False
    return takes(field.type) and all(_as_it_is(inner, takes) for inner in _inner(field.type))


def _inner(kind: pa.DataType) -> Iterator[pa.Field]:
    return (kind.field(place) for place in range(kind.num_fields))


def may_hold_nan(files: Sequence[DataFile], bound: BoundSchema) -> bool:
    """Whether the files' statistics leave that open; of nested columns they always do."""
    if any(_has_floats(inner) for field in bound.arrow for inner in _inner(field.type)):
        return True
    floats = {bound.leaf_ids[field.name,] for field in bound.arrow if pt.is_floating(field.type)}
    return any(floats - _without_nan(file) for file in files) if floats else False


def _has_floats(field: pa.Field) -> bool:
    return pt.is_floating(field.type) or any(map(_has_floats, _inner(field.type)))


def _without_nan(file: DataFile) -> set[object]:
    return {line[0] for line in file.stats if len(line) > 4 and line[4] == 0}
