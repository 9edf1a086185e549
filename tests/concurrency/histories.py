"""Random histories: what each of many writers and readers did, when, and what it was told."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pyarrow as pa

from atio import Table
from atio.errors import ConflictError, VersionNotFoundError

Event = dict[str, Any]
"""``op``, ``start`` and ``end`` (nanoseconds, alike in all processes), and what the operation is about."""
Actions = dict[str, tuple[int, Callable[[Any, Event], None]]]


def frame(who: int, number: int) -> pa.Table:
    return pa.table({"who": [who] * 2, "number": [number] * 2, "half": [0, 1]})


class Actor:
    """Does random things to a table and writes down what came of it."""

    def __init__(self, table: Table, who: int, seed: int) -> None:
        self.table = table
        self.who = who
        self.chance = random.Random(f"{seed} {who}")
        self.number = 0
        self.events: list[Event] = []
        self.held: tuple[Any, int] | None = None

    @property
    def actions(self) -> Actions:
        return ACTIONS

    def run(self, count: int) -> list[Event]:
        weights = {name: weight for name, (weight, _) in self.actions.items()}
        for name in self.chance.choices(list(weights), list(weights.values()), k=count):
            event: Event = {"op": name, "who": self.who, "start": time.monotonic_ns()}
            self.actions[name][1](self, event)
            event["end"] = time.monotonic_ns()
            self.events.append(event)
        return self.events

    def frame(self, event: Event) -> pa.Table:
        self.number += 1
        event["row"] = [self.who, self.number]
        return frame(self.who, self.number)

    def rows(self, found: Any) -> list[Any]:
        return rows(found)

    def seen(self) -> int:
        """A version that was there once: the newest, or an older one."""
        newest = self.table.version
        return max(1, newest - self.chance.choice([0, 1, 3, 10]))

    # -- what makes versions -------------------------------------------------------------------

    def append(self, event: Event) -> None:
        event["version"] = self.table.append(self.frame(event)).version

    def stream(self, event: Event) -> None:
        whole = self.frame(event)
        event["version"] = self.table.append(iter([whole.slice(0, 1), whole.slice(1)])).version

    def token(self, event: Event) -> None:
        """All actors do the same jobs: each makes one version, whoever comes first."""
        job = self.chance.randrange(6)
        event["token"], event["row"] = f"job {job}", [-2, job]
        event["version"] = self.table.append(frame(-2, job), token=event["token"]).version

    def overwrite(self, event: Event) -> None:
        event["version"] = self.table.overwrite(self.frame(event)).version

    def swap(self, event: Event) -> None:
        event["expected"] = self.table.version
        with suppress(ConflictError):
            made = self.table.append(self.frame(event), expected_version=event["expected"])
            event["version"] = made.version

    def restore(self, event: Event) -> None:
        event["of"] = self.seen()
        with suppress(VersionNotFoundError):
            event["version"] = self.table.restore(event["of"]).version

    def compact(self, event: Event) -> None:
        with suppress(ConflictError):  # Others were faster, each time.
            version = self.table.compact().version
            if version is not None:
                event["version"] = version

    # -- what reads ------------------------------------------------------------------------------

    def read(self, event: Event) -> None:
        found = self.table.snapshot()
        event["of"] = found.version
        with suppress(VersionNotFoundError):  # Replaced and expired meanwhile.
            event["rows"] = self.rows(found)
            event["read"] = found.version

    def read_old(self, event: Event) -> None:
        event["of"] = self.seen()
        with suppress(VersionNotFoundError):
            # A reader that is overtaken by an expiry is told so, never given less.
            event["rows"] = self.rows(self.table.snapshot(event["of"]))
            event["read"] = event["of"]

    def hold(self, event: Event) -> None:
        """Tag a version and keep a reader of it, which must not fail as long as the tag is there."""
        if self.held is not None:
            snapshot, version = self.held
            event["read"], event["rows"] = version, self.rows(snapshot)
            if self.chance.random() < 0.5:
                return
            self.table.untag(f"held by {self.who}")
            self.held = None
        with suppress(VersionNotFoundError):
            self.table.tag(f"held by {self.who}", self.seen(), move=True)
            snapshot = self.table.snapshot(f"held by {self.who}")
            self.held = snapshot, snapshot.version

    def history(self, event: Event) -> None:
        event["versions"] = [s.version for s in self.table.history()]

    # -- maintenance -----------------------------------------------------------------------------

    def expire(self, event: Event) -> None:
        done = self.table.expire(timedelta(0), self.chance.choice([1, 2, 5, 20]))
        event["forgotten"] = list(done.versions)

    def vacuum(self, event: Event) -> None:
        self.table.vacuum(timedelta(0))

    def verify(self, event: Event) -> None:
        event["problems"] = [str(p) for p in self.table.verify().problems]

    def property(self, event: Event) -> None:
        self.table.set_properties({"user.last": str(self.who)})


ACTIONS: Actions = {
    "append": (10, Actor.append),
    "stream": (4, Actor.stream),
    "token": (3, Actor.token),
    "overwrite": (2, Actor.overwrite),
    "swap": (3, Actor.swap),
    "restore": (2, Actor.restore),
    "compact": (2, Actor.compact),
    "read": (8, Actor.read),
    "read_old": (6, Actor.read_old),
    "hold": (4, Actor.hold),
    "history": (2, Actor.history),
    "expire": (3, Actor.expire),
    "vacuum": (3, Actor.vacuum),
    "verify": (1, Actor.verify),
    "property": (1, Actor.property),
}
"""How often, and how."""


def rows(snapshot: Any) -> list[list[int]]:
    """Of each frame ``[who, number]``; both halves must be there, side by side."""
    found = snapshot.to_arrow()
    pairs = list(zip(found["who"].to_pylist(), found["number"].to_pylist(), strict=True))
    assert found["half"].to_pylist() == [0, 1] * (len(pairs) // 2)
    assert pairs[::2] == pairs[1::2]
    return [list(pair) for pair in pairs[::2]]


def start(table: Table) -> None:
    table.append(frame(-1, 0))


# -- the model -------------------------------------------------------------------------------------


def check(
    table: Table,
    events: list[Event],
    content_of: Callable[[dict[int, Event]], dict[int, list[Any]]] | None = None,
    read: Callable[[Any], list[Any]] = rows,
) -> tuple[dict[int, Event], dict[int, list[Any]]]:
    """All of it could have happened one after the other, in the order of time, and nothing is lost.

    ``content_of`` makes the rows of each version of what made it. Returned are what made each, and its rows.
    """
    made = _versions(events)
    content = (content_of or _content)(made)
    first, newest = min(content), max(content)
    forgotten: dict[int, int] = {}  # when somebody began to
    for event in events:
        for version in event.get("forgotten", ()):
            forgotten[version] = min(forgotten.get(version, event["start"]), event["start"])
    assert table.version == newest
    _in_the_order_of_time(made, events)
    for event in events:
        if "read" in event:
            assert event["rows"] == content[event["read"]], event
        elif event["op"] in ("read", "read_old", "restore") and "version" not in event:
            assert forgotten.get(event["of"], event["end"]) < event["end"], f"not there, nor expired: {event}"
        assert not event.get("problems"), event
        if event["op"] == "swap" and not {"version", "idle"} & set(event):
            later = [e for v, e in made.items() if v > event["expected"]]
            assert any(e["start"] < event["end"] for e in later), f"a conflict with nobody: {event}"
    retained = [s.version for s in table.history()]
    assert sorted([*retained, *forgotten]) == list(range(first, newest + 1))
    for version in retained:
        assert read(table.snapshot(version)) == content[version]
    assert table.verify().ok
    return made, content


def _versions(events: list[Event]) -> dict[int, Event]:
    """What made each version: exactly one operation."""
    made: dict[int, Event] = {}
    tokens: dict[str, list[Event]] = {}
    for event in events:
        if "token" in event:
            tokens.setdefault(event["token"], []).append(event)
        elif "version" in event:
            assert event["version"] not in made, f"made twice: {event} and {made[event['version']]}"
            made[event["version"]] = event
    numbers = set(made) | {1}
    for group in tokens.values():
        # Whoever repeats it is told the same version, or the newest if that one was expired.
        version = min(e["version"] for e in group)
        assert version not in numbers, group
        numbers.add(version)
        told = [e for e in group if e["version"] == version]
        made[version] = told[0] | {k: min(e[k] for e in told) for k in ("start", "end")}
    newest = max(numbers)
    assert numbers == set(range(1, newest + 1)), "a version that nobody made, or was not told"
    return made


def _content(made: dict[int, Event]) -> dict[int, list[list[int]]]:
    content = {1: [[-1, 0]]}
    for version in sorted(made):
        event = made[version]
        if event["op"] == "restore":
            content[version] = content[event["of"]]
        elif event["op"] == "overwrite":
            content[version] = [event["row"]]
        elif event["op"] == "compact":
            content[version] = content[version - 1]
        else:
            if event["op"] == "swap":
                assert event["expected"] == version - 1, event
            content[version] = [*content[version - 1], event["row"]]
    return content


def acknowledged(made: dict[int, Event]) -> Callable[[int], int]:
    """What tells which version was surely there at a moment."""
    newest_ended: list[tuple[int, int]] = []  # (when, the highest version acknowledged by then)
    for version, event in sorted(made.items(), key=lambda item: item[1]["end"]):
        highest = max(version, newest_ended[-1][1] if newest_ended else 1)
        newest_ended.append((event["end"], highest))

    def acknowledged_before(moment: int) -> int:
        return max((version for when, version in newest_ended if when < moment), default=1)

    return acknowledged_before


def _in_the_order_of_time(made: dict[int, Event], events: list[Event]) -> None:
    """What ended before another began has a lower number; readers see what was acknowledged before."""
    acknowledged_before = acknowledged(made)
    for version, event in made.items():
        assert version > acknowledged_before(event["start"]), f"out of order: {event}"
    for event in events:
        if event["op"] == "read":
            assert event["of"] >= acknowledged_before(event["start"]), f"an old read: {event}"
        if event["op"] == "history":
            assert event["versions"][0] >= acknowledged_before(event["start"])
        if "read" in event and event["read"] in made:
            assert made[event["read"]]["start"] < event["end"], f"read before it was written: {event}"
