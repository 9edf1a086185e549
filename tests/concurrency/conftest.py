"""Processes that wait for commands, shared by all tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).with_name("worker.py")
SIZE = 6


class Process:
    """A Python process of its own, started afresh (not forked)."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_until_ready(self) -> None:
        assert self._popen.stdout is not None
        assert json.loads(self._popen.stdout.readline()) == "ready"

    def start(self, command: str, **arguments: Any) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps([command, arguments]) + "\n")
        self._popen.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._popen.stdout is not None
        found: dict[str, Any] = json.loads(self._popen.stdout.readline())
        return found

    def result(self) -> Any:
        return _result(self.answer())

    def end(self) -> None:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.close()
        try:
            self._popen.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()


class Pool:
    """Six processes."""

    def __init__(self) -> None:
        self.processes = [Process() for _ in range(SIZE)]
        for process in self.processes:
            process.wait_until_ready()

    def all(self, command: str, path: Path, count: int) -> list[Any]:
        """The same command in every process at once; the results by process."""
        for who, process in enumerate(self.processes):
            process.start(command, path=str(path), who=who, count=count)
        return self.results()

    def results(self) -> list[Any]:
        """Of all processes; each is waited for, also if another one failed."""
        return [_result(answer) for answer in [process.answer() for process in self.processes]]


def _result(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        pytest.fail(answer["error"])
    return answer["result"]


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    for process in made.processes:
        process.end()
