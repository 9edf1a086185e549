"""One process that carries out commands: JSON lines in, JSON lines out. Started by conftest.py."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from atio import Table, col
from atio.errors import AtioError, ConflictError, VersionNotFoundError
from tests.concurrency import changing, histories


def opened(path: str) -> Table:
    return Table.open(path, durable=False)


def append(path: str, who: int, count: int, branch: str | None = None) -> list[list[int]]:
    """Append ``count`` times two rows; returns [version, sequence number] of each."""
    table = Table.open(path, branch=branch, durable=False)
    made = []
    for number in range(count):
        found = table.append(pa.table({"who": [who, who], "number": [number, number], "half": [0, 1]}))
        assert found.rows % 2 == 0
        made.append([found.version, number])
    return made


def first_append(path: str, who: int, count: int) -> list[int]:
    """The first writes of ``count`` tables, which other processes create at the same time."""
    found = []
    for number in range(count):
        found.append(opened(f"{path}{number}").append(pa.table({"who": [who], "name": [f"w{who}"]})).version)
    return found


def create(path: str, who: int, count: int) -> list[bool]:
    """``Table.create`` on each: whether this process was the one."""
    made = []
    for number in range(count):
        try:
            Table.create(
                f"{path}{number}",
                pa.schema({"who": pa.int64()}),
                properties={"user.who": str(who)},
                durable=False,
            )
        except AtioError as error:
            assert error.kind == "exists", error
            made.append(False)
        else:
            made.append(True)
    return made


def categories(path: str, who: int, count: int) -> list[list[Any]]:
    """Append frames whose categories nobody else has."""
    import pandas as pd

    table = opened(path)
    made = []
    for number in range(count):
        words = [f"p{who}n{number}", "common", f"p{who}"]
        found = table.append(pd.DataFrame({"who": who, "word": pd.Categorical(words)}))
        made.append([found.version, words])
    return made


def promotions(path: str, who: int, count: int) -> list[int]:
    """Append to a table of all-null columns, each of which some process fills first."""
    table = opened(path)
    made = []
    for number in range(count):
        column = f"c{(who + number) % 4}"
        row = {"who": [who], "number": [number]} | {f"c{i}": pa.nulls(1) for i in range(4)}
        row[column] = pa.array([who * 1000 + number])
        made.append(table.append(pa.table(row)).version)
    return made


def increment(path: str, who: int, count: int) -> int:
    """A counter that is only ever read, increased and swapped; returns how often that was in vain."""
    table = opened(path)
    in_vain = 0
    for _ in range(count):
        while True:
            found = table.snapshot()
            value = found.to_arrow()["value"][0].as_py()
            try:
                table.overwrite(pa.table({"value": [value + 1]}), expected_version=found.version)
            except ConflictError:
                in_vain += 1
            else:
                break
    return in_vain


def tokens(path: str, who: int, count: int) -> list[int]:
    """All processes use the same tokens: one of them makes each version."""
    table = opened(path)
    return [
        table.append(pa.table({"who": [who], "job": [number]}), token=f"job-{number}").version
        for number in range(count)
    ]


def _until(stop: str) -> Any:
    path, turn = Path(stop), 0
    while not path.exists():
        yield turn
        turn += 1


def history(path: str, who: int, count: int, seed: int) -> list[histories.Event]:
    return histories.Actor(opened(path), who, seed).run(count)


def changing_history(path: str, who: int, count: int, seed: int) -> list[histories.Event]:
    return changing.Changer(opened(path), who, seed).run(count)


def expire_for_long(path: str, stop: str) -> int:
    table = opened(path)
    return sum(len(table.expire(timedelta(0), 1 + turn % 3).versions) for turn in _until(stop))


def vacuum_for_long(path: str, stop: str) -> int:
    table = opened(path)
    turns = 0
    for _ in _until(stop):
        table.vacuum(timedelta(0))
        turns += 1
    return turns


def tag_for_long(path: str, stop: str, who: int) -> int:
    """Tag the newest version, read it by the tag, move on. What is tagged must be there."""
    table = opened(path)
    turns = 0
    for turn in _until(stop):
        name = f"t{who}-{turn % 3}"
        try:
            table.tag(name, table.snapshot().version, move=True)
        except VersionNotFoundError as error:
            assert "gone" in error.message, error  # Expired before it could be tagged.
            continue
        found = table.snapshot(name)
        first = found.to_arrow()
        assert first.num_rows == found.rows
        assert table.snapshot(found.version).to_arrow() == first
        turns += 1
    return turns


def restore_for_long(path: str, stop: str) -> int:
    table = opened(path)
    turns = 0
    for _ in _until(stop):
        table.restore("keep")
        turns += 1
    return turns


def read_for_long(path: str, stop: str) -> int:
    """The newest version at any time, the tagged one, and the history: none of them may fail."""
    expected = opened(path).snapshot("keep").to_arrow()
    old = opened(path).snapshot("keep")
    turns = 0
    for turn in _until(stop):
        table = opened(path)  # Without caches.
        assert table.snapshot("keep").to_arrow() == expected
        assert old.to_arrow() == expected
        assert table.snapshot().version >= 1
        assert [s.version for s in table.history()]
        if turn % 5 == 0:
            report = table.verify(deep=False)
            assert report.ok, report
            table.expire(timedelta(0), dry_run=True)
            table.vacuum(timedelta(0), dry_run=True)
        turns += 1
    return turns


def compact_for_long(path: str, stop: str, who: int) -> list[int]:
    """Compact, now and then sorted: how often it could, and how often others were always faster."""
    table = opened(path)
    done = lost = 0
    for turn in _until(stop):
        try:
            made = table.compact(sort_by=["who", "number", "half"] if who and turn % 3 == 0 else None)
        except ConflictError:
            lost += 1
        else:
            done += made.version is not None
    return [done, lost]


def merge_for_long(path: str, stop: str, branches: list[str]) -> int:
    """Merge branches in turn: how often."""
    table, turns = opened(path), 0
    for turn in _until(stop):
        name = branches[turn % len(branches)]
        table.merge_branch(name)
        turns += 1
    return turns


def upserts(path: str, who: int, count: int) -> int:
    """Upsert keys that all processes upsert, new ones each time; returns how many this one inserted."""
    table = opened(path)
    inserted = 0
    for number in range(count):
        keys = [number, number + 1, number // 2]
        found = table.upsert(pa.table({"key": sorted(set(keys)), "who": [who] * len(set(keys))}), on="key")
        inserted += found.inserted
    return inserted


def increments(path: str, who: int, count: int) -> int:
    """Add one to a row that all processes add to."""
    table = opened(path)
    return sum(table.update({"n": col("n") + 1}, f"id in (0, {who})").updated for _ in range(count))


def deletes(path: str, who: int, count: int) -> int:
    """Append rows and delete all but the last of them, and others' of which there are none left; how many."""
    table = opened(path)
    gone = 0
    for number in range(count):
        table.append(pa.table({"who": [who] * 4, "number": range(number * 4, number * 4 + 4)}))
        gone += table.delete(f"who = {who} and number % 4 <> 3").deleted
        gone += table.delete("number % 8 = 3").deleted  # whoever comes first
    return gone


def keyed(path: str, who: int, count: int) -> int:
    """Append rows of keys that all processes try, one by one; how many of them were this one's."""
    table, own = opened(path), 0
    for number in range(count):
        row = pa.table({"key": [number], "who": [who]})
        if number % 2:
            before = table.version
            own += (
                table.append(row, on_conflict="ignore").version > before and table.get(number)["who"] == who
            )
            continue
        try:
            table.append(row)
        except AtioError as error:
            assert error.kind == "exists", error
        else:
            own += 1
    return own


def transfers(path: str, who: int, count: int) -> int:
    """Move one from a row to another that all processes move from and to; how often it took another try."""
    table, again = opened(path), 0
    for number in range(count):
        giver, taker = (who + number) % 4, (who + number + 1) % 4
        while True:
            try:
                with table.transaction() as tx:
                    assert sum(tx.to_arrow()["n"].to_pylist()) == 400
                    tx.update({"n": col("n") - 1}, col("id") == giver)
                    tx.update({"n": col("n") + 1}, col("id") == taker)
                break
            except ConflictError:
                again += 1
    return again


COMMANDS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        append, first_append, create, categories, promotions, increment, tokens, history, expire_for_long,
        vacuum_for_long, tag_for_long, restore_for_long, read_for_long, compact_for_long,
        merge_for_long, upserts, increments, deletes, keyed, transfers, changing_history,
    )
}  # fmt: skip


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    _say("ready")
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer = {"result": COMMANDS[command](**arguments)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        _say(answer)


if __name__ == "__main__":
    main()
