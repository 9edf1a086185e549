"""Returning to the newest intact version (spec/repair.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from atio.commit.loop import Committer
from atio.commit.state import (
    NO_CATALOG,
    POINTER,
    VECTORS,
    decode_pointer,
    features_with,
    refuse_unknown_writes,
)
from atio.errors import AtioError, DamagedError, NotFoundError, RetryError
from atio.metadata import history
from atio.metadata.objects import Objects, digest
from atio.model import schema as spec
from atio.model.base import FORMAT_VERSION, Ref, new_id
from atio.model.pointer import NO_FEATURES, Catalog, Features, Pointer, Token, Tokens, Version
from atio.model.snapshot import Parent, Snapshot
from atio.schema.bound import BoundSchema
from atio.storage.base import Value
from atio.table.verify import Check


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did (or, as a dry run, would do).

    Attributes
    ----------
    version
        The newest version afterwards.
    content
        The version whose rows it has: ``version`` itself if that was intact.
    lost
        Versions that were retained and are damaged.
    changed
        False when nothing was wrong.
    """

    version: int
    content: int
    lost: tuple[int, ...]
    changed: bool
    dry_run: bool


def repair(committer: Committer, *, dry_run: bool) -> Repaired:
    """See ``Table.repair``."""
    objects = Objects(
        committer.objects.storage, fresh=True
    )  # A new cache: what was read before may differ now.
    with objects.storage.exclusive():
        value = objects.storage.load(POINTER)
        pointer = _readable(value)
        found = _Found(objects, pointer)
        intact, lost = found.split()
        newest, content = found.newest, found.readable(intact, lost)
        if content is None:
            raise DamagedError(
                "no version is intact", hint="restore the folder from a backup; verify() names the damage"
            )
        if pointer is not None and not lost and not found.damaged_index:
            return Repaired(newest.version, newest.version, (), changed=False, dry_run=dry_run)
        version = newest.version if newest in intact else newest.version + 1
        result = Repaired(
            version, content.version, tuple(line.version for line in lost), changed=True, dry_run=dry_run
        )
        if not dry_run:
            data = found.pointer(intact, content, version, committer.clock()).encode()
            objects.storage.swap(POINTER, data, value.token if value else None)
    return result


def _readable(value: Value | None) -> Pointer | None:
    if value is None:
        return None
    try:
        pointer = decode_pointer(value.data)  # A newer format is not damage: that error passes.
    except DamagedError:
        return None
    refuse_unknown_writes(pointer)
    return pointer


class _Found:
    """The versions that can be found, by the pointer's index or, where that fails, by looking."""

    def __init__(self, objects: Objects, pointer: Pointer | None) -> None:
        self._objects = objects
        self._old = pointer
        self._check = Check(objects, deep=True, lenient=False)
        self.damaged_index = False
        lines = self._check.pointer(pointer) if pointer else []
        if pointer is None or not self._check.report(0).ok:
            self.damaged_index = True
            known = {line.version: line for line in self._scattered()}
            if pointer is not None:  # What is beyond a pointer that can be read never landed.
                known = {n: line for n, line in known.items() if n < pointer.snapshot.version}
            lines = list({**known, **{line.version: line for line in lines}}.values())
        if not lines:
            raise NotFoundError("there is no table here, nor metadata of one")
        self._lines = sorted(lines)
        self.newest = self._lines[-1]

    def split(self) -> tuple[list[Version], list[Version]]:
        """Intact versions and damaged ones, oldest first."""
        intact: list[Version] = []
        lost: list[Version] = []
        for line in self._lines:
            (intact if self._check.version(line) else lost).append(line)
        return intact, lost

    def readable(self, intact: list[Version], lost: list[Version]) -> Version | None:
        """The newest version whose rows are whole, even if the files that tell what it added are not."""
        rows = [line for line in lost if self._check.version(line, rows_only=True)]
        return max([*intact[-1:], *rows[-1:]], default=None)

    def _scattered(self) -> Iterator[Version]:
        """One snapshot file for every version number, whichever the newest ones descend from."""
        by_version: dict[int, list[tuple[Version, Snapshot]]] = {}
        for line, snapshot in self._snapshot_files():
            by_version.setdefault(line.version, []).append((line, snapshot))
        # What was committed on a branch is the table's only where a version of the table descends from it.
        on_no_branch = {n: [c for c in found if c[1].branch is None] for n, found in by_version.items()}
        newest = max((number for number, found in on_no_branch.items() if found), default=None)
        parent: Parent | None = None
        for number in sorted(by_version, reverse=True):
            candidates = by_version[number]
            if newest is not None and (parent is None or parent.version != number):
                candidates = on_no_branch[number]
                if not candidates:
                    continue
            if parent is not None and parent.version == number:
                # The next version says which file its parent is; another one's commit never landed.
                candidates = [c for c in candidates if (c[0].id, c[0].hash) == (parent.id, parent.hash)]
                if not candidates:
                    parent = None
                    continue
            # Without a child to tell, the later one is more likely to have landed.
            line, snapshot = max(candidates, key=lambda c: c[0].time)
            yield line
            parent = snapshot.parent

    def _snapshot_files(self) -> Iterator[tuple[Version, Snapshot]]:
        for path, data in self._files("metadata"):
            try:
                snapshot = Snapshot.decode(data)
            except ValueError:
                continue
            line = Version(snapshot.version, snapshot.time, snapshot.id, len(data), digest(data))
            if line.ref.path == path:
                yield line, snapshot

    def _files(self, folder: str) -> Iterator[tuple[str, bytes]]:
        for entry in self._objects.storage.list(folder):
            try:
                yield entry.path, self._objects.storage.read(entry.path)
            except RetryError:
                raise  # It may be what is looked for.
            except AtioError:
                continue

    # -- the new pointer ---------------------------------------------------------------------

    def pointer(self, intact: list[Version], content: Version, version: int, now: int) -> Pointer:
        line = content if content.version == version else self._again(content, version, now)
        older = [known for known in intact if known != line]
        schemas = [s for _, data in self._files("schemas") if (s := _schema(data))]
        old = self._old
        catalog = self._catalog()
        known = self._objects.get(catalog, Catalog) if catalog else NO_CATALOG
        return Pointer(
            format_version=FORMAT_VERSION,
            features=features_with(known, old.features if old else self._features()),
            table_id=old.table_id if old else new_id(),
            commit_id=new_id(),
            snapshot=line,
            catalog=catalog,
            history=history.rebuild(self._objects, older),
            tokens=self._tokens(
                [*older, *([] if content in (line, *older) else [content])], up_to=content.version
            ),
            last_schema_id=max([old.last_schema_id if old else 0, *(s.spec.id for s in schemas)]),
            last_field_id=max([old.last_field_id if old else 0, *(s.largest_field_id for s in schemas)]),
            first_version=old.first_version if old else min(1, self._lines[0].version),
        )

    def _again(self, content: Version, version: int, now: int) -> Version:
        """The content of an older version as a new one: a number is never used twice."""
        snapshot = self._objects.get(content.ref, Snapshot)
        identity = new_id()
        again = snapshot.replace(
            version=version,
            id=identity,
            time=max(now, self.newest.time + 1),
            operation="repair",
            parent=content.parent,
            message=f"version {content.version} again: later ones are damaged",
            token=None,
            changes=snapshot.changes.replace(
                removed=(), deleted=0, merged=(), replaced=True, restored=content.version
            ),
        )
        ref = self._objects.put("metadata", again.encode(), identity=identity)
        return Version(version, again.time, identity, ref.size, ref.hash)

    def _features(self) -> Features:
        """Those that what is left may need."""
        if any(entry.path.endswith(".dv") for entry in self._objects.storage.list("data")):
            return Features(read=(VECTORS,), write=(VECTORS,))
        return NO_FEATURES

    def _catalog(self) -> Ref | None:
        """The pointer's catalog, or the newest that can be read."""
        if self._old is not None:
            if self._old.catalog is None:
                return None
            try:
                self._objects.get(self._old.catalog, Catalog)
            except DamagedError:
                pass
            else:
                return self._old.catalog
        found = []
        for path, data in self._files("metadata"):
            try:
                catalog = Catalog.decode(data)
            except ValueError:
                continue
            found.append((catalog.time, Ref(path=path, size=len(data), hash=digest(data))))
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def _tokens(self, older: list[Version], *, up_to: int) -> Tokens:
        """Tokens of older versions; those after ``up_to`` have their rows given up."""
        found: dict[int, Token] = {}
        if self._old is not None:
            with suppress(DamagedError):
                found = {t.version: t for t in history.all_tokens(self._objects, self._old.tokens)}
        for line in older:
            token = self._objects.get(line.ref, Snapshot).token
            if token is not None:
                found[line.version] = Token(token, line.version)
        tokens = Tokens()
        for version in sorted(found):
            if version <= up_to:
                tokens = history.push_token(self._objects, tokens, found[version])
        return tokens


def _schema(data: bytes) -> BoundSchema | None:
    try:
        return BoundSchema(spec.Schema.decode(data))
    except ValueError:
        return None
