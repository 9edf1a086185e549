"""What a table is at one moment, and what a commit makes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import msgspec

from atio.errors import AtioError, DamagedError, NewerFormatError, NotFoundError
from atio.metadata import manifests
from atio.metadata.objects import Objects
from atio.metadata.tiers import to_merge
from atio.model import schema as spec
from atio.model.base import FORMAT_VERSION, Ref
from atio.model.pointer import NO_FEATURES, Branch, Catalog, Features, Pointer, sealed, unknown
from atio.model.snapshot import (
    NO_CHANGES,
    Changes,
    DataFile,
    FrameIndex,
    ManifestRef,
    SchemaRef,
    Snapshot,
    Summary,
)
from atio.schema.bound import BoundSchema
from atio.storage.base import Value
from atio.storage.parallel import each

T = TypeVar("T")

POINTER = "current"
INLINE = 12
"""Data files that a snapshot lists itself before they move to a manifest."""
NO_CATALOG = Catalog(kind="catalog", time=0)
_MAX_REMOVED = 1024
_TURNS = 100
"""How often a reader starts over because others commit and expire while it reads."""
_START = b'{"format_version":%d' % FORMAT_VERSION
BRANCHES, KEYS, VECTORS = "branches", "keys", "deletion-vectors"
_FEATURES = frozenset({BRANCHES, KEYS, VECTORS})
"""Features of the specification that this implementation knows."""


def decode_pointer(data: bytes) -> Pointer:
    """The pointer in ``data``; refuses newer formats before anything else is interpreted."""
    found = re.match(rb'\{"format_version":(\d{1,9})[,}]', data)
    # With a known version in its place the checksum is right? Then a bit of the number was flipped.
    if found and int(found[1]) > FORMAT_VERSION and not sealed(_START + data[found.end() - 1 :]):
        raise NewerFormatError(
            f"the table has format version {int(found[1])}; this atio reads up to {FORMAT_VERSION}",
            hint="upgrade atio",
        )
    try:
        pointer = Pointer.decode(data)
    except ValueError as error:
        raise DamagedError(
            f"the pointer is damaged: {error}",
            file=POINTER,
            hint="repair() returns to the newest intact version",
        ) from error
    if missing := unknown(_FEATURES, pointer.features.read):
        raise NewerFormatError(f"reading this table needs {', '.join(missing)}", hint="upgrade atio")
    return pointer


class State(msgspec.Struct, frozen=True):
    """A committed state: the pointer, the token to swap it, and what it points to.

    On a branch ``pointer`` is what it would be if the branch were the table, and ``trunk`` the stored one.
    """

    token: str
    pointer: Pointer
    snapshot: Snapshot
    schema: BoundSchema
    catalog: Catalog
    branch: str | None = None
    trunk: Pointer | None = None

    @property
    def version(self) -> int:
        return self.snapshot.version

    @property
    def tagged(self) -> frozenset[int]:
        """Versions that a tag keeps: of the table's own line."""
        return frozenset(tag.version for _, tag in self.catalog.tags) if self.branch is None else frozenset()

    @property
    def stored(self) -> Pointer:
        """The pointer as it is in ``current``."""
        return self.trunk or self.pointer


def refuse_unknown_writes(pointer: Pointer) -> None:
    """Raise if changing the table needs features that are not known here."""
    if missing := unknown(_FEATURES, pointer.features.write):
        raise NewerFormatError(f"writing to this table needs {', '.join(missing)}", hint="upgrade atio")


def load_state(objects: Objects) -> State | None:
    """The newest state, or None when there is no table."""
    value = objects.storage.load(POINTER)
    while value is not None:
        try:
            return _state(objects, value)
        except DamagedError:
            # What it points to may be gone because it is not the newest any more.
            seen, value = value, objects.storage.load(POINTER)
            if value is not None and value.token == seen.token:
                raise
    if objects.branch is not None:
        raise NotFoundError(f"there is no table here, so no branch {objects.branch!r}")
    return None


def pointer_token(objects: Objects) -> str | None:
    """The pointer's token now, to see whether it moved."""
    value = objects.storage.load(POINTER)
    return value.token if value else None


def consistently(objects: Objects, read: Callable[[State], T]) -> T:
    """Read from the newest state; start over when others replaced it, and removed its files, meanwhile.

    Raises
    ------
    NotFoundError
        There is no table.
    """
    for turn in range(_TURNS):
        state = load_state(objects)
        if state is None:
            raise NotFoundError("there is no table here", hint=_how_to_get_one(objects))
        try:
            return read(state)
        except DamagedError:
            if turn == _TURNS - 1 or pointer_token(objects) == state.token:
                raise
    raise AssertionError


def _how_to_get_one(objects: Objects) -> str:
    if any(objects.storage.list("metadata")):
        return "files of a table are here, its pointer is not: repair() returns to the newest version, if any"
    return "append() creates it; check the path if it should exist"


def _state(objects: Objects, value: Value) -> State:
    stored = pointer = decode_pointer(value.data)
    if objects.storage.capabilities.parallel:
        _read_together(objects, pointer)
    catalog = objects.get(pointer.catalog, Catalog) if pointer.catalog else NO_CATALOG
    if objects.branch is not None:
        pointer = on_branch(stored, catalog, objects.branch)
    snapshot = objects.get(pointer.snapshot.ref, Snapshot)
    schema = load_schema(objects, snapshot.schema_ref)
    if objects.branch is None:
        return State(value.token, pointer, snapshot, schema, catalog)
    return State(value.token, pointer, snapshot, schema, catalog, objects.branch, stored)


def on_branch(stored: Pointer, catalog: Catalog, name: str) -> Pointer:
    """What the pointer would be if the branch were the table."""
    branch = branch_of(catalog, name)
    return stored.replace(
        snapshot=branch.snapshot,
        schema=branch.schema,
        history=branch.history,
        tokens=branch.tokens,
        first_version=branch.start,
    )


def branch_of(catalog: Catalog, name: str) -> Branch:
    branch = catalog.branch(name)
    if branch is None:
        raise NotFoundError(f"there is no branch {name!r}", hint=catalog.described_branches())
    return branch


def features_with(catalog: Catalog, features: Features) -> Features:
    """The features of a table with this catalog.

    Who knows no branches would remove their files, and who knows no keys would write rows with the same.
    """
    others = tuple(name for name in features.write if name not in (BRANCHES, KEYS))
    named = (BRANCHES,) * bool(catalog.branches) + (KEYS,) * bool(catalog.key)
    write = (*others, *named)
    return features if write == features.write else features.replace(write=write)


def trunk_of(objects: Objects, state: State) -> State:
    """The state of the table's own line."""
    if state.trunk is None:
        return state
    snapshot = objects.get(state.trunk.snapshot.ref, Snapshot)
    return State(state.token, state.trunk, snapshot, load_schema(objects, snapshot.schema_ref), state.catalog)


def every_line(state: State) -> dict[str | None, Pointer]:
    """The stored pointer (None), and what it would be if each branch were the table."""
    stored = state.stored
    lines: dict[str | None, Pointer] = {None: stored}
    for name, _ in state.catalog.branches:
        lines[name] = on_branch(stored, state.catalog, name)
    return lines


def _read_together(objects: Objects, pointer: Pointer) -> None:
    """Have what the pointer names in memory after one round trip; what fails is found out afterwards."""
    wanted: list[Callable[[], object]] = []
    if objects.would_keep(pointer.snapshot.ref, Snapshot):
        wanted.append(lambda: objects.get(pointer.snapshot.ref, Snapshot))
    if (schema := pointer.schema) is not None and objects.would_keep(schema, BoundSchema):
        wanted.append(lambda: load_schema(objects, schema))
    if (catalog := pointer.catalog) is not None and objects.would_keep(catalog, Catalog):
        wanted.append(lambda: objects.get(catalog, Catalog))
    if len(wanted) > 1:
        each(_tried, wanted)


def _tried(action: Callable[[], object]) -> None:
    with suppress(AtioError):
        action()


def load_schema(objects: Objects, ref: SchemaRef) -> BoundSchema:
    def parse(data: bytes) -> BoundSchema:
        found = spec.Schema.decode(data)
        if found.id != ref.id:
            raise ValueError(f"it is schema {found.id}, not {ref.id}")
        return BoundSchema(found, ref)

    return objects.parsed(ref, BoundSchema, parse)


def file_schema(
    objects: Objects, file: DataFile, current: BoundSchema, older: tuple[SchemaRef, ...]
) -> BoundSchema:
    """The schema a file was written with, as far as it matters to its reading.

    ``older`` has the last schema of each structure the table had, and ids only grow: a file belongs to
    the first that is not older than its own, which may differ in its categories.
    """
    fitting = [ref for ref in older if ref.id >= file.schema_id]
    return load_schema(objects, min(fitting, key=lambda ref: ref.id)) if fitting else current


class Draft(msgspec.Struct, frozen=True):
    """The next state while changes make it, one after the other. Changes return a new draft."""

    objects: Objects
    base: State | None
    version: int
    schema: BoundSchema | None
    older_schemas: tuple[SchemaRef, ...]
    files: tuple[DataFile, ...]
    manifests: tuple[ManifestRef, ...]
    index: FrameIndex | None
    summary: Summary
    changes: Changes
    catalog: Catalog
    retained: frozenset[int] | None = None
    """Versions that stay; None for all."""
    is_checked: bool = False
    """The rows that were added meet the table's checks."""
    forward: Branch | None = None
    """The branch whose versions the table's own line takes over."""
    features: Features = NO_FEATURES
    touched: frozenset[str] = frozenset()
    """Paths of files of which rows were deleted."""
    keyed: bool = False
    """It was made sure that rows to be added have keys that no other row has."""

    @classmethod
    def start(cls, objects: Objects, base: State | None, version: int) -> Draft:
        if base is None:
            return cls(objects, None, version, None, (), (), (), None, Summary(), NO_CHANGES, NO_CATALOG)
        s = base.snapshot
        return cls(
            objects, base, version, base.schema, s.schemas[1:], s.files, s.manifests, s.index, s.summary,
            NO_CHANGES, base.catalog, features=base.pointer.features,
        )  # fmt: skip

    @property
    def last_schema_id(self) -> int:
        return self.base.pointer.last_schema_id if self.base else 0

    @property
    def last_field_id(self) -> int:
        return self.base.pointer.last_field_id if self.base else 0

    def written(self, schema: BoundSchema) -> BoundSchema:
        """The schema; to be written anew if its file is not one that this version's parent needs.

        Another commit may have replaced it since, and an expiry removed it.
        """
        known = () if self.schema is None else (self.schema.ref, *self.older_schemas)
        return schema if schema.ref in known else BoundSchema(schema.spec)

    def newest_files(self) -> Iterator[DataFile]:
        """Live files from the newest to the oldest; manifests are read only when reached."""
        yield from reversed(self.files)
        for ref in reversed(self.manifests):
            yield from reversed(manifests.live(self.objects, ref))

    def without(self, paths: frozenset[str]) -> Draft:
        """Take files out, from the newest end until all are found."""
        left = set(paths)
        files = tuple(f for f in self.files if f.path not in left)
        left -= {f.path for f in self.files}
        kept: list[ManifestRef] = []
        for ref in reversed(self.manifests):
            kept.append(ref) if not left else kept.extend(self._thinned(ref, left))
        if left:
            raise DamagedError(f"{min(left)} is not a file of version {self.version - 1}")
        return msgspec.structs.replace(self, files=files, manifests=tuple(reversed(kept)))

    def _thinned(self, ref: ManifestRef, left: set[str]) -> list[ManifestRef]:
        entries = manifests.read(self.objects, ref)
        gone = set(ref.removed)
        hits = {i for i, e in enumerate(entries) if e.path in left and i not in gone}
        if not hits:
            return [ref]
        left -= {entries[i].path for i in hits}
        places = gone | hits
        if len(places) == len(entries):
            return []
        if len(places) > _MAX_REMOVED:
            return [self.write_manifest(tuple(e for i, e in enumerate(entries) if i not in places))]
        lost = [entries[i] for i in hits]
        return [
            ref.replace(
                removed=tuple(sorted(places)),
                rows=ref.rows - sum(e.live for e in lost),
                bytes=ref.bytes - sum(e.size for e in lost),
            )
        ]

    def write_manifest(self, entries: tuple[DataFile, ...]) -> ManifestRef:
        assert self.schema is not None
        leaves = {}
        for path, identity in self.schema.leaf_ids.items():
            kind = self.schema.arrow.field(path[0]).type
            for name in path[1:]:
                kind = kind.field(name).type
            leaves[identity] = kind
        return manifests.write(self.objects, entries, leaves)

    def spilled(self) -> Draft:
        """Move the snapshot's own list to a manifest when it is long, merging equal ones."""
        if len(self.files) <= INLINE:
            return self
        counts = [*(ref.live for ref in self.manifests), len(self.files)]
        kept = len(self.manifests) - max(to_merge(counts) - 1, 0)
        older = [e for ref in self.manifests[kept:] for e in manifests.live(self.objects, ref)]
        made = self.write_manifest((*older, *self.files))
        return msgspec.structs.replace(self, files=(), manifests=(*self.manifests[:kept], made))


def put_schema(objects: Objects, schema: BoundSchema) -> BoundSchema:
    """Write a schema that is new."""
    if schema.ref is not None:
        return schema
    ref: Ref = objects.put("schemas", schema.spec.encode())
    written = BoundSchema(
        schema.spec, SchemaRef(path=ref.path, size=ref.size, hash=ref.hash, id=schema.spec.id)
    )
    objects.remember(ref, written)
    return written
