"""Forks writers of one file that are to be killed; talks JSON lines.

A parent that has everything imported forks each victim, so that a hundred of them take seconds.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

import atio

ROWS = 400
PIECES = 6


def frame(number: int) -> pd.DataFrame:
    """A file of version ``number`` has this in every row; how many rows depends on it too."""
    rows = ROWS + number % 7
    return pd.DataFrame({"number": [number] * rows, "rows": [rows] * rows, "text": [f"v{number}"] * rows})


def pieces(number: int) -> Iterator[pa.Table]:
    table = pa.Table.from_pandas(frame(number))
    step = len(table) // PIECES + 1
    for start in range(0, len(table), step):
        yield table.slice(start, step)


def write(path: str, number: int, options: dict[str, Any]) -> None:
    obj = pieces(number) if number % 2 else frame(number)
    extra = {"index": False} if path.endswith(".csv") and number % 2 == 0 else {}
    atio.write(obj, path, **options, **extra)


def work(path: str, first: int, count: int, options: dict[str, Any]) -> None:
    """Write one version after the other; each is told once it is acknowledged."""
    for number in range(first, first + count):
        write(path, number, options)
        os.write(1, json.dumps(number).encode() + b"\n")


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            code = 1
            try:
                work(**request)
                code = 0
            except KeyboardInterrupt:
                code = 130
            finally:
                gc.collect()  # as at the end of any program
                os._exit(code)
        os.write(1, json.dumps({"pid": child}).encode() + b"\n")
        _, status = os.waitpid(child, 0)
        os.write(1, json.dumps({"exit": os.waitstatus_to_exitcode(status)}).encode() + b"\n")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
