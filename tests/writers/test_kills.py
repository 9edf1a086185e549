"""Writers of one file are killed at any moment: the file is whole, and the next write cleans up."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

import atio
from tests.support.share import at_most
from tests.writers.conftest import Victims, hidden, version
from tests.writers.victim import frame


def attack(victims: Victims, path: Path, kills: int, seed: int, **options: object) -> None:
    chance = random.Random(seed)
    atio.write(frame(0), path, **({"index": False} if path.suffix == ".csv" else {}))
    known = 0
    for _ in range(kills):
        how = signal.SIGKILL if chance.random() < 0.8 else signal.SIGTERM
        told = victims.end_one(
            path, known + 1, after=chance.randrange(3), pause=chance.random() * 0.01, how=how, **options
        )
        last = told[-1] if told else known
        found = version(path)
        assert found in (last, last + 1), "what was acknowledged, or what was landing"
        assert len(hidden(path.parent)) <= 3, "of one victim: file, backup or flag, and the flag's lock"
        if options.get("success_flag") and found > 0:
            atio.verify(path)
        known = found + 1
        atio.write(frame(known), path, success_flag=bool(options.get("success_flag")))
        assert not hidden(path.parent)


def test_kills_at_any_moment(victims: Victims, tmp_path: Path) -> None:
    attack(victims, tmp_path / "data.csv", 15, seed=1, durable=False)


def test_kills_between_syncs(victims: Victims, tmp_path: Path) -> None:
    attack(victims, tmp_path / "data.parquet", 8, seed=2, durable=True)


def test_kills_with_backup_and_flag(victims: Victims, tmp_path: Path) -> None:
    """Each of the three files is whole, and the flag vouches for the file whatever the moment."""
    path = tmp_path / "data.parquet"
    atio.write(frame(0), path, success_flag=True)
    attack(victims, path, 15, seed=3, durable=False, backup=True, success_flag=True)
    assert version(path.with_name("data.parquet.bak").rename(tmp_path / "old.parquet")) < version(path)


def test_interrupts_leave_nothing(victims: Victims, tmp_path: Path) -> None:
    """Control-C: the old file or the new one, and no leftovers to clean up."""
    path = tmp_path / "data.csv"
    chance = random.Random(4)
    known = 0
    atio.write(frame(0), path, index=False)
    for _ in range(10):
        told = victims.end_one(
            path, known + 1, after=chance.randrange(3), pause=chance.random() * 0.01, how=signal.SIGINT
        )
        last = told[-1] if told else known
        assert version(path) in (last, last + 1)
        assert [p.name for p in tmp_path.iterdir()] == ["data.csv"]
        known = version(path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [10, 11])
def test_many_kills(victims: Victims, tmp_path: Path, seed: int) -> None:
    suffix = ("csv", "parquet", "jsonl", "arrow")[seed % 4]
    options = {"success_flag": True, "backup": True} if seed % 2 else {}
    if options:
        atio.write(frame(0), tmp_path / f"data.{suffix}", success_flag=True)
    attack(victims, tmp_path / f"data.{suffix}", at_most(150), seed, durable=seed % 3 == 0, **options)
