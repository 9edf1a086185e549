"""Processes for pools: forked from one that has everything imported and no threads, or started afresh."""

from __future__ import annotations

import multiprocessing

_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
FRESH = multiprocessing.get_context(_METHOD)
if _METHOD == "forkserver":
    FRESH.set_forkserver_preload(["tests.remote.servers", "atio.table.table", "pyarrow.parquet"])
