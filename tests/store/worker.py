"""Forks workers that use a store. Started by conftest.py; talks JSON lines."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atio import store as stores
from atio.errors import ConflictError


def increment_blocks(path: str, count: int, **options: Any) -> None:
    """Read-modify-write in ``with`` blocks, each on a store of its own."""
    for _ in range(count):
        with stores.open(path, default={"n": 0}, **options) as store:
            store.value["n"] += 1


def increment_by_hand(path: str, count: int, **options: Any) -> None:
    """The same on one store, with commits."""
    store = stores.open(path, default={"n": 0}, **options)
    for _ in range(count):
        store.value["n"] += 1
        store.commit()


def increment_until_done(path: str, count: int) -> int:
    """Without a lock: compare and swap, again if it was in vain; returns how often that was."""
    store = stores.open(path, default={"n": 0}, durable=False)
    in_vain = 0
    for _ in range(count):
        store.reload()
        while True:
            store.value["n"] += 1
            try:
                store.commit()
            except ConflictError:
                in_vain += 1
                store.reload()
            else:
                break
    return in_vain


def increment_or_give_up(path: str, count: int) -> int:
    """Without a lock and without a second attempt; returns how many commits were acknowledged."""
    acknowledged = 0
    for _ in range(count):
        try:
            with stores.open(path, default={"n": 0}, durable=False) as store:
                store.value["n"] += 1
        except ConflictError:
            continue
        acknowledged += 1
    return acknowledged


def increment_for_ever(path: str, acknowledged: str, **options: Any) -> None:
    """Tell every acknowledged commit in a file, until killed."""
    told = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        with stores.open(path, default={"n": 0}, **options) as store:
            n = store.value["n"] + 1
            store.value = whole(n)
        os.write(told, b"%d\n" % n)


def whole(n: int) -> dict[str, Any]:
    """A value that tells whether it is whole."""
    return {"n": n, "copies": [n] * (n % 50), "text": "x" * (n % 7000)}


def hold(path: str, ready: str) -> None:
    """Hold the lock until killed."""
    with stores.open(path, default={"n": 0}, lock=True):
        Path(ready).touch()
        sys.stdin.buffer.read()


def overwrite(path: str, count: int) -> None:
    """Replace the value without a look at what others made of it."""
    store = stores.open(path, default=whole(0), durable=False, on_conflict="overwrite")
    for n in range(count):
        store.value = whole(n)
        store.commit()


COMMANDS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        increment_blocks, increment_by_hand, increment_until_done, increment_or_give_up, increment_for_ever,
        hold, overwrite,
    )
}  # fmt: skip


def start(command: str, arguments: dict[str, Any], answers: dict[int, int]) -> int:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(reader, 0)  # whoever waits for input waits for ever
            os.write(writer, json.dumps(COMMANDS[command](**arguments)).encode())
            os._exit(0)
        except BaseException:
            os.write(writer, json.dumps(traceback.format_exc()).encode())
            os._exit(1)
    os.close(writer)
    answers[child] = reader
    return child


def main() -> None:
    answers: dict[int, int] = {}
    for line in sys.stdin:
        request, *rest = json.loads(line)
        if request == "start":
            answer: Any = start(*rest, answers)
        else:
            (child,) = rest
            _, status = os.waitpid(child, 0)
            with os.fdopen(answers.pop(child), "rb") as told:
                answer = [os.waitstatus_to_exitcode(status), json.loads(told.read() or b"null")]
        os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
