"""Readers poll while processes overwrite: the file is never missing, and never torn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import atio

WRITERS = 4
CODE = """
import sys, atio
path, me, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for turn in range(count):
    line = f"{me} {turn} "
    atio.write(line * (2000 + 500 * me) + "end", path, backup=turn % 10 == 0, durable=False)
"""


def is_whole(content: bytes) -> bool:
    first, _, rest = content.partition(b" ")
    turn = rest.partition(b" ")[0]
    line = first + b" " + turn + b" "
    return content == line * (2000 + 500 * int(first)) + b"end"


def attack(path: Path, overwrites: int) -> tuple[int, int, int]:
    """Poll during so many overwrites; how many polls, missing and torn files there were."""
    atio.write("0 0 " * 2000 + "end", path)
    each = overwrites // WRITERS
    writers = [
        subprocess.Popen([sys.executable, "-c", CODE, path, str(number), str(each)])
        for number in range(WRITERS)
    ]
    polls = missing = torn = 0
    while any(writer.poll() is None for writer in writers):
        polls += 1
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            missing += 1
            continue
        torn += not is_whole(content)
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    assert is_whole(path.read_bytes())
    assert is_whole(path.with_name(path.name + ".bak").read_bytes())
    assert len(list(path.parent.iterdir())) == 2
    return polls, missing, torn


def test_a_reader_during_overwrites(tmp_path: Path) -> None:
    polls, missing, torn = attack(tmp_path / "data.txt", 100)
    assert polls > 100
    assert (missing, torn) == (0, 0)


@pytest.mark.slow
def test_a_reader_during_1000_overwrites(tmp_path: Path) -> None:
    """In atio 2, 385 of 95,602 polls found nothing."""
    polls, missing, torn = attack(tmp_path / "data.txt", 1000)
    assert polls > 1000
    assert (missing, torn) == (0, 0)
