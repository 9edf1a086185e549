"""Removing what no version needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from atio.commit.loop import Committer
from atio.commit.state import State, consistently, refuse_unknown_writes
from atio.errors import InputError
from atio.metadata.objects import Objects
from atio.storage.base import Entry
from atio.table.lookup import all_lines
from atio.table.reach import Reach, needed, pointer_files

# Only names that atio gives: a user's own file in the folder is nobody's orphan.
_OURS = re.compile(
    r"(data/[0-9a-f]{24,32}\.[a-z]+|(metadata|schemas)/[0-9a-f]{24}\.json"
    r"|manifests/[0-9a-f]{24}\.parquet|\.(current|_SUCCESS)\.[^/]+\.tmp)"
)


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What a vacuum removed (or, as a dry run, would); ``files`` are paths within the table."""

    files: tuple[str, ...]
    bytes: int
    dry_run: bool


def vacuum(committer: Committer, older_than: timedelta, *, dry_run: bool) -> Vacuumed:
    """See ``Table.vacuum``."""
    if not isinstance(older_than, timedelta) or older_than < timedelta(0):
        raise InputError(f"older_than is a timedelta that is not negative, not {older_than!r}")
    objects = committer.objects
    oldest = committer.clock() / 1e6 - older_than.total_seconds()
    # The listing comes first: what is written after it is not in it, and whether its writer has
    # committed or still runs is asked afterwards.
    consistently(objects, lambda state: refuse_unknown_writes(state.pointer))
    found = [e for e in objects.storage.list() if _OURS.fullmatch(e.path)]
    state, kept = consistently(objects, lambda state: (state, needed(objects, state)))
    suspects = [e for e in found if e.path not in kept and e.modified <= oldest]
    running = tuple(objects.storage.live_leases())
    suspects = [e for e in suspects if not _of_live_writer(e, running)]
    for _ in objects.storage.received():
        pass  # as with leases: looking at them removes those of dead writers
    if suspects:
        # No writer commits while the lock is held, so what is an orphan now is one for good.
        with objects.storage.exclusive():
            suspects = _still_unneeded(objects, state, suspects)
            if not dry_run:
                objects.storage.delete([e.path for e in suspects])
    return Vacuumed(tuple(sorted(e.path for e in suspects)), sum(e.size for e in suspects), dry_run)


def _of_live_writer(entry: Entry, running: tuple[str, ...]) -> bool:
    name = entry.path.rpartition("/")[2]
    return any(name.startswith(prefix) for prefix in running)


def _still_unneeded(objects: Objects, then: State, suspects: list[Entry]) -> list[Entry]:
    def added(now: State) -> set[str]:
        if now.token == then.token:
            return set()
        known = {line.id for line in all_lines(objects, then)}
        reach = Reach(objects)
        reach.add(line for line in all_lines(objects, now) if line.id not in known)
        return {*reach.sizes, *pointer_files(now)}

    kept = consistently(objects, added)
    return [e for e in suspects if e.path not in kept]
