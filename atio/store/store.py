"""One value in one file: read, changed in memory, committed by one atomic replacement."""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH118

from __future__ import annotations

import os
import time
from copy import deepcopy
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, Literal, NoReturn, Protocol, Self, TypeVar, cast

import msgspec

from atio.errors import AtioError, ConflictError, InputError, Located, NotFoundError
from atio.storage.failures import translating
from atio.storage.files import patiently, read_all
from atio.storage.locking import FolderLock, Waiting
from atio.storage.replace import Replacement, replace_file
from atio.store.holding import Hold

LOCK_SUFFIX = ".atio.lock"
"""How the name of a lock file ends: that of ``NAME`` is ``.NAME.atio.lock``."""

OnConflict = Literal["raise", "overwrite"]
T = TypeVar("T")


class _Sign(Enum):
    UNSEEN = "nobody looked at the file yet"
    UNREAD = "the value was not made from the file's content yet"


_UNSEEN: Final = _Sign.UNSEEN
_UNREAD: Final = _Sign.UNREAD
_Content = bytes | None | Literal[_Sign.UNSEEN]
"""Of the file; None: there is none."""


class _Block(msgspec.Struct, frozen=True):
    """Where an open ``with`` block began, or committed last: what it returns to."""

    content: _Content
    value: Any


class ValueCodec(Protocol):
    """What a store asks of its format."""

    name: str

    def encode(self, value: Any) -> bytes: ...
    def decode(self, data: bytes) -> Any: ...
    def checked(self, value: Any) -> Any:
        """Return the value that an assigned one stands for."""

    def default(self, value: Any) -> Any:
        """Return the value that a default stands for."""


class Store(Generic[T]):
    """A value that lives in a file; :func:`atio.store.open` makes it and explains the parameters.

    Only :meth:`commit` and the end of a ``with`` block write. When a block raises, or its commit fails, the
    file stays as it was and changes that were not committed are dropped; an inner block only drops its own.

    A store is for one thread at a time, unless it has ``lock=True``. Several stores of one file are safe
    in any number of threads and processes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        default: object,
        codec: ValueCodec,
        *,
        ignore_inner_exits: bool,
        lock: bool,
        lock_timeout: float,
        on_conflict: OnConflict,
        durable: bool,
    ) -> None:
        if on_conflict not in ("raise", "overwrite"):
            raise InputError(f"on_conflict is {on_conflict!r}; it is 'raise' or 'overwrite'")
        if not lock_timeout >= 0:
            raise InputError(f"lock_timeout is {lock_timeout}, which is not a time to wait")
        # Links are followed once, here: the lock has to lie beside the file that is replaced.
        self._path = Replacement(path).target
        folder, name = os.path.split(self._path)
        waiting = Waiting(lock_timeout, time.monotonic, time.sleep)
        # Not a bound method: a store in a circle would keep its lock until the next collection.
        refuse = partial(_no_folder, folder, self._path)
        self._lock = FolderLock(os.path.join(folder, f".{name}{LOCK_SUFFIX}"), waiting, refuse)
        self._hold = Hold(self._lock)
        self._default = deepcopy(default)
        self._codec = codec
        self._ignore_inner_exits = ignore_inner_exits
        self._exclusive = lock
        self._overwrite = on_conflict == "overwrite"
        self._durable = durable

        # What the file held when the value was read or committed. With a lock that is settled under it.
        self._base: _Content = _UNSEEN if lock else self._content()
        self._value: Any = _UNREAD
        self._blocks: list[_Block] = []  # the with blocks that are open

    def __repr__(self) -> str:
        return f"<Store {self._path!r} ({self._codec.name})>"

    @property
    def path(self) -> str:
        """Full path of the file, links resolved."""
        return self._path

    # -- the value ---------------------------------------------------------------------------

    @property
    def value(self) -> T:
        """The value, to be changed or replaced; a copy of the default while there is no file.

        Raises
        ------
        DamagedError
            The file cannot be read in this format.
        SchemaError
            What it holds does not fit the model.
        ConflictError
            Both the file and the value were changed since the last commit.
        LockTimeoutError
            Somebody else held the lock for too long.
        """
        if self._value is _UNREAD or (self._exclusive and not self._hold.is_mine):
            with Located(file=self._path):
                self._read()
        return cast("T", self._value)

    @value.setter
    def value(self, value: T) -> None:
        with Located(file=self._path):
            self._read()  # what cannot be read must not be replaced either
            self._value = self._codec.checked(value)

    def reload(self) -> T:
        """Drop all changes that were not committed, read the file again and return the value."""
        with Located(file=self._path):
            self._begin(anew=True)
        return self.value

    def rollback(self) -> None:
        """Return to the value as it was last committed or, before that, read; the file is not looked at.

        Outside of ``with`` blocks this also frees the lock.
        """
        if self._exclusive and not self._hold.is_mine:
            self._hold.take()
        self._value = _UNREAD
        self._let_go()

    def commit(self) -> None:
        """Write the value, durably and in one step. Outside of ``with`` blocks this also frees the lock.

        Raises
        ------
        ConflictError
            The file was changed since the value was read; it stays as it is. See :meth:`reload`.
        UnsupportedError
            The format cannot write this value.
        SchemaError
            The value does not fit the model.
        LockTimeoutError
            Somebody else held the lock for too long.
        NotFoundError, AccessError, StorageFullError, StorageError
            The folder is missing, or the system refused.
        OutcomeUnknownError
            The value was written, or may have been, but that may not survive a power cut.
        """
        try:
            with Located(file=self._path):
                self._read()
                data = self._codec.encode(self._value)
                with self._lock.held():
                    # Whoever has held it since reading need not look again.
                    if not (self._hold.is_mine or self._overwrite) and self._content() != self._base:
                        raise _conflict()
                    replace_file(self._path, data, durable=self._durable)
            self._base = data
            self._blocks[1:] = [_Block(data, self._value)] * len(self._blocks[1:])
        finally:
            self._let_go()

    # -- with blocks -------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with Located(file=self._path):
            if not self._blocks or (self._exclusive and not self._hold.is_mine):
                self._begin()
            self._blocks.append(self._inner_block() if self._blocks else _Block(_UNSEEN, _UNREAD))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._return_to(self._blocks[-1].content)
            elif self._ignore_inner_exits and len(self._blocks) > 1:
                self._value = self._blocks[-1].value
            elif self._value is not _UNREAD or self._base is None:
                # Otherwise nobody asked for the value: it cannot have changed.
                self._commit_or_return()
        finally:
            self._blocks.pop()
            self._let_go()

    def _inner_block(self) -> _Block:
        if self._ignore_inner_exits:
            self._read()  # so that the outer block shares the value, and what the inner one changes in it
        content = self._base if self._value is _UNREAD else self._codec.encode(self._value)
        return _Block(content, self._value)

    def _commit_or_return(self) -> None:
        try:
            self.commit()
        except BaseException:
            self._return_to(self._blocks[-1].content)
            raise

    def _return_to(self, content: _Content) -> None:
        if content is _UNSEEN:
            self._forget()
        else:
            with Located(file=self._path):
                self._value = self._made(content)

    # -- what the value is built upon --------------------------------------------------------

    def _read(self) -> None:
        """See to it that there is a value and, with ``lock=True``, that nobody else can change it."""
        if self._base is _UNSEEN or (self._exclusive and not self._hold.is_mine):
            self._begin()
        if self._value is _UNREAD:
            try:
                self._value = self._made(self._base)
            except BaseException:
                self._forget()  # so that the file is looked at again once it was repaired
                self._let_go()
                raise

    def _begin(self, *, anew: bool = False) -> None:
        """Look at the file: the value stays if the file is as it was. ``anew`` drops it in any case."""
        takes = self._exclusive and not self._hold.is_mine
        if takes:
            self._hold.take()
        try:
            if anew:
                self._forget()
            self._look()
        except BaseException:
            if takes:
                self._hold.release()
            raise

    def _look(self) -> None:
        found = self._content()
        if found == self._base:
            return
        if not self._is_changed():
            self._base, self._value = found, _UNREAD
        elif not self._overwrite:
            raise _conflict()

    def _is_changed(self) -> bool:
        """Whether the value has changes that were not committed."""
        if self._value is _UNREAD:
            return False
        try:
            # The file itself may have been written by others, with other blanks.
            return self._codec.encode(self._value) != self._codec.encode(self._made(self._base))
        except AtioError:
            return True

    def _made(self, content: _Content) -> Any:
        if isinstance(content, bytes):
            return self._codec.decode(content)
        return self._codec.default(deepcopy(self._default))

    def _forget(self) -> None:
        self._base, self._value = _UNSEEN, _UNREAD

    def _let_go(self) -> None:
        if not self._blocks:
            self._hold.release()

    # -- the file ----------------------------------------------------------------------------

    def _content(self) -> bytes | None:
        with translating(self._path):
            try:
                return patiently(lambda: read_all(self._path).data, time.monotonic, time.sleep)
            except FileNotFoundError:
                return None


def _no_folder(folder: str, path: str) -> NoReturn:
    raise NotFoundError(
        f"there is no folder {folder!r}", file=path, hint="make the folder first, or check the path"
    )


def _conflict() -> ConflictError:
    return ConflictError(
        "the file was changed since the value was read, so writing the value would undo that",
        hint="reload() and make your change again; lock=True keeps others out from the start, "
        "on_conflict='overwrite' writes regardless",
    )
