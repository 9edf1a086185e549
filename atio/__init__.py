"""atio: SQLite for dataframes.

>>> from atio import Table
>>> table = Table.open("my_table")
>>> table.append(df)                               # doctest: +SKIP
>>> table.snapshot().to_pandas()                   # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atio import store
    from atio.compat import expire_snapshots, read_table, write_snapshot
    from atio.errors import AtioError
    from atio.predicate.expr import col
    from atio.table.snapshot import Snapshot
    from atio.table.stage import Staged
    from atio.table.table import Table
    from atio.writers import read, register_writer, verify, write
    from atio.writers.sql import read_sql

__version__ = "3.0.0.dev0"

# Heavy libraries load on first use: importing atio costs next to nothing.
_HOMES = {
    "AtioError": "atio.errors",
    "Snapshot": "atio.table.snapshot",
    "Staged": "atio.table.stage",
    "Table": "atio.table.table",
    "col": "atio.predicate.expr",
    "expire_snapshots": "atio.compat",
    "read": "atio.writers.reading",
    "read_sql": "atio.writers.sql",
    "read_table": "atio.compat",
    "register_writer": "atio.writers.registry",
    "verify": "atio.writers.flags",
    "write": "atio.writers.writing",
    "write_snapshot": "atio.compat",
}

_ROOMS = frozenset({"store"})

__all__ = [
    "AtioError",
    "Snapshot",
    "Staged",
    "Table",
    "__version__",
    "col",
    "expire_snapshots",
    "read",
    "read_sql",
    "read_table",
    "register_writer",
    "store",
    "verify",
    "write",
    "write_snapshot",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return import_module(f"atio.{name}")
    raise AttributeError(f"module 'atio' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
