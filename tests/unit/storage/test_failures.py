"""Errors of the operating system, translated."""

from __future__ import annotations

import errno
import os
import pickle

import pytest

from atio.errors import (
    AccessError,
    AtioError,
    ExistsError,
    InputError,
    NotFoundError,
    StorageError,
    StorageFullError,
)
from atio.storage.failures import translating

EXPECTED = {
    "ENOENT": NotFoundError,
    "EEXIST": ExistsError,
    "EACCES": AccessError,
    "EPERM": AccessError,
    "EROFS": AccessError,
    "ELOOP": AccessError,
    "ENOSPC": StorageFullError,
    "EDQUOT": StorageFullError,
    "ENOTDIR": InputError,
    "EISDIR": InputError,
    "ENAMETOOLONG": InputError,
    "EIO": StorageError,
    "EMFILE": StorageError,
    "ESTALE": StorageError,
}


@pytest.mark.parametrize("name", [name for name in EXPECTED if hasattr(errno, name)])
def test_each_errno(name: str) -> None:
    """Class, place, next step and cause are right, and the error survives pickling."""
    number = getattr(errno, name)
    original = OSError(number, os.strerror(number), "somewhere else")
    with pytest.raises(AtioError) as caught, translating("/table/data/x"):
        raise original
    error = caught.value
    assert type(error) is EXPECTED[name]
    assert error.__cause__ is original
    assert error.file == "/table/data/x"
    assert error.hint
    assert "/table/data/x" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_oserror_without_a_number() -> None:
    """Some are raised with a text only."""
    with pytest.raises(StorageError, match="x"), translating("x"):
        raise OSError("odd")


@pytest.mark.parametrize(
    "error", [ExistsError("mine", file="there"), ValueError("other"), KeyboardInterrupt()]
)
def test_others_pass(error: BaseException) -> None:
    """Errors of atio, though OSErrors some of them, and foreign ones come out as they are."""
    with pytest.raises(type(error)) as caught, translating("x"):
        raise error
    assert caught.value is error
