"""The log-structured index: every version is found, pieces stay few."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio.metadata import history
from atio.metadata.objects import Objects
from atio.metadata.tiers import FANOUT, to_merge
from atio.model.base import new_id
from atio.model.pointer import History, Token, Tokens, Version
from atio.storage.memory import MemoryStorage


def line(number: int, time: int) -> Version:
    return Version(number, time, new_id(), 100, "0" * 16)


def built(count: int, step: int = 10) -> tuple[Objects, History, list[Version]]:
    objects = Objects(MemoryStorage())
    index, lines = History(), []
    for number in range(1, count + 1):
        lines.append(line(number, number * step))
        index = history.push_version(objects, index, lines[-1])
    return objects, index, lines


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 31, 32, 33, 500])
def test_every_version_is_found_by_number_and_time(count: int) -> None:
    objects, index, lines = built(count)
    assert history.all_versions(objects, index) == lines
    assert list(history.newest_first(objects, index)) == lines[::-1]
    for one in lines:
        assert history.find(objects, index, one.version) == one
        assert history.find_time(objects, index, one.time) == one
        assert history.find_time(objects, index, one.time + 9) == one
    assert history.find(objects, index, 0) is None
    assert history.find(objects, index, count + 1) is None
    assert history.find_time(objects, index, 9) is None


@given(st.sets(st.integers(1, 300)), st.integers(0, 310), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_a_rebuilt_index_has_gaps_and_still_finds(kept: set[int], probe: int, more: int) -> None:
    objects = Objects(MemoryStorage())
    lines = [line(number, number * 10) for number in sorted(kept)]
    index = history.rebuild(objects, lines)
    for number in range(301, 301 + more):
        lines.append(line(number, number * 10))
        index = history.push_version(objects, index, lines[-1])
    assert history.all_versions(objects, index) == lines
    expected = {one.version: one for one in lines}.get(probe)
    assert history.find(objects, index, probe) == expected
    before = [one for one in lines if one.time <= probe * 10 + 5]
    assert history.find_time(objects, index, probe * 10 + 5) == (before[-1] if before else None)


def test_pieces_grow_with_the_logarithm() -> None:
    _, index, _ = built(3000)
    assert len(index.pieces) <= FANOUT * math.log(3000, FANOUT)
    assert len(index.tail) < history.TAIL


def test_tokens_are_found_newest_first() -> None:
    objects, tokens = Objects(MemoryStorage()), Tokens()
    for number in range(1, 101):
        tokens = history.push_token(objects, tokens, Token(f"t{number}", number))
    assert [history.find_token(objects, tokens, f"t{n}") for n in range(1, 101)] == list(range(1, 101))
    assert history.find_token(objects, tokens, "t101") is None


@given(st.lists(st.integers(1, 20), min_size=1, max_size=400))
def test_merging_keeps_pieces_few_whatever_their_sizes(sizes: list[int]) -> None:
    pieces: list[int] = []
    written = 0
    for size in sizes:
        pieces.append(size)
        merged = to_merge(pieces)
        if merged:
            pieces[-merged:] = [sum(pieces[-merged:])]
        written += pieces[-1]
    total = sum(sizes)
    assert sum(pieces) == total
    # A run of FANOUT pieces that stays has a first one larger than the others together.
    assert len(pieces) <= FANOUT * (math.log2(total) + 2)
    assert written <= total * (math.log2(total) + 2)
