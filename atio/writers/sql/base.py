"""What writing and reading ask of a database; one subclass for each kind of database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from secrets import token_hex
from typing import Any, ClassVar

import msgspec
import pyarrow as pa

from atio.errors import InputError


class Name(msgspec.Struct, frozen=True):
    """A table's name; ``schema`` None: where the connection looks first."""

    table: str
    schema: str | None = None

    def __str__(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"

    def beside(self, suffix: str = "") -> Name:
        """A new name in the same schema, for a table that must not be seen yet."""
        return Name(new_name(suffix), self.schema)


def new_name(suffix: str = "") -> str:
    """A name that nobody else uses."""
    return f"_atio_{token_hex(8)}{suffix}"


class Column(msgspec.Struct, frozen=True):
    """A column of a table that exists.

    Attributes
    ----------
    type
        The Arrow type that holds its values.
    opaque
        The database has a type of its own that Arrow has not: values come and go as text.
    """

    name: str
    type: pa.DataType
    opaque: bool = False


class Query(msgspec.Struct, frozen=True):
    """A question to a database.

    Attributes
    ----------
    text
        SQL, or a construct of SQLAlchemy.
    rows
        How many to fetch at a time.
    types
        What the user wants some columns to be.
    """

    text: Any
    parameters: Sequence[Any] | Mapping[str, Any] | None
    rows: int
    types: Mapping[str, pa.DataType]


class Database(ABC):
    """One connection to one kind of database.

    Names are quoted by :meth:`quote`, values are bound or encoded by the driver's own means: neither is ever
    put into SQL as it came.
    """

    title: ClassVar[str]
    """As people write it."""
    holds_nan: ClassVar[bool] = True
    holds_infinity: ClassVar[bool] = True
    """Whether these can be stored in a column of floats."""
    quoting: ClassVar[str] = '"'
    folds_names: ClassVar[bool] = True
    """Whether names of columns that differ in case alone are one."""
    drop_stage: ClassVar[str] = "DROP TABLE"

    # Subclasses are made with a connection and what is known of it: whether it is in a transaction of the
    # caller's (``joined``), and whether nobody else has it (``private``).

    # -- statements --------------------------------------------------------------------------

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement with the driver's own placeholders; return its rows."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: a transaction, or a savepoint within the caller's own."""

    def quote(self, name: Name | str) -> str:
        """A name as it stands in SQL."""
        if isinstance(name, Name):
            parts = (name.table,) if name.schema is None else (name.schema, name.table)
            return ".".join(self.quote(part) for part in parts)
        if not name or "\0" in name:
            raise InputError(f"{name!r} cannot be a name in {self.title}", hint="choose another name")
        return self.quoting + name.replace(self.quoting, self.quoting * 2) + self.quoting

    def listed(self, names: Sequence[str], form: str = "{}") -> str:
        """Quoted names, separated by commas, each in ``form``."""
        return ", ".join(form.format(self.quote(name)) for name in names)

    # -- tables ------------------------------------------------------------------------------

    @abstractmethod
    def columns(self, table: Name) -> tuple[Column, ...] | None:
        """The columns that rows may give values for, in order; None when there is no such table.

        Raises
        ------
        InputError
            The name is that of a view.
        """

    @abstractmethod
    def declared(self, schema: pa.Schema, key: Sequence[str]) -> dict[str, str]:
        """The SQL type of each column of a new table; ``key`` will be its primary key.

        Raises
        ------
        UnsupportedError
            There is none for an Arrow type.
        """

    def compiled(self, kind: Any) -> str:
        """A type of SQLAlchemy in this database's SQL."""
        import sqlalchemy as sa

        return str(sa.types.to_instance(kind).compile(dialect=self.dialect()))

    @abstractmethod
    def dialect(self) -> Any:
        """SQLAlchemy's dialect."""

    @abstractmethod
    def build(self, table: Name, body: str, fill: Callable[[Name], int], *, replace: bool) -> int:
        """Make a new table from the ``CREATE TABLE`` body, filled, in one step for everybody else.

        Parameters
        ----------
        fill
            Loads the rows into the table of the given name, which becomes ``table`` at the end.
        replace
            Whether a table that is there gives way; otherwise it must not be there.

        Returns
        -------
        int
            What ``fill`` returned.
        """

    def append(
        self, table: Name, names: Sequence[str], fill: Callable[[Name], int], *, clear: bool = False
    ) -> int:
        """Load rows into columns of a table that is there, after deleting those it has if ``clear``."""
        del names
        with self.transaction():
            if clear:
                self.execute(f"DELETE FROM {self.quote(table)}")
            return fill(table)

    def upsert(
        self, table: Name, names: Sequence[str], key: Sequence[str], fill: Callable[[Name], int]
    ) -> int:
        """Update the rows whose key is there, insert the others."""
        with self.transaction(), self.staged(self.like(table, names)) as stage:
            rows = fill(stage)
            self._check_twice(stage, key)
            self.merge(table, stage, names, key)
        return rows

    @contextmanager
    def staged(self, definition: str) -> Iterator[Name]:
        """A temporary table, which only this connection sees."""
        stage = Name(new_name())
        drop = f"{self.drop_stage} {self.quote(stage)}"
        self.execute(f"CREATE TEMPORARY TABLE {self.quote(stage)} {definition}")
        try:
            yield stage
        except BaseException:
            with suppress(Exception):  # what is rolled back, or lost, has no such table any more
                self.execute(drop)
            raise
        self.execute(drop)

    def like(self, table: Name, names: Sequence[str]) -> str:
        """The definition of an empty table with some columns of another."""
        return f"AS SELECT {self.listed(names)} FROM {self.quote(table)} LIMIT 0"

    def _check_twice(self, stage: Name, key: Sequence[str]) -> None:
        columns = self.listed(key)
        twice = self.execute(
            f"SELECT {columns} FROM {self.quote(stage)} GROUP BY {columns} HAVING COUNT(*) > 1 LIMIT 1"
        )
        if twice:
            values = ", ".join(f"{name}={value!r}" for name, value in zip(key, twice[0], strict=True))
            raise InputError(
                f"several rows have the key {values}",
                column=key[0],
                hint="keep one row for each key; which one should win cannot be known",
            )

    def merge(self, table: Name, stage: Name, names: Sequence[str], key: Sequence[str]) -> None:
        """Bring the staged rows into the table; a conflict with any other key is an error."""
        columns = self.listed(names)
        changed = [name for name in names if name not in key]
        act = f"UPDATE SET {self.listed(changed, '{0} = excluded.{0}')}" if changed else "NOTHING"
        self.execute(
            f"INSERT INTO {self.quote(table)} ({columns}) "
            f"SELECT {columns} FROM {self.quote(stage)} WHERE true "
            f"ON CONFLICT ({self.listed(key)}) DO {act}"
        )

    @abstractmethod
    def insert(self, table: Name, rows: pa.Table) -> None:
        """Add rows; their columns are some of :meth:`columns`, with exactly those types."""

    # -- queries -----------------------------------------------------------------------------

    @abstractmethod
    def query(self, question: Query, opened: ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Run a query; its rows are fetched as the batches are taken.

        Parameters
        ----------
        opened
            To be told what must be closed when nobody wants more batches.
        """
