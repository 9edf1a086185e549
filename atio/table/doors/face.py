"""What tables, versions and scans have in common: the ways out that take all that is to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

    from atio.table.doors.result import Result
    from atio.table.scan import Scan


class Doors:
    """SQL, DuckDB, and the protocols by which dataframe libraries read from each other."""

    __slots__ = ()

    def _scan(self) -> Scan:
        """What goes out."""
        raise NotImplementedError

    def sql(
        self,
        query: str,
        /,
        params: Sequence[object] | Mapping[str, object] | None = None,
        *,
        name: str = "t",
        **tables: object,
    ) -> Result:
        """Run a query in DuckDB: ``sql("select kind, sum(price) from t group by kind").to_pandas()``.

        Parameters
        ----------
        query
            One statement that reads. It sees the tables given here and nothing else: no files, no network,
            no variables of the program, no setting that would change that.
        params
            Values for ``?`` or ``$1`` (a list), or for ``$name`` (a dict).
        name
            What the query calls this table.
        tables
            Others, by name: tables, versions, scans, or any frame that ``append`` takes.

        Raises
        ------
        InputError
            The query is not valid, or does more than read.
        AccessError
            It asks for what it was not given.
        MissingDependencyError
            DuckDB is not installed.
        """
        from atio.table.doors.query import Query
        from atio.table.doors.result import Result

        return Result(Query.of(self._scan(), query, params, name, tables))

    def to_duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """As a relation of DuckDB, to go on with its own methods; rows are read when it is.

        Parameters
        ----------
        connection
            Where it belongs; by default DuckDB's own default connection, that of ``duckdb.sql``.
        """
        from atio.table.doors.duckdb import relation

        return relation(self._scan(), connection)

    # -- protocols ---------------------------------------------------------------------------------

    def __arrow_c_schema__(self) -> object:
        return self._scan().schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._scan().to_reader().__arrow_c_stream__(requested_schema)

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> Any:
        """The older interchange protocol; reads everything."""
        return self._scan().to_arrow().__dataframe__(nan_as_null, allow_copy)

    def __narwhals_lazyframe__(self) -> Any:
        """Over ``to_lazy()``; Narwhals unwraps what carries its protocol."""
        import narwhals

        return narwhals.from_native(self._scan().to_lazy())._compliant_frame  # noqa: SLF001
