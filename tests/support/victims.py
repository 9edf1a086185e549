"""Writers that are forked, acknowledge what they wrote, and are ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


class Forks:
    """A program that forks a writer for each request: a line of JSON, as are its answers.

    It tells the writer's ``{"pid": …}`` first and how it ended last; the lines between are the writer's.
    """

    def __init__(self, program: Path) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-W", "error", str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def line(self) -> Any:
        assert self._parent.stdout is not None
        return json.loads(self._parent.stdout.readline())

    def start(self, request: object, after: int) -> tuple[int, list[Any]]:
        """The writer's process, and what it has acknowledged: so many times, at least."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(request).encode() + b"\n")
        self._parent.stdin.flush()
        acknowledged: list[Any] = []
        pid = None
        while pid is None or len(acknowledged) < after:
            line = self.line()
            if isinstance(line, dict):
                assert "pid" in line, line
                pid = line["pid"]
            else:
                acknowledged.append(line)
        return pid, acknowledged

    def end(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(timeout=10)
        self._parent.stdout.close()
