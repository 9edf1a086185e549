"""From a request and the state it builds upon to the next state, its files written."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from atio.commit.changes import Change
from atio.commit.state import Draft, State, put_schema
from atio.metadata import history
from atio.metadata.objects import Objects
from atio.model.base import FORMAT_VERSION, Ref, new_id
from atio.model.pointer import NO_FEATURES, NO_HISTORY, NO_TOKENS, History, Pointer, Token, Tokens, Version
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
    assert draft.schema is not None
    schema = put_schema(objects, draft.schema)
    if request.makes_version:
        snapshot, line = _write_snapshot(draft.spilled(), schema, request, identity, now)
    else:
        assert base is not None
        snapshot, line = base.snapshot, base.pointer.snapshot
    pointer = Pointer(
        format_version=FORMAT_VERSION,
        features=base.pointer.features if base else NO_FEATURES,
        table_id=base.pointer.table_id if base else new_id(),
        commit_id=identity,
        snapshot=line,
        schema=schema.ref,
        catalog=_catalog_ref(draft, now),
        history=_next_history(draft, request),
        tokens=_next_tokens(draft, request),
        last_schema_id=max(draft.last_schema_id, schema.spec.id),
        last_field_id=max(draft.last_field_id, schema.largest_field_id),
        first_version=base.pointer.first_version if base else version,
    )
    return State("", pointer, snapshot, schema, draft.catalog)


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
        files=draft.files,
        manifests=draft.manifests,
    )
    ref = draft.objects.put("metadata", snapshot.encode(), identity=identity)
    draft.objects.remember(ref, snapshot)
    return snapshot, Version(snapshot.version, snapshot.time, snapshot.id, ref.size, ref.hash)


def _catalog_ref(draft: Draft, now: int) -> Ref | None:
    if draft.base and draft.catalog is draft.base.catalog:
        return draft.base.pointer.catalog
    if not draft.catalog.properties and not draft.catalog.tags:
        return None
    return draft.objects.put("metadata", draft.catalog.replace(time=now).encode())


def _next_history(draft: Draft, request: Request) -> History:
    if draft.base is None:
        return NO_HISTORY
    pointer = draft.base.pointer
    if draft.retained is not None:
        lines = history.all_versions(draft.objects, pointer.history)
        return history.rebuild(draft.objects, [line for line in lines if line.version in draft.retained])
    if not request.makes_version:
        return pointer.history
    return history.push_version(draft.objects, pointer.history, pointer.snapshot)


def _next_tokens(draft: Draft, request: Request) -> Tokens:
    # The newest version's token stands in its snapshot; it moves here with the next version.
    if draft.base is None:
        return NO_TOKENS
    tokens = draft.base.pointer.tokens
    last = draft.base.snapshot
    if request.makes_version and last.token is not None:
        return history.push_token(draft.objects, tokens, Token(last.token, last.version))
    return tokens
