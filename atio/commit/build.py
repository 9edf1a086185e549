"""From a request and the state it builds upon to the next state, its files written."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from atio.commit.changes import Change
from atio.commit.state import Draft, State, features_with, put_schema
from atio.metadata import history
from atio.metadata.objects import Objects
from atio.model.base import FORMAT_VERSION, Ref, new_id
from atio.model.pointer import (
    NO_HISTORY,
    NO_TOKENS,
    Branch,
    Catalog,
    History,
    Pointer,
    Token,
    Tokens,
    Version,
)
from atio.model.snapshot import Snapshot
from atio.schema.bound import BoundSchema


class Request(msgspec.Struct, frozen=True):
    """A commit as data: what to change, what must be so, and what to record.

    Attributes
    ----------
    makes_version
        False for commits that change no rows (tags, properties, expiry): they take no number.
    first_version
        The number when the commit makes the table: 1, or 0 for a table created empty.
    must_exist
        Refuse to make the table.
    shared
        Makes what tells another writer to carry the request out with its own (``Sharing``); None if only its
        own writer can.
    identity
        Its commit's id, when somebody else carries it out.
    staged
        Keeps back data files that are written together with the metadata.
    """

    operation: str
    changes: tuple[Change, ...]
    message: str | None = None
    token: str | None = None
    expected_version: int | None = None
    makes_version: bool = True
    first_version: int = 1
    must_exist: bool = True
    shared: Callable[[str], bytes] | None = None
    identity: str | None = None
    staged: Objects | None = None


def next_state(objects: Objects, request: Request, base: State | None, now: int) -> State:
    """Write the files of the next state and make the pointer that would commit it.

    The state's token is empty: the swap gives it.
    """
    identity = request.identity or new_id()  # of this attempt: no name is ever written twice
    version = base.version + request.makes_version if base else request.first_version
    draft = Draft.start(objects, base, version)
    for change in request.changes:
        draft = change.apply(draft)
    _require_checked(draft)
    assert draft.schema is not None
    schema = put_schema(objects, draft.schema)
    if draft.forward is not None:
        snapshot, line = _forward(draft, draft.forward, identity)
    elif request.makes_version:
        snapshot, line = _write_snapshot(draft.spilled(), schema, request, identity, now)
    else:
        assert base is not None
        snapshot, line = base.snapshot, base.pointer.snapshot
    pointer = Pointer(
        format_version=FORMAT_VERSION,
        features=features_with(draft.catalog, draft.features),
        table_id=base.pointer.table_id if base else new_id(),
        commit_id=identity,
        snapshot=line,
        schema=schema.ref,
        catalog=None,
        history=_next_history(draft, request),
        tokens=_next_tokens(draft, request),
        last_schema_id=max(draft.last_schema_id, schema.spec.id),
        last_field_id=max(draft.last_field_id, schema.largest_field_id),
        first_version=base.pointer.first_version if base else version,
    )
    if base is None or base.trunk is None:
        pointer = pointer.replace(catalog=_catalog_ref(draft, draft.catalog, now))
        return State("", pointer, snapshot, schema, draft.catalog)
    catalog = _grown(draft.catalog, base, pointer)
    ref = _catalog_ref(draft, catalog, now)
    stored = base.trunk.replace(
        commit_id=identity,
        features=pointer.features,
        catalog=ref,
        last_schema_id=pointer.last_schema_id,
        last_field_id=pointer.last_field_id,
    )
    return State("", pointer.replace(catalog=ref), snapshot, schema, catalog, base.branch, stored)


def _require_checked(draft: Draft) -> None:
    """No commit adds rows past the table's checks, whatever it is made of."""
    before = draft.base.snapshot.summary.added if draft.base else 0
    adds = draft.summary.added > before or draft.forward is not None
    if adds and draft.catalog.checks and not draft.is_checked:
        raise AssertionError("rows were added that nobody checked")


def _grown(catalog: Catalog, base: State, pointer: Pointer) -> Catalog:
    """The catalog after a commit on a branch, whose pointer this is."""
    assert base.branch is not None
    before = catalog.branch(base.branch)
    assert before is not None
    assert pointer.schema is not None
    return catalog.with_branch(
        base.branch,
        before.replace(
            snapshot=pointer.snapshot, schema=pointer.schema, history=pointer.history, tokens=pointer.tokens
        ),
    )


def _write_snapshot(
    draft: Draft, schema: BoundSchema, request: Request, identity: str, now: int
) -> tuple[Snapshot, Version]:
    base = draft.base
    assert schema.ref is not None
    snapshot = Snapshot(
        version=draft.version,
        id=identity,
        # Versions are found by time, so time never runs backwards within a table.
        time=max(now, base.snapshot.time + 1) if base else now,
        operation=request.operation,
        parent=base.pointer.snapshot.parent if base else None,
        message=request.message,
        token=request.token,
        schemas=(schema.ref, *draft.older_schemas),
        summary=draft.summary,
        changes=draft.changes,
        index=draft.index,
        branch=base.branch if base else None,
        files=draft.files,
        manifests=draft.manifests,
    )
    return snapshot, _put_snapshot(draft.objects, snapshot)


def _put_snapshot(objects: Objects, snapshot: Snapshot) -> Version:
    ref = objects.put("metadata", snapshot.encode(), identity=snapshot.id)
    objects.remember(ref, snapshot)
    return Version(snapshot.version, snapshot.time, snapshot.id, ref.size, ref.hash)


def _forward(draft: Draft, branch: Branch, identity: str) -> tuple[Snapshot, Version]:
    """The branch's newest version as one of the table's own line.

    A file of its own, not the branch's: should the pointer be lost, the newest version that belongs to no
    branch, and its ancestors, are the table.
    """
    found = draft.objects.get(branch.snapshot.ref, Snapshot)
    snapshot = found.replace(id=identity, branch=None)
    return snapshot, _put_snapshot(draft.objects, snapshot)


def _catalog_ref(draft: Draft, catalog: Catalog, now: int) -> Ref | None:
    if draft.base and catalog is draft.base.catalog:
        return draft.base.pointer.catalog
    if catalog.is_empty:
        return None
    return draft.objects.put("metadata", catalog.replace(time=now).encode())


def _next_history(draft: Draft, request: Request) -> History:
    if draft.base is None:
        return NO_HISTORY
    pointer = draft.base.pointer
    if draft.retained is not None:
        lines = history.all_versions(draft.objects, pointer.history)
        return history.rebuild(draft.objects, [line for line in lines if line.version in draft.retained])
    if not request.makes_version:
        return pointer.history
    found = history.push_version(draft.objects, pointer.history, pointer.snapshot)
    if draft.forward is not None:
        for line in history.all_versions(draft.objects, draft.forward.history):
            if line.version > draft.forward.start:
                found = history.push_version(draft.objects, found, line)
    return found


def _next_tokens(draft: Draft, request: Request) -> Tokens:
    # The newest version's token stands in its snapshot; it moves here with the next version.
    if draft.base is None:
        return NO_TOKENS
    if draft.forward is not None:
        return draft.forward.tokens
    tokens = draft.base.pointer.tokens
    last = draft.base.snapshot
    if request.makes_version and last.token is not None:
        return history.push_token(draft.objects, tokens, Token(last.token, last.version))
    return tokens
