"""Forks writers that are to be killed. Started by test_kill.py; talks JSON lines.

A parent that has everything imported forks each victim, so that sixty of them take seconds.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from typing import Any

import pyarrow as pa

from atio import Table
from atio.storage import MemoryStorage


def frame(turn: int, number: int) -> pa.Table:
    return pa.table({"turn": [turn] * 3, "number": [number] * 3, "part": [0, 1, 2]})


ORDER = ["turn", "number", "part"]


def operation(number: int) -> str:
    """What a victim does as number so-and-so."""
    return {4: "overwrite", 2: "compact", 5: "update"}.get(number % 6, "append")


def work(path: str, turn: int, *, durable: bool) -> None:
    """Write for ever; every acknowledged version is told at once."""
    table = Table.open(path, durable=durable)
    number = 0
    while True:
        if number % 7 == 3:
            table.expire(timedelta(0), keep_last=4)
        made: Any
        if operation(number) == "overwrite":
            made = table.overwrite(frame(turn, number))
        elif operation(number) == "compact":
            made = table.compact(sort_by=ORDER)
        elif operation(number) == "update":
            made = table.update({"number": number, "turn": turn}, "part = 1")
        elif number % 3 == 1:
            made = table.append(iter([frame(turn, number).slice(0, 1), frame(turn, number).slice(1)]))
        else:
            made = table.append(frame(turn, number))
        os.write(1, json.dumps([made.version, operation(number), turn, number]).encode() + b"\n")
        number += 1


def warm_up() -> None:
    """Import what is imported on first use, once for all victims."""
    table = Table(MemoryStorage())
    table.append(iter([frame(0, 0), frame(0, 1)]))
    table.compact(sort_by=ORDER)
    table.update({"number": 5}, "part = 1")
    table.overwrite(frame(0, 2))
    table.expire(timedelta(0))


def main() -> None:
    warm_up()
    for line in sys.stdin:
        path, turn, durable = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                work(path, turn, durable=durable)
            finally:
                os._exit(1)
        os.write(1, json.dumps({"pid": child}).encode() + b"\n")
        _, status = os.waitpid(child, 0)
        os.write(1, json.dumps({"signal": os.waitstatus_to_exitcode(status)}).encode() + b"\n")


if __name__ == "__main__":
    main()
