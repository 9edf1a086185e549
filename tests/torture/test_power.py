"""The power fails: what was acknowledged is there, and the table opens, on ext4 and XFS, in both modes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from atio import Table
from tests.crash.test_kill import Expected, Victims, check
from tests.support.share import SHARE
from tests.torture.conftest import Figure
from tests.torture.power import KINDS, MODES, Disk, disk, missing
from tests.torture.power_attack import Tally, attack, nursery

CUTS = round(200 * SHARE)
"""Cuts under atio that ``make torture`` tries; 1,000 were for the published figure."""
PEERS = {
    "deltalake": "deltalake", "lance": "Lance", "pyiceberg": "pyiceberg", "arcticdb": "ArcticDB",
    "ducklake": "DuckLake",
}  # fmt: skip
PEER_CUTS = 20
SHARES = {"table": 0.6, "first writes": 0.2, "store": 0.2}


def _disks() -> list[object]:
    found = {kind: missing(kind) for kind in KINDS}
    return [
        pytest.param(kind, marks=pytest.mark.skipif(why is not None, reason=why or ""))
        for kind, why in found.items()
    ]


@pytest.fixture(scope="module", params=_disks())
def drive(request: pytest.FixtureRequest) -> Iterator[Disk]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(disk(request.param))
        except (OSError, CalledProcessError) as error:
            pytest.skip(f"no {request.param} can be made here: {error}")
        yield made


def table_survives(drive: Disk, cuts: int, seed: int) -> Tally:
    """One table under cut after cut: appends, streams, overwrites and expiry, merges among them."""
    chance = random.Random(seed)
    path = drive.root / "table"
    tally, expected, victims = Tally(), Expected(), Victims()
    try:
        for turn in range(cuts):
            mode = list(MODES)[turn % len(MODES)]
            pause = chance.choice([0, chance.random() * 0.012])
            told = victims.kill_one(
                path, turn, chance.randrange(4), pause, durable=True, strike=lambda m=mode: drive.cut(m)
            )
            drive.restart()
            for _, operation, *row in told:
                expected.add(operation, *row)
            tally.cuts += 1
            tally.acknowledged += len(told)
            if not Table.exists(path):
                assert expected.version == 0, "the table is gone"
                continue
            check(path, expected, turn, len(told), durable=True)
    finally:
        victims.end()
    return tally


ATTACKS = {
    "table": table_survives,
    "first writes": lambda drive, cuts, seed: _attacked(drive, "first writes", cuts, seed),
    "store": lambda drive, cuts, seed: _attacked(drive, "store", cuts, seed),
}


def _attacked(drive: Disk, subject: str, cuts: int, seed: int) -> Tally:
    with nursery(subject) as writers:
        return attack(drive, writers, cuts, seed)


@pytest.mark.parametrize("what", ATTACKS)
def test_some_cuts(drive: Disk, what: str) -> None:
    tally = ATTACKS[what](drive, 3, seed=1)
    assert (tally.unreadable, tally.lost) == (0, 0), tally
    assert tally.acknowledged > 0


def test_the_attack_sees_what_is_not_synced(drive: Disk) -> None:
    """Without its syncs atio loses commits, too: or the cuts prove nothing."""
    with nursery("unsynced") as writers:
        # A slow machine may have written all there was before the cut.
        tallies = (attack(drive, writers, 4, seed=seed) for seed in range(10))
        assert any(tally.lost + tally.unreadable for tally in tallies)


# -- make torture ----------------------------------------------------------------------------------


@pytest.mark.torture
@pytest.mark.parametrize("what", ATTACKS)
def test_power_cuts(drive: Disk, what: str, torture_figure: Figure) -> None:
    cuts = round(CUTS * SHARES[what] / len(KINDS))
    tally = Tally(cuts, unreadable=1)
    try:
        tally = ATTACKS[what](drive, cuts, seed=3)
    finally:
        _report(torture_figure, drive, tally, None)
    assert (tally.unreadable, tally.lost) == (0, 0), tally
    assert tally.acknowledged > cuts


@pytest.mark.torture
@pytest.mark.parametrize("peer", PEERS)
def test_power_cuts_under_peers(drive: Disk, peer: str, peers: Path, torture_figure: Figure) -> None:
    """The control: the same cuts. No claim is tested, the figures are told."""
    with nursery(peer, peers) as writers:
        tally = attack(drive, writers, PEER_CUTS // len(KINDS), seed=3, settled=2)
    _report(torture_figure, drive, tally, PEERS[peer])


def _report(figure: Figure, drive: Disk, tally: Tally, peer: str | None) -> None:
    name = f"power cut, {drive.kind}"
    figure(f"{name}: what was written cannot be opened", tally.cuts, tally.unreadable, peer)
    figure(f"{name}: acknowledged commits lost", tally.acknowledged, tally.lost, peer)
