"""Small pieces together: all of them, in order, and no more in memory than is worth encoding."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio import Table
from atio.frames.gathering import gathered
from atio.storage import MemoryStorage
from atio.table import stage


class Piece:
    def __init__(self, number: int) -> None:
        self.number, self.num_rows, self.nbytes = number, number % 4, 10 * (number % 7)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 30), st.integers(1, 300))
def test_nothing_is_lost_or_held(count: int, rows: int, size: int) -> None:
    alive: weakref.WeakSet[Piece] = weakref.WeakSet()
    most = 0

    def pieces() -> Iterator[Piece]:
        nonlocal most
        for number in range(count):
            piece = Piece(number)
            alive.add(piece)
            most = max(most, len(alive))
            yield piece
            del piece

    numbers: list[list[int]] = []
    given: Any = pieces()
    for group in map(lambda held: [piece.number for piece in held], gathered(given, rows, size)):  # noqa: C417
        numbers.append(group)
    assert [number for group in numbers for number in group] == list(range(count))
    for group in numbers[:-1]:
        enough = [sum(n % 4 for n in group[:end]) >= rows or sum(10 * (n % 7) for n in group[:end]) >= size
                  for end in range(1, len(group) + 1)]  # fmt: skip
        assert enough == [False] * (len(group) - 1) + [True]
    assert most <= max(map(len, numbers), default=0) + 2


def test_a_schema_that_grows_within_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fitted before is fitted anew: nulls, categories, parts of structs."""
    monkeypatch.setattr(stage, "GROUP_ROWS", 4)
    parts = [{"x": None, "p": {"a": n}} for n in range(3)], [{"x": 0.5, "p": {"a": 3, "b": "b"}}] * 3
    table = Table(MemoryStorage())
    table.append(parts[0][:1])
    table.append((part for part in parts), schema_mode="merge")
    assert table.to_arrow()["x"].to_pylist() == [None] * 4 + [0.5] * 3
    assert table.to_arrow()["p"].to_pylist()[-4:] == [{"a": 2, "b": None}, *[{"a": 3, "b": "b"}] * 3]
    assert table.schema.field("x").type == pa.float64()
