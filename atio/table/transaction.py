"""Several changes as one version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from atio.commit.build import Request
from atio.commit.changes import Change
from atio.commit.loop import Committer, Outcome
from atio.commit.state import POINTER, State, consistently, pointer_token
from atio.errors import (
    AtioError,
    ConflictError,
    ContendedError,
    DamagedError,
    InputError,
    OutcomeUnknownError,
)
from atio.metadata.objects import Objects
from atio.model.snapshot import Snapshot as Model
from atio.storage.overlay import Overlay
from atio.table import properties
from atio.table.doors.face import Doors
from atio.table.finding import Finding, View
from atio.table.merge import MergeTiny
from atio.table.present import StillThere
from atio.table.snapshot import Snapshot
from atio.table.table import Table
from atio.table.writing import Writer

if TYPE_CHECKING:
    from atio.predicate import Where
    from atio.table.changing import Changed
    from atio.table.scan import Scan

_ATTEMPTS = 3
"""What was made of rows that others changed meanwhile does not get better by trying again."""

Isolation = Literal["snapshot", "serializable"]


class Transaction(Doors):
    """Changes that become one version when the ``with`` block ends, or none if it fails.

    Comes from ``Table.transaction``. Its methods are those of ``Table``; reads see what was changed before.
    """

    def __init__(self, table: Table, message: str | None, isolation: Isolation) -> None:
        if isolation not in ("snapshot", "serializable"):
            raise InputError(f"isolation is {isolation!r}; it is 'snapshot' or 'serializable'")
        self._table = table
        self._message = message
        self._isolation = isolation
        self._base: int | None = None
        self._changes: list[Change] = []
        self._overlay = Overlay(table._objects.storage)  # noqa: SLF001
        self._inner = _Inner(table, self._overlay, self._changes)
        self._open = False
        self.result: Snapshot | None = None
        """The version that was made; None before, or if there was nothing to do."""

    # -- operations ----------------------------------------------------------------------------

    def append(self, data: object, *, schema_mode: Literal["strict", "merge"] = "strict") -> None:
        """As ``Table.append``."""
        self._running().append(data, schema_mode=schema_mode)

    def overwrite(self, data: object, where: Where | None = None, *, partitions: bool = False) -> None:
        """As ``Table.overwrite``."""
        self._running().overwrite(data, where, partitions=partitions)

    def delete(self, where: Where) -> Changed:
        """As ``Table.delete``; versions inside of a transaction mean nothing outside."""
        return self._running().delete(where)

    def update(self, values: Mapping[str, object], where: Where) -> Changed:
        """As ``Table.update``."""
        return self._running().update(values, where)

    def upsert(self, data: object, on: str | Sequence[str] | None = None) -> Changed:
        """As ``Table.upsert``."""
        return self._running().upsert(data, on)

    def merge(self, data: object, on: str | Sequence[str] | None = None, **when: Any) -> Changed:
        """As ``Table.merge``."""
        return self._running().merge(data, on, **when)

    def snapshot(self) -> Snapshot:
        """The rows as they are by now, to read."""
        return self._running().snapshot()

    def to_arrow(self, *given: Any, **more: Any) -> Any:
        """Shorthand for ``snapshot().to_arrow(…)``."""
        return self.snapshot().to_arrow(*given, **more)

    def get(self, *key: object) -> dict[str, Any] | None:
        """As ``Table.get``."""
        return self._running().get(*key)

    def _scan(self) -> Scan:
        return self.snapshot().scan()

    # -- beginning and end ---------------------------------------------------------------------

    def _running(self) -> Table:
        if not self._open:
            raise InputError("the transaction is not under way", hint="with table.transaction() as tx: …")
        return self._inner

    def __enter__(self) -> Self:
        if self.result is not None or self._open:
            raise InputError("a transaction runs once", hint="begin another one")
        with self._table._located():  # noqa: SLF001
            self._overlay.pin(POINTER)
            self._base = self._inner.begin()
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        del trace
        self._open = False
        if kind is not None or self._inner.version == self._base:
            self._give_up()
            if isinstance(error, DamagedError):
                self._check_beginning(error)
            return
        with self._table._located():  # noqa: SLF001
            try:
                made = self._commit()
            except OutcomeUnknownError:
                raise  # The files may be part of the table.
            except AtioError:
                self._give_up()
                raise
        self.result = self._table._snapshot(made)  # noqa: SLF001

    def _give_up(self) -> None:
        with suppress(AtioError):
            self._table._objects.storage.delete([*self._overlay.streamed, *self._written()])  # noqa: SLF001

    def _check_beginning(self, error: DamagedError) -> None:
        """Files may be missing because others expired versions since the transaction began."""
        with self._table._located():  # noqa: SLF001
            if not self._inner.began_with(pointer_token(self._table._objects)):  # noqa: SLF001
                raise ConflictError(
                    f"versions were expired since the transaction began with version {self._base}",
                    hint="begin it again; a tag keeps a version from expiring",
                ) from error

    def _written(self) -> list[str]:
        """Data files that the changes add."""
        staged = (file for one in self._changes if isinstance(one, StillThere) for file in one.files)
        return [file.path for file in staged if file.size]

    def _commit(self) -> Model:
        committer = self._table._writer.committer  # noqa: SLF001
        storage = committer.objects.storage
        held = self._overlay.held(self._written())
        storage.create_all(held)
        expected = self._base if self._isolation == "serializable" else None
        request = Request(
            "transaction", self._all(committer.objects), message=self._message, expected_version=expected
        )
        for attempt in range(_ATTEMPTS):
            # What is new since is looked at while nobody waits.
            for change in self._changes:
                if isinstance(change, Finding):
                    consistently(committer.objects, partial(_prepare, change, committer.objects))
            try:
                return committer.commit(request).snapshot
            except ContendedError:
                raise
            except ConflictError:
                if expected is not None or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _all(self, objects: Objects) -> tuple[Change, ...]:
        state = consistently(objects, lambda state: state)
        chosen = state.catalog.properties
        merge = (MergeTiny(properties.file_options(chosen)),) if properties.merges(chosen) else ()
        return (*self._changes, *merge)


class Recording(Committer, frozen=True):
    """Commits to an overlay, and keeps the changes, to be made to the table at once."""

    log: list[Change] = msgspec.field(default_factory=list)
    since: State | None = None
    """The table as the transaction found it."""

    def commit(self, request: Request, seen: State | None = None) -> Outcome:
        """Tiny files are not merged: the rows have to be found again where they were."""
        changes = tuple(change for change in request.changes if not isinstance(change, MergeTiny))
        outcome = super().commit(msgspec.structs.replace(request, changes=changes, shared=None), seen)
        self._record(changes)
        return outcome

    def noted(self, request: Request, base: State) -> None:
        """What has nothing to do now may have by the end."""
        super().noted(request, base)
        self._record(request.changes)

    def _record(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if isinstance(change, Finding):
                change.since = self.since
        self.log.extend(changes)


class _Inner(Table):
    """The table as the transaction has it by now."""

    def __init__(self, table: Table, overlay: Overlay, log: list[Change]) -> None:
        policy, clock = table._retry, table._clock  # noqa: SLF001
        super().__init__(overlay, branch=table.branch, retry=policy, clock=clock)
        self._log = log
        self._since: State | None = None

    def begin(self) -> int:
        """The version that the transaction builds upon."""
        self._since = self._state()
        return self._since.version

    def began_with(self, token: str | None) -> bool:
        """Whether the pointer below is still the one that the transaction began with."""
        return self._since is not None and self._since.token == token

    @property
    def _writer(self) -> Writer:
        made = super()._writer
        before = made.committer
        made.committer = Recording(before.objects, before.retry, before.clock, None, self._log, self._since)
        return made


def _prepare(change: Finding, objects: Objects, state: State) -> None:
    change.prepare(View(objects, state.snapshot, state.schema))
