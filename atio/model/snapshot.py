"""``metadata/<id>.json``: one version of a table (spec/snapshot.md)."""

from __future__ import annotations

from atio.model.base import Count, Hash, Id, Micros, Model, Ref
from atio.model.paths import check_path

StatValue = bool | int | float | str | None
ColumnStatistics = tuple[StatValue, ...]
"""``[field id, lower, upper, nulls]``, floating columns with a fifth member ``nans``."""
PartitionValue = tuple[StatValue, ...]
"""``[field id, transform, value]``: what all rows of a file have in common."""


def _check_kind(path: str, folder: str) -> None:
    """What expires is deleted by its path: a version names files of its own kinds only."""
    if not check_path(path).startswith(folder):
        raise ValueError(f"{path!r} is not below {folder}")


class Footer(Model, frozen=True, omit_defaults=True, kw_only=True):
    """The tail of a data file that describes the rest: length in bytes and hash."""

    size: Count
    hash: Hash


class Deleted(Ref, frozen=True, omit_defaults=True, kw_only=True):
    """The deleted rows of a data file: a range of a file of deletion vectors, and how many they are."""

    offset: Count
    length: Count
    count: Count

    def __post_init__(self) -> None:
        _check_kind(self.path, "data/")
        if self.offset + self.length > self.size:
            raise ValueError(f"a deletion vector is beyond the {self.size} bytes of {self.path}")


class DataFile(Model, frozen=True, omit_defaults=True, kw_only=True):
    """A data file and what is known of its rows without opening it.

    Attributes
    ----------
    added
        The version whose commit put the file into the table.
    level
        0 for rows as a writer gave them; above, how often they were merged with others.
    format
        Written only where it differs from the table's ``format`` property default, Parquet.
    schema_id
        The schema it was written with.
    deleted
        Rows of the file that are no rows of the table any more. ``rows`` and ``stats`` count them.
    partition
        The partition that all its rows are of; empty if they were not parted.
    """

    path: str
    size: Count
    hash: Hash
    rows: Count
    added: Count = 0
    level: Count = 0
    format: str = "parquet"
    schema_id: Count = 1
    footer: Footer | None = None
    stats: tuple[ColumnStatistics, ...] = ()
    deleted: Deleted | None = None
    partition: tuple[PartitionValue, ...] = ()

    def __post_init__(self) -> None:
        _check_kind(self.path, "data/")
        if self.deleted is not None and not 0 < self.deleted.count < self.rows:
            raise ValueError(f"{self.deleted.count} of {self.rows} rows of {self.path} are deleted")

    @property
    def live(self) -> int:
        """Rows that are not deleted."""
        return self.rows if self.deleted is None else self.rows - self.deleted.count


class ManifestRef(Ref, frozen=True, omit_defaults=True, kw_only=True):
    """A manifest with the totals of its live entries.

    ``removed`` are the positions of entries that are no longer in the table: a small removal
    from a big manifest does not rewrite it.
    """

    entries: Count
    rows: Count
    bytes: Count
    first_added: Count
    last_added: Count
    removed: tuple[Count, ...] = ()

    def __post_init__(self) -> None:
        _check_kind(self.path, "manifests/")

    @property
    def live(self) -> int:
        return self.entries - len(self.removed)


class SchemaRef(Ref, frozen=True, omit_defaults=True, kw_only=True):
    id: Count

    def __post_init__(self) -> None:
        _check_kind(self.path, "schemas/")


class Changes(Model, frozen=True, omit_defaults=True, kw_only=True):
    """What a version did to its parent, apart from the live files whose ``added`` is its number.

    Attributes
    ----------
    removed
        Paths of files whose rows are gone.
    replaced
        All files of the parent are gone (they are not listed in ``removed``).
    deleted
        Rows that are gone of files that stay.
    merged
        Files this version added and merged away at once: they hold the rows it added.
    touched
        Files of the parent that this version deleted rows of, and merged away at once.
    restored
        The version whose content this one has again.
    """

    removed: tuple[str, ...] = ()
    replaced: bool = False
    deleted: Count = 0
    merged: tuple[DataFile, ...] = ()
    touched: tuple[DataFile, ...] = ()
    restored: Count | None = None


NO_CHANGES = Changes()


class Summary(Model, frozen=True, omit_defaults=True, kw_only=True):
    """Totals of the table; ``added``/``removed`` count rows since the table was made."""

    rows: Count = 0
    bytes: Count = 0
    files: Count = 0
    added: Count = 0
    removed: Count = 0


class Parent(Model, frozen=True, omit_defaults=True, kw_only=True):
    version: Count
    id: Id
    hash: Hash


class FrameIndex(Model, frozen=True, omit_defaults=True, kw_only=True):
    """The pandas ``RangeIndex`` of the whole table, where it is not the default one."""

    start: int
    stop: int
    step: int
    name: str | None = None

    def __post_init__(self) -> None:
        if self.step == 0:
            raise ValueError("the step of an index is 0")


class Snapshot(Model, frozen=True, omit_defaults=True, kw_only=True):
    """One version: immutable, complete, and linked to its parent by hash.

    ``branch`` is the one that it was committed on, None for the table's own line.
    """

    version: Count
    id: Id
    time: Micros
    operation: str
    parent: Parent | None = None
    message: str | None = None
    token: str | None = None
    schemas: tuple[SchemaRef, ...]
    summary: Summary
    changes: Changes = NO_CHANGES
    index: FrameIndex | None = None
    branch: str | None = None
    files: tuple[DataFile, ...] = ()
    manifests: tuple[ManifestRef, ...] = ()

    @property
    def schema_ref(self) -> SchemaRef:
        """The schema of this version; the others belong to older files."""
        return self.schemas[0]

    def __post_init__(self) -> None:
        if not self.schemas:
            raise ValueError("a snapshot names at least its own schema")
