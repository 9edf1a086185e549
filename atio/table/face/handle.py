"""What a table's object is made of: where it is, how it is opened, the newest state."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pyarrow as pa

from atio.commit.state import POINTER, State, consistently
from atio.errors import InputError, Located
from atio.metadata.objects import Objects
from atio.storage import open_storage
from atio.storage.base import Storage
from atio.table import lookup
from atio.table.doors.face import Doors
from atio.table.snapshot import Snapshot

if TYPE_CHECKING:
    from atio.commit.loop import RetryPolicy
    from atio.model import snapshot as spec
    from atio.predicate import Where
    from atio.table.layout import PartitionBy
    from atio.table.ordering import SortBy
    from atio.table.writing import Writer


T = TypeVar("T")
Location = str | os.PathLike[str] | Storage


def system_clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class Handle(Doors):
    """A table in a folder, by one of its lines of versions; it holds no descriptors."""

    def __init__(
        self,
        storage: Storage,
        *,
        branch: str | None = None,
        retry: RetryPolicy | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._objects = Objects(storage, branch)
        self._retry = retry
        self._clock = clock

    @classmethod
    def open(
        cls,
        location: Location,
        *,
        branch: str | None = None,
        durable: bool = True,
        storage_options: Mapping[str, object] | None = None,
        filesystem: object | None = None,
    ) -> Self:
        """A handle on the table at ``location``: a path, a URL or a ``Storage``.

        Nothing is read or created yet; the table may not exist before its first write.

        Parameters
        ----------
        branch
            Read and write this branch of the table, as if it were the table: see :meth:`create_branch`.
        durable
            Sync every file before a write returns. False trades that for speed: a power cut may
            then lose acknowledged versions or damage the table; a killed process may not.
        storage_options
            For buckets (``s3://``, ``gs://``, ``az://``) and other URLs: as fsspec's file systems take them.
        filesystem
            An fsspec file system that ``location`` is a path in.
        """
        found = open_storage(
            location, durable=durable, storage_options=storage_options, filesystem=filesystem
        )
        return cls(found, branch=branch)

    @classmethod
    def create(
        cls,
        location: Location,
        schema: pa.Schema | None = None,
        *,
        partition_by: PartitionBy | None = None,
        sort_by: SortBy | None = None,
        checks: Mapping[str, Where] | None = None,
        format: str = "parquet",
        key: str | Sequence[str] | None = None,
        properties: Mapping[str, str] | None = None,
        durable: bool = True,
        storage_options: Mapping[str, object] | None = None,
        filesystem: object | None = None,
    ) -> Self:
        """Create an empty table: version 0.

        Parameters
        ----------
        schema
            Arrow schema of the columns; fields that are not nullable are enforced. Anything with an
            Arrow schema (a frame) serves as well: its rows are not written.
        partition_by
            What each data file has one value of: ``"month(date)"``, ``"bucket(16, id)"``,
            ``"truncate(4, name)"``, a column; also ``year``, ``day`` and ``hour``. Queries need not know:
            a condition on the column finds the files.
        sort_by
            Columns that the rows of each write are sorted by, each ``"a"`` or ``("a", "descending")``.
        checks
            Conditions by name that no row may make false: see :meth:`add_check`.
        format
            Of the data files: ``parquet``, ``arrow``, ``csv``, ``jsonl`` or ``orc``.
        key
            A column, or columns, whose values no two rows may share; none of them may be null. ``append``
            refuses rows whose key is there.

        Raises
        ------
        ExistsError
            There is a table already.
        """
        table = cls.open(location, durable=durable, storage_options=storage_options, filesystem=filesystem)
        chosen = {**({} if format == "parquet" else {"format": format}), **(properties or {})}
        if key is not None and format == "parquet":
            chosen.setdefault("parquet.row_group_rows", "32768")  # get() reads one of them
        with table._located():  # noqa: SLF001
            table._writer.create(  # noqa: SLF001
                schema, chosen, key=key, partition_by=partition_by, sort_by=sort_by, checks=checks
            )
        return table

    @classmethod
    def exists(
        cls,
        location: Location,
        *,
        storage_options: Mapping[str, object] | None = None,
        filesystem: object | None = None,
    ) -> bool:
        """Whether there is a table (intact or not) at ``location``; see :meth:`open`."""
        storage = open_storage(location, storage_options=storage_options, filesystem=filesystem)
        return storage.load(POINTER) is not None

    @property
    def url(self) -> str:
        """Where the table is."""
        return self._objects.storage.url

    @property
    def branch(self) -> str | None:
        """The branch that this handle reads and writes; None: the table's own line."""
        return self._objects.branch

    @property
    def _writer(self) -> Writer:
        from atio.table.writing import Writer

        return Writer(self._objects, self._retry, self._clock)

    def _state(self) -> State:
        return self._read(lambda state: state)

    def _read(self, read: Callable[[State], T]) -> T:
        return consistently(self._objects, read)

    def _find(self, version: int | str | None, as_of: datetime | None = None) -> spec.Snapshot:
        return self._read(lambda state: lookup.find(self._objects, state, version, as_of))

    def _snapshot(self, model: Any) -> Snapshot:
        return Snapshot(self._objects, self.url, model)

    def _located(self) -> Located:
        return Located(table=self.url)

    def _refuse_on_a_branch(self, what: str) -> None:
        if self.branch is not None:
            raise InputError(
                f"this is the branch {self.branch!r}; {what} are of the table as a whole",
                hint="open the table without branch=",
            )


def check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not name.strip() or name != name.strip() or len(name) > 200:
        raise InputError(f"{name!r} cannot be a {kind}", hint="use 1 to 200 characters, no space at the ends")
    if name.isdecimal():
        raise InputError(f"{kind} {name!r} looks like a version", hint=f"call it 'v{name}', for example")
