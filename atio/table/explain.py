"""What a scan will read, and what its condition and its columns save."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from atio.metadata import vectors
from atio.model.snapshot import DataFile
from atio.predicate import may_match
from atio.storage.parallel import THREADS, ordered
from atio.table.datafiles import open_parts
from atio.table.planning import GroupStatistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atio.table.scan import Scan


class Explanation(msgspec.Struct, frozen=True):
    """What a scan reads of its version; ``…_skipped`` is the rest.

    Attributes
    ----------
    files, rows, bytes
        Data files that may have matching rows, the rows in them, and their sizes.
    row_groups
        Row groups of those files that may have matching rows.
    columns
        Of the result and of the condition.
    """

    where: str | None
    columns: tuple[str, ...]
    files: int
    files_skipped: int
    row_groups: int
    row_groups_skipped: int
    rows: int
    rows_skipped: int
    bytes: int
    bytes_skipped: int

    def __str__(self) -> str:
        lines = [
            ("where", self.where or "no condition"),
            ("columns", ", ".join(self.columns)),
            ("files", f"{self.files:,} read, {self.files_skipped:,} skipped"),
            ("row groups", f"{self.row_groups:,} read, {self.row_groups_skipped:,} skipped (of those files)"),
            ("rows", f"{self.rows:,} read, {self.rows_skipped:,} skipped"),
            ("bytes", f"{self.bytes:,} read, {self.bytes_skipped:,} skipped (whole files)"),
        ]
        return "\n".join(f"{name:<11} {text}" for name, text in lines)


def explain(scan: Scan) -> Explanation:
    """See ``Scan.explain``."""
    total = scan.snapshot.summary
    names = scan.schema.names
    tested = [] if scan.condition is None else [n for n in scan.condition.columns if n not in names]
    files = rows = size = kept = skipped = 0
    threads = THREADS if scan.objects.storage.capabilities.parallel else 1
    for file_size, file_rows, needed in ordered(partial(_needed, scan), scan.files(), threads):
        files += 1
        size += file_size
        rows += file_rows
        kept += sum(needed)
        skipped += len(needed) - sum(needed)
    return Explanation(
        where=None if scan.condition is None else repr(scan.condition),
        columns=(*names, *tested),
        files=files,
        files_skipped=total.files - files,
        row_groups=kept,
        row_groups_skipped=skipped,
        rows=rows,
        rows_skipped=total.rows - rows,
        bytes=size,
        bytes_skipped=total.bytes - size,
    )


def _needed(scan: Scan, file: DataFile) -> tuple[int, int, Sequence[bool]]:
    """Size of a file, rows of the row groups that are needed, and which of its row groups those are."""
    if not file.size:
        return 0, file.live, ()
    source = scan.source(file)
    with open_parts(scan.objects.storage, file, source.arrow) as parts:
        needed = [True] * len(parts.rows)
        if scan.condition is not None:
            needed = may_match(scan.condition, GroupStatistics(parts, source, scan.bound)).to_pylist()
        return file.size, _live(scan, file, parts.rows, needed), needed


def _live(scan: Scan, file: DataFile, counts: Sequence[int], needed: Sequence[bool]) -> int:
    """Rows of the row groups that are needed, without deleted ones."""
    vector = vectors.load(scan.objects, file)
    total = start = 0
    for count, is_needed in zip(counts, needed, strict=True):
        if is_needed:
            total += count if vector is None else vector.alive(start, count).true_count
        start += count
    return total
