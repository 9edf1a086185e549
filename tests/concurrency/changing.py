"""Random histories of changed rows: every operation is what it would have been alone, at its place in line.

Two kinds of tables: rows of which ids may come twice, and rows that have ids as their key, parted by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa

from atio import Table, col
from atio.errors import ConflictError, ExistsError, VersionNotFoundError
from atio.storage import Storage
from tests.concurrency import histories
from tests.concurrency.histories import Actions, Actor, Event, acknowledged
from tests.stateful.model import Line, Model, Row

SCHEMA = pa.schema({"id": pa.int64(), "v": pa.int64()})
COLUMNS = tuple(SCHEMA.names)
IDS = 12
WIDTH = 4
"""Ids in one partition."""
Step = dict[str, Any]
"""``do``, what it is given, and what was told: counts, rows, or ``"exists"``."""


def start(path: Any, *, key: bool) -> Table:
    how: dict[str, Any] = {"key": "id", "partition_by": f"truncate({WIDTH}, id)"} if key else {}
    table = Table.create(path, SCHEMA, **how, **({} if isinstance(path, Storage) else {"durable": False}))
    table.append(frame([[0, 0]]))
    return table


def frame(rows: list[list[Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], SCHEMA)


def rows(snapshot: Any) -> list[list[Any]]:
    return ordered(snapshot.to_arrow().to_pylist())


def ordered(found: Any) -> list[list[Any]]:
    """Whatever their order: that of rows is not what changes are about."""
    return sorted(([row[name] for name in COLUMNS] for row in found), key=repr)


# -- one step, of a table, of a transaction, and of the model --------------------------------------


def carried_out(target: Any, step: Step) -> Any:
    """What it returned: a version, counts of changes, or None; ``step`` gets what is to be compared."""
    done, step["told"] = _carried_out(target, step)
    return done


def _carried_out(target: Any, step: Step) -> tuple[Any, Any]:
    data = frame(step["rows"]) if "rows" in step else None
    where = None if "low" not in step else col("id").between(step["low"], step["high"])
    match step["do"]:
        case "append":
            try:
                return target.append(data), None
            except ExistsError:
                return None, "exists"
        case "overwrite":
            return target.overwrite(data), None
        case "replace":
            return target.overwrite(data, where), None
        case "partitions":
            return target.overwrite(data, partitions=True), None
        case "read":
            return None, rows(target)
        case "delete":
            done = target.delete(where)
        case "update":
            done = target.update({"v": col("v") + 1}, where)
        case "upsert":
            done = target.upsert(data, on="id")
        case _:
            matched, inserts, deletes = step["plan"]
            done = target.merge(
                data,
                on="id",
                when_matched={"v": col("v") + col("source", "v")} if matched == "values" else matched,
                when_not_matched="insert" if inserts else "ignore",
                when_not_matched_by_source="delete" if deletes else "ignore",
            )
    return done, [done.inserted, done.updated, done.deleted]


def modelled(model: Model, step: Step, *, key: bool) -> Any:
    """What the step has to be told; the model has it done."""
    new: list[Row] = [dict(zip(COLUMNS, row, strict=True)) for row in step.get("rows", ())]
    ids = set(range(step["low"], step["high"] + 1)) if "low" in step else set[Any]()
    match step["do"]:
        case "append":
            if key and {row["id"] for row in new} & {row["id"] for row in model.newest.rows}:
                return "exists"
            model.append(0, new, COLUMNS)
        case "overwrite":
            model.overwrite(0, new, COLUMNS)
        case "replace":
            model.replace(0, ids, new)
        case "partitions":
            parts = {row["id"] // WIDTH for row in new}
            model.replace(0, {part * WIDTH + place for part in parts for place in range(WIDTH)}, new)
        case "read":
            return ordered(model.newest.rows)
        case "delete":
            return [0, 0, model.delete(0, ids)]
        case "update":
            return [0, model.update(0, ids, {"v": lambda row, _: row["v"] + 1}), 0]
        case "upsert":
            known = model.upsert(0, new)
            return [len(new) - known, known, 0]
        case _:
            matched, inserts, deletes = step["plan"]
            values = {"v": lambda row, source: row["v"] + source["v"]} if matched == "values" else matched
            return list(model.merge(0, new, values, inserts=inserts, deletes=deletes))
    return None


def model_of(found: list[list[Any]]) -> Model:
    made = tuple(dict(zip(COLUMNS, row, strict=True)) for row in found)
    return Model([Line(1, 0, "", COLUMNS, made, len(made), 0, 1)])


# -- who does it -----------------------------------------------------------------------------------


class Changer(Actor):
    """Does random things to rows and writes down what came of it."""

    @property
    def actions(self) -> Actions:
        return ACTIONS

    def rows(self, found: Any) -> list[Any]:
        return rows(found)

    def some(self, low: int = 0, high: int = IDS - 1) -> list[list[int]]:
        """New rows, whose values nobody else writes."""
        self.number += 1
        ids = self.chance.sample(range(low, high + 1), self.chance.randint(1, min(3, high + 1 - low)))
        return [[one, 1_000_000 * (self.who + 1) + 1000 * self.number] for one in ids]

    def step(self, *kinds: str) -> Step:
        kind = self.chance.choice(kinds)
        low = self.chance.randrange(IDS)
        high = min(IDS - 1, low + self.chance.randint(0, 3))
        if kind in ("delete", "update"):
            return {"do": kind, "low": low, "high": high}
        if kind == "replace":
            return {"do": kind, "low": low, "high": high, "rows": self.some(low, high)}
        if kind == "merge":
            matched = self.chance.choice(["update", "delete", "ignore", "values"])
            plan = [matched, self.chance.random() < 0.7, self.chance.random() < 0.2]
            return {"do": kind, "rows": self.some(), "plan": plan}
        return {"do": kind} if kind == "read" else {"do": kind, "rows": self.some()}

    # -- what makes versions -----------------------------------------------------------------------

    def change(self, event: Event) -> None:
        """One step."""
        parted = ["partitions"] if self.table.partitioning else []
        event["step"] = self.step(
            "append", "append", "replace", "delete", "update", "upsert", "merge", *parted
        )
        self.alone(event)

    def append(self, event: Event) -> None:
        event["step"] = self.step("append")
        self.alone(event)

    def overwrite(self, event: Event) -> None:
        event["step"] = self.step("overwrite")
        self.alone(event)

    def alone(self, event: Event) -> None:
        try:
            done = carried_out(self.table, event["step"])
        except ConflictError as error:
            event["failed"] = error.message
        else:
            if done is not None and done.version is not None:
                event["version"] = done.version

    def swap(self, event: Event) -> None:
        event["expected"], event["step"] = (
            self.table.version,
            self.step("delete", "update", "upsert", "merge"),
        )
        with suppress(ConflictError):
            target = _Expecting(self.table, event["expected"])
            version = carried_out(target, event["step"]).version
            event.update({"version": version} if version is not None else {"idle": True})

    def transaction(self, event: Event) -> None:
        event["isolation"] = self.chance.choice(["snapshot", "serializable"])
        event["steps"] = steps = list[Step]()
        try:
            with self.table.transaction(isolation=event["isolation"]) as tx:
                event["base"] = tx._base
                for _ in range(self.chance.randint(1, 4)):
                    kinds = ("append", "delete", "update", "upsert", "merge", "replace", "read", "read")
                    steps.append(self.step(*kinds))
                    carried_out(tx, steps[-1])
        except (ConflictError, ExistsError) as error:
            event["failed"] = error.message
        else:
            if tx.result is not None:
                event["version"] = tx.result.version

    def branch(self, event: Event) -> None:
        """Appends on a branch of its own, and merges it."""
        event["step"], name = self.step("append"), f"of {self.who}"
        branch = self.table.create_branch(name)
        try:
            if carried_out(branch, event["step"]) is not None:
                event["version"] = self.table.merge_branch(name).version
        except ExistsError:
            event["step"]["told"] = "exists"
        except (ConflictError, VersionNotFoundError) as error:
            event["failed"] = error.message
        finally:
            self.table.drop_branch(name)

    def compact(self, event: Event) -> None:
        order = self.chance.choice([None, "v"])
        with suppress(ConflictError):
            done = self.table.compact(sort_by=order)
            if done.version is not None:
                event["version"] = done.version

    # -- what reads --------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        since = self.seen()
        until = max(since, self.table.version)
        with suppress(VersionNotFoundError):
            found = self.table.changes(since, until).read_all().to_pylist()
            event |= {"since": since, "until": until}
            event["came"] = ordered(
                row for row in found if row["_change_type"] in ("insert", "update_postimage")
            )
            event["gone"] = ordered(
                row for row in found if row["_change_type"] in ("delete", "update_preimage")
            )

    def get(self, event: Event) -> None:
        if self.table.key:
            event["key"] = self.chance.randrange(IDS)
            found = self.table.get(event["key"])
            event["got"] = None if found is None else [found[name] for name in COLUMNS]


class _Expecting:
    """A table each change of which expects a version."""

    def __init__(self, table: Table, version: int) -> None:
        self._table, self._version = table, version

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._table, name)
        return lambda *given, **more: method(*given, **more, expected_version=self._version)


ALIKE = {
    "restore": 1, "read": 5, "read_old": 3, "hold": 3, "history": 1, "expire": 2, "vacuum": 2, "verify": 1,
}  # fmt: skip
"""What histories of appends do as well."""
ACTIONS: Actions = {
    "change": (20, Changer.change),
    "append": (4, Changer.append),
    "overwrite": (1, Changer.overwrite),
    "swap": (3, Changer.swap),
    "transaction": (8, Changer.transaction),
    "branch": (2, Changer.branch),
    "compact": (4, Changer.compact),
    "feed": (3, Changer.feed),
    "get": (2, Changer.get),
    **{name: (weight, histories.ACTIONS[name][1]) for name, weight in ALIKE.items()},
}


# -- whether it could have been one after the other ------------------------------------------------


def check(table: Table, events: list[Event]) -> None:
    """Each version is what its operation makes of the one before, and everybody was told what was so."""
    key = bool(table.key)
    made, content = histories.check(table, events, lambda made: _content(made, key=key), rows)
    acknowledged_before = acknowledged(made)

    def meanwhile(event: Event) -> Iterator[int]:
        """The versions that may have been the newest while it ran."""
        last = max((v for v, e in made.items() if e["start"] < event["end"]), default=1)
        yield from range(acknowledged_before(event["start"]), last + 1)

    def others(event: Event, since: int) -> bool:
        """Whether anybody did something that a failure may come from."""
        moved = any(v > since for v in meanwhile(event))
        cleaned = (e for e in events if e["op"] in ("vacuum", "expire"))
        return moved or any(e["start"] < event["end"] and event["start"] < e["end"] for e in cleaned)

    for event in events:
        if "steps" in event:
            _check_transaction(event, content, key=key)
        if "failed" in event:
            since = event.get("base", acknowledged_before(event["start"]))
            assert others(event, since), f"a conflict with nobody: {event}"
        elif "version" not in event and "step" in event and (event["op"] != "swap" or "idle" in event):
            # Nothing to do, or refused: so it was, in some version.
            told = [_told(content[version], event["step"], key=key) for version in meanwhile(event)]
            assert event["step"]["told"] in told, f"never so: {event}"
        if "came" in event:
            before, after = (Counter(map(repr, content[event[end]])) for end in ("since", "until"))
            came, gone = (Counter(map(repr, event[what])) for what in ("came", "gone"))
            assert before + came == after + gone, f"not what changed: {event}"
        if "got" in event:
            found = [
                [row for row in content[version] if row[0] == event["key"]] for version in meanwhile(event)
            ]
            assert ([] if event["got"] is None else [event["got"]]) in found, f"never there: {event}"


def _told(found: list[list[Any]], step: Step, *, key: bool) -> Any:
    return modelled(model_of(found), step, key=key)


def _content(made: dict[int, Event], *, key: bool) -> dict[int, list[list[Any]]]:
    """The rows of each version; what made it was told what it had to be."""
    content: dict[int, list[list[Any]]] = {0: [], 1: [[0, 0]]}
    for version in sorted(made):
        event, model = made[version], model_of(content[version - 1])
        if event["op"] == "restore":
            model = model_of(content[event["of"]])
        elif "steps" in event:
            _transact(model, event, key=key)
        elif "step" in event:
            assert event.get("expected", version - 1) == version - 1, event
            told = modelled(model, event["step"], key=key)
            assert told == event["step"]["told"], f"told {event['step']['told']}, not {told}: {event}"
        content[version] = ordered(model.newest.rows)
    return content


def _transact(model: Model, event: Event, *, key: bool) -> None:
    """Its steps are made to what was there by then; rows that it computed others of were the same."""
    for step in event["steps"]:
        if step["told"] == "exists":
            continue  # refused, and left out
        told = modelled(model, step, key=key)
        assert told != "exists", event
        if step["do"] == "update":
            assert told == step["told"], event


def _check_transaction(event: Event, content: dict[int, list[list[Any]]], *, key: bool) -> None:
    """All that it was told in its block was so in the version that it began with, and its own steps."""
    if "base" not in event:
        return  # It could not begin.
    model = model_of(content[event["base"]])
    for step in event["steps"]:
        if "told" not in step:
            break  # It failed here.
        told = modelled(model, step, key=key)
        assert told == step["told"], f"told {step['told']}, not {told}: {event}"
    if event["isolation"] == "serializable" and "version" in event:
        assert event["version"] == event["base"] + 1, event
    if "version" not in event and "failed" not in event:
        assert ordered(model.newest.rows) == content[event["base"]], f"a silent failure: {event}"
