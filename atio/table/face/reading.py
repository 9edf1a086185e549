"""Reading the newest version without naming it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atio.table.face.versions import Versions
from atio.table.scan import Scan

if TYPE_CHECKING:
    from atio.predicate import Where


class Reading(Versions):
    """Shorthands for ``snapshot()``."""

    def get(self, *key: object) -> dict[str, Any] | None:
        """The row with this key, by column; None if there is none.

        Parameters
        ----------
        key
            The value of the key's column; of several columns, their values in order.

        Raises
        ------
        InputError
            The table has no key, or these are no values of it.
        """
        from atio.table.keyed import get

        with self._located():
            return self._read(lambda state: get(self._objects, state, self.url, key))

    def scan(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> Scan:
        """Shorthand for ``snapshot().scan(…)``."""
        return self.snapshot().scan(columns, limit, where=where)

    def count(self, where: Where | None = None) -> int:
        """Shorthand for ``snapshot().count(…)``."""
        return self.snapshot().count(where)

    def to_arrow(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> pa.Table:
        """Shorthand for ``snapshot().to_arrow(…)``."""
        return self.snapshot().to_arrow(columns, limit, where=where)

    def to_pandas(
        self,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        *,
        where: Where | None = None,
        **kwargs: Any,
    ) -> Any:
        """Shorthand for ``snapshot().to_pandas(…)``."""
        return self.snapshot().to_pandas(columns, limit, where=where, **kwargs)

    def to_polars(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> Any:
        """Shorthand for ``snapshot().to_polars(…)``."""
        return self.snapshot().to_polars(columns, limit, where=where)

    def to_lazy(
        self, columns: Sequence[str] | None = None, limit: int | None = None, *, where: Where | None = None
    ) -> Any:
        """Shorthand for ``snapshot().to_lazy(…)``."""
        return self.snapshot().to_lazy(columns, limit, where=where)

    def _scan(self) -> Scan:
        return self.scan()
