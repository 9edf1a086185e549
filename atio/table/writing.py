"""Writing: rows are staged into data files, then committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from atio.commit.build import Request
from atio.commit.changes import (
    AddCheck,
    Change,
    CreateTable,
    EvolveSchema,
    ReplaceAll,
    Restore,
    with_check,
)
from atio.commit.loop import Committer, Outcome, RetryPolicy
from atio.commit.state import NO_CATALOG, State, consistently, load_schema, load_state
from atio.errors import AtioError, ConflictError, ContendedError, InputError, OutcomeUnknownError
from atio.frames import Incoming, incoming
from atio.metadata.objects import Objects, digest
from atio.model.base import FrozenDict, new_id
from atio.model.pointer import Check
from atio.model.snapshot import Snapshot
from atio.schema.bound import BoundSchema
from atio.schema.evolve import Edit, ForbidNulls, Path
from atio.schema.fit import Fitter
from atio.schema.types import Ids
from atio.table import lookup, properties
from atio.table.constraints import Ensure, Obey, check_version
from atio.table.datafiles import discard
from atio.table.layout import PartitionBy, partition_fields, sort_fields
from atio.table.present import StillThere
from atio.table.scan import live_files
from atio.table.sharing import append_changes, obey, share, understand
from atio.table.stage import Staged, stage

if TYPE_CHECKING:
    from atio.predicate import Where
    from atio.table.ordering import SortBy

_RESTAGES = 5


class Intent:
    """How a commit of rows was asked for: see ``Table.append``."""

    def __init__(
        self,
        *,
        overwrite: bool,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
        schema_mode: str = "strict",
    ) -> None:
        if schema_mode not in ("strict", "merge"):
            raise InputError(f"schema_mode is {schema_mode!r}; it is 'strict' or 'merge'")
        self.grow = schema_mode == "merge"
        check_words(message=message, token=token)
        self.overwrite = overwrite
        self.message = message
        self.token = token
        self.expected_version = expected_version


class Writer:
    """What changes one table."""

    def __init__(self, objects: Objects, retry: RetryPolicy | None, clock: Callable[[], int]) -> None:
        self._objects = objects
        # What others ask for while they wait is for the table's own line.
        sharing = understand if objects.branch is None else None
        self.committer = Committer(objects, retry or RetryPolicy(), clock, sharing)

    # -- rows --------------------------------------------------------------------------------

    def write(self, data: object, intent: Intent) -> Snapshot:
        """Stage and commit."""
        for attempt in range(_RESTAGES):
            source = data if isinstance(data, Incoming) else incoming(data)
            try:
                return self._write_once(source, intent)
            except ContendedError:
                raise
            except ConflictError:
                # The columns changed under us: rows that are still there can be fitted to the new ones.
                if source.streamed or intent.expected_version is not None or attempt == _RESTAGES - 1:
                    raise
        raise AssertionError

    def _write_once(self, source: Incoming, intent: Intent) -> Snapshot:
        state = load_state(self._objects)
        if state is not None and intent.token is not None:
            known = consistently(self._objects, partial(self.committer.version_of, intent.token))
            if known is not None:
                return self.result(Outcome(state.snapshot, known))
        # A stream may take longer than the grace period of a vacuum: a lease tells it to wait.
        prefix = new_id()[:8] if source.streamed else ""
        lease = self._objects.storage.lease(prefix) if prefix else None
        objects = self._objects.recorder()
        try:
            staged = _stage(objects, source, state, prefix=prefix, replace=intent.overwrite, grow=intent.grow)
            try:
                request = msgspec.structs.replace(
                    self._request(objects, state, (staged,), intent), staged=objects
                )
                outcome = self.committer.commit(request, None if source.streamed else state)
            except OutcomeUnknownError:
                raise  # The files may be part of the table.
            except AtioError:
                discard(self._objects.storage, staged.files)
                raise
        finally:
            if lease is not None:
                lease.release()
        if outcome.replayed is not None:
            self.discard_unused(staged, self.result(outcome), outcome.replayed)
        return self.result(outcome)

    def discard_unused(self, staged: Staged, made: Snapshot, replayed: int) -> None:
        """Remove files of a repeated write, unless it was this very write that had landed."""
        if made.version == replayed:
            used = {file.path for file in (*live_files(self._objects, made), *made.changes.merged)}
            discard(self._objects.storage, [file for file in staged.files if file.path not in used])

    def replace(self, data: object, where: Where | None, intent: Intent) -> Snapshot:
        """Overwrite the rows for which a condition is true; None: those of the new rows' partitions."""
        from atio.table.changing import Changer

        return Changer(self, intent.message, intent.expected_version).replace(data, where, intent.token)

    def stage(self, data: object, *, overwrite: bool) -> Staged:
        """Write data files only."""
        return _stage(self._objects, incoming(data), load_state(self._objects), replace=overwrite)

    def commit(self, staged: tuple[Staged, ...], intent: Intent) -> Snapshot:
        """Commit data files that were staged; they stay if this fails."""
        if not staged:
            raise InputError("nothing was staged", hint="pass the results of stage()")
        if intent.token is None:
            # Committing the same files again, after an unknown outcome, must not add their rows twice.
            names = "\n".join(file.path for one in staged for file in one.files)
            intent.token = f"staged:{digest(names.encode())}" if names else None
        request = self._request(self._objects, load_state(self._objects), staged, intent)
        return self.result(self.committer.commit(request))

    def _keyed(
        self, objects: Objects, state: State | None, staged: tuple[Staged, ...], *, alone: bool = False
    ) -> tuple[Change, ...]:
        """What a key asks of new rows."""
        if state is None or not state.catalog.key:
            return ()
        from atio.table.finding import View
        from atio.table.keyed import new_keys

        files = ((file, one.bound()) for one in staged for file in one.files)
        change = new_keys(objects, state, files, alone=alone)
        consistently(self._objects, lambda now: change.prepare(View(self._objects, now.snapshot, now.schema)))
        return (change,)

    def _request(
        self, objects: Objects, state: State | None, staged: tuple[Staged, ...], intent: Intent
    ) -> Request:
        first, *others = staged
        for one in staged:
            if one.table_id is not None and state is not None and one.table_id != state.pointer.table_id:
                raise InputError("the files were staged for another table", hint="stage them for this one")
        shared = None
        if intent.overwrite:
            schema = first.bound()
            replace = ReplaceAll(first.files, schema, first.index, first.last_field_id)
            changes: tuple[Change, ...] = (
                StillThere(first.files),
                *self._keyed(objects, state, staged, alone=True),
                replace,
                obey(first, schema),
                *append_changes(tuple(others), None),
            )
        else:
            chosen = state.catalog.properties if state else {}
            merge = properties.file_options(chosen) if properties.merges(chosen) else None
            keyed = self._keyed(objects, state, staged)
            changes = (*keyed, *append_changes(staged, merge))
            alone = others or keyed or intent.token or intent.expected_version is not None
            if not alone and self._objects.branch is None:
                shared = partial(share, first, intent.message, merge)
        return Request(
            "overwrite" if intent.overwrite else "append",
            changes,
            message=intent.message,
            token=intent.token,
            expected_version=intent.expected_version,
            must_exist=False,
            shared=shared,
        )

    def result(self, outcome: Outcome) -> Snapshot:
        """The version that was made; for a token whose version was expired since, the newest."""
        replayed = outcome.replayed
        if replayed is None:
            return outcome.snapshot
        return consistently(
            self._objects, lambda state: lookup.retained(self._objects, state, replayed) or state.snapshot
        )

    # -- everything else ---------------------------------------------------------------------

    def create(
        self,
        schema: object,
        chosen: dict[str, str],
        *,
        key: str | Sequence[str] | None = None,
        partition_by: PartitionBy | None = None,
        sort_by: SortBy | None = None,
        checks: Mapping[str, Where] | None = None,
    ) -> None:
        """Make an empty table; ``schema`` is an Arrow schema, a frame or None."""
        properties.check(chosen, chosen)
        if schema is not None and not isinstance(schema, pa.Schema):
            schema = incoming(schema).schema
        fitter = Fitter(None)
        fitter.start(schema if schema is not None else pa.schema([]))
        made = fitter.schema()
        catalog = NO_CATALOG.replace(
            properties=FrozenDict(chosen),
            key=_key_ids(key, made) if key else (),
            partitioning=partition_fields(partition_by, made),
            sorting=sort_fields(sort_by, made),
            checks=_checks(checks, made) if checks else (),
        )
        change = CreateTable(made, catalog)
        self.committer.commit(Request("create", (change,), first_version=0, must_exist=False))

    def restore(self, version: int | str, message: str | None) -> Snapshot:
        """Commit the content of an older version."""
        check_words(message=message)

        def changes_to_make(state: State) -> tuple[Change, ...]:
            old = lookup.find(self._objects, state, version, None)
            schema = load_schema(self._objects, old.schema_ref)
            check_version(self._objects, state.catalog, old, schema)
            return Restore(old, schema), Obey(None, state.catalog.checks)

        changes = consistently(self._objects, changes_to_make)
        return self.committer.commit(Request("restore", changes, message=message)).snapshot

    def evolve(self, edits: tuple[Edit, ...], message: str | None) -> Snapshot:
        """Change columns, as a version."""
        check_words(message=message)
        request = Request("evolve", (EvolveSchema(edits),), message=message)
        return self.committer.commit(request).snapshot

    def set_not_null(self, path: Path, message: str | None) -> Snapshot:
        """Forbid nulls in a column, as a version, once it is known to have none."""
        from atio.commit.checks import not_null

        check_words(message=message)
        edit = ForbidNulls(path)

        def changes_to_make(state: State) -> tuple[Change, ...]:
            edit.apply(state.schema.spec.fields, Ids(0))
            column = next(field.id for field in state.schema.spec.fields if field.name == path[0])
            ensure = Ensure(partial(not_null, column)).looked(self._objects, state)
            return ensure, EvolveSchema((edit,))

        request = Request("evolve", consistently(self._objects, changes_to_make), message=message)
        return self.committer.commit(request).snapshot

    def add_check(self, name: str, where: Where) -> None:
        """Demand a condition of all rows, once those that are there are known to meet it."""
        from atio.commit.checks import check_made, rule_of

        def changes_to_make(state: State) -> tuple[Change, ...]:
            check = check_made(name, where, state.schema)
            with_check(state.catalog.checks, check)
            ensure = Ensure(partial(rule_of, check)).looked(self._objects, state)
            return ensure, AddCheck(check)

        changes = consistently(self._objects, changes_to_make)
        self.committer.commit(Request("add check", changes, makes_version=False))

    def amend(self, operation: str, change: Change) -> None:
        """Commit what changes no rows and takes no version number."""
        self.committer.commit(Request(operation, (change,), makes_version=False))


def _checks(asked: Mapping[str, Where], schema: BoundSchema) -> tuple[Check, ...]:
    from atio.commit.checks import check_made

    made: tuple[Check, ...] = ()
    for name, where in asked.items():
        made = with_check(made, check_made(name, where, schema))
    return made


def _stage(objects: Objects, source: Incoming, state: State | None, **how: Any) -> Staged:
    options = properties.file_options(state.catalog.properties if state else {})
    return stage(objects, source, state, options, **how)


def _key_ids(key: str | Sequence[str], made: BoundSchema) -> tuple[int, ...]:
    from atio.table.keys import check_key

    names = (key,) if isinstance(key, str) else tuple(key)
    check_key(names, made.public)
    return tuple(made.spec.fields[made.arrow.get_field_index(name)].id for name in names)


def check_words(**words: object) -> None:
    """Refuse texts that cannot be kept."""
    for name, word in words.items():
        if word is None:
            continue
        if not isinstance(word, str) or len(word) > 10_000:
            raise InputError(f"{name} must be a string of at most 10,000 characters, not {word!r:.50}")
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name} has characters that UTF-8 cannot hold") from None
