"""Random histories of a table against a plain model of it (tests/stateful/model.py)."""

from __future__ import annotations

import math
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atio import Table, col
from atio.errors import (
    AtioError,
    ConflictError,
    ExistsError,
    InputError,
    NotFoundError,
    SchemaError,
    VersionNotFoundError,
)
from atio.storage import LocalStorage, MemoryStorage
from atio.storage.base import Storage
from tests.stateful.frames import KINDS, SAFE_WHEN_EMPTY, THIN, WIDE, arrow
from tests.stateful.model import Line, Model
from tests.support.share import at_most
from tests.support.tables import listing, required, rows

START = 4_102_444_800_000_000  # The year 2100: later than the times of all files.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HANDLES = st.sampled_from(["first", "second", "fresh"])
TOKENS = st.sampled_from([None, None, None, "red", "green", "blue"])
TAGS = st.sampled_from(["v1", "v2", "ünïcode tag"])
KIND = st.sampled_from(list(KINDS))


class Broken(Exception):
    pass


def _breaking() -> Any:
    yield pa.table({"id": pa.nulls(3)})
    raise Broken


BAD = {
    "a fraction": lambda: pa.table({"id": [1.5]}),
    "text for a number": lambda: pa.table({"id": [b"\xff"]}),
    "an unknown column": lambda: pa.table({"id": pa.nulls(1), "nobody": [1]}),
    "no columns at all": list,
    "no frame": object,
    "twice the name": lambda: pa.table([[1], [2]], names=["id", "id"]),
    "a stream that breaks": _breaking,
    "a stream that changes": lambda: iter([pa.table({"id": pa.nulls(1)}), pa.table({"nobody": [1]})]),
}


class TableMachine(RuleBasedStateMachine):
    """Every rule does one thing to the table and to the model; the invariants compare them."""

    folder: ClassVar[Path | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.now = START
        self.serial = 0
        self.place = tempfile.mkdtemp() if self.folder is None else None
        self.storage = self.make_storage()
        self.first = Table(self.storage, clock=self.clock)
        self.second = Table(self.another_storage(), clock=self.clock)

    # -- where the table is (overridden) -----------------------------------------------------

    def make_storage(self) -> Storage:
        assert self.place
        return LocalStorage(Path(self.place) / "t", durable=False)

    def another_storage(self) -> Storage:
        return self.make_storage()

    def teardown(self) -> None:
        if self.model.lines:
            self.everything_is_there()
        if self.place:
            shutil.rmtree(self.place)

    def clock(self) -> int:
        return self.now

    def handle(self, which: str) -> Table:
        """One of two handles that live on with their caches, or one that knows nothing."""
        if which == "fresh":
            return Table(self.another_storage(), clock=self.clock)
        return self.first if which == "first" else self.second

    # -- rows --------------------------------------------------------------------------------

    def frame(
        self, count: int, columns: tuple[str, ...], kind: str, order: int, skip: str | None, numbers: bool
    ) -> tuple[list[dict[str, Any]], Any]:
        """New rows, and a frame of them with its columns turned round and one perhaps missing."""
        types = WIDE if "word" in columns else THIN
        names = [name for name in columns if name != skip] or list(columns)
        names = names[order % len(names) :] + names[: order % len(names)]
        made = []
        for _ in range(count):
            self.serial += 1
            i = self.serial
            values = {
                "id": i if types is WIDE else f"s{i}",
                "word": f"w{i % 7}" if i % 5 else None,
                "cat": f"c{i % 11}",
                "n": i if numbers else None,
                "x": i / 2,
            }
            made.append({name: values[name] for name in names})
        if count == 0 and kind not in SAFE_WHEN_EMPTY:
            kind = "arrow"
        return made, KINDS[kind](arrow(made, names, types))

    # -- writing -----------------------------------------------------------------------------

    @initialize(kind=st.sampled_from(["arrow", "reader", "iterator"]), count=st.integers(0, 3))
    def first_write(self, kind: str, count: int) -> None:
        for call in (self.first.snapshot, self.first.history, self.first.vacuum, lambda: self.first.tag("x")):
            with pytest.raises(NotFoundError, match="no table"):
                call()
        made, data = self.frame(count, tuple(WIDE), kind, 0, None, numbers=False)
        assert self.first.append(data).version == 1
        self.model.append(self.now, made, tuple(WIDE))

    @rule(seconds=st.integers(0, 5))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * 1_000_000

    @rule(which=HANDLES, count=st.integers(0, 3), kind=KIND, order=st.integers(0, 3), token=TOKENS,
          skip=st.sampled_from([None, "word", "n", "cat", "x"]), numbers=st.booleans())  # fmt: skip
    def append(
        self,
        which: str,
        count: int,
        kind: str,
        order: int,
        token: str | None,
        skip: str | None,
        numbers: bool,
    ) -> None:
        made, data = self.frame(count, self.model.newest.columns, kind, order, skip, numbers)
        found = self.handle(which).append(data, token=token, message=f"m{self.serial}")
        if token in self.model.tokens:
            self.replayed(found, self.model.tokens[token])
            return
        self.model.append(self.now, made, ())
        self.written(found, token)

    @rule(which=HANDLES, many=st.integers(2, 12))
    def append_often(self, which: str, many: int) -> None:
        """Enough for files to be merged and for the index of versions to be written anew."""
        table = self.handle(which)
        for _ in range(many):
            made, data = self.frame(1, self.model.newest.columns, "arrow", 0, None, numbers=False)
            found = table.append(data)
            self.model.append(self.now, made, ())
            self.written(found, None)

    @rule(which=HANDLES, count=st.integers(0, 3), kind=KIND, thin=st.booleans(), token=TOKENS)
    def overwrite(self, which: str, count: int, kind: str, thin: bool, token: str | None) -> None:
        columns = tuple(THIN if thin else WIDE)
        # Types come from these rows: only kinds that carry them.
        kind = kind if kind in SAFE_WHEN_EMPTY else "arrow"
        made, data = self.frame(count, columns, kind, 0, None, numbers=False)
        found = self.handle(which).overwrite(data, token=token)
        if token in self.model.tokens:
            self.replayed(found, self.model.tokens[token])
            return
        self.model.overwrite(self.now, made, columns)
        self.written(found, token)

    def written(self, found: Any, token: str | None) -> None:
        self.same(found, self.model.newest)
        if token is not None:
            self.model.tokens[token] = self.model.version

    def replayed(self, found: Any, version: int) -> None:
        gone = version in self.model.gone
        assert found.version == (self.model.version if gone else version)

    @rule(which=HANDLES, bad=st.sampled_from(list(BAD)), overwrite=st.booleans())
    def bad_input_changes_nothing(self, which: str, bad: str, overwrite: bool) -> None:
        if bad == "text for a number" and "word" not in self.model.newest.columns:
            bad = "a fraction"
        if overwrite and bad not in (
            "no columns at all",
            "no frame",
            "twice the name",
            "a stream that breaks",
        ):
            overwrite = False
        before = listing(self.storage)
        table = self.handle(which)
        with pytest.raises((InputError, SchemaError, Broken)):
            (table.overwrite if overwrite else table.append)(BAD[bad]())
        assert listing(self.storage) == before

    @rule(which=HANDLES, off=st.sampled_from([-1, 1, 5]))
    def a_wrong_expected_version_changes_nothing(self, which: str, off: int) -> None:
        _, data = self.frame(1, self.model.newest.columns, "arrow", 0, None, numbers=False)
        before = listing(self.storage)
        with pytest.raises(ConflictError, match="not at the expected"):
            self.handle(which).append(data, expected_version=self.model.version + off)
        assert listing(self.storage) == before

    @rule(which=HANDLES)
    def the_right_expected_version_is_fine(self, which: str) -> None:
        made, data = self.frame(1, self.model.newest.columns, "arrow", 0, None, numbers=False)
        found = self.handle(which).append(data, expected_version=self.model.version)
        self.model.append(self.now, made, ())
        self.written(found, None)

    @rule(which=HANDLES, pick=st.integers(0, 200))
    def restore(self, which: str, pick: int) -> None:
        version = pick % (self.model.version + 2)
        table = self.handle(which)
        if self.absent(lambda: table.restore(version), version):
            return
        found = table.restore(version)
        self.model.restore(self.now, version)
        self.written(found, None)
        assert found.operation == "restore"

    def some(self, pick: int, step: int) -> set[Any]:
        """Ids of some rows, and one that is none."""
        return {row["id"] for row in self.model.newest.rows[pick % 7 :: step]} | {self.serial + 100_000}

    def where(self, ids: set[Any]) -> Any:
        texts = "word" not in self.model.newest.columns
        fitting = [value for value in ids if isinstance(value, str) is texts]
        return col("id").is_in(fitting or ["none" if texts else -1])

    @rule(which=HANDLES, pick=st.integers(0, 6), step=st.integers(1, 5))
    def delete(self, which: str, pick: int, step: int) -> None:
        ids = self.some(pick, step)
        found = self.handle(which).delete(self.where(ids))
        assert found.deleted == self.model.delete(self.now, ids)
        assert found.version == (self.model.version if found.deleted else None)
        self.written(self.first.snapshot(), None)

    @rule(which=HANDLES, pick=st.integers(0, 6), step=st.integers(1, 5))
    def update(self, which: str, pick: int, step: int) -> None:
        ids = self.some(pick, step)
        self.serial += 1
        wide = "word" in self.model.newest.columns
        values: dict[str, Any] = {"word": f"u{self.serial}"} if wide else {"x": self.serial / 2}
        found = self.handle(which).update(values, self.where(ids))
        assert found.updated == self.model.update(self.now, ids, values)
        self.written(self.first.snapshot(), None)

    @rule(which=HANDLES, pick=st.integers(0, 6), step=st.integers(1, 5), count=st.integers(0, 3))
    def upsert(self, which: str, pick: int, step: int, count: int) -> None:
        columns = self.model.newest.columns
        made, _ = self.frame(count, columns, "arrow", 0, None, numbers=False)
        known = {row["id"]: row for row in self.model.newest.rows[pick % 7 :: step]}
        changed = {"word": None} if "word" in columns else {"x": -1.0}
        rows = [*({**row, **changed} for row in known.values()), *made]
        types = WIDE if "word" in columns else THIN
        found = self.handle(which).upsert(arrow(rows, list(columns), types), on="id")
        if not rows:
            assert found.version is None
            return
        assert found.updated == self.model.upsert(self.now, rows)
        assert found.inserted == len(rows) - found.updated
        self.written(self.first.snapshot(), None)

    @rule(which=HANDLES, key=st.sampled_from([None, "id"]))
    def compact(self, which: str, key: str | None) -> None:
        table = self.handle(which)
        entries = table.snapshot().files()
        files = [file.path for file in entries]
        due = key or len(files) > 1 or any(file.deleted for file in entries)
        before = listing(self.storage)
        planned = table.compact(sort_by=key, dry_run=True)
        assert listing(self.storage) == before
        done = table.compact(sort_by=key)
        assert done.files == planned.files == tuple(files if due else ())
        if done.version is not None:
            self.model.compact(self.now, key)
            self.written(table.snapshot(done.version), None)
            assert len(done.made) == 1
        else:
            assert not done.files

    # -- names -------------------------------------------------------------------------------

    @rule(which=HANDLES, name=TAGS, pick=st.integers(0, 200), move=st.booleans())
    def tag(self, which: str, name: str, pick: int, move: bool) -> None:
        version = pick % (self.model.version + 1)
        table = self.handle(which)
        if self.absent(lambda: table.tag(name, version, move=move), version):
            return
        if name in self.model.tags and self.model.tags[name] != version and not move:
            with pytest.raises(ExistsError, match=f"on version {self.model.tags[name]}"):
                table.tag(name, version)
            return
        table.tag(name, version, move=move)
        self.model.tags[name] = version

    @rule(which=HANDLES, name=TAGS)
    def untag(self, which: str, name: str) -> None:
        if name not in self.model.tags:
            with pytest.raises(VersionNotFoundError, match="no tag"):
                self.handle(which).untag(name)
            return
        self.handle(which).untag(name)
        del self.model.tags[name]

    @rule(which=HANDLES, value=st.sampled_from([None, "1", "2"]))
    def property(self, which: str, value: str | None) -> None:
        self.handle(which).set_properties({"user.p": value})
        self.model.properties = {} if value is None else {"user.p": value}

    # -- maintenance -------------------------------------------------------------------------

    @rule(which=HANDLES, keep_last=st.integers(1, 12), seconds=st.integers(0, 6))
    def expire(self, which: str, keep_last: int, seconds: int) -> None:
        older_than = timedelta(seconds=seconds)
        expected = self.model.to_forget(self.now - seconds * 1_000_000, keep_last)
        before = listing(self.storage)
        planned = self.handle(which).expire(older_than, keep_last, dry_run=True)
        assert listing(self.storage) == before
        done = self.handle(which).expire(older_than, keep_last)
        assert done.versions == planned.versions == expected
        assert (done.files, done.bytes) == (planned.files, planned.bytes)
        assert before - listing(self.storage) >= set(done.files)
        self.model.gone |= set(expected)
        self.everything_is_there(step=7)

    @rule(which=HANDLES, stray=st.booleans())
    def vacuum(self, which: str, stray: bool) -> None:
        if stray:
            self.storage.create(f"data/{'0' * 24}.parquet", b"left by a killed writer")
        before = listing(self.storage)
        planned = self.handle(which).vacuum(timedelta(0), dry_run=True)
        assert listing(self.storage) == before
        done = self.handle(which).vacuum(timedelta(0))
        assert (done.files, done.bytes) == (planned.files, planned.bytes)
        assert listing(self.storage) == before - set(done.files) == required(self.storage)
        self.everything_is_there(step=7)

    # -- reading -----------------------------------------------------------------------------

    @rule(which=HANDLES, pick=st.integers(0, 200))
    def read_a_version(self, which: str, pick: int) -> None:
        version = pick % (self.model.version + 3) - 1
        table = self.handle(which)
        if not self.absent(lambda: table.snapshot(version), version):
            self.same(table.snapshot(version), self.model.line(version))

    @rule(which=HANDLES, name=TAGS)
    def read_a_tag(self, which: str, name: str) -> None:
        if name in self.model.tags:
            self.same(self.handle(which).snapshot(name), self.model.line(self.model.tags[name]))
        else:
            with pytest.raises(VersionNotFoundError, match="no tag"):
                self.handle(which).snapshot(name)

    @rule(which=HANDLES, pick=st.integers(0, 200), off=st.sampled_from([-1, 0, 1, 700_000]))
    def read_as_of(self, which: str, pick: int, off: int) -> None:
        moment = self.model.lines[pick % len(self.model.lines)].time + off
        expected = self.model.at(moment)
        as_of = EPOCH + timedelta(microseconds=moment)
        if expected is None or expected.version in self.model.gone:
            with pytest.raises(
                VersionNotFoundError, match=r"no version as old as|may be one that was expired"
            ):
                self.handle(which).snapshot(as_of=as_of)
            return
        follower = expected.version + 1
        if follower in self.model.gone and expected.time != moment:
            # Nobody knows any more when the next version came.
            with pytest.raises(VersionNotFoundError, match=f"{follower} is gone"):
                self.handle(which).snapshot(as_of=as_of)
            return
        self.same(self.handle(which).snapshot(as_of=as_of), expected)

    @rule(which=HANDLES, a=st.integers(0, 200), b=st.integers(0, 200))
    def diff(self, which: str, a: int, b: int) -> None:
        lines = self.model.retained
        old, new = lines[a % len(lines)], lines[b % len(lines)]
        found = self.handle(which).diff(old.version, new.version)
        counts = (new.added - old.added, new.removed - old.removed)
        if old.version > new.version:
            counts = (old.removed - new.removed, old.added - new.added)
        assert (found.rows_added, found.rows_removed) == counts
        assert set(found.columns_added) == set(new.columns) - set(old.columns)
        assert set(found.columns_removed) == set(old.columns) - set(new.columns)

    # -- what must hold ----------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: self.model.lines)
    def newest_is_right(self) -> None:
        table = self.handle("fresh")
        self.same(table.snapshot(), self.model.newest)
        assert table.tags == self.model.tags
        assert table.properties == self.model.properties
        retained = self.model.retained
        history = table.history()
        assert [s.version for s in history] == [x.version for x in reversed(retained)]
        assert [s.rows for s in history] == [len(x.rows) for x in reversed(retained)]
        picked = retained[self.serial % len(retained)]
        self.same(table.snapshot(picked.version), picked)

    @invariant()
    @precondition(lambda self: self.model.lines)
    def files_stay_few(self) -> None:
        """Tiny files are merged by eights: at most seven of each size remain."""
        newest = self.model.newest
        levels = 1 + int(math.log(newest.appends, 8) + 1e-9)
        assert len(self.first.snapshot().files()) <= 7 * levels + 1

    def everything_is_there(self, step: int = 1) -> None:
        """Every retained version (or every ``step``-th) reads back, and the files agree."""
        table = self.handle("fresh")
        for line in self.model.retained[::-step]:
            self.same(table.snapshot(line.version), line)
        for version in self.model.gone:
            assert self.absent(lambda v=version: table.snapshot(v), version)
        report = table.verify()
        assert report.ok, report
        assert report.versions == len(self.model.retained)
        assert required(self.storage) <= listing(self.storage)

    def same(self, found: Any, line: Line) -> None:
        assert (found.version, found.operation, found.rows) == (line.version, line.operation, len(line.rows))
        assert found.time == EPOCH + timedelta(microseconds=line.time)
        assert tuple(found.schema.names) == line.columns
        assert rows(found) == list(line.rows)

    def absent(self, call: Any, version: int) -> bool:
        """Whether the version is not there; then the call must say so, and why."""
        if version in self.model.gone:
            text = f"version {version} is gone: it was expired"
        elif not 1 <= version <= self.model.version:
            text = f"never was a version {version}"
        else:
            return False
        with pytest.raises(VersionNotFoundError, match=text) as caught:
            call()
        assert isinstance(caught.value, AtioError)
        return True


class MemoryMachine(TableMachine):
    """The same on the reference storage."""

    folder = Path()

    def make_storage(self) -> Storage:
        return MemoryStorage()

    def another_storage(self) -> Storage:
        return self.storage.handle()


COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
# Shrinking one of these histories can take minutes: only the long runs do.
QUICK = settings(
    max_examples=25,
    stateful_step_count=20,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    **COMMON,
)
LONG = settings(max_examples=at_most(40), stateful_step_count=40, **COMMON)


class TestLocal(TableMachine.TestCase):
    settings = QUICK


class TestMemory(MemoryMachine.TestCase):
    settings = QUICK


@pytest.mark.slow
class TestLocalLong(TableMachine.TestCase):
    settings = LONG


@pytest.mark.slow
class TestMemoryLong(MemoryMachine.TestCase):
    settings = LONG
