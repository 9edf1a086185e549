"""Branches: lines of versions beside the table's own (spec/branches.md)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from atio.commit.branching import AddFromBranch, CreateBranch, DropBranch, ForwardTo
from atio.commit.build import Request
from atio.commit.changes import AddFiles, Change
from atio.commit.loop import Committer
from atio.commit.state import State, branch_of, consistently, file_schema, load_schema, refuse_unknown_writes
from atio.errors import ConflictError, ContendedError
from atio.metadata.objects import Objects
from atio.model.pointer import Branch
from atio.model.snapshot import DataFile, Snapshot
from atio.table import lookup
from atio.table.constraints import Obey
from atio.table.finding import View
from atio.table.keyed import new_keys
from atio.table.scan import live_files

_ATTEMPTS = 8
_MOVES_ROWS = frozenset({"compact"})
"""Operations that write rows to other files and add none."""


def create(committer: Committer, name: str, version: int | str | None) -> None:
    """See ``Table.create_branch``."""
    found = None
    if version is not None:
        found = consistently(
            committer.objects, lambda state: lookup.find(committer.objects, state, version, None).version
        )
    _amend(committer, "create branch", CreateBranch(name, found, committer.clock()))


def drop(committer: Committer, name: str) -> None:
    """See ``Table.drop_branch``."""
    _amend(committer, "drop branch", DropBranch(name))


def _amend(committer: Committer, operation: str, change: CreateBranch | DropBranch) -> None:
    committer.commit(Request(operation, (change,), makes_version=False))


def merge(committer: Committer, name: str, message: str | None) -> Snapshot:
    """See ``Table.merge_branch``."""
    objects = committer.objects
    for attempt in range(_ATTEMPTS):
        request, newest = consistently(objects, partial(_request, objects, name, message))
        if request is None:
            return newest
        try:
            return committer.commit(request).snapshot
        except ContendedError:
            raise
        except ConflictError:
            # Either line moved: what is to be done may be another thing now.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _request(
    objects: Objects, name: str, message: str | None, state: State
) -> tuple[Request | None, Snapshot]:
    """What merges the branch, if there is anything to merge, and the newest version as it is."""
    refuse_unknown_writes(state.pointer)
    branch = branch_of(state.catalog, name)
    if branch.snapshot.version == branch.merged:
        return None, state.snapshot
    if state.version == branch.start:
        return Request("merge", (ForwardTo(name), Obey(None)), message=message), state.snapshot
    newest = objects.get(branch.snapshot.ref, Snapshot)
    schema = load_schema(objects, newest.schema_ref)
    files = [file for one in _unmerged(objects, name, branch) for file in _appended(objects, name, one)]
    for file in files:
        if not file_schema(objects, file, schema, newest.schemas[1:]).same_structure(schema):
            raise _diverged(name, newest.version, "changed columns")
    obey = Obey(frozenset(file.path for file in files), (), schema)
    changes: tuple[Change, ...] = (
        AddFromBranch(name, branch.snapshot, AddFiles(tuple(files), schema)),
        obey,
    )
    if state.catalog.key:
        sources = ((file, file_schema(objects, file, schema, newest.schemas[1:])) for file in files)
        compared = new_keys(objects, state, sources)
        compared.prepare(View(objects, state.snapshot, state.schema))
        changes = (compared, *changes)
    return Request("merge", changes, message=message or f"branch {name!r}"), state.snapshot


def _unmerged(objects: Objects, name: str, branch: Branch) -> Iterator[Snapshot]:
    """The versions of the branch that the table does not have, oldest first."""
    lines = {line.version: line for line in lookup.line_of(objects, branch)}
    for number in range(branch.merged + 1, branch.snapshot.version + 1):
        if number not in lines:
            raise ConflictError(
                f"version {number} of branch {name!r} was expired: what it added cannot be told any more",
                hint="read the branch, and append what you need of it",
            )
        yield objects.get(lines[number].ref, Snapshot)


def _appended(objects: Objects, name: str, snapshot: Snapshot) -> Iterator[DataFile]:
    """The files with the rows that a version added."""
    changes = snapshot.changes
    if snapshot.operation in _MOVES_ROWS:
        return
    if changes.removed or changes.replaced or changes.deleted or changes.restored is not None:
        raise _diverged(name, snapshot.version, f"did more than append ({snapshot.operation})")
    yield from changes.merged
    for file in live_files(objects, snapshot):
        if file.added == snapshot.version and file.level == 0:
            yield file


def _diverged(name: str, version: int, what: str) -> ConflictError:
    return ConflictError(
        f"the table moved on, and version {version} of branch {name!r} {what}: only appends can be merged",
        hint="make the same changes to the table, or a new branch of its newest version",
    )
