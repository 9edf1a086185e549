"""No space, no inodes: a clear error, the table as before, and all is well when there is room again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from atio import store as stores
from atio.errors import StorageFullError
from tests.support.share import EVERY
from tests.torture.conftest import Figure
from tests.torture.full_disk import PAGE, Case, attack, cases, nearly_full, outcomes
from tests.torture.mounts import PRIVILEGED, memory_disk
from tests.torture.power import KINDS, disk, missing

pytestmark = pytest.mark.skipif(not PRIVILEGED, reason="small disks need root on Linux")
CASES = cases() if PRIVILEGED else {}
FIGURE = "no space, or no inodes, left: an unclear error, or a table that changed"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with memory_disk(8 * 2**20, 300) as made:
        yield made


def attacked(root: Path, case: Case, *, coarse: int = 1, files: bool = True) -> int:
    """From nothing left up to enough, pages first, then files; returns how many points that makes."""
    old, new = outcomes(case)
    points = 0
    for left in count(0, case.step * coarse * EVERY):
        points += 1
        if attack(root, case, old, new, pages=left):
            break
    for left in count(0, coarse * EVERY) if files else ():
        points += 1
        if attack(root, case, old, new, files=left):
            break
    return points


@pytest.mark.parametrize(
    "name", ["append", "append a long stream, csv", "expire", "overwrite", "first append"]
)
def test_some_fill_points(root: Path, name: str) -> None:
    assert attacked(root, CASES[name](), coarse=3) > 2


@pytest.mark.parametrize("lock", [False, True], ids=["no-lock", "lock"])
def test_a_value_at_every_fill_point(root: Path, lock: bool) -> None:
    """The value store has no table to fall back on: the old value, or the new one."""
    folder = root / "values"
    folder.mkdir()
    path, new = folder / "value.json", "new" * PAGE
    for what in ("pages", "files"):
        for left in count():
            path.write_text('"old"')
            written = "old"
            with nearly_full(root, **{what: left}):
                try:
                    with stores.open(path, lock=lock) as store:
                        store.value = new
                    written = new
                except StorageFullError as error:
                    assert "free" in str(error), error
                assert stores.open(path).value == written
                assert [found.name for found in folder.iterdir() if found.suffix != ".lock"] == [path.name]
            if written != "old":
                assert left > 0
                break
    shutil.rmtree(folder)


@pytest.mark.torture
@pytest.mark.parametrize("name", CASES)
def test_every_fill_point(root: Path, name: str, torture_figure: Figure) -> None:
    points, failed = 1, 1
    try:
        points, failed = attacked(root, CASES[name]()), 0
    finally:
        torture_figure(FIGURE, points, failed)


@pytest.mark.torture
@pytest.mark.parametrize("kind", KINDS)
def test_full_file_systems(kind: str, torture_figure: Figure) -> None:
    """Real ones promise room before they look for it."""
    if (why := missing(kind)) is not None:
        pytest.skip(why)
    points, failed = 1, 1
    try:
        with disk(kind) as drive:
            points = sum(
                attacked(drive.root, CASES[name](), coarse=2, files=False)
                for name in ("append", "overwrite", "append much, parquet", "expire")
            )
        failed = 0
    finally:
        torture_figure(FIGURE, points, failed)
