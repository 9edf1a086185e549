"""Finding versions: by number, tag and time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from atio.commit.state import State, every_line, trunk_of
from atio.errors import InputError, VersionNotFoundError
from atio.metadata import history
from atio.metadata.objects import Objects
from atio.model.pointer import Branch, Pointer, Version
from atio.model.snapshot import Snapshot

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    """Microseconds since the epoch; a moment without a zone is local time."""
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def find(objects: Objects, state: State, version: int | str | None, as_of: datetime | None) -> Snapshot:
    """The snapshot of a number, a tag or a time; the newest without any."""
    if as_of is not None:
        if version is not None:
            raise InputError("give a version or as_of, not both")
        return _at(objects, state, as_of)
    if version is None:
        return state.snapshot
    if isinstance(version, str):
        tag = state.catalog.tag(version)
        if tag is None:
            raise VersionNotFoundError(f"there is no tag {version!r}", hint=state.catalog.described())
        # Tags name versions of the table's own line.
        state, version = trunk_of(objects, state), tag.version
    if isinstance(version, bool) or not isinstance(version, int):
        raise InputError(f"a version is a number or a tag, not {version!r}")
    found = retained(objects, state, version)
    if found is not None:
        return found
    newest = state.version
    if state.branch is not None and version < state.pointer.first_version:
        raise VersionNotFoundError(
            f"version {version} is older than the branch",
            version=version,
            hint="open the table without branch= to read it",
        )
    if state.pointer.first_version <= version < newest:
        lines = history.all_versions(objects, state.pointer.history)
        kept = _shortened(spans([*(line.version for line in lines), newest]))
        raise VersionNotFoundError(
            f"version {version} is gone: it was expired", version=version, hint=f"retained are {kept}"
        )
    raise VersionNotFoundError(
        f"there never was a version {version}", version=version, hint=f"the newest is {newest}"
    )


def retained(objects: Objects, state: State, version: int) -> Snapshot | None:
    """The snapshot of a version, or None when it is not (or no longer) there."""
    if version == state.version:
        return state.snapshot
    line = history.find(objects, state.pointer.history, version)
    return None if line is None else objects.get(line.ref, Snapshot)


def _at(objects: Objects, state: State, as_of: datetime) -> Snapshot:
    if not isinstance(as_of, datetime):
        raise InputError(f"as_of is a datetime, not {as_of!r}")
    moment = micros(as_of)
    if state.snapshot.time <= moment:
        return state.snapshot
    line = history.find_time(objects, state.pointer.history, moment)
    if line is None:
        lines = versions(objects, state)
        first = _EPOCH + timedelta(microseconds=lines[0].time)
        raise VersionNotFoundError(
            f"the table has no version as old as {as_of.isoformat()}",
            hint=f"the oldest retained one, {lines[0].version}, is of {first.isoformat()}",
        )
    later = line.version + 1
    if (
        line.time != moment
        and later != state.version
        and not history.find(objects, state.pointer.history, later)
    ):
        raise VersionNotFoundError(
            f"the version of {as_of.isoformat()} may be one that was expired: {later} is gone",
            hint=f"version {line.version} is the last retained one before that moment",
        )
    return objects.get(line.ref, Snapshot)


def versions(objects: Objects, state: State) -> list[Version]:
    """All retained versions, oldest first."""
    return line_of(objects, state.pointer)


def all_lines(objects: Objects, state: State) -> list[Version]:
    """All retained versions of the table and of its branches."""
    return _united(objects, every_line(state).values())


def other_lines(objects: Objects, state: State) -> list[Version]:
    """All retained versions of the other branches, and of the table if this is a branch."""
    return _united(objects, (p for name, p in every_line(state).items() if name != state.branch))


def _united(objects: Objects, pointers: Iterable[Pointer]) -> list[Version]:
    found = (line for pointer in pointers for line in line_of(objects, pointer))
    return list({line.id: line for line in found}.values())


def line_of(objects: Objects, pointer: Pointer | Branch) -> list[Version]:
    """The versions that a pointer or a branch names, oldest first."""
    return [*history.all_versions(objects, pointer.history), pointer.snapshot]


def newest_first(objects: Objects, state: State, limit: int | None) -> Iterator[Snapshot]:
    def lines() -> Iterator[Version]:
        yield state.pointer.snapshot
        yield from history.newest_first(objects, state.pointer.history)

    for line in islice(lines(), limit):
        yield objects.get(line.ref, Snapshot)


def spans(numbers: Iterable[int]) -> list[str]:
    """``["1-3", "7"]`` of 1, 2, 3, 7."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]


def _shortened(parts: list[str]) -> str:
    return ", ".join(parts if len(parts) <= 8 else [*parts[:4], "…", *parts[-3:]])
