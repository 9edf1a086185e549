"""Disks that have room for so many pages and files, and no more."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from atio import Table
from atio.errors import StorageFullError
from atio.formats import FORMATS
from atio.storage import LocalStorage, MemoryStorage
from tests.crash.operations import FAR, OPERATIONS, frame, grown, opened
from tests.faulty import copied
from tests.support.tables import content, listing, required

PAGE = 4096
Run = Callable[[Table], object]


@contextmanager
def nearly_full(root: Path, *, pages: int | None = None, files: int | None = None) -> Iterator[None]:
    """Fill a file system but for so many pages, or files (None: leave enough)."""
    folder = root / "filler"
    folder.mkdir()
    try:
        if files is not None:
            for number in range(os.statvfs(root).f_favail - files):
                (folder / str(number)).touch()
        if pages is not None:
            with (folder / "pages").open("wb") as filler:
                filler.truncate(max(_take_all(filler.fileno()) - pages * PAGE, 0))
        yield
    finally:
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()


def _take_all(fd: int) -> int:
    """Make a file as long as can be; a file system keeps some room for its own use, so that is tried out."""
    size, chunk = 0, 2**30
    while chunk >= PAGE:
        try:
            os.posix_fallocate(fd, size, chunk)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            chunk //= 2
        else:
            size += chunk
    with suppress(OSError):  # XFS writes where it would not allocate ahead.
        while True:
            size += os.pwrite(fd, bytes(PAGE), size)
            os.fsync(fd)
    return size


@dataclass(frozen=True)
class Case:
    """Something that writes, to a table as it is before."""

    run: Run
    before: MemoryStorage
    step: int = 1
    """Pages between two fill points."""


def cases() -> dict[str, Callable[[], Case]]:
    """What makes each: every public operation that writes; those that write data files, in every format."""
    found: dict[str, Callable[[], Case]] = {
        name: lambda operation=operation: Case(operation.run, operation.setup())
        for name, operation in OPERATIONS.items()
        if not operation.reads and operation.sound
    }
    for kind in FORMATS:
        runs: dict[str, tuple[Run, int]] = {
            name: (OPERATIONS[name].run, 1)
            for name in ("append", "append a stream", "overwrite", "stage and commit")
        }
        runs["append much"] = (lambda t: t.append(much()), 23)
        runs["append a long stream"] = (lambda t: t.append(iter([much(), much()])), 37)
        for name, (run, step) in runs.items():
            found[f"{name}, {kind}"] = lambda kind=kind, run=run, step=step: Case(run, _grown(kind), step)
        found[f"create, {kind}"] = lambda kind=kind: Case(
            lambda t: t._writer.create(frame(0).schema, {"format": kind}), MemoryStorage()
        )
    return found


def _grown(format: str) -> MemoryStorage:
    storage = grown()
    opened(storage, FAR - 10**8).set_properties({"format": format})
    return storage


def much() -> pa.Table:
    """Few rows of many bytes that do not compress: more than is gathered into one write."""
    chance = random.Random(1)
    return pa.table({"id": range(300), "word": [chance.randbytes(800).hex() for _ in range(300)]})


def put_there(storage: MemoryStorage, folder: Path) -> None:
    """The table as files; with the lock that a table has after its first write."""
    folder.mkdir()
    for path, found in storage._place.objects.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(found.data)
    (folder / ".lock").touch()


def handle(folder: Path) -> Table:
    return opened(LocalStorage(folder))


def attack(root: Path, case: Case, old: Any, new: Any, **left: int) -> bool:
    """Run on a disk with so much left; whether it was enough. All that must hold is checked."""
    folder = root / "t"
    put_there(case.before, folder)
    storage = LocalStorage(folder)
    try:
        with nearly_full(root, **left):
            try:
                case.run(handle(folder))
            except StorageFullError as error:
                enough = False
                assert "free" in str(error), error
            else:
                enough = True
            # Reading needs no room, and neither does making some.
            assert content(storage) == (new if enough else old)
            if storage.load("current") is not None:
                handle(folder).vacuum(timedelta(0))
                assert listing(storage) == required(storage)
        if not enough:
            case.run(handle(folder))
            assert content(storage) == new
        assert handle(folder).verify().ok
        handle(folder).vacuum(timedelta(0))
        assert listing(storage) == required(storage)
    finally:
        shutil.rmtree(folder)
    return enough


def outcomes(case: Case) -> tuple[Any, Any]:
    """What the table has before and after."""
    storage = copied(case.before)
    old = content(storage)
    case.run(opened(storage))
    return old, content(storage)
