"""Databases behind a server, reached through SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atio.errors import InputError, OutcomeUnknownError, StorageError
from atio.writers.sql import decode
from atio.writers.sql.base import Database, Query

if TYPE_CHECKING:
    import sqlalchemy as sa


class AlchemyDatabase(Database):
    """A database on a SQLAlchemy connection.

    Attributes
    ----------
    joined
        A transaction of the caller is open: what is done belongs to it, and only the caller ends it.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.joined = connection.in_transaction()

    def dialect(self) -> Any:
        return self.connection.dialect

    @property
    def driver(self) -> Any:
        """The driver's own connection."""
        return self.connection.connection.driver_connection

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        if parameters is None:
            # Without this a % in a name would be taken for a placeholder.
            result = self.connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
        else:
            result = self.connection.exec_driver_sql(sql, tuple(parameters))
        return [tuple(row) for row in result] if result.returns_rows else []

    # -- transactions ------------------------------------------------------------------------

    def check_transactional(self, consequence: str) -> None:
        """Refuse a connection on which nothing lasts beyond a statement."""
        if _commits_by_itself(self.driver):
            raise InputError(
                f"the connection commits every statement by itself, so {consequence}",
                hint="hand over a connection (or engine) that is not in AUTOCOMMIT mode",
            )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.check_transactional("nothing could be taken back")
        if not self.joined and self.connection.in_transaction():
            self.connection.rollback()  # begun by SQLAlchemy for statements that only asked
        work: Any = self.connection.begin_nested() if self.joined else self.connection.begin()
        try:
            yield
            if self.joined:
                work.commit()
        except BaseException:
            self._forget(work)
            raise
        if not self.joined:
            self._commit(work)

    def _forget(self, work: Any) -> None:
        with suppress(Exception):  # on a lost connection there is nothing left to take back
            work.rollback()

    def _commit(self, work: Any) -> None:
        """Commit; when the answer is lost, find out whether it had taken effect."""
        mark = self.mark()
        try:
            work.commit()
        except Exception as error:
            if not getattr(error, "connection_invalidated", False):
                self._forget(work)
                raise
            landed = self.landed(mark)
        else:
            return
        self.settle(landed=landed)

    def settle(self, *, landed: bool | None) -> None:
        """Raise unless something whose answer was lost is known to have taken effect."""
        if landed is None:
            raise OutcomeUnknownError(
                f"{self.title}: the connection broke during the commit, which may have taken effect or not",
                hint="look at the table before writing again",
            )
        if not landed:
            raise StorageError(
                f"{self.title}: the connection broke during the commit, which did not take effect",
                hint="write again",
            )

    def mark(self) -> Any:
        """Whatever tells later, on another connection, whether the open transaction was committed."""
        return None

    def landed(self, mark: Any) -> bool | None:
        """Whether the transaction took effect; None when that cannot be known."""
        del mark
        return None

    @contextmanager
    def another(self) -> Iterator[sa.Connection]:
        """A second connection to the same database, which commits every statement."""
        with self.connection.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    # -- queries -----------------------------------------------------------------------------

    def query(self, question: Query, opened: ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        known = self.described(question)
        options = {"stream_results": True, "max_row_buffer": question.rows}
        result = self.run(question.text, question.parameters, options)
        opened.callback(result.close)
        if not result.returns_rows:
            raise InputError("the query returns no rows", hint="hand over a SELECT")
        names = list(result.keys())
        known = self.typed(result.cursor.description) if known is None else known
        chunks = iter(lambda: result.fetchmany(question.rows), [])
        return decode.streamed(names, known, question.types, chunks)

    def run(self, query: Any, parameters: Any, options: dict[str, Any]) -> Any:
        """Run what the user wrote, with parameters in whichever way they were written."""
        import sqlalchemy as sa

        if isinstance(query, str):
            if parameters is None:
                options = {**options, "no_parameters": True}  # a % is a %
                return self.connection.exec_driver_sql(query, execution_options=options)
            if not isinstance(parameters, Mapping):
                return self.connection.exec_driver_sql(query, tuple(parameters), execution_options=options)
            query = sa.text(query)
        return self.connection.execute(query, parameters or {}, execution_options=options)

    def described(self, question: Query) -> list[pa.DataType | None] | None:
        """The types of a query's columns, asked of the server beforehand; None if it cannot say."""
        del question
        return None

    def typed(self, description: Sequence[Sequence[Any]]) -> list[pa.DataType | None]:
        """The types of a cursor's columns; None for those that only their values tell."""
        return [None for _ in description]


def _commits_by_itself(driver: Any) -> bool:
    ask = getattr(driver, "get_autocommit", None)
    return bool(ask()) if callable(ask) else getattr(driver, "autocommit", False) is True


def with_digits(kind: pa.DataType, digits: str) -> pa.DataType:
    """The unit of a time or timestamp of so many digits after the second; what has more would be rounded."""
    unit = {"0": "s", "3": "ms"}.get(digits)
    if unit is None:
        return kind
    if pa.types.is_time(kind):
        return pa.time32(unit)
    return pa.timestamp(unit, kind.tz) if pa.types.is_timestamp(kind) else kind
