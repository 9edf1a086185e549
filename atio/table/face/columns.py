"""Changes of columns: of metadata alone, by permanent field ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atio.table.face.handle import Handle
from atio.table.snapshot import Snapshot

if TYPE_CHECKING:
    from atio.schema.evolve import Edit, Path


class Columns(Handle):
    """What changes columns, each time as one version that writes no data file."""

    def add_column(
        self,
        name: str | Sequence[str],
        type: pa.DataType,
        *,
        default: Any = None,
        nullable: bool = True,
        after: str | None = None,
        first: bool = False,
        message: str | None = None,
    ) -> Snapshot:
        """Add a column, as a new version. No data file is written, whatever the table's size.

        Parameters
        ----------
        name
            Of the column; ``"point.z"`` or ``("point", "z")`` for a part of the struct ``point``.
        type
            Arrow type.
        default
            The value of the rows that are there, and of rows that are appended without the column; null
            if not given.
        after, first
            Where it goes; last if not given.

        Raises
        ------
        SchemaError
            There is such a column, the default is of another type, or a column that may not be null has none.
        """
        field = pa.field("", type, nullable=nullable)
        where = {"after": after, "first": first}
        return self._evolve(
            message, lambda edits, path: edits.AddColumn(path(name), field, default=default, **where)
        )

    def drop_column(self, name: str | Sequence[str], *, message: str | None = None) -> Snapshot:
        """Take a column (or a part of a struct) away, as a new version; older versions still have it."""
        return self._evolve(message, lambda edits, path: edits.DropColumn(path(name)))

    def rename_column(
        self, name: str | Sequence[str], new_name: str, *, message: str | None = None
    ) -> Snapshot:
        """Give a column (or a part of a struct) another name, as a new version."""
        return self._evolve(message, lambda edits, path: edits.RenameColumn(path(name), new_name))

    def reorder_columns(
        self, names: Sequence[str], *, within: str | Sequence[str] = (), message: str | None = None
    ) -> Snapshot:
        """Put the named columns first, in this order, as a new version; the others stay behind them.

        ``within`` names a struct whose parts are meant.
        """
        return self._evolve(
            message, lambda edits, path: edits.OrderColumns(path(within) if within else (), tuple(names))
        )

    def widen_column(
        self, name: str | Sequence[str], type: pa.DataType, *, message: str | None = None
    ) -> Snapshot:
        """Give a column a type that holds every value of its own, as a new version.

        Integers to wider ones, to floats and decimals that hold them; floats and decimals to wider ones;
        timestamps to a finer unit, microseconds at most; text and binary to their larger layouts.

        Raises
        ------
        SchemaError
            Some value of the old type is none of the new one.
        """
        return self._evolve(message, lambda edits, path: edits.WidenColumn(path(name), type))

    def make_nullable(self, name: str | Sequence[str], *, message: str | None = None) -> Snapshot:
        """Let a column have nulls, as a new version."""
        return self._evolve(message, lambda edits, path: edits.MakeNullable(path(name)))

    def set_not_null(self, name: str | Sequence[str], *, message: str | None = None) -> Snapshot:
        """Refuse nulls in a column from now on, as a new version; :meth:`make_nullable` allows them again.

        Raises
        ------
        ConstraintError
            Showing rows that have a null there.
        """
        from atio.schema.evolve import path_to

        with self._located():
            path = path_to(name, self._state().schema.arrow.names)
            return self._snapshot(self._writer.set_not_null(path, message))

    def _evolve(self, message: str | None, edit: Callable[[Any, Callable[..., Path]], Edit]) -> Snapshot:
        from atio.schema import evolve

        with self._located():
            known = self._state().schema.arrow.names
            made = edit(evolve, lambda name: evolve.path_to(name, known))
            return self._snapshot(self._writer.evolve((made,), message))
