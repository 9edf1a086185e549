"""Stores without a lock: other commits land between reading the pointer and swapping it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from atio import Table
from atio.commit.loop import RetryPolicy
from atio.errors import ConflictError, ExistsError, VersionNotFoundError
from atio.storage import MemoryStorage
from tests.faulty import FaultyStorage
from tests.support.tables import listing, required

LATER = 4_102_444_800_000_000


def frame(*ids: int) -> pa.Table:
    return pa.table({"id": list(ids)})


class Raced:
    """A table in a store without a lock, and another writer that comes first ``times`` times."""

    def __init__(self, other: Callable[[Table, int], object], times: int = 1, start: bool = True) -> None:
        self.inner = MemoryStorage()
        self.direct = Table(self.inner)
        if start:
            for i in range(9):
                self.direct.append(frame(i))
        self.left = times
        self.turn = 0
        self.pauses: list[float] = []
        self._other = other
        self.storage = FaultyStorage(self.inner, lock=False, before_swap=self._come_first)
        policy = RetryPolicy(attempts=10, sleep=self.pauses.append, uniform=lambda _, high: high)
        self.table = Table(self.storage, retry=policy)

    def _come_first(self) -> None:
        if self.left:
            self.left -= 1
            self.turn += 1
            self._other(self.direct, self.turn)

    def no_strays(self) -> None:
        Table(self.inner, clock=lambda: LATER).vacuum(timedelta(0))
        assert listing(self.inner) == required(self.inner)


def ids(table: Table) -> list[Any]:
    return table.to_arrow()["id"].to_pylist()


@pytest.mark.parametrize("times", [1, 2, 9])
def test_an_append_goes_upon_whatever_landed_first(times: int) -> None:
    raced = Raced(lambda t, turn: t.append(frame(100 + turn)), times)
    made = raced.table.append(frame(7))
    assert made.version == 10 + times
    assert ids(raced.direct) == [*range(9), *range(101, 101 + times), 7]
    assert len(raced.pauses) == times
    assert listing(raced.inner) == required(raced.inner), "lost attempts left files"


def test_attempts_are_bounded_and_leave_nothing() -> None:
    """Ten lost races are enough; pauses grow and stay below a second."""
    raced = Raced(lambda t, turn: t.set_properties({"user.turn": str(turn)}), times=1000)
    with pytest.raises(ConflictError, match="10 attempts"):
        raced.table.set_properties({"user.mine": "1"})
    assert raced.turn == 10
    assert raced.pauses == sorted(raced.pauses)
    assert max(raced.pauses) <= 1.0
    assert raced.direct.properties == {"user.turn": "10"}
    raced.no_strays()


def test_a_hopeless_append_leaves_no_data() -> None:
    raced = Raced(lambda t, turn: t.append(frame(100 + turn)), times=1000)
    before = raced.direct.version
    with pytest.raises(ConflictError):
        raced.table.append(frame(7), expected_version=None)
    assert 7 not in ids(raced.direct)[9:]
    assert raced.direct.version == before + raced.turn
    assert raced.turn == 10, "its rows were staged again although nothing was wrong with them"
    needed = required(raced.inner)
    assert {path for path in listing(raced.inner) if path.startswith("data/")} <= needed
    raced.no_strays()


def test_an_expected_version_is_not_retried() -> None:
    raced = Raced(lambda t, _: t.append(frame(100)))
    with pytest.raises(ConflictError, match="not at the expected 9"):
        raced.table.append(frame(7), expected_version=9)
    assert ids(raced.direct) == [*range(9), 100]
    assert listing(raced.inner) == required(raced.inner)


def test_a_token_that_another_writer_used_meanwhile_is_a_replay() -> None:
    raced = Raced(lambda t, _: t.append(frame(100), token="job"))
    made = raced.table.append(frame(7), token="job")
    assert made.version == 10
    assert ids(raced.direct) == [*range(9), 100]
    assert listing(raced.inner) == required(raced.inner)


def test_rows_are_fitted_again_when_the_columns_changed() -> None:
    """Written for int64 columns, committed to a table that has another column order and type by then."""
    raced = Raced(lambda t, _: t.overwrite(pa.table({"new": ["x"], "id": pa.array([0.5])})))
    raced.table.append(frame(7))
    assert raced.direct.to_arrow().to_pylist() == [{"new": "x", "id": 0.5}, {"new": None, "id": 7.0}]
    assert raced.direct.version == 11
    assert listing(raced.inner) == required(raced.inner)


def test_rows_that_do_not_fit_the_new_columns_are_refused() -> None:
    raced = Raced(lambda t, _: t.overwrite(pa.table({"other": ["x"]})))
    with pytest.raises(ValueError, match="'id'"):
        raced.table.append(frame(7))
    assert raced.direct.to_arrow().to_pylist() == [{"other": "x"}]
    assert listing(raced.inner) == required(raced.inner)


def test_a_stream_cannot_be_fitted_again() -> None:
    raced = Raced(lambda t, _: t.overwrite(pa.table({"id": [0.5]})))
    with pytest.raises(ConflictError, match="columns"):
        raced.table.append(iter([frame(7)]))
    assert ids(raced.direct) == [0.5]
    assert listing(raced.inner) == required(raced.inner)


def test_null_columns_get_their_type_from_two_writers() -> None:
    """Both fill the same all-null column; the second finds another schema with its own's number."""
    raced = Raced(lambda t, _: t.append(pa.table({"n": [1]})), start=False)
    raced.direct.append(pa.table({"n": pa.nulls(1)}))
    raced.table.append(pa.table({"n": [2]}))
    assert raced.direct.to_arrow()["n"].to_pylist() == [None, 1, 2]
    raced = Raced(lambda t, _: t.append(pa.table({"n": ["text"]})), start=False)
    raced.direct.append(pa.table({"n": pa.nulls(1)}))
    with pytest.raises(ValueError, match="'n'"):
        raced.table.append(pa.table({"n": [2]}))
    assert raced.direct.to_arrow()["n"].to_pylist() == [None, "text"]


def test_categories_of_two_writers_are_united() -> None:
    def words(*found: str) -> pa.Table:
        return pa.table({"w": pa.array(found).dictionary_encode()})

    raced = Raced(lambda t, turn: t.append(words(f"theirs{turn}", "a")), times=3, start=False)
    raced.direct.append(words("a"))
    raced.table.append(words("mine", "a"))
    assert raced.direct.to_arrow()["w"].to_pylist() == [
        "a", "theirs1", "a", "theirs2", "a", "theirs3", "a", "mine", "a",
    ]  # fmt: skip
    for version in range(1, 6):
        assert raced.direct.snapshot(version).to_arrow()["w"].to_pylist()[0] == "a"


def test_null_columns_filled_after_categories_grew() -> None:
    """Files of several schemas of one structure, then a schema of another."""
    table = Table(MemoryStorage())
    for word in "abc":
        table.append(pa.table({"w": pa.array([word]).dictionary_encode(), "n": pa.nulls(1)}))
    table.append(pa.table({"w": pa.array(["d"]).dictionary_encode(), "n": [4]}))
    assert table.to_arrow().to_pylist() == [
        {"w": "a", "n": None}, {"w": "b", "n": None}, {"w": "c", "n": None}, {"w": "d", "n": 4},
    ]  # fmt: skip
    for i in range(20):
        table.append(pa.table({"w": pa.array([f"e{i}"]).dictionary_encode(), "n": [i]}))
    assert table.to_arrow()["n"].to_pylist() == [None, None, None, 4, *range(20)]
    table.restore(2)
    table.append(pa.table({"w": pa.array(["z"]).dictionary_encode(), "n": [9]}))
    assert table.to_arrow()["n"].to_pylist() == [None, None, 9]


def test_first_writes_race() -> None:
    """Both found no table; the second appends to the first one's."""
    raced = Raced(lambda t, _: t.append(frame(1)), start=False)
    assert raced.table.append(frame(2)).version == 2
    assert ids(raced.direct) == [1, 2]
    raced = Raced(lambda t, _: t.append(pa.table({"name": ["a"], "id": [1]})), start=False)
    raced.table.append(pa.table({"id": [2], "name": ["b"]}))
    assert raced.direct.to_arrow().to_pylist() == [{"name": "a", "id": 1}, {"name": "b", "id": 2}]
    raced = Raced(lambda t, _: t.append(frame(1)), start=False)
    raced.table.overwrite(pa.table({"z": [1.5]}))
    assert raced.direct.to_arrow().to_pylist() == [{"z": 1.5}]
    assert raced.direct.snapshot(1).to_arrow() == frame(1)


def test_a_table_created_meanwhile_is_not_created_again() -> None:
    raced = Raced(lambda t, _: t.append(frame(1)), start=False)
    with pytest.raises(ExistsError):
        raced.table._writer.create(pa.schema({"id": pa.int64()}), {})
    assert ids(raced.direct) == [1]
    assert listing(raced.inner) == required(raced.inner)


def test_a_version_expired_meanwhile_is_neither_tagged_nor_restored() -> None:
    def expire(table: Table, _: int) -> None:
        table.expire(timedelta(0))

    for act in (lambda t: t.tag("x", 3), lambda t: t.restore(3)):
        raced = Raced(expire)
        with pytest.raises(VersionNotFoundError, match="3 is gone"):
            act(raced.table)
        assert raced.direct.tags == {}
        assert raced.direct.version == 9
        assert listing(raced.inner) == required(raced.inner)


def test_a_version_tagged_or_restored_meanwhile_is_not_expired() -> None:
    raced = Raced(lambda t, _: t.tag("keep", 3))
    assert raced.table.expire(timedelta(0)).versions == (1, 2, 4, 5, 6, 7, 8)
    assert raced.direct.snapshot("keep").to_arrow() == frame(0, 1, 2)
    raced = Raced(lambda t, _: t.restore(3))
    assert 3 in raced.table.expire(timedelta(0)).versions
    assert ids(raced.direct) == [0, 1, 2]
    assert raced.direct.verify().ok


def test_merging_beside_an_expiry_of_what_is_merged() -> None:
    """The files that the append wants to merge are overwritten and expired while it does."""

    def away(table: Table, _: int) -> None:
        table.overwrite(frame(50))
        table.expire(timedelta(0))

    raced = Raced(away)
    for i in range(6):
        raced.direct.append(frame(20 + i))
    raced.table.append(frame(7))
    assert ids(raced.direct) == [50, 7]
    assert raced.direct.verify().ok
