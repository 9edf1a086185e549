"""What goes wrong inside libraries, in atio's errors: the one boundary of the writers."""

from __future__ import annotations

import errno
import re
from types import TracebackType

from atio.errors import AtioError, InputError, MissingDependencyError
from atio.storage.failures import translated

_DISK = frozenset(
    {errno.ENOSPC, errno.EIO, errno.EROFS, errno.EFBIG, errno.ENODEV, getattr(errno, "EDQUOT", errno.ENOSPC)}
)
"""What only writing meets. Other errors of the system come from the user's own sources, and pass."""
_IN_WORDS = re.compile(r"\(os error (\d+)\)|\[errno (\d+)\]", re.IGNORECASE)
_UNKNOWN = re.compile(r"unexpected keyword argument '?(\w+)'?|keyword argument '(\w+)'")

EXTRAS = {
    "openpyxl": "excel",
    "xlsxwriter": "excel",
    "fastexcel": "excel",
    "fastavro": "avro",
    "lxml": "xml",
    "tables": "hdf5",
    "pytables": "hdf5",
    "tabulate": "markdown",
    "pandas": "pandas",
    "polars": "polars",
    "numpy": "pandas",
}
"""Libraries and the extras that bring them."""


def missing(library: str, purpose: str) -> MissingDependencyError:
    """Return the error for a library that is not installed."""
    extra = EXTRAS.get(library.lower())
    package = f'"atio[{extra}]"' if extra else library
    return MissingDependencyError(f"{purpose} needs {library}", hint=f"pip install {package}")


class calling:  # noqa: N801 - reads as a word: "with calling(…):"
    """Translate what a library raises in the block.

    Errors of atio and interrupts pass; so do errors of the system that writing does not cause, since they
    come from what the library reads on the user's behalf.

    Parameters
    ----------
    call
        The library's function, as users know it.
    file
        The target.
    """

    __slots__ = ("_call", "_file")

    def __init__(self, call: str, file: str) -> None:
        self._call = call
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, AtioError | MemoryError):
            found = self._translated(error)
            if found is not None:
                raise found from error

    def _translated(self, error: Exception) -> AtioError | None:
        if isinstance(error, OSError) or _IN_WORDS.search(str(error)):
            number = _number(error)
            if number is not None and number in _DISK:
                return translated(OSError(number, errno.errorcode[number]), self._file)
            if isinstance(error, OSError):
                return None
        if isinstance(error, ImportError):
            return self._dependency(error)
        text = str(error).strip() or type(error).__name__
        if isinstance(error, TypeError) and (match := _UNKNOWN.search(text)):
            name = match[1] or match[2]
            return InputError(
                f"{self._call} knows no argument {name!r}",
                file=self._file,
                hint=f"see the documentation of {self._call}",
            )
        return InputError(f"{self._call} refused: {text}", file=self._file)

    def _dependency(self, error: ImportError) -> AtioError:
        name = error.name or ""
        if not name:
            words = str(error).lower()
            name = next((library for library in EXTRAS if library in words), "")
        if name:
            return missing(name.partition(".")[0], self._call).at(file=self._file)
        return MissingDependencyError(f"{self._call}: {error}", file=self._file)


def _number(error: Exception) -> int | None:
    """The number of a system error; Polars and Arrow may have it in the text only."""
    number = getattr(error, "errno", None)
    if number is None and (match := _IN_WORDS.search(str(error))):
        number = int(match[1] or match[2])
    return number
