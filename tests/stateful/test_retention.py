"""Expire and vacuum beside writers in the middle of their work: what goes is exactly what nobody needs."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atio import Table, col
from atio.errors import ConflictError, VersionNotFoundError
from atio.storage import LocalStorage
from tests.stateful.test_model import COMMON, QUICK, START
from tests.support.share import at_most
from tests.support.tables import listing, required

AGES = timedelta(days=365 * 200)
PICK = st.integers(0, 100)


SHARES = 4
SHIFT = 1_000_000
"""A multiple of ``SHARES``, above all numbers."""


def share(rest: int) -> str:
    return f"n % {SHARES} = {rest}"


def frame(*numbers: int) -> pa.Table:
    return pa.table({"n": pa.array(numbers, pa.int64())})


class Stopped(Exception):
    pass


class Stream:
    """A writer in a thread of its own, who has written some rows and waits for more."""

    def __init__(self, table: Table, numbers: list[int]) -> None:
        self.numbers = numbers
        self.version: int | None = None
        self._orders: SimpleQueue[str] = SimpleQueue()
        self._waits = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(table,))
        self._thread.start()
        assert self._waits.wait(60)

    def _run(self, table: Table) -> None:
        try:
            self.version = table.append(self._pieces()).version
        except Stopped:
            pass
        finally:
            self._waits.set()

    def _pieces(self) -> Iterator[pa.Table]:
        for number in self.numbers:
            yield frame(number)
        self._waits.set()
        if self._orders.get() == "stop":
            raise Stopped

    def order(self, what: str) -> None:
        self._orders.put(what)
        self._thread.join(60)
        assert not self._thread.is_alive()


@dataclass
class Line:
    """A branch: its retained versions, and what it appended since it was merged."""

    start: int
    rows: dict[int, list[int]]
    fresh: list[int] = field(default_factory=list)
    made: int = 0
    """Versions since it was merged."""
    is_whole: bool = True
    """Whether every version since it was merged is retained."""
    only_appends: bool = True
    """Whether these did nothing but append."""

    @property
    def newest(self) -> int:
        return max(self.rows)


class RetentionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.storage = LocalStorage(self.folder / "t", durable=False)
        self.now = START
        self.serial = 0
        self.rows: dict[int, list[int]] = {}
        self.gone: set[int] = set()
        self.tagged: dict[str, int] = {}
        self.streams: list[tuple[Stream, set[str]]] = []
        self.staged: list[tuple[Any, list[int], set[str]]] = []
        self.readers: list[tuple[Any, int]] = []
        self.feeds: list[tuple[Any, int, int]] = []
        self.transactions: list[tuple[Any, list[int], int, set[str]]] = []
        self.branches: dict[str, Line] = {}

    def table(self, branch: str | None = None) -> Table:
        """By a handle that knows nothing: as another process would have."""
        storage = LocalStorage(self.folder / "t", durable=False)
        return Table(storage, branch=branch, clock=lambda: self.now)

    def teardown(self) -> None:
        for stream, _ in self.streams:
            stream.order("stop")
        for transaction, *_ in self.transactions:
            transaction.__exit__(Stopped, None, None)
        shutil.rmtree(self.folder)

    @property
    def newest(self) -> int:
        return max(self.rows)

    @property
    def retained(self) -> list[int]:
        return [version for version in self.rows if version not in self.gone]

    def new(self, count: int) -> list[int]:
        self.serial += count
        return list(range(self.serial - count, self.serial))

    def made(self, version: int, rows: list[int]) -> None:
        self.now += 1_000_000
        assert version == (self.newest + 1 if self.rows else 1)
        self.rows[version] = rows

    # -- writers -----------------------------------------------------------------------------

    @initialize()
    def first(self) -> None:
        numbers = self.new(1)
        self.made(self.table().append(frame(*numbers)).version, numbers)

    @rule(many=st.integers(1, 9))
    def append(self, many: int) -> None:
        for _ in range(many):
            numbers = self.new(1)
            self.made(self.table().append(frame(*numbers)).version, self.rows[self.newest] + numbers)

    @rule()
    def overwrite(self) -> None:
        numbers = self.new(2)
        self.made(self.table().overwrite(frame(*numbers)).version, numbers)

    @rule(pick=PICK)
    def restore(self, pick: int) -> None:
        version = self.retained[pick % len(self.retained)]
        self.made(self.table().restore(version).version, self.rows[version])

    @rule(ordered=st.booleans())
    def compact(self, ordered: bool) -> None:
        version = self.table().compact(sort_by="n" if ordered else None).version
        if version is not None:
            rows = self.rows[self.newest]
            self.made(version, sorted(rows) if ordered else rows)

    @precondition(lambda self: len(self.streams) < 3)
    @rule(count=st.integers(1, 3))
    def begin_a_stream(self, count: int) -> None:
        before = listing(self.storage)
        stream = Stream(self.table(), self.new(count))
        self.streams.append((stream, listing(self.storage) - before))

    @precondition(lambda self: self.streams)
    @rule(pick=PICK, finish=st.booleans())
    def end_a_stream(self, pick: int, finish: bool) -> None:
        stream, files = self.streams.pop(pick % len(self.streams))
        assert files <= listing(self.storage), "the files of a running writer were taken away"
        stream.order("finish" if finish else "stop")
        if finish:
            assert stream.version is not None
            self.made(stream.version, self.rows[self.newest] + stream.numbers)
        else:
            assert stream.version is None
            assert not files & listing(self.storage)

    @precondition(lambda self: len(self.staged) < 3)
    @rule()
    def stage(self) -> None:
        before, numbers = listing(self.storage), self.new(1)
        staged = self.table().stage(frame(*numbers))
        self.staged.append((staged, numbers, listing(self.storage) - before))

    @precondition(lambda self: self.staged)
    @rule(pick=PICK)
    def commit_what_was_staged(self, pick: int) -> None:
        staged, numbers, files = self.staged.pop(pick % len(self.staged))
        if files <= listing(self.storage):
            self.made(self.table().commit(staged).version, self.rows[self.newest] + numbers)
            return
        with pytest.raises(ConflictError):
            self.table().commit(staged)
        assert self.table().version == self.newest

    # -- writers that change rows --------------------------------------------------------------

    @rule(rest=st.integers(0, SHARES - 1))
    def delete(self, rest: int) -> None:
        rows = self.rows[self.newest]
        left = [n for n in rows if n % SHARES != rest]
        done = self.table().delete(share(rest))
        assert done.deleted == len(rows) - len(left)
        if done.version is not None:
            self.made(done.version, left)

    @rule(rest=st.integers(0, SHARES - 1))
    def update(self, rest: int) -> None:
        rows = self.rows[self.newest]
        left, others = [n for n in rows if n % SHARES != rest], [n for n in rows if n % SHARES == rest]
        done = self.table().update({"n": col("n") + SHIFT}, share(rest))
        assert done.updated == len(others)
        if done.version is not None:
            self.made(done.version, left + [n + SHIFT for n in others])

    @rule(rest=st.integers(0, SHARES - 1), count=st.integers(1, 3))
    def upsert(self, rest: int, count: int) -> None:
        rows, new = self.rows[self.newest], self.new(count)
        known = [n for n in rows if n % SHARES == rest]
        done = self.table().upsert(frame(*known, *new), on="n")
        assert (done.updated, done.inserted) == (len(known), count)
        assert done.version is not None
        self.made(done.version, [n for n in rows if n % SHARES != rest] + known + new)

    @rule(rest=st.integers(0, SHARES - 1))
    def merge(self, rest: int) -> None:
        """Deletes whatever is not among the new rows."""
        rows = self.rows[self.newest]
        known = [n for n in rows if n % SHARES == rest]
        how = {"when_matched": "ignore", "when_not_matched_by_source": "delete"}
        done = self.table().merge(frame(*known), "n", **how)
        assert done.deleted == len(rows) - len(known)
        if done.version is not None:
            self.made(done.version, known)

    @precondition(lambda self: len(self.transactions) < 2)
    @rule(rest=st.integers(0, SHARES - 1), is_streamed=st.booleans())
    def begin_a_transaction(self, rest: int, is_streamed: bool) -> None:
        """Its rows wait in memory; those of a stream, in files that only a grace period protects."""
        before, numbers = listing(self.storage), self.new(2)
        transaction = self.table().transaction()
        transaction.__enter__()
        transaction.delete(share(rest))
        whole = frame(*numbers)
        transaction.append(iter([whole.slice(0, 1), whole.slice(1)]) if is_streamed else whole)
        self.transactions.append((transaction, numbers, rest, listing(self.storage) - before))

    @precondition(lambda self: self.transactions)
    @rule(pick=PICK, finish=st.booleans())
    def end_a_transaction(self, pick: int, finish: bool) -> None:
        transaction, numbers, rest, files = self.transactions.pop(pick % len(self.transactions))
        if not finish:
            transaction.__exit__(Stopped, None, None)
        elif files <= listing(self.storage):
            transaction.__exit__(None, None, None)
            left = [n for n in self.rows[self.newest] if n % SHARES != rest]
            self.made(transaction.result.version, left + numbers)
            return
        else:
            with pytest.raises(ConflictError):
                transaction.__exit__(None, None, None)
        assert not files & listing(self.storage)
        assert self.table().version == self.newest

    # -- branches ------------------------------------------------------------------------------

    def picked(self, pick: int) -> tuple[str, Line]:
        return sorted(self.branches.items())[pick % len(self.branches)]

    @precondition(lambda self: len(self.branches) < 3)
    @rule(pick=PICK)
    def create_a_branch(self, pick: int) -> None:
        version = self.retained[pick % len(self.retained)]
        self.serial += 1
        self.table().create_branch(f"b{self.serial}", version)
        self.branches[f"b{self.serial}"] = Line(version, {version: self.rows[version]})

    @precondition(lambda self: self.branches)
    @rule(pick=PICK, many=st.integers(1, 9))
    def append_on_a_branch(self, pick: int, many: int) -> None:
        name, line = self.picked(pick)
        for _ in range(many):
            numbers = self.new(1)
            self.now += 1_000_000
            version = self.table(name).append(frame(*numbers)).version
            assert version == line.newest + 1
            line.rows[version] = line.rows[line.newest] + numbers
            line.fresh += numbers
            line.made += 1

    @precondition(lambda self: self.branches)
    @rule(pick=PICK, rest=st.integers(0, SHARES - 1))
    def delete_on_a_branch(self, pick: int, rest: int) -> None:
        name, line = self.picked(pick)
        self.now += 1_000_000
        version = self.table(name).delete(share(rest)).version
        left = [n for n in line.rows[line.newest] if n % SHARES != rest]
        assert (version is None) == (left == line.rows[line.newest])
        if version is not None:
            line.rows[version] = left
            line.made += 1
            line.only_appends = False

    @precondition(lambda self: self.branches)
    @rule(pick=PICK, keep_last=st.integers(1, 6))
    def expire_a_branch(self, pick: int, keep_last: int) -> None:
        name, line = self.picked(pick)
        gone = sorted(line.rows)[:-keep_last]
        before, needed = listing(self.storage), required(self.storage)
        done = self.table(name).expire(timedelta(0), keep_last)
        assert done.versions == tuple(gone)
        removed = before - listing(self.storage)
        assert removed == set(done.files)
        # The catalog, which has the branches, is written anew: the one before is a vacuum's.
        assert len(needed - required(self.storage) - removed) == bool(gone)
        line.is_whole = line.is_whole and len(line.rows) - len(gone) >= line.made
        for version in gone:
            del line.rows[version]

    @precondition(lambda self: self.branches)
    @rule(pick=PICK)
    def merge_a_branch(self, pick: int) -> None:
        name, line = self.picked(pick)
        if line.made and self.newest != line.start and not (line.is_whole and line.only_appends):
            with pytest.raises(ConflictError, match=r"expired|only appends"):
                self.table().merge_branch(name)
            return
        self.now += 1_000_000
        version = self.table().merge_branch(name).version
        if line.made and self.newest == line.start:
            assert version == line.newest
            expired = set(range(line.start + 1, version)) - set(line.rows)
            self.rows |= {n: line.rows.get(n, []) for n in range(line.start + 1, version + 1)}
            self.gone |= expired
            line.start = version
        elif line.made:
            self.made(version, self.rows[self.newest] + line.fresh)
        assert version == self.newest
        line.fresh, line.made, line.is_whole, line.only_appends = [], 0, True, True

    @precondition(lambda self: self.branches)
    @rule(pick=PICK)
    def drop_a_branch(self, pick: int) -> None:
        name, _ = self.picked(pick)
        del self.branches[name]
        self.table().drop_branch(name)

    # -- readers and names ---------------------------------------------------------------------

    @precondition(lambda self: len(self.readers) < 5)
    @rule(pick=PICK)
    def open_a_reader(self, pick: int) -> None:
        version = self.retained[pick % len(self.retained)]
        self.readers.append((self.table().snapshot(version), version))

    @precondition(lambda self: self.readers)
    @rule(pick=PICK)
    def read(self, pick: int) -> None:
        snapshot, version = self.readers.pop(pick % len(self.readers))
        try:
            assert snapshot.to_arrow()["n"].to_pylist() == self.rows[version]
        except VersionNotFoundError:
            assert version in self.gone, "a retained version could not be read"

    @precondition(lambda self: len(self.feeds) < 3)
    @rule(pick=PICK)
    def open_a_feed(self, pick: int) -> None:
        since = self.retained[pick % len(self.retained)]
        if self.gone & set(range(since, self.newest)):
            with pytest.raises(VersionNotFoundError):
                self.table().changes(since)
            return
        self.feeds.append((self.table().changes(since), since, self.newest))

    @precondition(lambda self: self.feeds)
    @rule(pick=PICK)
    def read_a_feed(self, pick: int) -> None:
        feed, since, until = self.feeds.pop(pick % len(self.feeds))
        try:
            events = feed.read_all().to_pylist()
        except VersionNotFoundError:
            assert self.gone & set(range(since, until + 1)), "changes of retained versions could not be read"
            return
        came, gone = (
            Counter(row["n"] for row in events if row["_change_type"] in kinds)
            for kinds in (("insert", "update_postimage"), ("delete", "update_preimage"))
        )
        assert Counter(self.rows[since]) + came == Counter(self.rows[until]) + gone

    @rule(name=st.sampled_from("ab"), pick=PICK)
    def tag(self, name: str, pick: int) -> None:
        self.tagged[name] = self.retained[pick % len(self.retained)]
        self.table().tag(name, self.tagged[name], move=True)

    @precondition(lambda self: self.tagged)
    @rule(pick=PICK)
    def untag(self, pick: int) -> None:
        name = sorted(self.tagged)[pick % len(self.tagged)]
        del self.tagged[name]
        self.table().untag(name)

    # -- maintenance -----------------------------------------------------------------------------

    @rule(keep_last=st.integers(1, 6))
    def expire(self, keep_last: int) -> None:
        kept = {*self.retained[-keep_last:], *self.tagged.values()}
        before, needed = listing(self.storage), required(self.storage)
        planned = self.table().expire(timedelta(0), keep_last, dry_run=True)
        assert listing(self.storage) == before
        done = self.table().expire(timedelta(0), keep_last)
        assert done.versions == planned.versions == tuple(v for v in self.retained if v not in kept)
        self.gone |= set(done.versions)
        removed = before - listing(self.storage)
        assert removed == set(done.files) == needed - required(self.storage)

    @rule()
    def vacuum(self) -> None:
        before = listing(self.storage)
        planned = self.table().vacuum(timedelta(0), dry_run=True)
        done = self.table().vacuum(timedelta(0))
        assert done.files == planned.files
        running = {file for _, files in self.streams for file in files}
        left = listing(self.storage)
        assert before - left == set(done.files)
        assert left == required(self.storage) | running

    @rule()
    def vacuum_patiently(self) -> None:
        """What is younger than the grace period stays, whoever it belongs to."""
        before = listing(self.storage)
        assert not self.table().vacuum(AGES).files
        assert listing(self.storage) == before

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: self.rows)
    def what_is_retained_is_there(self) -> None:
        table = self.table()
        assert [s.version for s in table.history()] == self.retained[::-1]
        picked = {self.newest, self.retained[self.serial % len(self.retained)], *self.tagged.values()}
        for version in picked:
            assert table.snapshot(version).to_arrow()["n"].to_pylist() == self.rows[version]
        for name, line in self.branches.items():
            branch = self.table(name)
            assert [s.version for s in branch.history()] == sorted(line.rows, reverse=True)
            for version in (min(line.rows), line.newest):
                assert branch.snapshot(version).to_arrow()["n"].to_pylist() == line.rows[version]


class TestRetention(RetentionMachine.TestCase):
    settings = QUICK


@pytest.mark.slow
class TestRetentionLong(RetentionMachine.TestCase):
    settings = settings(max_examples=at_most(60), stateful_step_count=40, **COMMON)
