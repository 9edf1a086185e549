"""Writers whose power is cut: forked from a parent that has everything imported; JSON lines.

    python -m tests.torture.power_writers SUBJECT      in the environment that has the subject

A request is ``["write", folder]`` (for ever; every acknowledged number is told at once) or
``["read", folder]`` (the numbers that are there). Each is done by a process of its own: a subject that
crashes takes nothing with it. The protocol is that of tests/crash/victim.py.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import tempfile
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data import small
from benchmarks.workers.base import Subject


class Attacked(ABC):
    """One thing that acknowledges writes."""

    @abstractmethod
    def write(self, folder: Path) -> Iterator[int]:
        """Write the numbers from 0 on; each is yielded when its write is acknowledged."""

    @abstractmethod
    def read(self, folder: Path) -> list[int]:
        """The numbers that are there, whole, after opening anew. Raises if that cannot be told."""


class FirstWrites(Attacked):
    """Each number is a new table in a new folder."""

    durable = True

    def __init__(self) -> None:
        import pyarrow as pa

        from atio import Table

        self._table, self._rows = Table, lambda number: pa.table({"n": [number] * 3})
        warm_up(self)

    def write(self, folder: Path) -> Iterator[int]:
        for number in itertools.count():
            place = folder / str(number) / "deep" / "table"
            self._table.open(place, durable=self.durable).append(self._rows(number))
            yield number

    def read(self, folder: Path) -> list[int]:
        found = []
        for each in folder.iterdir() if folder.exists() else ():
            place = each / "deep" / "table"
            if self._table.exists(place):
                table = self._table.open(place)
                assert table.verify().ok
                assert table.to_arrow() == self._rows(int(each.name))
                found.append(int(each.name))
            else:  # The next writer does not care.
                assert self._table.open(place).append(self._rows(0)).version == 1
        return found


class Unsynced(FirstWrites):
    """The control: the same, asked not to sync."""

    durable = False


class Stored(Attacked):
    """The value of a store is the number."""

    def __init__(self) -> None:
        from atio import store

        self._open = store.open
        warm_up(self)

    def write(self, folder: Path) -> Iterator[int]:
        folder.mkdir()
        kept = self._open(folder / "value.json", {})
        for number in itertools.count():
            kept.value = {"number": number, "text": "x" * (number % 7 * 1000)}
            kept.commit()
            yield number

    def read(self, folder: Path) -> list[int]:
        path = folder / "value.json"
        if not path.exists():
            return []
        value = self._open(path).value
        assert value["text"] == "x" * (value["number"] % 7 * 1000)
        return list(range(value["number"] + 1))  # One replaces the other.


def subject_class(name: str) -> type[Subject]:
    """What the benchmarks know of a library."""
    module = importlib.import_module(f"benchmarks.workers.{name}")
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Subject)]
    return next(kind for kind in kinds if kind is not Subject)


class Peer(Attacked):
    """A table of a library, by what the benchmarks know of it: batch after batch is appended."""

    def __init__(self, name: str) -> None:
        self._make = subject_class(name)

    def write(self, folder: Path) -> Iterator[int]:
        subject = self._make()
        handle = subject.open(folder)
        for number in itertools.count():
            subject.append(handle, subject.prepare(small(number, rows=10)))
            yield number

    def read(self, folder: Path) -> list[int]:
        ids = sorted(self._make().read(folder).column("id").to_pylist())
        numbers = sorted({number // 10 for number in ids})
        assert ids == [n * 10 + i for n in numbers for i in range(10)], "a batch is torn, or there twice"
        return numbers


def warm_up(subject: Attacked) -> None:
    """Import what is imported on first use, once for all."""
    with tempfile.TemporaryDirectory() as folder:
        next(subject.write(Path(folder) / "t"))
        subject.read(Path(folder) / "t")


OWN = {"first writes": FirstWrites, "unsynced": Unsynced, "store": Stored}


def main(name: str) -> None:
    subject = OWN[name]() if name in OWN else Peer(name)
    answers = os.dup(1)
    os.dup2(2, 1)  # Whatever a library prints is no answer.
    for line in sys.stdin:
        task, folder = json.loads(line)
        child = os.fork()
        if child == 0:
            tell(answers, {"pid": os.getpid()})  # before it says anything else
            try:
                work(subject, task, Path(folder), answers)
            except BaseException:
                tell(answers, {"error": traceback.format_exc()})
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        tell(answers, {"end": os.waitstatus_to_exitcode(status)})


def work(subject: Attacked, task: str, folder: Path, answers: int) -> None:
    if task == "read":
        tell(answers, {"found": subject.read(folder)})
        return
    for number in subject.write(folder):
        tell(answers, number)


def tell(answers: int, what: object) -> None:
    os.write(answers, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
