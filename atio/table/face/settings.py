"""What a table says of rows that are to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from atio.table.face.handle import Handle

if TYPE_CHECKING:
    from atio.predicate import Where
    from atio.table.layout import PartitionBy
    from atio.table.ordering import SortBy


class Settings(Handle):
    """Properties, the key, partitions, the order and checks."""

    @property
    def properties(self) -> dict[str, str]:
        """What was set with :meth:`set_properties` or at creation."""
        with self._located():
            return dict(self._state().catalog.properties)

    def set_properties(self, changes: Mapping[str, str | None]) -> None:
        """Set properties, or remove them (None). Takes no version number."""
        from atio.commit.changes import SetProperties
        from atio.table import properties

        with self._located():
            before = self._state().catalog.properties
            after = {k: v for k, v in {**before, **changes}.items() if v is not None}
            properties.check(changes, after)
            self._writer.amend("properties", SetProperties(dict(changes)))

    @property
    def key(self) -> tuple[str, ...]:
        """The columns whose values no two rows share; empty if the table has no key."""
        from atio.table.keyed import key_of

        with self._located():
            return key_of(self._state())

    @property
    def partitioning(self) -> list[str]:
        """What files are parted by, as ``partition_by`` takes it; empty if by nothing."""
        from atio.table.layout import layout_of

        with self._located():
            state = self._state()
            return [str(part) for part in layout_of(state.catalog, state.schema).parts]

    def set_partitioning(self, partition_by: PartitionBy | None) -> None:
        """Part the rows of later writes by something else, or by nothing (None).

        Files that are there stay as they are until ``compact()``. Takes no version number.
        """
        from atio.commit.changes import SetLayout
        from atio.table.layout import partition_fields

        with self._located():
            self._refuse_on_a_branch("partitions")
            fields = partition_fields(partition_by, self._state().schema)
            self._writer.amend("partition", SetLayout(partitioning=fields))

    @property
    def sorting(self) -> list[tuple[str, str]]:
        """Columns that rows are sorted by within a write, with their directions."""
        from atio.table.layout import layout_of

        with self._located():
            state = self._state()
            order = layout_of(state.catalog, state.schema).order
            return [] if order is None else list(zip(order.columns, order.directions, strict=True))

    def set_sorting(self, sort_by: SortBy | None) -> None:
        """Sort the rows of later writes, and of compactions, by other columns, or not (None).

        Takes no version number.
        """
        from atio.commit.changes import SetLayout
        from atio.table.layout import sort_fields

        with self._located():
            self._refuse_on_a_branch("sort orders")
            fields = sort_fields(sort_by, self._state().schema)
            self._writer.amend("sort", SetLayout(sorting=fields))

    @property
    def checks(self) -> dict[str, str]:
        """Conditions that no row may make false, by name, as SQL."""
        from atio.commit.checks import condition

        with self._located():
            state = self._state()
            return {check.name: str(condition(check, state.schema)) for check in state.catalog.checks}

    def add_check(self, name: str, where: Where) -> None:
        """Refuse rows for which a condition is false, from now on. Takes no version number.

        Parameters
        ----------
        where
            As in :meth:`scan`. As in SQL, a row for which it is unknown (a null) is accepted.

        Raises
        ------
        ConstraintError
            Showing rows of the newest version for which it is false.
        ExistsError
            There is a check of that name.
        """
        with self._located():
            self._refuse_on_a_branch("checks")
            self._writer.add_check(name, where)

    def drop_check(self, name: str) -> None:
        """Take a check away."""
        from atio.commit.changes import DropCheck

        with self._located():
            self._refuse_on_a_branch("checks")
            self._writer.amend("drop check", DropCheck(name))
