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
    from atio.compat import expire_snapshots, read_table, write_snapshot
    from atio.errors import AtioError
    from atio.table.snapshot import Snapshot
    from atio.table.stage import Staged
    from atio.table.table import Table

__version__ = "3.0.0.dev0"

# Heavy libraries load on first use: importing atio costs next to nothing.
_HOMES = {
    "AtioError": "atio.errors",
    "Snapshot": "atio.table.snapshot",
    "Staged": "atio.table.stage",
    "Table": "atio.table.table",
    "expire_snapshots": "atio.compat",
    "read_table": "atio.compat",
    "write_snapshot": "atio.compat",
}

__all__ = [
    "AtioError",
    "Snapshot",
    "Staged",
    "Table",
    "__version__",
    "expire_snapshots",
    "read_table",
    "write_snapshot",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'atio' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
