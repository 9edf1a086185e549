"""A lock that is taken in one call and freed in another."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager

from atio.storage.locking import FolderLock


class Hold:
    """Who holds a lock, and since when a store may rely on it.

    The system frees the lock when the process ends, and so does garbage collection of the store.
    """

    def __init__(self, lock: FolderLock) -> None:
        self._lock = lock
        self._held: AbstractContextManager[None] | None = None
        self._owner: tuple[int, int] | None = None

    @property
    def is_mine(self) -> bool:
        """Whether this thread took it. False in a forked child: there it is the parent's."""
        return self._owner == (os.getpid(), threading.get_ident())

    def take(self) -> None:
        """Wait for the lock and keep it. Not to be repeated without ``release``."""
        held = self._lock.held()
        held.__enter__()
        self._held, self._owner = held, (os.getpid(), threading.get_ident())

    def release(self) -> None:
        """Free the lock; nothing at all if this thread does not hold it."""
        if self.is_mine and (held := self._held) is not None:
            # First, because the next thread is in as soon as the lock is free.
            self._held = self._owner = None
            held.__exit__(None, None, None)
