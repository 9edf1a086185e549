"""Figures of the attacks, for the table that docs/reliability.md shows."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers_env import peers_python
from tests.support.share import SHARE
from tests.torture.syscalls import why_not

Figure = Callable[..., None]
Apart = Callable[..., Any]


@pytest.fixture
def torture_figure() -> Figure:
    """Record how many cases an attack tried and how many failed.

    A line of JSON, ``{"name", "tried", "failed", "peer"}``, goes to the file that ``ATIO_TORTURE_REPORT``
    names, if it names one. ``peer`` is the library that was attacked; None is atio. One write to a file that
    is open for appending, so that parallel workers do not tear each other's lines.
    """

    def record(name: str, tried: int, failed: int, peer: str | None = None) -> None:
        path = os.environ.get("ATIO_TORTURE_REPORT")
        if not path:
            return
        line = json.dumps({"name": name, "tried": tried, "failed": failed, "peer": peer})
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(fd, line.encode() + b"\n")
        finally:
            os.close(fd)

    return record


@pytest.fixture(scope="session")
def peers() -> Path:
    """The interpreter that has the peers."""
    if SHARE < 1:
        pytest.skip("only a share of the attacks runs: ATIO_TORTURE_SHARE")
    return peers_python()


@pytest.fixture(scope="session")
def apart() -> Iterator[Apart]:
    """Call functions in a process of their own, which is small, has few threads, and can trace children."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:

        def call(function: Callable[..., Any], *arguments: object) -> Any:
            return pool.submit(function, *arguments).result()

        if (reason := call(why_not)) is not None:
            pytest.skip(reason)
        yield call
