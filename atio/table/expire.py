"""Forgetting old versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from atio.commit.build import Request
from atio.commit.changes import Forget
from atio.commit.loop import Committer
from atio.commit.state import State, load_state
from atio.errors import InputError, NotFoundError
from atio.metadata.objects import Objects
from atio.table.lookup import micros, versions
from atio.table.reach import Reach, pointer_files

DEFAULT_AGE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Expired:
    """What an expire forgot and removed (or, as a dry run, would).

    ``bytes`` is the size of ``files``, which are paths within the table.
    """

    versions: tuple[int, ...]
    files: tuple[str, ...]
    bytes: int
    dry_run: bool


def expire(
    committer: Committer, older_than: timedelta | datetime | None, keep_last: int, *, dry_run: bool
) -> Expired:
    """See ``Table.expire``."""
    objects = committer.objects
    state = load_state(objects)
    if state is None:
        raise NotFoundError("there is no table here")
    if isinstance(keep_last, bool) or not isinstance(keep_last, int) or keep_last < 1:
        raise InputError(f"keep_last is {keep_last!r}; at least 1 version stays")
    forget = _to_forget(objects, state, _moment(older_than, committer.clock()), keep_last)
    if not forget:
        return Expired((), (), 0, dry_run)
    gone = [line for line in versions(objects, state) if line.version in forget]
    after = state
    if not dry_run:
        after = committer.commit(Request("expire", (Forget(forget),), makes_version=False)).state
        left = {line.version for line in versions(objects, after)}
        gone = [line for line in gone if line.version not in left]
        forget = frozenset(line.version for line in gone)
    kept, dead = Reach(objects), Reach(objects)
    kept.add(line for line in versions(objects, after) if line.version not in forget)
    dead.add(gone)
    # The index is written anew, so its old pieces go as well.
    old_pieces = {piece.ref.path: piece.size for piece in state.pointer.history.pieces}
    sizes = {path: size for path, size in {**dead.sizes, **old_pieces}.items() if path not in kept.sizes}
    if not dry_run:
        for path in pointer_files(after.pointer):
            sizes.pop(path, None)
        objects.storage.delete(sizes)
    return Expired(tuple(sorted(forget)), tuple(sorted(sizes)), sum(sizes.values()), dry_run)


def _moment(older_than: timedelta | datetime | None, now: int) -> int:
    """Microseconds since the epoch from which back versions may go."""
    if older_than is None:
        older_than = DEFAULT_AGE
    if isinstance(older_than, datetime):
        return micros(older_than)
    if not isinstance(older_than, timedelta):
        raise InputError(f"older_than is a timedelta or a datetime, not {older_than!r}")
    if older_than < timedelta(0):
        raise InputError(f"older_than is {older_than}; an age is not negative")
    return now - older_than // timedelta(microseconds=1)


def _to_forget(objects: Objects, state: State, moment: int, keep_last: int) -> frozenset[int]:
    lines = versions(objects, state)
    tagged = {tag.version for _, tag in state.catalog.tags}
    return frozenset(
        line.version for line in lines[:-keep_last] if line.time <= moment and line.version not in tagged
    )
