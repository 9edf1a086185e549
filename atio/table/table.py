"""The table: a thin face over staging, commits, scans and maintenance."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atio.commit.build import Request
from atio.commit.changes import (
    AddFiles,
    Change,
    CreateTable,
    DropTag,
    ReplaceAll,
    Restore,
    SetProperties,
    SetTag,
)
from atio.commit.loop import Committer, RetryPolicy, system_clock
from atio.commit.state import POINTER, State, load_schema, load_state
from atio.errors import AtioError, ConflictError, InputError, NotFoundError, OutcomeUnknownError
from atio.frames import incoming
from atio.metadata.objects import Objects
from atio.model.base import new_id
from atio.model.pointer import Tag
from atio.schema.fit import Fitter
from atio.storage import open_storage
from atio.storage.base import Storage
from atio.table import lookup, properties
from atio.table.datafiles import discard
from atio.table.diff import Diff, diff
from atio.table.expire import Expired, expire
from atio.table.merge import MergeTiny
from atio.table.present import StillThere
from atio.table.repair import Repaired, repair
from atio.table.scan import Scan
from atio.table.snapshot import Snapshot
from atio.table.stage import Staged, stage
from atio.table.vacuum import Vacuumed, vacuum
from atio.table.verify import Report, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

Location = str | os.PathLike[str] | Storage
_RESTAGES = 5


class Table:
    """A versioned table in a folder.

    Open one with :meth:`open`; the first write creates it. A ``Table`` holds no descriptors and no
    state besides caches of immutable metadata: every call looks at the newest version, and one object
    may be used from several threads.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        retry: RetryPolicy | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._objects = Objects(storage)
        self._committer = Committer(self._objects, retry or RetryPolicy(), clock)
        self._clock = clock

    # -- opening -----------------------------------------------------------------------------

    @classmethod
    def open(cls, location: Location, *, durable: bool = True) -> Table:
        """A handle on the table at ``location``: a path, a URL or a ``Storage``.

        Nothing is read or created yet; the table may not exist before its first write.

        Parameters
        ----------
        durable
            Sync every file before a write returns. False trades that for speed: a power cut may
            then lose acknowledged versions or damage the table; a killed process may not.
        """
        return cls(open_storage(location, durable=durable))

    @classmethod
    def create(
        cls,
        location: Location,
        schema: pa.Schema | None = None,
        *,
        format: str = "parquet",
        properties: Mapping[str, str] | None = None,
        durable: bool = True,
    ) -> Table:
        """Create an empty table: version 0.

        Parameters
        ----------
        schema
            Arrow schema of the columns; fields that are not nullable are enforced. Anything with an
            Arrow schema (a frame) serves as well: its rows are not written.
        format
            Of the data files: ``parquet``, ``arrow``, ``csv``, ``jsonl`` or ``orc``.

        Raises
        ------
        ExistsError
            There is a table already.
        """
        table = cls.open(location, durable=durable)
        table._create(schema, {**({"format": format} if format != "parquet" else {}), **(properties or {})})  # noqa: SLF001
        return table

    @classmethod
    def exists(cls, location: Location) -> bool:
        """Whether there is a table (intact or not) at ``location``."""
        return open_storage(location).load(POINTER) is not None

    def _create(self, schema: Any, chosen: dict[str, str]) -> None:
        properties.check(chosen, chosen)
        if schema is not None and not isinstance(schema, pa.Schema):
            schema = incoming(schema).schema
        fitter = Fitter(None)
        fitter.start(schema if schema is not None else pa.schema([]))
        change = CreateTable(fitter.schema(), chosen)
        with self._located():
            self._committer.commit(Request("create", (change,), first_version=0, must_exist=False))

    # -- writing -----------------------------------------------------------------------------

    def append(
        self,
        data: object,
        *,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
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

        Raises
        ------
        SchemaError
            Naming the column, what was expected and what was found.
        ConflictError
            ``expected_version`` is not the newest, or other writers changed the columns.
        OutcomeUnknownError
            The commit may have landed.
        """
        return self._write("append", data, message, token, expected_version)

    def overwrite(
        self,
        data: object,
        *,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
    ) -> Snapshot:
        """Replace all rows, and the columns, as a new version. Parameters as for :meth:`append`.

        Older versions stay readable. Columns of the same name and type keep their ids.
        """
        return self._write("overwrite", data, message, token, expected_version)

    def stage(self, data: object, *, overwrite: bool = False) -> Staged:
        """Write the data files of an append (or overwrite) and leave the commit to :meth:`commit`.

        The result serialises, so that workers on other machines can write and one process commits.
        Commit it within the grace period of ``vacuum``.
        """
        with self._located():
            state = load_state(self._objects)
            return self._stage(incoming(data), state, "", overwrite=overwrite)

    def commit(
        self,
        *staged: Staged,
        overwrite: bool = False,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
    ) -> Snapshot:
        """Make staged files one version, in the order given. Their files stay if this fails."""
        if not staged:
            raise InputError("nothing was staged", hint="pass the results of stage()")
        with self._located():
            state = load_state(self._objects)
            request = self._request(state, staged, overwrite, message, token, expected_version)
            outcome = self._committer.commit(request)
            return self._result(outcome.state, outcome.replayed)

    def _write(
        self, operation: str, data: object, message: str | None, token: str | None, expected: int | None
    ) -> Snapshot:
        _check_words(message=message, token=token)
        source = incoming(data)
        for attempt in range(_RESTAGES):
            with self._located():
                try:
                    return self._write_once(operation, source, message, token, expected)
                except ConflictError:
                    # The columns changed under us: rows that are still there can be fitted to the new ones.
                    if source.streamed or expected is not None or attempt == _RESTAGES - 1:
                        raise
            source = incoming(data)
        raise AssertionError

    def _write_once(
        self, operation: str, source: Any, message: str | None, token: str | None, expected: int | None
    ) -> Snapshot:
        overwrite = operation == "overwrite"
        state = load_state(self._objects)
        if state is not None and token is not None:
            known = self._committer.version_of(token, state)
            if known is not None:
                return self._result(state, known)
        # A stream may take longer than the grace period of a vacuum: a lease tells it to wait.
        prefix = new_id()[:8] if source.streamed else ""
        lease = self._objects.storage.lease(prefix) if prefix else None
        try:
            staged = self._stage(source, state, prefix, overwrite=overwrite)
            request = self._request(state, (staged,), overwrite, message, token, expected)
            try:
                outcome = self._committer.commit(request)
            except OutcomeUnknownError:
                raise  # The files may be part of the table.
            except AtioError:
                discard(self._objects.storage, staged.files)
                raise
        finally:
            if lease is not None:
                lease.release()
        if outcome.replayed is not None:
            discard(self._objects.storage, staged.files)
        return self._result(outcome.state, outcome.replayed)

    def _stage(self, source: Any, state: State | None, prefix: str, *, overwrite: bool) -> Staged:
        options = properties.file_options(state.catalog.properties if state else {})
        return stage(self._objects, source, state, options, prefix=prefix, replace=overwrite)

    def _request(
        self,
        state: State | None,
        staged: tuple[Staged, ...],
        overwrite: bool,
        message: str | None,
        token: str | None,
        expected: int | None,
    ) -> Request:
        _check_words(message=message, token=token)
        first, *others = staged
        for one in staged:
            if one.table_id is not None and state is not None and one.table_id != state.pointer.table_id:
                raise InputError("the files were staged for another table", hint="stage them for this one")
        changes: list[Change] = []
        if self._objects.storage.capabilities.lock:
            changes.append(StillThere(tuple(file.path for one in staged for file in one.files if file.size)))
        if overwrite:
            changes.append(ReplaceAll(first.files, first.bound(), first.index, first.last_field_id))
        else:
            changes.append(AddFiles(first.files, first.bound(), first.grown_from, first.index))
        changes.extend(AddFiles(one.files, one.bound(), one.grown_from, one.index) for one in others)
        chosen = state.catalog.properties if state else {}
        if not overwrite and properties.merges(chosen):
            changes.append(MergeTiny(properties.file_options(chosen)))
        return Request(
            "overwrite" if overwrite else "append",
            tuple(changes),
            message=message,
            token=token,
            expected_version=expected,
            must_exist=False,
        )

    def _result(self, state: State, replayed: int | None) -> Snapshot:
        if replayed is not None and replayed != state.version:
            found = lookup.retained(self._objects, state, replayed)
            if found is not None:
                return self._snapshot(found)
        return self._snapshot(state.snapshot)

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
            return self._snapshot(lookup.find(self._objects, self._state(), version, as_of))

    def history(self, limit: int | None = None) -> list[Snapshot]:
        """The retained versions, newest first."""
        with self._located():
            return [self._snapshot(s) for s in lookup.newest_first(self._objects, self._state(), limit)]

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
        with self._located():
            before = self._state().catalog.properties
            after = {k: v for k, v in {**before, **changes}.items() if v is not None}
            properties.check(changes, after)
            self._amend("properties", SetProperties(dict(changes)))

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
        if not isinstance(name, str) or not name.strip() or name != name.strip() or len(name) > 200:
            raise InputError(
                f"{name!r} cannot be a tag", hint="use 1 to 200 characters, no space at the ends"
            )
        _check_words(message=message)
        with self._located():
            wanted = lookup.find(self._objects, self._state(), version, None).version
            self._amend(
                "tag", SetTag(name, Tag(version=wanted, created=self._clock(), message=message), move)
            )

    def untag(self, name: str) -> None:
        """Remove a tag."""
        with self._located():
            self._amend("untag", DropTag(name))

    def restore(self, version: int | str, *, message: str | None = None) -> Snapshot:
        """Make an older version's rows and columns the newest version. Nothing is copied."""
        _check_words(message=message)
        with self._located():
            old = lookup.find(self._objects, self._state(), version, None)
            change = Restore(old, load_schema(self._objects, old.schema_ref))
            outcome = self._committer.commit(Request("restore", (change,), message=message))
            return self._snapshot(outcome.state.snapshot)

    def diff(self, old: int | str, new: int | str | None = None) -> Diff:
        """What changed between two versions (``new``: the newest by default)."""
        with self._located():
            state = self._state()
            a = lookup.find(self._objects, state, old, None)
            b = lookup.find(self._objects, state, new, None)
            return diff(self._objects, a, b)

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
        with self._located():
            return expire(self._committer, older_than, keep_last, dry_run=dry_run)

    def vacuum(self, older_than: timedelta = timedelta(days=1), *, dry_run: bool = False) -> Vacuumed:
        """Remove files that no retained version needs: leftovers of killed or failed writers.

        Parameters
        ----------
        older_than
            Grace period: younger files stay, and so do those of writers known to be running. Files
            staged elsewhere must be committed within it.
        """
        with self._located():
            return vacuum(self._committer, older_than, dry_run=dry_run)

    def verify(self, *, deep: bool = True) -> Report:
        """Check every file that a retained version needs.

        Parameters
        ----------
        deep
            Read and hash the data files too; else only look at their sizes.
        """
        with self._located():
            return verify(self._objects, deep=deep)

    def repair(self, *, dry_run: bool = False) -> Repaired:
        """Return to the newest intact version after ``current`` or a version was damaged.

        Never runs by itself. Nothing is deleted; what is left unreachable is for ``vacuum``.
        """
        with self._located():
            return repair(self._committer, dry_run=dry_run)

    # -- reading shortcuts -------------------------------------------------------------------

    def scan(self, columns: Sequence[str] | None = None, limit: int | None = None) -> Scan:
        """Shorthand for ``snapshot().scan(…)``."""
        return self.snapshot().scan(columns, limit)

    def to_arrow(self, columns: Sequence[str] | None = None, limit: int | None = None) -> pa.Table:
        """Shorthand for ``snapshot().to_arrow(…)``."""
        return self.snapshot().to_arrow(columns, limit)

    def to_pandas(self, columns: Sequence[str] | None = None, limit: int | None = None, **kwargs: Any) -> Any:
        """Shorthand for ``snapshot().to_pandas(…)``."""
        return self.snapshot().to_pandas(columns, limit, **kwargs)

    def to_polars(self, columns: Sequence[str] | None = None, limit: int | None = None) -> Any:
        """Shorthand for ``snapshot().to_polars(…)``."""
        return self.snapshot().to_polars(columns, limit)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.snapshot().__arrow_c_stream__(requested_schema)

    # -- helpers -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the table is."""
        return self._objects.storage.url

    def _state(self) -> State:
        state = load_state(self._objects)
        if state is None:
            raise NotFoundError(
                "there is no table here", hint="append() creates it; check the path if it should exist"
            )
        return state

    def _snapshot(self, model: Any) -> Snapshot:
        return Snapshot(self._objects, self.url, model)

    def _amend(self, operation: str, change: Change) -> None:
        self._committer.commit(Request(operation, (change,), makes_version=False))

    def _located(self) -> _Located:
        return _Located(self.url)

    def __repr__(self) -> str:
        try:
            state = load_state(self._objects)
        except AtioError as error:
            return f"<Table {self.url}: {error.message}>"
        if state is None:
            return f"<Table {self.url}: not created yet>"
        rows, columns = state.snapshot.summary.rows, len(state.schema.arrow.names)
        return f"<Table {self.url}: version {state.version}, {rows:,} rows × {columns} columns>"

    def _repr_html_(self) -> str:
        from html import escape

        state = load_state(self._objects)
        return escape(repr(self)) if state is None else self._snapshot(state.snapshot)._repr_html_()


class _Located:
    """Adds the table to errors that pass."""

    def __init__(self, table: str) -> None:
        self._table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, AtioError):
            error.at(table=self._table)


def _check_words(**words: object) -> None:
    for name, word in words.items():
        if word is None:
            continue
        if not isinstance(word, str) or len(word) > 10_000:
            raise InputError(f"{name} must be a string of at most 10,000 characters, not {word!r:.50}")
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name} has characters that UTF-8 cannot hold") from None
