"""Threads that read metadata for the first time, all at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from atio import Table

CODE = """
import faulthandler, sys, threading
from concurrent.futures import ThreadPoolExecutor
from atio import Table
from atio.predicate.tree import decode
faulthandler.disable()
sys.setswitchinterval(1e-6)
together = threading.Barrier(8)

def read(who):
    table = Table.open(sys.argv[1])
    together.wait()
    return decode(b'{"node":"column","path":["a"]}') if who % 4 == 3 else table.version

with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(read, range(8)))
assert found.count(3) == 6, found
"""


def test_first_readings_by_many_threads(tmp_path: Path) -> None:
    """While types were being prepared by one, another crashed the process."""
    table = Table.open(tmp_path / "t", durable=False)
    for number in range(3):
        table.append({"a": [number]})
    for _ in range(3):
        subprocess.run([sys.executable, "-c", CODE, table.url], check=True)
