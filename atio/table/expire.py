"""Forgetting old versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from atio.commit.build import Request
from atio.commit.changes import Forget
from atio.commit.loop import Committer
from atio.commit.state import State, consistently, refuse_unknown_writes
from atio.errors import InputError, StorageError
from atio.metadata.objects import Objects
from atio.table.lookup import micros, other_lines, versions
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
    if isinstance(keep_last, bool) or not isinstance(keep_last, int) or keep_last < 1:
        raise InputError(f"keep_last is {keep_last!r}; at least 1 version stays")
    moment = _moment(older_than, committer.clock())
    forget, dead = consistently(objects, lambda state: _plan(objects, state, moment, keep_last))
    if not forget:
        return Expired((), (), 0, dry_run)
    if not dry_run:
        committer.commit(Request("expire", (Forget(forget),), makes_version=False))
    try:
        forget, kept = consistently(objects, lambda state: _left(objects, state, forget, dry_run=dry_run))
        sizes = {path: size for path, size in dead.items() if path not in kept}
        if not dry_run:
            objects.storage.delete(sizes)
    except StorageError as error:
        if dry_run:
            raise
        raise StorageError(
            f"the versions are expired, but not all of their files are removed: {error.message}",
            hint="vacuum() removes them",
        ) from error
    return Expired(tuple(sorted(forget)), tuple(sorted(sizes)), sum(sizes.values()), dry_run)


def _plan(
    objects: Objects, state: State, moment: int, keep_last: int
) -> tuple[frozenset[int], dict[str, int]]:
    """The versions to forget, and the files (with sizes) that may go with them."""
    refuse_unknown_writes(state.pointer)
    forget = _to_forget(objects, state, moment, keep_last)
    if not forget:
        return forget, {}
    dead = Reach(objects)
    dead.add(line for line in versions(objects, state) if line.version in forget)
    # The index is written anew, so its old pieces go as well.
    return forget, {**dead.sizes, **{piece.ref.path: piece.size for piece in state.pointer.history.pieces}}


def _left(
    objects: Objects, state: State, forget: frozenset[int], *, dry_run: bool
) -> tuple[frozenset[int], set[str]]:
    """What was forgotten indeed, and the files that stay.

    Any state since then will do: what later versions refer to is new or of a version retained in it.
    """
    lines = versions(objects, state)
    if dry_run:
        lines = [line for line in lines if line.version not in forget]
    reach = Reach(objects)
    reach.add(lines)
    reach.add(other_lines(objects, state))
    kept = {*reach.sizes, *pointer_files(state)}
    if dry_run:  # The index of this line will be written anew.
        kept -= {piece.ref.path for piece in state.pointer.history.pieces}
    return forget - {line.version for line in lines}, kept


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
    old = {line.version for line in lines[:-keep_last] if line.time <= moment}
    return frozenset(old - state.tagged)
