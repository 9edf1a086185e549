"""``_SUCCESS`` flags: what they vouch for, at every moment."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import atio
from atio.errors import AtioError, DamagedError, NotFoundError, StorageError
from atio.writers import flags
from atio.writers.targets import LocalTarget


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.txt"


@pytest.fixture
def flag(path: Path) -> Path:
    return path.with_name(".data.txt._SUCCESS")


def test_a_flag_has_size_checksum_and_time(path: Path, flag: Path) -> None:
    before = datetime.now(UTC)
    atio.write("content", path, success_flag=True)
    found = json.loads(flag.read_text())
    assert found["file"] == "data.txt"
    assert found["size"] == 7
    assert found["sha256"] == hashlib.sha256(b"content").hexdigest()
    assert before <= datetime.fromisoformat(found["time"]) <= datetime.now(UTC)
    vouched = atio.verify(path)
    assert (vouched.size, vouched.sha256) == (found["size"], found["sha256"])
    assert datetime.now(UTC) - vouched.time < timedelta(minutes=1)
    assert sorted(p.name for p in path.parent.iterdir()) == [flag.name, path.name]


@pytest.mark.parametrize("damage", [b"contenT", b"content ", b"", b"c"])
def test_damage_is_noticed(path: Path, damage: bytes) -> None:
    atio.write("content", path, success_flag=True)
    path.write_bytes(damage)
    with pytest.raises(DamagedError) as caught:
        atio.verify(path)
    assert caught.value.file == str(path)


def test_what_is_missing(path: Path, flag: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        atio.verify(path)
    path.write_text("content")
    with pytest.raises(NotFoundError, match="no _SUCCESS"):
        atio.verify(path)
    atio.write("content", path, success_flag=True)
    path.unlink()
    with pytest.raises(NotFoundError, match="no such file"):
        atio.verify(path)
    flag.write_text("OK\n")  # the flag of atio 2
    with pytest.raises(DamagedError, match="cannot be read"):
        atio.verify(path)


def test_a_write_without_flag_takes_the_old_one_away(path: Path, flag: Path) -> None:
    """What it vouched for is gone."""
    atio.write("first", path, success_flag=True)
    atio.write("second", path)
    assert not flag.exists()


def test_a_write_that_fails_leaves_file_and_flag(path: Path, flag: Path) -> None:
    atio.write("first", path, success_flag=True)
    content = flag.read_bytes()

    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise RuntimeError

    for success_flag in (True, False):
        with pytest.raises(RuntimeError):
            atio.write(rows(), path, "csv", success_flag=success_flag)
    assert flag.read_bytes() == content
    assert atio.verify(path).size == 5


def test_the_flag_of_a_link_is_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to("real/file.txt")
    atio.write("x", tmp_path / "link.txt", success_flag=True)
    assert sorted(p.name for p in (tmp_path / "real").iterdir()) == [".file.txt._SUCCESS", "file.txt"]
    assert atio.verify(tmp_path / "link.txt") == atio.verify(tmp_path / "real/file.txt")


def test_at_no_step_is_a_whole_file_without_its_flag(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at before and after every rename of an overwrite, and left there: as a crash would."""
    atio.write("first", path, success_flag=True)
    replace = os.replace
    seen: list[int] = []

    class CrashError(BaseException):
        pass

    def step(source: str, target: str) -> None:
        seen.append(atio.verify(path).size)
        if len(seen) == stop:
            raise CrashError
        replace(source, target)
        seen.append(atio.verify(path).size)
        if len(seen) == stop:
            raise CrashError

    for stop in range(1, 8):
        seen.clear()
        monkeypatch.setattr(os, "replace", step)
        try:
            atio.write(f"content {stop}", path, success_flag=True)
        except CrashError:
            pass
        finally:
            monkeypatch.setattr(os, "replace", replace)
        assert len(seen) == min(stop, 6)
        assert atio.verify(path).size == path.stat().st_size
    assert "pending" not in path.with_name(".data.txt._SUCCESS").read_text()


def test_writers_of_one_flag(path: Path) -> None:
    """File and flag change in the same order, whoever writes."""
    failures: list[AtioError] = []
    done = threading.Event()

    def work(number: int) -> None:
        for turn in range(6):
            atio.write(f"{number} {turn} " * (number + 1), path, success_flag=True, durable=False)

    def look() -> None:
        while not done.is_set():
            try:
                atio.verify(path)
            except AtioError as error:
                failures.append(error)

    atio.write("first", path, success_flag=True)
    watcher = threading.Thread(target=look)
    watcher.start()
    writers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    assert not failures
    atio.verify(path)
    assert len(list(path.parent.iterdir())) == 2


def test_a_flag_that_cannot_be_written_is_no_lost_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StorageError("no space left", file="flag")

    monkeypatch.setattr(flags.Flagging, "_save", fail)
    with pytest.raises(StorageError, match="the file was written"):
        atio.write("content", path, success_flag=True)
    assert path.read_text() == "content"


def test_flags_of_objects_in_a_store() -> None:
    from atio.storage import MemoryStorage

    url = "memory://test-flags/x.txt"
    try:
        atio.write("one", url, success_flag=True)
        atio.write("three", url, success_flag=True)
        assert atio.verify(url).size == 5
        atio.write("two", url)
        with pytest.raises(NotFoundError):
            atio.verify(url)
    finally:
        MemoryStorage.forget("test-flags")


def test_the_place_of_a_flag() -> None:
    assert LocalTarget("/a/b.csv").beside(flags._name).url == "/a/.b.csv._SUCCESS"
