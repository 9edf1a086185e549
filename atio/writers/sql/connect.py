"""What users hand over as ``con`` → a database, and what of it must not be shown."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atio.errors import AtioError, InputError, MissingDependencyError, NotFoundError, UnsupportedError
from atio.writers.sql.base import Database
from atio.writers.sql.failures import Secrets, driver_missing, failing
from atio.writers.sql.sqlite import SQLite

if TYPE_CHECKING:
    import sqlalchemy as sa

_ACCEPTED = (
    "the path of a SQLite or DuckDB file, a URL such as postgresql://user@host/name, "
    "a SQLAlchemy engine or connection, or a connection of sqlite3 or duckdb"
)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9_+.-]+)://(.*)", re.DOTALL)
_DUCKDB = frozenset({".duckdb", ".ddb"})
_WAIT = 30
"""Seconds to wait for another writer of a SQLite file."""
_SECRET = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)

#: Drivers in the order of preference, for URLs that name none: (name in URLs, module).
_DRIVERS = {
    "postgresql": (("psycopg", "psycopg"), ("psycopg2", "psycopg2")),
    "mysql": (("mysqldb", "MySQLdb"), ("pymysql", "pymysql"), ("mysqlconnector", "mysql.connector")),
}
_DRIVERS["mariadb"] = _DRIVERS["mysql"]
_TITLES = {"postgresql": "PostgreSQL", "mysql": "MariaDB", "mariadb": "MariaDB", "duckdb": "DuckDB"}


class Link:
    """An open database, and the translation of its errors."""

    __slots__ = ("database", "failing")

    def __init__(self, database: Database, failing_: failing) -> None:
        self.database = database
        self.failing = failing_


@contextmanager
def connected(con: Any, table: str | None = None, *, must_exist: bool = False) -> Iterator[Link]:
    """Open what was handed over, and close what was opened; errors in the block are translated.

    Parameters
    ----------
    must_exist
        Do not make a file that is not there.

    Raises
    ------
    UnsupportedError
        Something that is no database, or one of a kind that is not known.
    MissingDependencyError
        The database's driver is not installed.
    """
    title, secrets = _known(con)
    guard = failing(title, secrets, table)
    with guard, ExitStack() as stack:
        if must_exist:
            _check_there(con)
        yield Link(_opened(con, stack), guard)


def _check_there(con: Any) -> None:
    path = _file_of(os.fspath(con)) if isinstance(con, str | os.PathLike) else None
    if path not in (None, "", ":memory:") and not Path(path).exists():
        raise NotFoundError("there is no such database", file=path)


def _file_of(text: str) -> str | None:
    """The path of a local database; None for URLs that SQLAlchemy is to read."""
    match = _URL.fullmatch(text)
    if match is None:
        return os.path.expanduser(text)  # noqa: PTH111 - keeps an unknown ~user
    local = _scheme(match[1]) in ("sqlite", "duckdb") and "?" not in match[2]
    return match[2][1:] if local else None


def _known(con: Any) -> tuple[str, Secrets]:
    """What can be said of ``con`` before it is opened: the database's name, and the words to hide."""
    url = getattr(getattr(con, "engine", con), "url", con)
    if isinstance(url, str | os.PathLike):
        url = os.fspath(url)
        match = _URL.fullmatch(url)
        if match is None:
            return "DuckDB" if _names_duckdb(url) else "SQLite", Secrets()
        scheme = _scheme(match[1])
        return _TITLES.get(scheme, "SQLite"), Secrets(_words(match[2]))
    query = getattr(url, "query", None)
    query = query if isinstance(query, Mapping) else {}
    words = [str(word) for name, word in query.items() if _SECRET.search(name)]
    if password := getattr(url, "password", None):
        words.append(str(password))
    scheme = _scheme(
        getattr(url, "drivername", "duckdb" if _is(con, "duckdb", "DuckDBPyConnection") else "sqlite")
    )
    return _TITLES.get(scheme, "SQLite" if scheme == "sqlite" else scheme), Secrets(words)


def _scheme(drivername: str) -> str:
    scheme = drivername.partition("+")[0].lower()
    return "postgresql" if scheme == "postgres" else scheme


def _words(rest: str) -> list[str]:
    """Whatever may be a secret in the part of a URL after ``//``, well formed or not."""
    from urllib.parse import unquote, unquote_plus

    found = []
    login, at, _ = rest.rpartition("@")
    if at:
        found += [login.partition(":")[2], rest.partition("@")[0].partition(":")[2]]
    found += [value for name, value in re.findall(r"[?&]([^=&]+)=([^&]*)", rest) if _SECRET.search(name)]
    return [form for word in found for form in (word, unquote(word), unquote_plus(word)) if form]


# -- opening -----------------------------------------------------------------------------------------


def _opened(con: Any, stack: ExitStack) -> Database:
    if isinstance(con, sqlite3.Connection):
        return SQLite(con)
    if _is(con, "duckdb", "DuckDBPyConnection"):
        return _duckdb(con)
    if isinstance(con, str | os.PathLike):
        return _of_text(os.fspath(con), stack)
    if _is(con, "sqlalchemy", "URL"):
        return _of_url(con, stack)
    if _is(con, "sqlalchemy", "Engine"):
        return _of_connection(stack.enter_context(con.connect()))
    if _is(con, "sqlalchemy", "Connection"):
        if not con.in_transaction():
            stack.callback(con.rollback)  # of the transaction that SQLAlchemy begins when it is asked
        return _of_connection(con)
    cls = type(con)
    raise UnsupportedError(
        f"a {cls.__module__}.{cls.__qualname__} is no database that is known here",
        hint=f"hand over {_ACCEPTED}",
    )


def _is(con: object, module: str, name: str) -> bool:
    """Ask a library only if it is loaded, and as far as it is: another thread may be at it."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(con, cls)


def _of_text(text: str, stack: ExitStack) -> Database:
    match, path = _URL.fullmatch(text), _file_of(text)
    if path is None:
        return _of_remote(text, stack)
    if match is None:
        if path != ":memory:" and not Path(path).absolute().parent.is_dir():
            raise InputError(f"the folder of {text!r} is not there", hint="make it first")
        duckdb = _names_duckdb(path)
    else:
        scheme = _scheme(match[1])
        if match[2][:1] not in ("", "/"):  # what stands there may be a password
            raise InputError(
                f"a {scheme} URL names no host", hint=f"write {scheme}:///path, with three slashes"
            )
        duckdb = scheme == "duckdb"
    return _open_duckdb(path, stack) if duckdb else _open_sqlite(path, stack)


def _of_remote(text: str, stack: ExitStack) -> Database:
    try:
        import sqlalchemy as sa
    except ImportError:
        raise MissingDependencyError(
            "URLs of databases need sqlalchemy", hint='pip install "atio[sql]"'
        ) from None
    try:
        return _of_url(sa.make_url(text), stack)
    except (AtioError, sa.exc.NoSuchModuleError):
        raise
    except (sa.exc.ArgumentError, ValueError):
        pass
    # What is wrong may be in the password: neither the text nor the error is shown.
    raise InputError(
        "the database's URL cannot be read",
        hint="write dialect://user:password@host:port/name; in a password write %40 for @, %3A for :, "
        "%2F for /, and %25 for %",
    )


def _names_duckdb(path: str) -> bool:
    return Path(path).suffix.lower() in _DUCKDB


def _open_sqlite(path: str, stack: ExitStack) -> Database:
    connection = sqlite3.connect(
        path or ":memory:", timeout=_WAIT, isolation_level=None, check_same_thread=False
    )
    stack.callback(connection.close)
    return SQLite(connection, private=True)


def _open_duckdb(path: str, stack: ExitStack) -> Database:
    try:
        import duckdb
    except ImportError:
        raise driver_missing("DuckDB", "duckdb") from None
    connection = duckdb.connect(path or ":memory:")
    stack.callback(connection.close)
    return _duckdb(connection, private=True)


def _duckdb(connection: Any, **state: bool) -> Database:
    from atio.writers.sql.duck import DuckDB

    return DuckDB(connection, **state)


def _of_url(url: sa.URL, stack: ExitStack) -> Database:
    import sqlalchemy as sa

    scheme = _scheme(url.drivername)
    if "+" not in url.drivername:
        url = url.set(drivername=_with_driver(scheme))
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    stack.callback(engine.dispose)
    return _of_connection(stack.enter_context(engine.connect()))


def _with_driver(scheme: str) -> str:
    for driver, module in _DRIVERS.get(scheme, ()):
        if find_spec(module.partition(".")[0]) is not None:
            return f"{scheme}+{driver}"
    return scheme


def _of_connection(connection: sa.Connection) -> Database:
    dialect = connection.dialect.name
    joined = connection.in_transaction()
    if dialect == "sqlite":
        return SQLite(connection.connection.driver_connection, joined=joined)  # type: ignore[arg-type]
    if dialect == "duckdb":
        return _duckdb(connection.connection.driver_connection, joined=joined)
    from atio.writers.sql.mysql import MySQL
    from atio.writers.sql.postgresql import PostgreSQL

    if dialect == "postgresql":
        return PostgreSQL(connection)
    if dialect in ("mysql", "mariadb"):
        return MySQL(connection)
    raise UnsupportedError(
        f"databases of the dialect {dialect!r} are not known here",
        hint="there are SQLite, DuckDB, PostgreSQL, and MariaDB or MySQL",
    )
