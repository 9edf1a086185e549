"""The one optimistic loop that every commit goes through (spec/commit.md)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from atio.commit.build import Request, next_state
from atio.commit.state import (
    NO_CATALOG,
    POINTER,
    State,
    decode_pointer,
    load_state,
    on_branch,
    pointer_token,
    refuse_unknown_writes,
)
from atio.commit.together import Joined, Turn, Understand, find_commit
from atio.errors import (
    AtioError,
    ConflictError,
    ContendedError,
    DamagedError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseLostError,
)
from atio.metadata import history
from atio.metadata.objects import Objects
from atio.model.pointer import Catalog, Pointer, Version
from atio.model.snapshot import Snapshot
from atio.storage.backoff import Backoff


class RetryPolicy(Backoff, frozen=True):
    """How often, and after which pauses, a lost race is run again."""

    attempts: int = 50
    pause: float = 0.01
    longest: float = 1.0


class Outcome(msgspec.Struct, frozen=True):
    """``snapshot`` is the version made, ``replayed`` the one that an earlier use of the token made."""

    snapshot: Snapshot
    replayed: int | None = None


class Committer(msgspec.Struct, frozen=True):
    """Carries requests out on one table; those of writers who wait, too, if it can ``understand`` them."""

    objects: Objects
    retry: RetryPolicy
    clock: Callable[[], int]
    understand: Understand | None = None

    def commit(self, request: Request, seen: State | None = None) -> Outcome:
        """Build upon the newest state until the swap succeeds.

        Parameters
        ----------
        seen
            The newest state a moment ago. Without a lock it may be out of date by the swap whenever it was
            loaded, so the first attempt builds upon it and loads nothing.

        Raises
        ------
        ConflictError
            What the commit needs is no longer so, or it lost every race.
        OutcomeUnknownError
            It may have landed. Any other ``AtioError``: surely not, and its metadata files are gone.
        """
        if self.objects.storage.capabilities.lock:
            seen = None
        for _ in self.retry.tries():
            # A storage that can keep others out does: there the first attempt cannot lose.
            turn = Turn(self.objects, request)
            outcome = turn.run(partial(self._commit_once, request, seen), self._landed_unheard)
            seen = None
            if outcome is not None:
                return outcome if isinstance(outcome, Outcome) else Outcome(outcome)
        raise ContendedError(
            f"{self.retry.attempts} attempts lost against other writers",
            hint="try again when fewer write at once",
        )

    def noted(self, request: Request, base: State) -> None:
        """Take note of a request that has nothing to do upon a state; what it requires must be so."""
        _check_requirements(request, base)

    def _commit_once(self, request: Request, seen: State | None) -> Outcome | None:
        """One try; None when another writer was faster."""
        base = seen or load_state(self.objects)
        if base is not None:
            refuse_unknown_writes(base.pointer)
        elif not request.must_exist:
            _refuse_to_start_over(self.objects)
        if base is not None and request.token is not None:
            known = self.version_of(request.token, base)
            if known is not None:
                return Outcome(base.snapshot, replayed=known)
        _check_requirements(request, base)
        return self._attempt(request, base)

    def _landed_unheard(self, identity: str, since: int) -> Snapshot | None:
        """The version of a commit whose bearer died before it could say so.

        Its swap may stand and not be durable yet. Swapping once more, for a pointer that says the same,
        makes it so.
        """
        base = load_state(self.objects)
        found = None if base is None else find_commit(self.objects, base, identity, since)
        if found is not None:
            self.commit(Request("confirm", (), makes_version=False))
        return found

    def version_of(self, token: str, base: State) -> int | None:
        if base.snapshot.token == token:
            return base.version
        return history.find_token(self.objects, base.pointer.tokens, token)

    def _attempt(self, request: Request, base: State | None) -> Outcome | None:
        recorder = self.objects.recorder(request.staged)
        expected = base.token if base else None
        joined = Joined()
        try:
            mine = last = next_state(recorder, request, base, self.clock())
            if self.understand is not None and base is not None and request.makes_version:
                last = joined.build(recorder, mine, self.understand, self.clock)
            recorder.flush()
        except BaseException as error:
            recorder.discard()
            joined.failed()
            # Files may be missing because others replaced the base, and expired what it needs: a lost race.
            if isinstance(error, DamagedError) and base and pointer_token(self.objects) != base.token:
                return None
            raise
        try:
            landed = self.swap(last.stored, expected, last.pointer)
        except OutcomeUnknownError:
            joined.unknown()  # What was written may be part of the table by now: it stays.
            raise
        except AtioError:
            recorder.discard()
            joined.failed()
            raise
        if not landed:
            recorder.discard()
            joined.failed()
            return None
        joined.landed()
        return Outcome(mine.snapshot)

    def swap(self, stored: Pointer, expected: str | None, mine: Pointer | None = None) -> bool:
        """Swap the pointer, whatever becomes of the answer; False when another writer was faster.

        ``mine`` is, for a commit on a branch, what the pointer would be if the branch were the table.
        """
        pointer, data = mine or stored, stored.encode()
        try:
            self.objects.storage.swap(POINTER, data, expected)
        except ConflictError:
            # A request that was sent twice on its way may be refused because it had landed. Where nobody can
            # be kept out, another commit may cover it by now. Repeating one without a version does no harm.
            if self.objects.storage.capabilities.lock or pointer.snapshot.id != pointer.commit_id:
                return False
            return self._look_again(pointer, data, expected)
        except ResponseLostError:
            return self._look_again(pointer, data, expected)
        return True

    def _look_again(self, mine: Pointer, data: bytes, expected: str | None) -> bool:
        """After a lost answer: whether it landed, or ``OutcomeUnknownError``.

        While the pointer is still the one we built upon, our request may be under way yet: the same
        bytes are sent again, so that whichever arrives first is the one commit.
        """
        for _ in self.retry.tries():
            try:
                value = self.objects.storage.load(POINTER)
                if (value.token if value else None) == expected:
                    self.objects.storage.swap(POINTER, data, expected)
                    return True
                landed = None if value is None else self._landed(decode_pointer(value.data), mine)
            except (ResponseLostError, ConflictError):
                continue
            except AtioError:
                break  # Not knowing is not the same as knowing that it failed.
            if landed is None:
                break
            return landed
        raise OutcomeUnknownError(
            "the answer to the commit was lost and the outcome cannot be found out",
            version=mine.snapshot.version,
            hint="look at history() before writing again; a token= makes repeating safe",
        )

    def _landed(self, found: Pointer, mine: Pointer) -> bool | None:
        """Whether the commit of ``mine`` is among those that led to ``found``; None: cannot be told."""
        if found.commit_id == mine.commit_id:
            return True
        if found.table_id != mine.table_id:
            return False  # Somebody else was first to make the table.
        if mine.snapshot.id != mine.commit_id:
            return None  # A commit without a version leaves no trace below later ones.
        if self.objects.branch is not None:
            catalog = self.objects.get(found.catalog, Catalog) if found.catalog else NO_CATALOG
            if catalog.branch(self.objects.branch) is None:
                return None  # It was dropped since.
            found = on_branch(found, catalog, self.objects.branch)
        if found.snapshot.version < mine.snapshot.version:
            return False
        line: Version | None = found.snapshot
        if found.snapshot.version > mine.snapshot.version:
            line = history.find(self.objects, found.history, mine.snapshot.version)
        return None if line is None else line.id == mine.snapshot.id


def _refuse_to_start_over(objects: Objects) -> None:
    """Raise if there was a table whose pointer was lost: a new one would bury its versions.

    A first version without a pointer is nothing but a writer that died.
    """
    for entry in objects.storage.list("metadata"):
        try:
            found = Snapshot.decode(objects.storage.read(entry.path))
        except (NotFoundError, ValueError):
            continue
        if found.parent is not None and objects.storage.load(POINTER) is None:
            raise DamagedError(
                "the pointer is missing, and there are versions of a table",
                file=POINTER,
                hint="repair() returns to the newest intact version",
            )


def _check_requirements(request: Request, base: State | None) -> None:
    if base is None:
        if request.must_exist:
            raise NotFoundError("there is no table here", hint="append() or Table.create() makes one")
        if request.expected_version:
            raise ConflictError(f"version {request.expected_version} was expected and there is no table")
    elif request.expected_version is not None and request.expected_version != base.version:
        raise ConflictError(
            f"the table is at version {base.version}, not at the expected {request.expected_version}",
            version=base.version,
            hint="read the table again and decide anew",
        )
