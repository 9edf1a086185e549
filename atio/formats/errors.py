"""The boundary where pyarrow's errors become ours.

The two context managers are classes because they are entered for every small file: generators cost
several times as much.
"""

from __future__ import annotations

from types import TracebackType

import pyarrow as pa

from atio.errors import AtioError, DamagedError, InputError, UnsupportedError


class decoding:  # noqa: N801 -- used as a statement
    """Whatever goes wrong while decoding is damage, except for memory and the disk itself."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Damaged bytes raise nearly anything (ArrowException, ValueError, KeyError, UnicodeDecodeError…).
        if error is None or isinstance(error, (AtioError, MemoryError)) or not isinstance(error, Exception):
            return
        if isinstance(error, OSError) and error.errno is not None:
            return  # the operating system's; pyarrow's own have no number
        raise DamagedError(f"cannot be decoded as {self._name}: {_first_line(error)}") from error


class encoding:  # noqa: N801 -- used as a statement
    """Values that a format cannot take are the caller's to change; the sink's errors pass."""

    __slots__ = ("_column", "_name")

    def __init__(self, name: str, column: str | None = None) -> None:
        self._name = name
        self._column = column

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, (pa.ArrowException, OSError)) or isinstance(error, (AtioError, MemoryError)):
            return
        if isinstance(error, OSError) and error.errno is not None:
            return
        message = f"cannot be written as {self._name}: {_first_line(error)}"
        if isinstance(error, pa.ArrowNotImplementedError):
            raise UnsupportedError(message, column=self._column) from error
        raise InputError(message, column=self._column) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
