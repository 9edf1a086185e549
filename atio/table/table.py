"""The table: a thin face over staging, commits, scans and maintenance."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pyarrow as pa

from atio.commit.state import POINTER, State, consistently, load_state
from atio.errors import AtioError, InputError, Located
from atio.metadata.objects import Objects
from atio.storage import open_storage
from atio.storage.base import Storage
from atio.table import lookup
from atio.table.doors.face import Doors
from atio.table.scan import Scan
from atio.table.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atio.commit.loop import RetryPolicy
    from atio.model import snapshot as spec
    from atio.predicate import Where
    from atio.schema.evolve import Edit, Path
    from atio.table.changing import Changed, Changer
    from atio.table.compact import Compacted
    from atio.table.diff import Diff
    from atio.table.expire import Expired
    from atio.table.layout import PartitionBy
    from atio.table.ordering import SortBy
    from atio.table.repair import Repaired
    from atio.table.stage import Staged
    from atio.table.transaction import Transaction
    from atio.table.vacuum import Vacuumed
    from atio.table.verify import Report
    from atio.table.writing import Writer

T = TypeVar("T")
Location = str | os.PathLike[str] | Storage


def system_clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class Table(Doors):
    """A versioned table in a folder.

    Open one with :meth:`open`; the first write creates it. A ``Table`` holds no descriptors and no
    state besides caches of immutable metadata: every call looks at the newest version, and one object
    may be used from several threads.
    """

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

    # -- opening -----------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        location: Location,
        *,
        branch: str | None = None,
        durable: bool = True,
        storage_options: Mapping[str, object] | None = None,
        filesystem: object | None = None,
    ) -> Table:
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
    ) -> Table:
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
    def _writer(self) -> Writer:
        from atio.table.writing import Writer

        return Writer(self._objects, self._retry, self._clock)

    # -- writing -----------------------------------------------------------------------------

    def append(
        self,
        data: object,
        *,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
        checkpoint_rows: int | None = None,
        schema_mode: Literal["strict", "merge"] = "strict",
        on_conflict: Literal["error", "update", "ignore"] = "error",
    ) -> Snapshot:
        """Add rows as a new version; the first write creates the table.

        Parameters
        ----------
        data
            pandas, Polars (lazy too) or Arrow data, anything with ``__arrow_c_stream__``, NumPy, a
            dict of columns, a list of records, or an iterator of any of those, which is streamed in
            bounded memory into one version. Columns are matched by name; missing nullable ones
            become null; values are cast only where nothing is lost.
        message
            Kept with the version.
        token
            Makes the call idempotent: if a version was made with this token, nothing is written and
            that version is returned.
        expected_version
            Commit only if the table is at exactly this version.
        checkpoint_rows
            Commit each so many rows as a version of their own: when a later part fails, they stay. With a
            ``token``, repeating the call with the same data skips the parts that are there and goes on. The
            last version is returned.
        schema_mode
            ``"merge"`` adds columns that the table does not have, nullable, behind its own; ``"strict"``
            refuses them.
        on_conflict
            In a table with a key, for rows whose key is there: ``"update"`` replaces that row, as
            :meth:`upsert` does; ``"ignore"`` leaves the new one out.

        Raises
        ------
        ExistsError
            A key is in the table already.
        SchemaError
            Naming the column, what was expected and what was found.
        ConflictError
            ``expected_version`` is not the newest, or other writers changed the columns.
        OutcomeUnknownError
            The commit may have landed.
        """
        if on_conflict != "error":
            with self._located():
                if on_conflict not in ("update", "ignore"):
                    raise InputError(f"on_conflict is {on_conflict!r}; it is 'error', 'update' or 'ignore'")
                if token is not None or checkpoint_rows is not None or schema_mode != "strict":
                    raise InputError(
                        "on_conflict goes without token, checkpoint_rows and schema_mode",
                        hint="repeating such an append is harmless",
                    )
            made = self.merge(
                data, when_matched=on_conflict, message=message, expected_version=expected_version
            )
            return self.snapshot(made.version)
        if checkpoint_rows is None:
            return self._write(
                data,
                overwrite=False,
                message=message,
                token=token,
                expected_version=expected_version,
                schema_mode=schema_mode,
            )
        from atio.table.checkpoints import append_in_parts

        with self._located():
            if expected_version is not None:
                raise InputError("checkpoint_rows makes several versions: none of them can be expected")
            return self._snapshot(
                append_in_parts(
                    self._writer, data, checkpoint_rows, message=message, token=token, schema_mode=schema_mode
                )
            )

    def overwrite(
        self,
        data: object,
        where: Where | None = None,
        *,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
    ) -> Snapshot:
        """Replace all rows, and the columns, as a new version. Parameters as for :meth:`append`.

        Older versions stay readable. Columns of the same name and type keep their ids.

        Parameters
        ----------
        where
            Replace only the rows for which it is true (as in :meth:`scan`); the columns stay.

        Raises
        ------
        InputError
            ``where`` is not true for one of the new rows, which is shown.
        """
        if where is not None:
            from atio.table.writing import Intent

            with self._located():
                intent = Intent(
                    overwrite=True, message=message, token=token, expected_version=expected_version
                )
                return self._snapshot(self._writer.replace(data, where, intent))
        return self._write(
            data, overwrite=True, message=message, token=token, expected_version=expected_version
        )

    def delete(
        self, where: Where, *, message: str | None = None, expected_version: int | None = None
    ) -> Changed:
        """Delete the rows for which ``where`` is true, as a new version.

        Costs in proportion to what is deleted: data files are not rewritten, their rows are marked. Older
        versions keep them. Makes no version if there is no such row.

        Parameters
        ----------
        where
            As in :meth:`scan`; a row for which it is unknown (null) stays.
        message, expected_version
            As for :meth:`append`.

        Raises
        ------
        InputError
            There is no such column, or the condition does not fit the columns' types.
        ConflictError
            ``expected_version`` is not the newest, or other writers rewrote the table each time.
        """
        with self._located():
            return self._changer(message, expected_version).delete(where)

    def update(
        self,
        values: Mapping[str, object],
        where: Where,
        *,
        message: str | None = None,
        expected_version: int | None = None,
    ) -> Changed:
        """Give the rows for which ``where`` is true other values, as a new version.

        The rows move to the end. Makes no version if there is no such row.

        Parameters
        ----------
        values
            By column a value, or an expression of the old columns: ``{"price": col("price") * 1.1}``.
            It becomes the column's type only where nothing is lost; ``.cast(…)`` says otherwise.
        where
            As in :meth:`scan`; a row for which it is unknown (null) stays as it is.
        message, expected_version
            As for :meth:`append`.

        Raises
        ------
        InputError
            There is no such column, or a type does not fit.
        SchemaError
            A value is none of its column's type.
        ConflictError
            As for :meth:`delete`; also if others changed the same rows each time.
        """
        with self._located():
            return self._changer(message, expected_version).update(values, where)

    def upsert(
        self,
        data: object,
        on: str | Sequence[str] | None = None,
        *,
        message: str | None = None,
        expected_version: int | None = None,
    ) -> Changed:
        """Insert rows, and replace those that have the same key, as a new version.

        Afterwards each key of the data is in the table once, at its end. Only the key's columns are read of
        what is there, and only in data files that may have such a key.

        Parameters
        ----------
        data
            As for :meth:`append`, with all columns of the table.
        on
            The column, or columns, that are the key (not floating); the table's own if not given.
        message, expected_version
            As for :meth:`append`.

        Raises
        ------
        InputError
            A key is in the data twice, or null; the rows are shown.
        SchemaError
            A column is missing, or a value is none of its column's type.
        ConflictError
            As for :meth:`delete`.
        """
        with self._located():
            names = (on,) if isinstance(on, str) else tuple(on or ())
            return self._changer(message, expected_version).upsert(data, names)

    def merge(
        self,
        data: object,
        on: str | Sequence[str] | None = None,
        *,
        when_matched: Literal["update", "delete", "ignore"] | Mapping[str, object] = "update",
        when_not_matched: Literal["insert", "ignore"] = "insert",
        when_not_matched_by_source: Literal["ignore", "delete"] = "ignore",
        message: str | None = None,
        expected_version: int | None = None,
    ) -> Changed:
        """Compare rows with the table's by key, and insert, change or delete accordingly, as one version.

        Parameters
        ----------
        data
            As for :meth:`append`, with all columns of the table where rows are inserted or replaced. Held in
            memory, except for what :meth:`upsert` does as well.
        on
            As for :meth:`upsert`.
        when_matched
            What becomes of the table's rows whose key is in the data: ``"update"`` puts the data's row in
            their place; a dict gives them other values as :meth:`update` does, where ``col("source", "qty")``
            is a column of the data's row; ``"delete"``; ``"ignore"``.
        when_not_matched
            Whether rows of the data whose key is not in the table are inserted.
        when_not_matched_by_source
            Whether the table's rows whose key is not in the data (also those without a key) are deleted.
        message, expected_version
            As for :meth:`append`.

        Raises
        ------
        InputError, SchemaError, ConflictError
            As for :meth:`upsert`.
        """
        from atio.table.merging import Plan, merge

        with self._located():
            names = (on,) if isinstance(on, str) else tuple(on or ())
            plan = Plan.of(when_matched, when_not_matched, when_not_matched_by_source)
            return merge(self._changer(message, expected_version), data, names, plan)

    def transaction(
        self, *, message: str | None = None, isolation: Literal["snapshot", "serializable"] = "snapshot"
    ) -> Transaction:
        """Several changes as one version: ``with table.transaction() as tx: tx.delete(…); tx.append(…)``.

        Reads from ``tx`` see what it changed before. An exception in the block leaves nothing.

        Parameters
        ----------
        message
            Kept with the version.
        isolation
            What is done if others commit meanwhile. ``"snapshot"``: the changes are made to what is there by
            then, conditions and keys looked up again; what was *read* in the block may be out of date.
            ``"serializable"``: ``ConflictError``, so that all that was read still held.

        Raises
        ------
        ConflictError
            At the end of the block; as above, and as for the changes themselves.
        """
        from atio.table.transaction import Transaction
        from atio.table.writing import check_words

        with self._located():
            check_words(message=message)
            return Transaction(self, message, isolation)

    def _changer(self, message: str | None, expected_version: int | None) -> Changer:
        from atio.table.changing import Changer
        from atio.table.writing import check_words

        check_words(message=message)
        return Changer(self._writer, message, expected_version)

    def stage(self, data: object, *, overwrite: bool = False) -> Staged:
        """Write the data files of an append (or overwrite) and leave the commit to :meth:`commit`.

        The result serialises, so that workers on other machines can write and one process commits.
        Commit it within the grace period of ``vacuum``.
        """
        with self._located():
            return self._writer.stage(data, overwrite=overwrite)

    def commit(
        self,
        *staged: Staged,
        overwrite: bool = False,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
    ) -> Snapshot:
        """Make staged files one version, in the order given. Their files stay if this fails.

        Committing the same files again changes nothing and returns the version that has them.
        """
        from atio.table.writing import Intent

        with self._located():
            intent = Intent(
                overwrite=overwrite, message=message, token=token, expected_version=expected_version
            )
            return self._snapshot(self._writer.commit(staged, intent))

    def _write(self, data: object, **asked: Any) -> Snapshot:
        from atio.table.writing import Intent

        with self._located():
            return self._snapshot(self._writer.write(data, Intent(**asked)))

    # -- versions ----------------------------------------------------------------------------

    def snapshot(self, version: int | str | None = None, *, as_of: datetime | None = None) -> Snapshot:
        """A version to read: the newest, one by number or tag, or the newest at a time.

        Parameters
        ----------
        version
            A number, or the name of a tag.
        as_of
            A moment; without a zone it is local time.

        Raises
        ------
        VersionNotFoundError
            Saying whether the version was expired or never there.
        """
        with self._located():
            return self._snapshot(self._find(version, as_of))

    def history(self, limit: int | None = None) -> list[Snapshot]:
        """The retained versions, newest first."""
        with self._located():
            found = self._read(lambda state: list(lookup.newest_first(self._objects, state, limit)))
            return [self._snapshot(model) for model in found]

    @property
    def version(self) -> int:
        """Number of the newest version."""
        with self._located():
            return self._state().version

    @property
    def schema(self) -> pa.Schema:
        """Columns of the newest version."""
        with self._located():
            return self._state().schema.public

    @property
    def properties(self) -> dict[str, str]:
        """What was set with :meth:`set_properties` or at creation."""
        with self._located():
            return dict(self._state().catalog.properties)

    def set_properties(self, changes: Mapping[str, str | None]) -> None:
        """Set properties, or remove them (None). Takes no version number."""
        from atio.commit.changes import SetProperties
        from atio.table import properties

        with self._located():
            before = self._state().catalog.properties
            after = {k: v for k, v in {**before, **changes}.items() if v is not None}
            properties.check(changes, after)
            self._writer.amend("properties", SetProperties(dict(changes)))

    @property
    def key(self) -> tuple[str, ...]:
        """The columns whose values no two rows share; empty if the table has no key."""
        from atio.table.keyed import key_of

        with self._located():
            return key_of(self._state())

    def get(self, *key: object) -> dict[str, Any] | None:
        """The row with this key, by column; None if there is none.

        Parameters
        ----------
        key
            The value of the key's column; of several columns, their values in order.

        Raises
        ------
        InputError
            The table has no key, or these are no values of it.
        """
        from atio.table.keyed import get

        with self._located():
            return self._read(lambda state: get(self._objects, state, self.url, key))

    @property
    def partitioning(self) -> list[str]:
        """What files are parted by, as ``partition_by`` takes it; empty if by nothing."""
        from atio.table.layout import layout_of

        with self._located():
            state = self._state()
            return [str(part) for part in layout_of(state.catalog, state.schema).parts]

    def set_partitioning(self, partition_by: PartitionBy | None) -> None:
        """Part the rows of later writes by something else, or by nothing (None).

        Files that are there stay as they are until ``compact()``. Takes no version number.
        """
        from atio.commit.changes import SetLayout
        from atio.table.layout import partition_fields

        with self._located():
            self._refuse_on_a_branch("partitions")
            fields = partition_fields(partition_by, self._state().schema)
            self._writer.amend("partition", SetLayout(partitioning=fields))

    @property
    def sorting(self) -> list[tuple[str, str]]:
        """Columns that rows are sorted by within a write, with their directions."""
        from atio.table.layout import layout_of

        with self._located():
            state = self._state()
            order = layout_of(state.catalog, state.schema).order
            return [] if order is None else list(zip(order.columns, order.directions, strict=True))

    def set_sorting(self, sort_by: SortBy | None) -> None:
        """Sort the rows of later writes, and of compactions, by other columns, or not (None).

        Takes no version number.
        """
        from atio.commit.changes import SetLayout
        from atio.table.layout import sort_fields

        with self._located():
            self._refuse_on_a_branch("an order")
            fields = sort_fields(sort_by, self._state().schema)
            self._writer.amend("sort", SetLayout(sorting=fields))

    @property
    def checks(self) -> dict[str, str]:
        """Conditions that no row may make false, by name, as SQL."""
        from atio.commit.checks import condition

        with self._located():
            state = self._state()
            return {check.name: str(condition(check, state.schema)) for check in state.catalog.checks}

    def add_check(self, name: str, where: Where) -> None:
        """Refuse rows for which a condition is false, from now on. Takes no version number.

        Parameters
        ----------
        where
            As in :meth:`scan`. As in SQL, a row for which it is unknown (a null) is accepted.

        Raises
        ------
        ConstraintError
            Showing rows of the newest version for which it is false.
        ExistsError
            There is a check of that name.
        """
        with self._located():
            self._refuse_on_a_branch("checks")
            self._writer.add_check(name, where)

    def drop_check(self, name: str) -> None:
        """Take a check away."""
        from atio.commit.changes import DropCheck

        with self._located():
            self._refuse_on_a_branch("checks")
            self._writer.amend("drop check", DropCheck(name))

    def _refuse_on_a_branch(self, what: str) -> None:
        if self.branch is not None:
            raise InputError(
                f"the table has {what}, for all its branches; this is the branch {self.branch!r}",
                hint="open the table without branch=",
            )

    @property
    def tags(self) -> dict[str, int]:
        """Versions by tag."""
        with self._located():
            return {name: tag.version for name, tag in self._state().catalog.tags}

    def tag(
        self, name: str, version: int | None = None, *, message: str | None = None, move: bool = False
    ) -> None:
        """Name a version (the newest by default), which keeps it from expiring.

        Raises
        ------
        ExistsError
            The tag is on another version, and ``move`` is False.
        """
        from atio.commit.changes import SetTag
        from atio.model.pointer import Tag
        from atio.table.writing import check_words

        with self._located():
            if self.branch is not None:
                raise InputError(
                    "tags name versions of the table itself, not of a branch", hint="merge the branch first"
                )
            _check_name("tag", name)
            check_words(message=message, tag=name)
            wanted = self._find(version).version
            made = Tag(version=wanted, created=self._clock(), message=message)
            self._writer.amend("tag", SetTag(name, made, move))

    def untag(self, name: str) -> None:
        """Remove a tag."""
        from atio.commit.changes import DropTag

        with self._located():
            self._writer.amend("untag", DropTag(name))

    # -- branches ----------------------------------------------------------------------------

    @property
    def branch(self) -> str | None:
        """The branch that this handle reads and writes; None: the table's own line."""
        return self._objects.branch

    @property
    def branches(self) -> dict[str, int]:
        """The newest version of each branch."""
        with self._located():
            return {name: branch.snapshot.version for name, branch in self._state().catalog.branches}

    def create_branch(self, name: str, version: int | str | None = None) -> Table:
        """Begin a line of versions of its own at a version, the newest by default, and return a handle on it.

        What is committed on the branch is not seen by readers of the table, and the other way round, until
        :meth:`merge_branch`. Its versions go on from the number of the one that it began with. No data is
        copied: they share files, and each line keeps what it needs. Properties and tags are the table's.

        Raises
        ------
        ExistsError
            There is a branch of that name.
        """
        from atio.table import branches
        from atio.table.writing import check_words

        with self._located():
            _check_name("branch", name)
            check_words(branch=name)
            branches.create(self._writer.committer, name, version)
        return Table(self._objects.storage, branch=name, retry=self._retry, clock=self._clock)

    def merge_branch(self, name: str, *, message: str | None = None) -> Snapshot:
        """Bring what was committed on a branch to the table; returns the table's newest version.

        If the table is still at the version that the branch began with (or was last forwarded to), its own
        line takes over the versions of the branch. Else what the branch appended is appended, as one version;
        the branch must have done nothing else. Merging again adds only what is new. The branch stays.

        Raises
        ------
        ConflictError
            Both lines moved on, and the branch did more than append.
        """
        from atio.table import branches
        from atio.table.writing import check_words

        with self._located():
            check_words(message=message)
            return self._snapshot(branches.merge(self._writer.committer, name, message))

    def drop_branch(self, name: str) -> None:
        """Remove a branch; :meth:`vacuum` removes the files that only it needed."""
        from atio.table import branches

        with self._located():
            branches.drop(self._writer.committer, name)

    def restore(self, version: int | str, *, message: str | None = None) -> Snapshot:
        """Make an older version's rows and columns the newest version. Nothing is copied."""
        with self._located():
            return self._snapshot(self._writer.restore(version, message))

    def diff(self, old: int | str, new: int | str | None = None) -> Diff:
        """What changed between two versions (``new``: the newest by default)."""
        from atio.table.diff import diff

        with self._located():
            return self._read(lambda state: diff(self._objects, state, old, new))

    # -- maintenance -------------------------------------------------------------------------

    def expire(
        self, older_than: timedelta | datetime | None = None, keep_last: int = 1, *, dry_run: bool = False
    ) -> Expired:
        """Forget old versions and remove the files that only they needed.

        Parameters
        ----------
        older_than
            Age, or moment, from which a version may go; by default seven days.
        keep_last
            So many of the newest versions stay whatever their age (at least 1).
        dry_run
            Only tell what would go.

        Notes
        -----
        The newest version and tagged ones always stay. Takes no version number.
        """
        from atio.table.expire import expire

        with self._located():
            return expire(self._writer.committer, older_than, keep_last, dry_run=dry_run)

    def vacuum(self, older_than: timedelta = timedelta(days=1), *, dry_run: bool = False) -> Vacuumed:
        """Remove files that no retained version needs: leftovers of killed or failed writers.

        Parameters
        ----------
        older_than
            Grace period: younger files stay, and so do those of writers known to be running. Files
            staged elsewhere must be committed within it.
        """
        from atio.table.vacuum import vacuum

        with self._located():
            return vacuum(self._writer.committer, older_than, dry_run=dry_run)

    def compact(
        self,
        where: Where | None = None,
        *,
        target_size: int | None = None,
        sort_by: SortBy | None = None,
        zorder_by: str | Sequence[str] | None = None,
        message: str | None = None,
        dry_run: bool = False,
        progress: bool = False,
    ) -> Compacted:
        """Rewrite many small data files into few, as one version with the same rows.

        Without an order, neighbouring files smaller than three quarters of the target become one where that
        makes them fewer, and all rows keep their places. With one, all files are rewritten. Of a table with
        partitions, files of one partition become one; those that were written before it had these
        partitions are parted. The order of the table, if it has one, is that within new files.

        Parameters
        ----------
        where
            Only files that may have rows for which it is true (as in :meth:`scan`). No row is left out.
        target_size
            Bytes of a file to be made; by default the property ``file.target_bytes``.
        sort_by
            Columns to sort the rows by, each ``"a"`` or ``("a", "descending")``. Nulls come last, NaN before
            them; ordered categories in their order. Equal rows keep their order.
        zorder_by
            Columns by which neighbouring rows shall be alike, all at once: rows are sorted by the Z-order
            curve through the ranks of their values.
        progress
            Show it.

        Notes
        -----
        Others may write meanwhile: what they append stays, behind the rewritten rows. If they take away
        files that were being rewritten, it starts over, a few times. Older versions keep their files until
        they expire.

        Memory is bounded by the target size, or 256 MiB if that is more, whatever the size of the data. A
        sort needs space for the decoded rows in the folder for temporary files.

        Raises
        ------
        ConflictError
            Others removed the files each time.
        """
        from atio.table.compact import Layout, compact
        from atio.table.writing import check_words

        with self._located():
            check_words(message=message)
            layout = Layout(where, target_size, sort_by, zorder_by, message)
            return compact(self._writer.committer, self.url, layout, dry_run=dry_run, progress=progress)

    def verify(self, *, deep: bool = True) -> Report:
        """Check every file that a retained version needs.

        Parameters
        ----------
        deep
            Read and hash the data files too; else only look at their sizes.
        """
        from atio.table.verify import verify

        with self._located():
            return verify(self._objects, deep=deep)

    def repair(self, *, dry_run: bool = False) -> Repaired:
        """Return to the newest intact version after ``current`` or a version was damaged.

        Never runs by itself. Nothing is deleted; what is left unreachable is for ``vacuum``.
        """
        from atio.table.repair import repair

        with self._located():
            if self.branch is not None:
                raise InputError(
                    "only the table itself can be repaired, not a branch",
                    hint="open the table without branch=; a damaged branch can be dropped",
                )
            return repair(self._writer.committer, dry_run=dry_run)

    def copy_to(
        self,
        destination: Location,
        *,
        version: int | str | None = None,
        as_of: datetime | None = None,
        storage_options: Mapping[str, object] | None = None,
        durable: bool = True,
    ) -> Table:
        """Copy the table to where there is none, on a disk or in a bucket; returns the copy.

        All retained versions, tags, tokens and properties are copied as they are. Every file is checked
        against its checksum on its way, and the copy is a table only when it is complete. After a failure
        or a kill, repeat the call: files that are there and whole are not copied again. Others may write
        to this table meanwhile: the copy is what it was at the start.

        Parameters
        ----------
        version, as_of
            Copy this one version, as for :meth:`snapshot`: it keeps its number and tags and is the only one
            of the copy, which is a table of its own.
        storage_options, durable
            Of the destination; see :meth:`open`.

        Raises
        ------
        ExistsError
            There is another table at the destination, or another state of this one; the very copy that was
            asked for is no error.
        DamagedError
            Naming a file of this table that is missing or altered.
        LockTimeoutError
            Another process is writing at the destination.
        """
        from atio.table.copy import copy

        made = Table.open(destination, durable=durable, storage_options=storage_options)
        with self._located():
            copy(self._objects, made._writer.committer, version, as_of)  # noqa: SLF001
        return made

    # -- columns: changes of metadata alone, by permanent field ids ---------------------------

    def add_column(
        self,
        name: str | Sequence[str],
        type: pa.DataType,
        *,
        default: Any = None,
        nullable: bool = True,
        after: str | None = None,
        first: bool = False,
        message: str | None = None,
    ) -> Snapshot:
        """Add a column, as a new version. No data file is written, whatever the table's size.

        Parameters
        ----------
        name
            Of the column; ``"point.z"`` or ``("point", "z")`` for a part of the struct ``point``.
        type
            Arrow type.
        default
            The value of the rows that are there, and of rows that are appended without the column; null
            if not given.
        after, first
            Where it goes; last if not given.

        Raises
        ------
        SchemaError
            There is such a column, the default is of another type, or a column that may not be null has none.
        """
        field = pa.field("", type, nullable=nullable)
        where = {"after": after, "first": first}
        return self._evolve(
            message, lambda edits, path: edits.AddColumn(path(name), field, default=default, **where)
        )

    def drop_column(self, name: str | Sequence[str], *, message: str | None = None) -> Snapshot:
        """Take a column (or a part of a struct) away, as a new version; older versions still have it."""
        return self._evolve(message, lambda edits, path: edits.DropColumn(path(name)))

    def rename_column(
        self, name: str | Sequence[str], new_name: str, *, message: str | None = None
    ) -> Snapshot:
        """Give a column (or a part of a struct) another name, as a new version."""
        return self._evolve(message, lambda edits, path: edits.RenameColumn(path(name), new_name))

    def reorder_columns(
        self, names: Sequence[str], *, within: str | Sequence[str] = (), message: str | None = None
    ) -> Snapshot:
        """Put the named columns first, in this order, as a new version; the others stay behind them.

        ``within`` names a struct whose parts are meant.
        """
        return self._evolve(
            message, lambda edits, path: edits.OrderColumns(path(within) if within else (), tuple(names))
        )

    def widen_column(
        self, name: str | Sequence[str], type: pa.DataType, *, message: str | None = None
    ) -> Snapshot:
        """Give a column a type that holds every value of its own, as a new version.

        Integers to wider ones, to floats and decimals that hold them; floats and decimals to wider ones;
        timestamps to a finer unit, microseconds at most; text and binary to their larger layouts.

        Raises
        ------
        SchemaError
            Some value of the old type is none of the new one.
        """
        return self._evolve(message, lambda edits, path: edits.WidenColumn(path(name), type))

    def make_nullable(self, name: str | Sequence[str], *, message: str | None = None) -> Snapshot:
        """Let a column have nulls, as a new version."""
        return self._evolve(message, lambda edits, path: edits.MakeNullable(path(name)))

    def set_not_null(self, name: str | Sequence[str], *, message: str | None = None) -> Snapshot:
        """Refuse nulls in a column from now on, as a new version; :meth:`make_nullable` allows them again.

        Raises
        ------
        ConstraintError
            Showing rows that have a null there.
        """
        from atio.schema.evolve import path_to

        with self._located():
            path = path_to(name, self._state().schema.arrow.names)
            return self._snapshot(self._writer.set_not_null(path, message))

    def _evolve(self, message: str | None, edit: Callable[[Any, Callable[..., Path]], Edit]) -> Snapshot:
        from atio.schema import evolve

        with self._located():
            known = self._state().schema.arrow.names
            made = edit(evolve, lambda name: evolve.path_to(name, known))
            return self._snapshot(self._writer.evolve((made,), message))

    # -- reading shortcuts -------------------------------------------------------------------

    def scan(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> Scan:
        """Shorthand for ``snapshot().scan(…)``."""
        return self.snapshot().scan(columns, limit, where=where)

    def to_arrow(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> pa.Table:
        """Shorthand for ``snapshot().to_arrow(…)``."""
        return self.snapshot().to_arrow(columns, limit, where=where)

    def to_pandas(
        self,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        *,
        where: Where | None = None,
        **kwargs: Any,
    ) -> Any:
        """Shorthand for ``snapshot().to_pandas(…)``."""
        return self.snapshot().to_pandas(columns, limit, where=where, **kwargs)

    def to_polars(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> Any:
        """Shorthand for ``snapshot().to_polars(…)``."""
        return self.snapshot().to_polars(columns, limit, where=where)

    def to_lazy(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> Any:
        """Shorthand for ``snapshot().to_lazy(…)``."""
        return self.snapshot().to_lazy(columns, limit, where=where)

    def _scan(self) -> Scan:
        return self.scan()

    # -- helpers -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the table is."""
        return self._objects.storage.url

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

    def __repr__(self) -> str:
        try:
            state = load_state(self._objects)
        except AtioError as error:
            return f"<Table {self.url}: {error.message}>"
        if state is None:
            return f"<Table {self.url}: not created yet>"
        rows, columns = state.snapshot.summary.rows, len(state.schema.arrow.names)
        line = f", branch {self.branch}" if self.branch else ""
        return f"<Table {self.url}{line}: version {state.version}, {rows:,} rows × {columns} columns>"

    def _repr_html_(self) -> str:
        from html import escape

        state = load_state(self._objects)
        return escape(repr(self)) if state is None else self._snapshot(state.snapshot)._repr_html_()


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not name.strip() or name != name.strip() or len(name) > 200:
        raise InputError(f"{name!r} cannot be a {kind}", hint="use 1 to 200 characters, no space at the ends")
    if name.isdecimal():
        raise InputError(f"{kind} {name!r} looks like a version", hint=f"call it 'v{name}', for example")
