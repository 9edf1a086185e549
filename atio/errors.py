"""The one tree of errors.

Every error is an :class:`AtioError`, grouped by what the catcher would do: try again
(:class:`RetryError`), fix the input (:class:`InputError`, :class:`NotFoundError`), repair the
table (:class:`DamagedError`), or look before doing anything else (:class:`OutcomeUnknownError`).
``kind`` is a stable word for scripts; messages may change, kinds may not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar


class AtioError(Exception):
    """Root of everything atio raises on purpose.

    Parameters
    ----------
    message
        What happened, in one sentence.
    table, version, file, column
        Where it happened; appended to the message when given.
    hint
        The next step for the user.
    """

    kind: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        table: str | None = None,
        version: int | None = None,
        file: str | None = None,
        column: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.table = table
        self.version = version
        self.file = file
        self.column = column
        self.hint = hint
        super().__init__(self._text())

    def _text(self) -> str:
        places = [
            f"{name} {value!r}" if isinstance(value, str) else f"{name} {value}"
            for name in ("table", "version", "file", "column")
            if (value := getattr(self, name)) is not None
        ]
        text = self.message
        if places:
            text += f" ({', '.join(places)})"
        if self.hint:
            text += f"\n  → {self.hint}"
        return text

    def __str__(self) -> str:
        return self._text()

    def __reduce__(self) -> tuple[Any, ...]:
        where = {name: getattr(self, name) for name in ("table", "version", "file", "column", "hint")}
        return _rebuild, (type(self), self.message, where)

    def at(self, **where: Any) -> AtioError:
        """Fill in places that the raiser could not know; what is known already stays."""
        for name, value in where.items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        return self


class Located:
    """Fills in where it was in errors that pass: ``with Located(table=…):``."""

    def __init__(self, **where: Any) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, AtioError):
            error.at(**self._where)


def _rebuild(cls: type[AtioError], message: str, where: dict[str, Any]) -> AtioError:
    return cls(message, **where)


def meant(name: str, known: Iterable[str]) -> str | None:
    """A hint at the known name that is most like an unknown one."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else None


# -- try again ---------------------------------------------------------------------------------


class RetryError(AtioError):
    """Nothing was changed; the same call may succeed later."""

    kind = "retry"


class ConflictError(RetryError):
    """Another commit landed first and the two cannot be combined."""

    kind = "conflict"


class ContendedError(ConflictError):
    """Others were faster each time; nothing speaks against the commit itself."""


class LockTimeoutError(RetryError, TimeoutError):
    """Another process held the table's lock for too long."""

    kind = "locked"


class StorageError(RetryError, OSError):
    """The disk or the store failed; what was being written did not take effect."""

    kind = "storage"


class StorageFullError(StorageError):
    """No space, no inodes or no quota left."""

    kind = "full"


# -- fix the input -----------------------------------------------------------------------------


class InputError(AtioError, ValueError):
    """The call cannot be carried out as it was made."""

    kind = "input"


class SchemaError(InputError):
    """The data do not fit the table's schema."""

    kind = "schema"


class ConstraintError(InputError):
    """Rows do not meet a constraint of the table."""

    kind = "constraint"


class UnsupportedError(InputError):
    """A format, type or object that is not supported here."""

    kind = "unsupported"


class AccessError(AtioError, PermissionError):
    """The operating system or the store refused access."""

    kind = "access"


class ExistsError(AtioError, FileExistsError):
    """What was to be created is there already."""

    kind = "exists"


class NotFoundError(AtioError, FileNotFoundError):
    """A table or file that is not there."""

    kind = "not-found"


class VersionNotFoundError(AtioError, LookupError):
    """A version or tag that is not there: expired, or never written."""

    kind = "version-not-found"


class MissingDependencyError(AtioError, ImportError):
    """An optional library is needed for this."""

    kind = "dependency"


# -- repair the table --------------------------------------------------------------------------


class DamagedError(AtioError):
    """A file of the table is missing, truncated or altered."""

    kind = "damaged"


class NewerFormatError(AtioError):
    """The table was written by a newer atio, with features this one does not know."""

    kind = "newer-format"


# -- look first --------------------------------------------------------------------------------


class OutcomeUnknownError(AtioError):
    """The commit may or may not have landed; look before writing again."""

    kind = "unknown-outcome"


class ResponseLostError(OutcomeUnknownError):
    """The answer to a write was lost on its way; reading again tells what happened."""

    kind = "unknown-outcome"
