"""What goes wrong in databases, in atio's errors: the one boundary of this room.

Drivers name their exceptions as PEP 249 says, so classes are told by name and no driver is imported. Errors
of drivers are never chained: they, and SQLAlchemy's around them, may carry rows, URLs and passwords.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from atio.errors import (
    AccessError,
    AtioError,
    ConflictError,
    ExistsError,
    InputError,
    MissingDependencyError,
    SchemaError,
    StorageError,
    StorageFullError,
    UnsupportedError,
)

Item = TypeVar("Item")
_HIDDEN = "***"
_URL = re.compile(r"(\w://[^\s:/@]*):[^\s]*@")
_WORD = re.compile(r"(?i)(pass(?:word|wd)?\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s&;,)]+)")

_Rule = tuple[type[AtioError], str | None]

_RETRY: _Rule = (ConflictError, "another session is at work there: try again")
_RIGHTS: _Rule = (AccessError, "check the user's name, password and rights")
_FULL: _Rule = (StorageFullError, "free some space and write again: nothing took effect")
_CONSTRAINT: _Rule = (SchemaError, "nothing was written: correct the rows, or the table's constraints")
_KEY: _Rule = (InputError, "an upsert needs a primary key or a unique index on exactly the columns of key=")
_LOST: _Rule = (StorageError, "nothing took effect: look whether the database is up, and write again")

#: SQLSTATE (PostgreSQL), or its class: two characters.
_STATES: dict[str, _Rule] = {
    "40001": _RETRY,
    "40P01": _RETRY,
    "55P03": _RETRY,
    "42P07": (ExistsError, None),
    "42P10": _KEY,
    "42501": _RIGHTS,
    "2B": (InputError, 'use if_exists="delete_rows" or "upsert", which keep the table'),
    "28": _RIGHTS,
    "23": _CONSTRAINT,
    "22": _CONSTRAINT,
    "53": _FULL,
    "08": _LOST,
    "57": _LOST,
}
#: Numbers of MariaDB and MySQL.
_NUMBERS: dict[int, _Rule] = {
    1021: _FULL,
    1044: _RIGHTS,
    1045: _RIGHTS,
    1050: (ExistsError, None),
    1048: _CONSTRAINT,
    1114: _FULL,
    1142: _RIGHTS,
    1205: _RETRY,
    1213: _RETRY,
    1227: _RIGHTS,
    1264: _CONSTRAINT,
    1292: _CONSTRAINT,
    1364: _CONSTRAINT,
    1366: _CONSTRAINT,
    1406: _CONSTRAINT,
    1698: _RIGHTS,
    4025: _CONSTRAINT,
}
#: Words of SQLite and DuckDB, which have no numbers or tell too little by them.
_WORDS: tuple[tuple[str, _Rule], ...] = (
    (r"ON CONFLICT|conflict target", _KEY),
    (r"is locked|Conflicting lock|Transaction conflict|write-write conflict", _RETRY),
    (r"disk is full|No space left", _FULL),
    (r"readonly database|read-only mode", _RIGHTS),
    (
        r"no such table|no such column|syntax error|incomplete input|already exists|unable to open",
        (InputError, None),
    ),
)
#: Classes of PEP 249, the narrower first.
_CLASSES: dict[str, _Rule] = {
    "IntegrityError": _CONSTRAINT,
    "DataError": _CONSTRAINT,
    "NotSupportedError": (UnsupportedError, None),
    "ProgrammingError": (InputError, None),
    "OperationalError": _LOST,
    "InterfaceError": _LOST,
    "InternalError": _LOST,
    "DatabaseError": _LOST,
}


class Secrets:
    """Words that must not be shown, in every form they may take."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        forms = {form for word in words for form in _forms(word)}
        self._forms = sorted(filter(None, forms), key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Secrets({_HIDDEN})"

    def hide(self, text: str) -> str:
        """The text without them."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        return _WORD.sub(rf"\1{_HIDDEN}", _URL.sub(rf"\1:{_HIDDEN}@", text))


def _forms(word: str) -> tuple[str, ...]:
    """How a word may stand in URLs (SQLAlchemy leaves spaces as they are) and in texts of Python."""
    return word, quote(word, safe=""), quote_plus(word), quote(word, safe=" +"), repr(word)[1:-1]


class failing:  # noqa: N801 - reads as a word: "with failing(…):"
    """Translate what drivers and SQLAlchemy raise in the block; everything else passes."""

    def __init__(self, database: str, secrets: Secrets, table: str | None = None) -> None:
        self._database = database
        self._secrets = secrets
        self._table = table
        self._passing: BaseException | None = None

    def sparing(self, items: Iterator[Item]) -> Iterator[Item]:
        """The same items; errors of this iterator are the user's own, even if a driver raised them."""
        try:
            yield from items
        except Exception as error:
            self._passing = error
            raise

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is self._passing:
            return
        if isinstance(error, AtioError):
            error.at(table=self._table)
            return
        found = None if error is None else translated(error, self._database, self._secrets)
        if found is None:
            return
        try:
            raise found.at(table=self._table) from None
        finally:
            # "from None" only hides the driver's error: whatever sends the chain somewhere would find it.
            found.__context__ = None


def translated(error: BaseException, database: str, secrets: Secrets) -> AtioError | None:
    """The error in atio's words; None if it comes from neither a driver nor SQLAlchemy."""
    orig = getattr(error, "orig", None)
    driver = orig if isinstance(orig, Exception) else error
    if isinstance(error, ImportError):
        return driver_missing(database, error.name)
    rule = _rule(driver)
    if rule is None:
        if not _of_sqlalchemy(error):
            return None
        rule = _LOST if type(error).__name__ == "PendingRollbackError" else (InputError, None)
    text = secrets.hide(_text(driver))
    return rule[0](f"{database}: {text}", hint=rule[1])


def driver_missing(database: str, library: str | None) -> MissingDependencyError:
    """The error for a driver that is not installed."""
    extra = {"PostgreSQL": "postgresql", "MariaDB": "mysql", "DuckDB": "duckdb"}.get(database, "sql")
    return MissingDependencyError(
        f"{database} needs {library or 'a driver'}", hint=f'pip install "atio[{extra}]"'
    )


def _rule(error: BaseException) -> _Rule | None:
    classes = [cls.__name__ for cls in type(error).__mro__]
    named = next((_CLASSES[name] for name in classes if name in _CLASSES), None)
    if named is None:
        return None
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        return _STATES.get(state) or _STATES.get(state[:2]) or named
    number = error.args[0] if error.args else None
    if isinstance(number, int):
        return _NUMBERS.get(number, named)
    text = str(error)
    return next((rule for words, rule in _WORDS if re.search(words, text)), named)


def _of_sqlalchemy(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "sqlalchemy"


def _text(error: Any) -> str:
    """What the driver says, without the statement it was about."""
    if len(error.args) > 1 and isinstance(error.args[0], int):
        return str(error.args[1])
    text = _BACKGROUND.sub("", str(error)).strip() or type(error).__name__
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line for line in lines if line and not line.startswith(_STATEMENT))


_BACKGROUND = re.compile(r"\(Background on this error at: \S+\)")
_STATEMENT = ("LINE ", "CONTEXT:", "[SQL:", "[parameters:", "^")
