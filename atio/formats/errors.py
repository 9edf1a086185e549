"""The boundary where pyarrow's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from atio.errors import AtioError, DamagedError, InputError, UnsupportedError


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Whatever goes wrong while decoding is damage, except for memory and the disk itself."""
    try:
        yield
    except (AtioError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:  # the operating system's; pyarrow's own have no number
            raise
        raise _damaged(name, error) from error
    except Exception as error:
        # Damaged bytes raise nearly anything (ArrowException, ValueError, KeyError, UnicodeDecodeError…).
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> DamagedError:
    return DamagedError(f"cannot be decoded as {name}: {_first_line(error)}")


@contextmanager
def encoding(name: str, column: str | None = None) -> Iterator[None]:
    """Values that a format cannot take are the caller's to change; the sink's errors pass."""
    try:
        yield
    except (AtioError, MemoryError):
        raise
    except pa.ArrowNotImplementedError as error:
        message = f"cannot be written as {name}: {_first_line(error)}"
        raise UnsupportedError(message, column=column) from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"cannot be written as {name}: {_first_line(error)}", column=column) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
