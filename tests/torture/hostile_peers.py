"""The same damage to the files of every library: random bits flipped, newest metadata files emptied.

    python -m tests.torture.hostile_peers SUBJECT FOLDER CASES     in the environment that has the subject

One line of JSON for each attack: ``{"attack", "tried", "refused", "same", "wrong"}``. Each read is in a
process of its own, forked: a library that crashes has refused.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.data import small
from benchmarks.workers.base import Subject
from tests.torture.power_writers import subject_class

COMMITS, ROWS = 6, 2000


def main(name: str, folder: Path, cases: int) -> None:
    answers = os.dup(1)
    os.dup2(2, 1)
    make, root = subject_class(name), folder / "table"
    for module in ("pyarrow.dataset", "pyarrow.parquet", "pandas"):  # Once for all children.
        importlib.import_module(module)
    in_child(lambda: write(make(), root))
    expected = in_child(lambda: read(make(), root))
    assert expected is not None
    for attack, damages in (("flips", flips(root, cases)), ("emptied", emptied(root))):
        found = {"attack": attack, "tried": 0, "refused": 0, "same": 0, "wrong": 0}
        for _ in damages:
            answer = in_child(lambda: read(make(), root))
            found["tried"] += 1
            found["refused" if answer is None else "same" if answer == expected else "wrong"] += 1
        os.write(answers, json.dumps(found).encode() + b"\n")


def write(subject: Subject, root: Path) -> None:
    handle = subject.open(root)
    for number in range(COMMITS):
        subject.append(handle, subject.prepare(small(number, rows=ROWS)))


def read(subject: Subject, root: Path) -> str:
    """A digest of all rows, in order of their ids."""
    table = subject.read(root).sort_by("id")
    return hashlib.sha256(repr(table.to_pydict()).encode()).hexdigest()


def in_child(work: Callable[[], object]) -> str | None:
    """What the work gives, as JSON; None if it raises, crashes or takes a minute."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            os.write(writer, json.dumps(work()).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as found:
        line = found.readline()
    os.waitpid(child, 0)
    return line.strip() or None


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)


def used(path: Path) -> int:
    """Bytes that a file has indeed: databases make holes."""
    status = path.stat()
    return min(status.st_size, status.st_blocks * 512)


def flips(root: Path, cases: int) -> Iterator[None]:
    """One bit of one file at a time: a file as likely as it is large."""
    chance = random.Random(1)
    found = files(root)
    sizes = [used(path) for path in found]
    for _ in range(cases):
        (path,) = chance.choices(found, sizes)
        place, bit = chance.randrange(used(path)), chance.randrange(8)
        with path.open("r+b") as file:
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ 1 << bit]))
            file.flush()
            yield
            file.seek(place)
            file.write(bytes([byte]))


def emptied(root: Path) -> Iterator[None]:
    """One file at a time, as a power cut leaves it that was not synced."""
    for path in files(root):
        data = path.read_bytes() if path.stat().st_size < 2**28 else None
        if data is None:
            continue
        path.write_bytes(b"")
        yield
        path.write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
