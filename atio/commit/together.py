"""Commits of several writers in one swap (spec/commit.md).

A writer that finds the lock held leaves its request with the storage. Whoever holds the lock carries
out those it finds after its own commit, each as a version of its own, and swaps the pointer once: all
share the syncs of that swap.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from typing import TypeVar

from atio.commit.build import Request, next_state
from atio.commit.state import POINTER, State, decode_pointer
from atio.errors import AtioError, LockTimeoutError, OutcomeUnknownError
from atio.metadata import history
from atio.metadata.objects import Objects
from atio.model.base import new_id
from atio.model.snapshot import Snapshot
from atio.storage import base as storage

MOST = 16
"""Requests that a writer carries out with its own, so that others do not keep it for long."""
_UNKNOWN, _FAILED = b"", b"-"
"""Answers without a version."""

T = TypeVar("T")
Understand = Callable[[bytes], Request]
"""Makes a request of what its writer left; ``ValueError`` if it cannot be read."""


class Turn:
    """A writer's wait for the lock, during which others may do its work."""

    def __init__(self, objects: Objects, request: Request) -> None:
        self._objects = objects
        self._storage = objects.storage
        self._request = request
        self._identity = new_id()
        self._made: Snapshot | None = None
        self._taken = False
        self._since = 0

    def run(self, action: Callable[[], T], landed: Callable[[str, int], Snapshot | None]) -> T | Snapshot:
        """What ``action`` gives while the lock is held, or the version that another writer made meanwhile.

        Parameters
        ----------
        landed
            Finds the version of a commit id among those after a number, while the lock is held, and makes
            sure that it is durable.

        Raises
        ------
        OutcomeUnknownError
            Another writer took the request, and what became of it cannot be told (any more).
        """
        try:
            with self._lock_or_answer():
                found = self._made or (landed(self._identity, self._since) if self._taken else None)
                return action() if found is None else found
        finally:
            if self._made is None:  # Whoever made it wakes the next.
                self._wake_next()

    def _lock_or_answer(self) -> AbstractContextManager[object]:
        """The lock, or nothing if ``_made`` is known."""
        share = self._request.shared
        if share is None:
            return self._storage.exclusive()
        held = self._try_lock()
        if held is not None:
            return held
        if self._request.staged is not None:
            self._request.staged.flush()
        self._since = _newest(self._objects)
        posted = self._storage.post(share(self._identity))
        if posted is None:
            return self._storage.exclusive()
        try:
            while (answer := posted.answer()) is None:
                if (held := self._try_lock()) is not None:
                    if posted.withdraw():
                        return held
                    answer = posted.answer()
                    self._taken = answer is None  # Whoever took it died.
                    if answer is None or answer == _FAILED:
                        return held
                    held.close()
                    break
                posted.wait()
        except BaseException as error:
            if not posted.withdraw() and isinstance(error, LockTimeoutError):
                raise _unknown() from None
            raise
        finally:
            posted.close()
        if answer == _FAILED:
            return self._storage.exclusive()
        self._made = _version(answer)
        return nullcontext()

    def _try_lock(self) -> ExitStack | None:
        stack = ExitStack()
        try:
            stack.enter_context(self._storage.exclusive(wait=False))
        except LockTimeoutError:
            return None
        return stack

    def _wake_next(self) -> None:
        for received in self._storage.received():
            received.wake()
            break


class Joined:
    """Other writers' requests, carried out upon one's own."""

    def __init__(self) -> None:
        self._versions: list[tuple[storage.Received, Snapshot]] = []

    def build(
        self, recorder: Objects, state: State, understand: Understand, clock: Callable[[], int]
    ) -> State:
        """The state after all of them."""
        for received in recorder.storage.received():
            try:
                request = understand(received.data)
            except ValueError:
                continue
            if not received.take():
                continue
            mark = recorder.mark()
            try:
                state = next_state(recorder, request, state, clock())
            except AtioError:
                recorder.discard(mark)
                received.answer(_FAILED)  # Its writer will find the same when it tries, and say so.
                continue
            except BaseException:
                received.answer(_FAILED)
                raise
            self._versions.append((received, state.snapshot))
            if len(self._versions) == MOST:
                break
        return state

    def landed(self) -> None:
        for received, snapshot in self._versions:
            received.answer(snapshot.encode())

    def failed(self) -> None:
        for received, _ in self._versions:
            received.answer(_FAILED)

    def unknown(self) -> None:
        for received, _ in self._versions:
            received.answer(_UNKNOWN)


def find_commit(objects: Objects, state: State, identity: str, since: int) -> Snapshot | None:
    """The version after ``since`` that a commit made; None if it surely made none.

    Raises
    ------
    OutcomeUnknownError
        It is not there, and one of those versions was expired.
    """
    expected = state.version
    for line in chain((state.pointer.snapshot,), history.newest_first(objects, state.pointer.history)):
        if expected <= since or line.version != expected:
            break
        if line.id == identity:
            return objects.get(line.ref, Snapshot)
        expected -= 1
    if expected > since:
        raise _unknown()
    return None


def _newest(objects: Objects) -> int:
    """The number of the newest version; 0 without any. Those who write to branches leave no requests."""
    value = objects.storage.load(POINTER)
    return decode_pointer(value.data).snapshot.version if value else 0


def _version(answer: bytes) -> Snapshot:
    if answer == _UNKNOWN:
        raise _unknown()
    return Snapshot.decode(answer)


def _unknown() -> OutcomeUnknownError:
    return OutcomeUnknownError(
        "another writer was carrying the commit out, and it is not known whether it landed",
        hint="look at history() before writing again; a token= makes repeating safe",
    )
