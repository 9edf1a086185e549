"""The table: a thin face over staging, commits, scans and maintenance."""

from __future__ import annotations

from atio.commit.state import load_state
from atio.errors import AtioError
from atio.table.face.branching import Branches
from atio.table.face.columns import Columns
from atio.table.face.reading import Reading
from atio.table.face.rows import Rows
from atio.table.face.settings import Settings
from atio.table.face.upkeep import Upkeep


class Table(Rows, Branches, Settings, Columns, Upkeep, Reading):
    """A versioned table in a folder.

    Open one with :meth:`open`; the first write creates it. A ``Table`` holds no descriptors and no
    state besides caches of immutable metadata: every call looks at the newest version, and one object
    may be used from several threads.
    """

    def __repr__(self) -> str:
        try:
            state = load_state(self._objects)
        except AtioError as error:
            return f"<Table {self.url}: {error.message}>"
        if state is None:
            return f"<Table {self.url}: not created yet>"
        rows, columns = state.snapshot.summary.rows, len(state.schema.arrow.names)
        line = f", branch {self.branch}" if self.branch else ""
        return f"<Table {self.url}{line}: version {state.version}, {rows:,} rows × {columns} columns>"

    def _repr_html_(self) -> str:
        from html import escape

        state = load_state(self._objects)
        return escape(repr(self)) if state is None else self._snapshot(state.snapshot)._repr_html_()
