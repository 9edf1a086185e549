"""Processes that use a store; they wait for each other before they begin."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).with_name("worker.py")


class Forks:
    """One process that has everything imported and forks workers, so that many of them take no time."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def _ask(self, *request: Any) -> Any:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(request).encode() + b"\n")
        self._parent.stdin.flush()
        return json.loads(self._parent.stdout.readline())

    def start(self, command: str, **arguments: Any) -> int:
        """Start a worker; returns its process id."""
        return self._ask("start", command, arguments)

    def result(self, pid: int) -> Any:
        """What the worker returned."""
        status, answer = self._ask("wait", pid)
        assert status == 0, answer
        return answer

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        assert self._ask("wait", pid)[0] == -signal.SIGKILL

    def all(self, processes: int, command: str, **arguments: Any) -> list[Any]:
        """The same command in so many processes at once."""
        pids = [self.start(command, **arguments) for _ in range(processes)]
        return [self.result(pid) for pid in pids]

    def end(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(timeout=10)
        self._parent.stdout.close()


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    if not hasattr(os, "fork"):
        pytest.skip("workers are forked")
    made = Forks()
    yield made
    made.end()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "value.json"
