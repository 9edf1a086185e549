"""DuckDB in memory, for text that may not be trusted: it reads the files it was made for and nothing else.

Making one takes tens of milliseconds, so that the last few are kept; what a query makes is its own
connection's, and goes with it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from atio.model.base import new_id
from atio.predicate.render import quoted
from atio.table.doors.duckdb import library

if TYPE_CHECKING:
    import duckdb

_KEPT = 4

Paths = tuple[str, ...]


class _Sandboxes:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Paths, duckdb.DuckDBPyConnection] = OrderedDict()

    def connect(self, paths: Paths) -> duckdb.DuckDBPyConnection:
        with self._lock:
            found = self._kept.get(paths)
            if found is None:
                found = self._kept[paths] = _make(paths)
            self._kept.move_to_end(paths)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)  # closed when its last query is
            return found.cursor()


def _make(paths: Paths) -> duckdb.DuckDBPyConnection:
    folder = Path(tempfile.gettempdir(), f"atio-duckdb-{new_id()}")
    connection: duckdb.DuckDBPyConnection = library().connect(":memory:")
    for name, value in (
        ("allowed_paths", f"[{', '.join(map(quoted, paths))}]"),
        ("temp_directory", quoted(str(folder))),  # made, and removed, by DuckDB when the memory is not enough
        ("TimeZone", "'UTC'"),  # not this machine's
        ("parquet_metadata_cache", "true"),  # the files never change
        (
            "disabled_optimizers",
            "'late_materialization'",
        ),  # DuckDB 2.0 fails on struct fields, LIMIT and this
        ("python_enable_replacements", "false"),  # no variables of the caller's as tables
        ("enable_external_access", "false"),
        ("lock_configuration", "true"),
    ):
        connection.execute(f"SET GLOBAL {name} = {value}")  # not of this connection alone
    return connection


_sandboxes = _Sandboxes()


def connect(paths: Paths) -> duckdb.DuckDBPyConnection:
    """A connection of its own to a sandbox in which these files, and no others, can be read."""
    return _sandboxes.connect(paths)


def _start_over() -> None:
    """Leave DuckDB's threads, which a fork does not copy, to the parent."""
    global _sandboxes  # noqa: PLW0603 a process has its own
    _left_behind.append(_sandboxes)  # nor may it be closed
    _sandboxes = _Sandboxes()


_left_behind: list[_Sandboxes] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
