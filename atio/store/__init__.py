"""One value in one file: easier than a database, safer than a plain file.

>>> import atio.store
>>> with atio.store.open("runs.json", default=[]) as store:      # doctest: +SKIP
...     store.value.append("started")
"""

# The name is meant to be read as atio.store.open.
# ruff: noqa: A001

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar, overload

from atio.errors import MissingDependencyError
from atio.store.formats import AbstractFormatBstr, AbstractFormatFile, Codec
from atio.store.store import OnConflict, Store, ValueCodec

__all__ = ["AbstractFormatBstr", "AbstractFormatFile", "Store", "open"]

T = TypeVar("T")


@overload
def open(
    path: str | os.PathLike[str],
    default: object = None,
    format: object = None,
    is_binary: bool | None = None,
    load_kwargs: Mapping[str, Any] | None = None,
    dump_kwargs: Mapping[str, Any] | None = None,
    ignore_inner_exits: bool | None = False,
    *,
    lock: bool = False,
    lock_timeout: float = 30.0,
    on_conflict: OnConflict = "raise",
    model: type[T],
    durable: bool = True,
) -> Store[T]: ...
@overload
def open(
    path: str | os.PathLike[str],
    default: object = None,
    format: object = None,
    is_binary: bool | None = None,
    load_kwargs: Mapping[str, Any] | None = None,
    dump_kwargs: Mapping[str, Any] | None = None,
    ignore_inner_exits: bool | None = False,
    *,
    lock: bool = False,
    lock_timeout: float = 30.0,
    on_conflict: OnConflict = "raise",
    model: object = None,
    durable: bool = True,
) -> Store[Any]: ...
def open(
    path: str | os.PathLike[str],
    default: object = None,
    format: object = None,
    is_binary: bool | None = None,
    load_kwargs: Mapping[str, Any] | None = None,
    dump_kwargs: Mapping[str, Any] | None = None,
    ignore_inner_exits: bool | None = False,
    *,
    lock: bool = False,
    lock_timeout: float = 30.0,
    on_conflict: OnConflict = "raise",
    model: Any = None,
    durable: bool = True,
) -> Store[Any]:
    """Return the store of one value in the file ``path``.

    The value is what the file holds now; with ``lock=True``, what it holds when the lock is taken.

    Parameters
    ----------
    path
        The file. Links are followed; its folder must exist by the time of the first commit.
    default
        The value while there is no file. It is copied, never changed.
    format
        ``None`` or ``"json"``; ``"pickle"`` (which runs code when it reads: only for files that you trust);
        ``"bson"`` (needs pymongo); or any module or object that has ``dump`` and ``load``, or ``dumps``
        and ``loads``.
    is_binary
        Whether the format makes bytes, or text, which is stored as UTF-8. By default only JSON is text.
    load_kwargs, dump_kwargs
        Passed on to the format's functions.
    ignore_inner_exits
        Of nested ``with`` blocks on this store only the outermost writes. What an inner block assigns to
        ``value`` then ends with that block; what it changes in the value stays.
    lock
        Keep every other writer out from reading to writing: for the whole ``with`` block; outside of
        blocks from the first look at ``value`` to ``commit`` or ``rollback``. The lock is the file
        ``.NAME.atio.lock`` beside ``NAME``; it dies with its process and the empty file stays.
    lock_timeout
        Seconds to wait for the lock, also for the short one that every commit takes.
    on_conflict
        What a commit does if the file was changed since the value was read: ``"raise"``, or
        ``"overwrite"``, which loses the other change.
    model
        A pydantic model, or any other type that pydantic validates: the value is one, when it is read and
        when it is written. Without a ``default`` the model's own defaults are taken.
    durable
        Sync file and folder, so that a power cut after a commit cannot undo it.

    Raises
    ------
    InputError
        The path, ``on_conflict`` or ``lock_timeout`` make no sense.
    UnsupportedError
        No such format.
    MissingDependencyError
        The format or the model needs a library that is not installed.
    AccessError, StorageError
        The file cannot be read.
    """
    codec: ValueCodec = Codec(format, is_binary, load_kwargs, dump_kwargs)
    if model is not None:
        codec = _typed(codec, model)
    return Store(
        path,
        default,
        codec,
        ignore_inner_exits=bool(ignore_inner_exits),
        lock=lock,
        lock_timeout=lock_timeout,
        on_conflict=on_conflict,
        durable=durable,
    )


def _typed(codec: ValueCodec, model: Any) -> ValueCodec:
    try:
        from atio.store.typed import TypedCodec
    except ImportError as error:
        raise MissingDependencyError(
            "model= needs pydantic, which is not installed", hint="pip install pydantic"
        ) from error
    return TypedCodec(codec, model)
