"""Copying a table to another storage: every file checked on its way, the pointer last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from atio.commit.loop import Committer
from atio.commit.state import POINTER, State, consistently, every_line, features_with, refuse_unknown_writes
from atio.errors import AtioError, DamagedError, ExistsError, NotFoundError, StorageError
from atio.metadata import history
from atio.metadata.objects import Objects, missing
from atio.model.base import Ref, new_id
from atio.model.pointer import NO_HISTORY, Pointer, Version
from atio.model.snapshot import Snapshot
from atio.storage.base import Storage
from atio.storage.parallel import THREADS, each
from atio.table.datafiles import checked_blocks, verify_file
from atio.table.lookup import all_lines, find
from atio.table.reach import Reach, pointer_refs

T = TypeVar("T")

_FOLDERS = ("data", "manifests", "schemas", "metadata")
"""What is referred to goes before what refers to it, so that a copy that ended early is no table."""
_SMALL = 4 * 2**20
"""Bytes up to which a file is copied whole, together with others."""
_BATCH_BYTES = 32 * 2**20
_BATCH_FILES = 256
_STREAMS = 2
"""Larger files at once: each takes 16 MiB, and up to 48 MiB more in the sink of a bucket."""


def copy(objects: Objects, committer: Committer, version: int | str | None, as_of: datetime | None) -> None:
    """See ``Table.copy_to``; ``committer`` is the destination's."""
    target = committer.objects.storage
    chosen = partial(_chosen, objects, version, as_of)
    consistently(objects, chosen)  # before anything is made there
    _is_there(objects, target, chosen)
    # Two copies of one table have the same names: what one is writing would be a remnant to the other.
    with target.exclusive(wait=False):
        if _is_there(objects, target, chosen):
            target.sync([POINTER])  # Whoever was killed may not have come to that.
            return
        copying = _Copying(objects, committer.objects)
        pointer = consistently(objects, lambda state: copying.bring(state, chosen(state)))
        if not committer.swap(pointer, None) and not _is_there(objects, target, chosen):
            raise _taken(target)


def _chosen(
    objects: Objects, version: int | str | None, as_of: datetime | None, state: State
) -> Version | None:
    """The one version to copy; None for all."""
    refuse_unknown_writes(state.pointer)  # They may need files that are not known here.
    if version is None and as_of is None:
        return None
    wanted = find(objects, state, version, as_of)
    for pointer in every_line(state).values():
        for line in (history.find(objects, pointer.history, wanted.version), pointer.snapshot):
            if line is not None and line.id == wanted.id:
                return line
    raise AssertionError


def _is_there(objects: Objects, target: Storage, chosen: Callable[[State], Version | None]) -> bool:
    """Whether this very copy is there, whole: it was killed before it could say so, or is made twice.

    Raises
    ------
    ExistsError
        Another table is there, or another state of this one.
    """
    found = target.load(POINTER)
    if found is None:
        return False
    try:
        there = Pointer.decode(found.data)
    except (AtioError, ValueError):
        raise _taken(target) from None
    if target.identity != objects.storage.identity and consistently(
        objects, lambda state: _is_copy(there, state.pointer, chosen(state))
    ):
        return True
    raise _taken(target)


def _is_copy(there: Pointer, source: Pointer, only: Version | None) -> bool:
    if only is None:
        return there == source
    # Of one version: its ids are new, and the first commit upon it gives it a history.
    return there.snapshot == only and there.first_version == only.version and there.history == NO_HISTORY


def _taken(target: Storage) -> ExistsError:
    return ExistsError(
        "there is a table already: nothing is copied over it",
        table=target.url,
        hint="choose a place without one; a copy that was cut off is a table only if it was complete",
    )


class _Copying:
    """One copy; what was brought once is not brought again when it starts over."""

    def __init__(self, source: Objects, made: Objects) -> None:
        self._source = source
        self._made = made
        self._target = made.storage
        # One listing instead of a question for every file.
        self._there = {e.path: e.size for folder in _FOLDERS for e in self._target.list(folder)}
        self._brought: set[str] = set()

    def bring(self, state: State, only: Version | None) -> Pointer:
        """Copy the files of a state, or of one version of it; returns the pointer to them."""
        if only is None:
            self._bring_all(all_lines(self._source, state), pointer_refs(state))
            return state.stored
        self._bring_all([only], [])
        return self._only(state, only)

    def _only(self, state: State, line: Version) -> Pointer:
        """The pointer of a table that has this version, of this number, and no other."""
        old = state.catalog
        own = () if state.branch else old.tags
        tags = tuple((name, tag) for name, tag in own if tag.version == line.version)
        catalog = old.replace(tags=tags, branches=())
        return state.pointer.replace(
            features=features_with(catalog, state.pointer.features),
            table_id=new_id(),
            commit_id=new_id(),
            snapshot=line,
            schema=self._source.get(line.ref, Snapshot).schema_ref,
            catalog=None if catalog.is_empty else self._made.put("metadata", catalog.encode()),
            history=NO_HISTORY,
            # The rows that they vouch for are in this version.
            tokens=history.tokens_before(self._made, self._source, state.pointer.tokens, line.version),
            first_version=line.version,
        )

    # -- files -------------------------------------------------------------------------------

    def _bring_all(self, lines: Sequence[Version], named: Sequence[Ref]) -> None:
        reach = Reach(self._source)
        for block in _blocks(lines, _BATCH_FILES):
            # They are in memory then, so that going through them waits for nothing.
            _each(lambda line: self._source.get(line.ref, Snapshot), block, self._source.storage)
            reach.add(block)
        by_folder: dict[str, list[Ref]] = {folder: [] for folder in _FOLDERS}
        files = (Ref(path=p, size=size, hash=reach.hashes[p]) for p, size in reach.sizes.items())
        for ref in (*files, *named):
            folder = ref.path.partition("/")[0]
            if folder not in by_folder:
                raise DamagedError(f"{ref.path} is in no folder of a table", file=ref.path)
            if ref.path not in self._brought:
                by_folder[folder].append(ref)
        for refs in by_folder.values():
            self._bring_some(refs)

    def _bring_some(self, refs: list[Ref]) -> None:
        self._keep([ref for ref in refs if ref.path in self._there])
        new = [ref for ref in refs if ref.path not in self._brought]
        try:
            for batch in _batches(ref for ref in new if ref.size <= _SMALL):
                self._bring_batch(batch)
            for large in _blocks([ref for ref in new if ref.size > _SMALL], 4 * _STREAMS):
                _each(self._bring_large, large, self._source.storage, self._target, most=_STREAMS)
        except ExistsError as error:
            raise StorageError(
                "a file appeared while it was copied: somebody else writes there",
                file=error.file,
                hint="when nobody does any more, copy again: what is there is kept",
            ) from error

    def _bring_batch(self, refs: Sequence[Ref]) -> None:
        content: dict[str, bytes] = {}

        def fetch(ref: Ref) -> None:
            content[ref.path] = self._source.fetch(ref)

        _each(fetch, refs, self._source.storage)
        self._target.create_all(content)
        self._brought.update(content)

    def _bring_large(self, ref: Ref) -> None:
        source = self._source.storage
        try:
            verify_file(source, ref, deep=False)
            sink = self._target.sink(ref.path)
            try:
                for block in checked_blocks(source, ref):
                    sink.write(block)
                sink.close()
            finally:
                sink.abort()
        except NotFoundError:
            raise missing(ref) from None
        self._brought.add(ref.path)

    # -- what an earlier copy left -------------------------------------------------------------

    def _keep(self, refs: Sequence[Ref]) -> None:
        """Keep files that are there and whole; remove others, remnants of a copy that was killed."""
        whole: set[str] = set()

        def look(ref: Ref) -> None:
            if self._there.pop(ref.path) == ref.size and self._is_whole(ref):
                whole.add(ref.path)

        _each(look, refs, self._target)
        others = [ref.path for ref in refs if ref.path not in whole]
        able = self._target.capabilities
        if others and able.swap and not able.lock:
            # Buckets have whole objects only. Nor is it sure here that nobody else is copying.
            raise ExistsError(
                "another file of that name is there",
                table=self._target.url,
                file=others[0],
                hint="remove it, or choose another place",
            )
        self._target.delete(others)
        self._target.sync(whole)
        self._brought |= whole

    def _is_whole(self, ref: Ref) -> bool:
        try:
            for _ in checked_blocks(self._target, ref):
                pass
        except (DamagedError, NotFoundError):
            return False
        return True


def _each(action: Callable[[T], object], items: Sequence[T], *storages: Storage, most: int = THREADS) -> None:
    """Run ``action`` on every item: several at once if one of these storages lets each wait for answers."""
    far = [storage for storage in storages if not storage.capabilities.lock]
    each(action, items, most if far and all(storage.capabilities.parallel for storage in far) else 1)


def _blocks(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _batches(refs: Iterable[Ref]) -> Iterator[list[Ref]]:
    """As many files together as memory may hold."""
    batch: list[Ref] = []
    total = 0
    for ref in refs:
        if batch and (total + ref.size > _BATCH_BYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, total = [], 0
        batch.append(ref)
        total += ref.size
    if batch:
        yield batch
