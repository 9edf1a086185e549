"""``format="sql"`` with pandas' parameters, ``format="database"`` with Polars', for all frames."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from atio.errors import InputError, UnsupportedError
from atio.writers.base import Progress, Writer
from atio.writers.options import check
from atio.writers.sql.write import IfExists, write_table


class SqlWriter(Writer):
    """Writes into a table of a database; see :func:`atio.writers.sql.write_table`."""

    formats: ClassVar[tuple[str, ...]] = ("sql",)
    needs_path: ClassVar[bool] = False

    def write(self, obj: Any, target: Any, *, progress: Progress, **kwargs: Any) -> None:
        del target
        check('atio.write(format="sql")', _as_pandas, kwargs)
        _as_pandas(obj, progress, **kwargs)

    def describe(self, obj: Any) -> str:
        del obj
        return "write_table"


class DatabaseWriter(Writer):
    """Writes into a table of a database; see :func:`atio.writers.sql.write_table`."""

    formats: ClassVar[tuple[str, ...]] = ("database",)
    needs_path: ClassVar[bool] = False

    def write(self, obj: Any, target: Any, *, progress: Progress, **kwargs: Any) -> None:
        del target
        check('atio.write(format="database")', _as_polars, kwargs)
        _as_polars(obj, progress, **kwargs)

    def describe(self, obj: Any) -> str:
        del obj
        return "write_table"


def _as_pandas(
    obj: Any,
    progress: Progress,
    *,
    name: str | None = None,
    con: Any = None,
    schema: str | None = None,
    if_exists: IfExists = "fail",
    index: bool = True,
    index_label: str | Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype: Any = None,
    method: str | None = None,
    key: str | Sequence[str] | None = None,
    nan_to_null: bool | None = None,
) -> None:
    """The parameters of ``DataFrame.to_sql``, with its defaults; the last two are atio's."""
    if name is None or con is None:
        raise InputError(
            'format="sql" needs name= and con=', hint='atio.write(df, format="sql", name="table", con=engine)'
        )
    write_table(
        obj,
        name,
        con,
        schema=schema,
        if_exists=if_exists,
        index=index,
        index_label=index_label,
        chunksize=chunksize,
        dtype=dtype,
        method=method,
        key=key,
        nan_to_null=nan_to_null,
        progress=progress,
    )


def _as_polars(
    obj: Any,
    progress: Progress,
    *,
    table_name: str | None = None,
    connection: Any = None,
    connection_uri: Any = None,
    if_table_exists: IfExists = "fail",
    engine: str | None = None,
    engine_options: Mapping[str, Any] | None = None,
    key: str | Sequence[str] | None = None,
    nan_to_null: bool | None = None,
) -> None:
    """The parameters of ``DataFrame.write_database``, now and earlier; the last two are atio's."""
    con = connection_uri if connection is None else connection
    if table_name is None or con is None or (connection is not None and connection_uri is not None):
        raise InputError(
            'format="database" needs table_name= and one of connection= and connection_uri=',
            hint='atio.write(df, format="database", table_name="t", connection_uri="sqlite:///file.db")',
        )
    if engine not in _ENGINES:
        raise InputError(
            f"engine={engine!r} is not known", hint='leave it out, or pass "sqlalchemy" or "adbc"'
        )
    if engine_options:
        raise UnsupportedError("engine_options= cannot be passed on: the fastest way is always chosen")
    schema, name = _split(table_name)
    write_table(
        obj,
        name,
        con,
        schema=schema,
        if_exists=if_table_exists,
        key=key,
        nan_to_null=nan_to_null,
        progress=progress,
    )


_ENGINES = (None, "auto", "sqlalchemy", "adbc")
_PART = r'(?:"((?:[^"]|"")+)"|([^".]+))'
_NAME = re.compile(rf"(?:{_PART}\.)?{_PART}")


def _split(table_name: str) -> tuple[str | None, str]:
    """Take ``schema.table`` apart; a part with a dot of its own stands in double quotes."""
    match = _NAME.fullmatch(table_name)
    if match is None:
        raise InputError(
            f"{table_name!r} is no name of a table",
            hint='write table, schema.table, or "a.name.with.dots" in double quotes',
        )
    schema, table = (
        quoted.replace('""', '"') if quoted else bare
        for quoted, bare in (match.group(1, 2), match.group(3, 4))
    )
    return schema, table
