"""Commits of several writers in one swap."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atio import Table
from atio.commit.together import Joined
from atio.errors import AtioError, LockTimeoutError, OutcomeUnknownError, StorageError
from atio.model.base import new_id
from atio.storage.local import LocalStorage
from atio.table import sharing

_NOTHING = timedelta(0)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="writers leave requests on Linux only")


def rows(who: int) -> pa.Table:
    return pa.table({"who": [who]})


def storage_of(table: Table) -> LocalStorage:
    found = table._objects.storage
    assert isinstance(found, LocalStorage)
    return found


def path_of(table: Table) -> str:
    return storage_of(table).url


def handle(table: Table, **options: Any) -> Table:
    """Another handle, as another process would have."""
    return Table(LocalStorage(path_of(table), **options))


def swaps(monkeypatch: pytest.MonkeyPatch, instead: Callable[..., str] | None = None) -> list[int]:
    """Counts swaps; ``instead`` of one if given."""
    counted = []
    swap = LocalStorage.swap

    def counting(self: LocalStorage, *arguments: Any) -> str:
        counted.append(1)
        return (instead or swap)(self, *arguments)

    monkeypatch.setattr(LocalStorage, "swap", counting)
    return counted


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table.open(tmp_path / "t")
    made.append(rows(-1))
    return made


@contextmanager
def waiting(table: Table, writers: int, **options: Any) -> Iterator[list[Future[Any]]]:
    """The body runs with the lock held and so many appends waiting for it."""
    with ThreadPoolExecutor(writers) as pool, storage_of(table).exclusive():
        others = [handle(table, **options) for _ in range(writers)]
        found = [pool.submit(other.append, rows(who)) for who, other in enumerate(others)]
        # Not by received(): it takes a request that is not locked yet for a dead writer's.
        folder = Path(path_of(table)) / "requests"
        while not folder.exists() or sum(path.stat().st_size > 0 for path in folder.iterdir()) < writers:
            time.sleep(0.001)
        yield found


def check(table: Table, *who: int) -> None:
    """Exactly these rows are there, each of a version of its own, and nothing lies around."""
    found = Table.open(path_of(table))
    assert sorted(found.to_arrow()["who"].to_pylist()) == sorted((-1, *who))
    assert [s.version for s in found.history()] == list(range(len(who) + 1, 0, -1))
    assert found.verify().ok
    assert not list((Path(path_of(table)) / "requests").iterdir())


def test_the_holder_of_the_lock_commits_for_those_who_wait(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = swaps(monkeypatch)
    with waiting(table, 5) as found:
        mine = table.append(rows(9))
    assert counted == [1]
    assert mine.version == 2
    made = [future.result() for future in found]
    assert sorted(snapshot.version for snapshot in made) == [3, 4, 5, 6, 7]
    for who, snapshot in enumerate(made):
        assert snapshot.to_arrow()["who"].to_pylist()[-1] == who
    check(table, 9, *range(5))


def test_as_many_as_fit_at_a_time(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atio.commit.together.MOST", 2)
    with waiting(table, 5) as found:
        table.append(rows(9))
    assert sorted(future.result().version for future in found) == [3, 4, 5, 6, 7]
    check(table, 9, *range(5))


def test_an_overwrite_commits_for_those_who_wait(table: Table) -> None:
    with waiting(table, 2) as found:
        table.overwrite(rows(9))
    assert sorted(future.result().version for future in found) == [3, 4]
    assert sorted(table.to_arrow()["who"].to_pylist()) == [0, 1, 9]


def test_a_tag_leaves_them_to_themselves(table: Table) -> None:
    with waiting(table, 2) as found:
        table.tag("a")
    assert sorted(future.result().version for future in found) == [2, 3]
    check(table, 0, 1)


def test_rows_that_no_longer_fit_are_left_to_their_writer(table: Table) -> None:
    """It stages them anew, or says what is wrong with them."""
    with waiting(table, 2) as found:
        table.overwrite(pa.table({"other": [1]}))
    for future in found:
        with pytest.raises(AtioError, match="who"):
            future.result()
    assert table.version == 2
    assert table.verify().ok


def test_a_holder_that_fails_leaves_them_to_themselves(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise StorageError("injected")

    with waiting(table, 3) as found, monkeypatch.context() as patched:
        swaps(patched, fail)
        with pytest.raises(StorageError, match="injected"):
            table.append(rows(9))
    assert sorted(future.result().version for future in found) == [2, 3, 4]
    check(table, 0, 1, 2)
    assert not table.vacuum(older_than=_NOTHING).files


def test_a_holder_that_dies_before_the_swap(table: Table) -> None:
    with waiting(table, 2) as found:
        for received in storage_of(table).received():
            assert received.take()
    assert sorted(future.result().version for future in found) == [2, 3]
    check(table, 0, 1)


def test_a_holder_that_dies_after_the_swap(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it could not say is found in the table, and made durable by one more swap."""
    monkeypatch.setattr(Joined, "landed", lambda _: None)
    with waiting(table, 2) as found:
        table.append(rows(9))
        counted = swaps(monkeypatch)
    assert sorted(future.result().version for future in found) == [3, 4]
    assert len(counted) == 2
    check(table, 9, 0, 1)


def test_what_was_expired_before_its_writer_looked_may_have_landed(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To commit it once more would double its rows."""
    monkeypatch.setattr(Joined, "landed", lambda _: None)
    with waiting(table, 2) as found:
        table.append(rows(9))
        for who in range(10, 13):
            table.append(rows(who))
        table.expire(_NOTHING, keep_last=2)
    for future in found:
        with pytest.raises(OutcomeUnknownError, match="another writer"):
            future.result()
    assert sorted(table.to_arrow()["who"].to_pylist()) == [-1, 0, 1, 9, 10, 11, 12]


def test_what_surely_failed_is_done_again_whatever_was_expired(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> str:
        raise StorageError("injected")

    with waiting(table, 2) as found:
        with monkeypatch.context() as patched:
            swaps(patched, fail)
            with pytest.raises(StorageError, match="injected"):
                table.append(rows(8))
        for who in range(9, 13):
            table.append(rows(who))
        table.expire(_NOTHING, keep_last=2)
    assert sorted(future.result().version for future in found) == [6, 7]
    assert sorted(table.to_arrow()["who"].to_pylist()) == [-1, 0, 1, 9, 10, 11, 12]


def test_who_is_refused_is_told_why_whatever_was_expired(table: Table) -> None:
    with waiting(table, 2) as found:
        for number in range(4):
            table.overwrite(pa.table({"other": [number]}))
        table.expire(_NOTHING, keep_last=2)
    for future in found:
        with pytest.raises(AtioError, match="who"):
            future.result()


def test_what_was_not_carried_out_is_done_again_although_older_versions_were_expired(table: Table) -> None:
    for who in range(3):
        table.append(rows(who))
    with waiting(table, 1) as found:
        for received in storage_of(table).received():
            assert received.take()
        table.append(rows(9))
        table.expire(_NOTHING, keep_last=2)
    assert found[0].result().version == 6
    assert sorted(table.to_arrow()["who"].to_pylist()) == [-1, 0, 0, 1, 2, 9]


def test_an_unknown_outcome_is_unknown_to_all(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    swap = LocalStorage.swap

    def land_and_fail(self: LocalStorage, *arguments: Any) -> str:
        swap(self, *arguments)
        raise OutcomeUnknownError("injected")

    with waiting(table, 2) as found, monkeypatch.context() as patched:
        swaps(patched, land_and_fail)
        with pytest.raises(OutcomeUnknownError, match="injected"):
            table.append(rows(9))
    for future in found:
        with pytest.raises(OutcomeUnknownError, match="another writer"):
            future.result()
    check(table, 9, 0, 1)


def test_a_wait_that_is_too_long_withdraws(table: Table) -> None:
    with waiting(table, 2, lock_timeout=0.1) as found:
        for future in found:
            with pytest.raises(LockTimeoutError):
                future.result()
        table.append(rows(9))
    check(table, 9)
    assert not table.vacuum(older_than=_NOTHING).files


def test_a_wait_that_is_too_long_for_what_was_taken_is_unknown(table: Table) -> None:
    with waiting(table, 2, lock_timeout=0.1) as found:
        for received in storage_of(table).received():
            assert received.take()
        for future in found:
            with pytest.raises(OutcomeUnknownError):
                future.result()
    check(table)


@pytest.mark.parametrize("writing", [True, False], ids=["by a commit", "by a vacuum"])
def test_requests_of_the_dead_are_removed(table: Table, *, writing: bool) -> None:
    folder = Path(path_of(table)) / "requests"
    code = (
        "import sys, os, pyarrow as pa\n"
        "from atio import Table\n"
        "from atio.storage.requests import FileRequest\n"
        "FileRequest.wait = lambda self: os.kill(os.getpid(), 9)\n"
        "Table.open(sys.argv[1]).append(pa.table({'who': [0]}))\n"
    )
    with storage_of(table).exclusive():
        died = subprocess.run([sys.executable, "-c", code, path_of(table)], check=False)
        assert died.returncode == -9
        assert len(list(folder.iterdir())) == 1
        if writing:
            table.append(rows(9))
    if not writing:
        table.vacuum()
    assert not list(folder.iterdir())
    check(table, *([9] if writing else []))


@pytest.mark.parametrize(
    "bad",
    [b"", b"{}", b"\xff" * 40, b"[" * 10_000, b'{"identity":"../../etc","staged":{}}'],
    ids=["empty", "object", "binary", "deep", "path"],
)
def test_what_is_no_request_is_left_alone(table: Table, bad: bytes) -> None:
    posted = storage_of(table).post(bad)
    assert posted is not None
    table.append(rows(9))
    assert posted.withdraw()
    posted.close()
    check(table, 9)


def test_a_request_cannot_lead_out_of_the_folder(table: Table, tmp_path: Path) -> None:
    (tmp_path / "secret.parquet").write_bytes(b"x")
    staged = table.stage(rows(0))
    shared = sharing.share(staged, None, None, new_id())
    posted = storage_of(table).post(
        shared.replace(staged.files[0].path.encode(), b"data/../../secret.parquet")
    )
    assert posted is not None
    table.append(rows(9))
    assert posted.withdraw()
    posted.close()
    check(table, 9)


def test_a_torn_request_is_not_seen(table: Table) -> None:
    """Its writer may be about to write the rest."""
    posted = storage_of(table).post(b"x" * 1000)
    assert posted is not None
    (file,) = (Path(path_of(table)) / "requests").iterdir()
    whole = file.read_bytes()
    for size in (0, 5, 20, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert not list(storage_of(table).received())
    posted.withdraw()
    posted.close()


def test_interrupted_while_waiting(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("atio.storage.requests.FileRequest.wait", interrupt)
    done = threading.Event()

    def hold() -> None:
        with storage_of(table).exclusive():
            held.set()
            done.wait()

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        with pytest.raises(KeyboardInterrupt):
            Table.open(path_of(table)).append(rows(0))
    finally:
        done.set()
        thread.join()
    check(table)
