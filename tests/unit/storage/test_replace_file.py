"""One file replaced: the old one or the new one, whole, and nothing beside it."""

from __future__ import annotations

import errno
import gc
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atio.errors import (
    AccessError,
    AtioError,
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    StorageError,
    StorageFullError,
)
from atio.storage import replace as replacing
from atio.storage.replace import Replacement, replace_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX semantics")

OLD, NEW = b"old content", b"new content, and longer"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(OLD)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unchanged(target: Path) -> bool:
    return target.read_bytes() == OLD and names(target.parent) == [target.name]


# -- what it does ------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("content", [b"", NEW, memoryview(NEW), bytearray(1 << 20)])
def test_a_file_is_replaced_or_made(tmp_path: Path, content: bytes, durable: bool) -> None:
    target = tmp_path / "data.bin"
    for _ in range(2):
        replace_file(target, content, durable=durable)
        assert target.read_bytes() == bytes(content)
        assert names(tmp_path) == ["data.bin"]


def test_libraries_may_write_seek_and_close_the_stream(target: Path) -> None:
    with Replacement(target) as new:
        assert new.file.seekable()
        new.file.write(b"----")
        new.file.seek(0)
        new.file.write(b"ab")
        assert new.file.tell() == 2
        new.file.close()
        assert target.read_bytes() == OLD
    assert target.read_bytes() == b"ab--"


def test_libraries_may_open_the_path(target: Path) -> None:
    with Replacement(target) as new:
        Path(new.path).write_bytes(NEW)
        assert new.size() == len(NEW)
        assert Path(new.path).parent == target.parent
        assert Path(new.path).name == ".data.bin.0.atio.tmp"
    assert target.read_bytes() == NEW


def test_a_library_must_not_swap_the_file_itself(target: Path) -> None:
    """Some write beside the path and rename: what would be synced then is another file."""
    with pytest.raises(StorageError, match="replaced while it was written"), Replacement(target) as new:
        other = target.with_name("other")
        other.write_bytes(NEW)
        other.rename(new.path)
    Path(target.with_name(".data.bin.0.atio.tmp")).unlink()
    assert unchanged(target)


def test_the_mode_is_kept(target: Path) -> None:
    for mode in (0o600, 0o644, 0o640, 0o444, 0o755):
        target.chmod(mode)
        with Replacement(target) as new:
            assert stat.S_IMODE(Path(new.path).stat().st_mode) == mode, "secrets stay secret while written"
            new.file.write(NEW)
        assert stat.S_IMODE(target.stat().st_mode) == mode


def test_a_mode_changed_meanwhile_is_kept(target: Path) -> None:
    with Replacement(target):
        target.chmod(0o600)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_new_file_heeds_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "x", NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_kept(target: Path) -> None:
    os.chown(target, 12345, 54321)
    replace_file(target, NEW)
    assert (target.stat().st_uid, target.stat().st_gid) == (12345, 54321)


@pytest.mark.skipif(sys.platform != "linux", reason="attributes of Linux")
def test_attributes_are_kept(target: Path) -> None:
    try:
        os.setxattr(target, "user.origin", b"lab 7")
    except OSError:
        pytest.skip("the file system has no attributes")
    replace_file(target, NEW)
    assert os.getxattr(target, "user.origin") == b"lab 7"


def test_links_are_followed(target: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "a").symlink_to(target)
    (folder / "b").symlink_to("a")
    with Replacement(folder / "b") as new:
        assert Path(new.path).parent == target.parent, "a rename works within one file system only"
        new.file.write(NEW)
    assert target.read_bytes() == NEW
    assert (folder / "b").readlink() == Path("a")
    assert names(folder) == ["a", "b"]


def test_a_link_that_leads_nowhere_yet(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    replace_file(tmp_path / "link", NEW)
    assert (tmp_path / "real").read_bytes() == NEW
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "a\nb", "*?[x]{y}", ".hidden", "s3:", "-", "名前"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    replace_file(tmp_path / name, OLD)
    replace_file(tmp_path / name, NEW)
    assert (tmp_path / name).read_bytes() == NEW
    assert names(tmp_path) == [name]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff" + b"\xfe" * 240
    replace_file(path, NEW)  # type: ignore[arg-type]
    assert [os.fsencode(found.name) for found in tmp_path.iterdir()] == [b"\xff" + b"\xfe" * 240]


# -- targets that cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a\0b", "folder/", "folder", "fifo", "loop"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError):
        replace_file(f"{tmp_path}/{name}" if name else "", NEW)
    assert names(tmp_path) == ["fifo", "folder", "loop"]


def test_a_missing_folder_is_named(tmp_path: Path, target: Path) -> None:
    for folder in ("no", target.name):  # a file is no folder either
        with pytest.raises(NotFoundError, match=f"no folder.*{folder}") as caught:
            replace_file(tmp_path / folder / "x", NEW)
        assert isinstance(caught.value, FileNotFoundError)
    assert unchanged(target)


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(InputError, match="not a regular file"):
        replace_file("/dev/null", NEW)


# -- failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_an_exception_changes_nothing(target: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), Replacement(target, backup=True) as new:
        new.file.write(NEW)
        new.file.flush()
        raise error
    assert unchanged(target)


def test_a_library_that_writes_after_the_end_harms_nobody(target: Path) -> None:
    """Files are finished when they are collected, long after their write has failed."""
    kept = []
    with pytest.raises(RuntimeError), Replacement(target) as new:
        new.file.write(b"buffered")
        kept.append(new.file)
        raise RuntimeError
    with Replacement(target) as new:
        kept[0].write(b"late")
        kept[0].flush()
        new.file.write(OLD)
    assert unchanged(target)
    kept.clear()
    gc.collect()
    assert unchanged(target)


def test_the_space_of_a_failed_write_is_free_at_once(target: Path) -> None:
    """Libraries hold files open until they are collected, which may be long after."""
    kept = []
    with pytest.raises(RuntimeError), Replacement(target) as new, Path(new.path).open("r+b") as own:
        new.file.write(bytes(1 << 20))
        new.file.flush()
        kept += [new.file, os.dup(own.fileno())]
        raise RuntimeError
    assert os.fstat(kept[1]).st_size == 0
    os.close(kept[1])
    assert stat.S_ISCHR(os.fstat(kept[0].fileno()).st_mode), "the descriptor holds no file any more"


Fail = Callable[..., object]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Make a function of ``os`` fail, the folder's fsync excepted."""

    def install(name: str, number: int) -> None:
        real = getattr(os, name)

        def fail(*args: object, **kwargs: object) -> object:
            if name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode):  # type: ignore[arg-type]
                return real(*args, **kwargs)
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, name, fail)

    return install


@pytest.mark.parametrize(
    ("name", "number", "error"),
    [
        ("write", errno.ENOSPC, StorageFullError),
        ("write", errno.EIO, StorageError),
        ("fsync", errno.EIO, StorageError),
        ("fsync", errno.EDQUOT, StorageFullError),
        ("replace", errno.EACCES, AccessError),
        ("replace", errno.EIO, StorageError),
        ("fchmod", errno.EIO, StorageError),
    ],
)
def test_a_failing_system_changes_nothing(
    target: Path, failing: Callable[[str, int], None], name: str, number: int, error: type[AtioError]
) -> None:
    target.chmod(0o600)
    failing(name, number)
    with pytest.raises(error) as caught:
        replace_file(target, NEW)
    assert caught.value.file == str(target)
    assert unchanged(target)


def test_a_stream_that_cannot_be_flushed(target: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(StorageFullError), Replacement(target) as new:
        new.file.write(NEW)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, new.file.fileno())
        os.close(full)
        assert new.failure is None
        with pytest.raises(OSError, match="No space"):
            new.file.flush()
        assert new.failure is not None, "for those who translate what libraries say instead"
    assert unchanged(target)


def test_a_replacement_whose_answer_was_lost(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS: an error, yet done."""
    real = os.replace

    def lost(source: str, path: str) -> None:
        real(source, path)
        raise OSError(errno.EIO, "answer lost")

    monkeypatch.setattr(os, "replace", lost)
    replace_file(target, NEW)
    assert target.read_bytes() == NEW
    assert names(target.parent) == [target.name]


def test_a_folder_that_cannot_be_synced_is_an_unknown_outcome(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fail(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "failed")
        real(fd)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutcomeUnknownError):
        replace_file(target, NEW)
    assert target.read_bytes() == NEW
    assert names(target.parent) == [target.name]


def test_a_replacement_and_then_another_file_is_an_unknown_outcome(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(source: str, path: str) -> None:
        Path(source).unlink()
        raise OSError(errno.EIO, "failed")

    monkeypatch.setattr(os, "replace", overtaken)
    with pytest.raises(OutcomeUnknownError):
        replace_file(target, NEW)


def test_content_is_synced_before_the_name_and_the_name_before_the_end(
    target: Path, syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (syncs.done.append("replace"), real(a, b)))
    with Replacement(target) as new:
        new.file.write(NEW)
        path = new.path
    assert syncs.done == [path, "replace", str(target.parent)]
    syncs.done.clear()
    replace_file(target, NEW, durable=False)
    assert syncs.done == ["replace"]


def test_descriptors_are_not_leaked(target: Path, count_descriptors: Callable[[], int]) -> None:
    gc.collect()
    before = count_descriptors()
    for failure in (None, RuntimeError, None, KeyboardInterrupt):
        try:
            with Replacement(target, backup=True) as new:
                new.file.write(NEW)
                if failure:
                    raise failure
        except (RuntimeError, KeyboardInterrupt):
            pass
        del new
        gc.collect()
    assert count_descriptors() == before


# -- backups -----------------------------------------------------------------------------------------


def test_the_previous_file_is_kept(target: Path) -> None:
    target.chmod(0o600)
    replace_file(target, NEW, backup=True)
    backup = target.with_name("data.bin.bak")
    assert (backup.read_bytes(), target.read_bytes()) == (OLD, NEW)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    replace_file(target, b"third", backup=True)
    assert (backup.read_bytes(), target.read_bytes()) == (NEW, b"third")
    assert names(target.parent) == ["data.bin", "data.bin.bak"]


def test_a_first_file_has_no_backup(tmp_path: Path) -> None:
    replace_file(tmp_path / "x", NEW, backup=True)
    assert names(tmp_path) == ["x"]


def test_a_backup_where_there_are_no_links(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    target.chmod(0o640)
    replace_file(target, NEW, backup=True)
    backup = target.with_name("data.bin.bak")
    assert (backup.read_bytes(), target.read_bytes()) == (OLD, NEW)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o640
    assert names(target.parent) == ["data.bin", "data.bin.bak"]


def test_a_backup_of_a_file_that_is_replaced_meanwhile(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux: a link to a file that was replaced between lookup and link fails as if there were none."""
    real, failures = os.link, []

    def lose(source: str, path: str) -> None:
        if len(failures) < 3:
            failures.append(source)
            raise FileNotFoundError(errno.ENOENT, "replaced meanwhile")
        real(source, path)

    monkeypatch.setattr(os, "link", lose)
    replace_file(target, NEW, backup=True)
    assert target.with_name("data.bin.bak").read_bytes() == OLD


def test_a_backup_that_is_the_file_itself(target: Path) -> None:
    """A run killed between backup and replacement leaves two names of one file."""
    backup = target.with_name("data.bin.bak")
    os.link(target, backup)
    replace_file(target, NEW, backup=True)
    assert (backup.read_bytes(), target.read_bytes()) == (OLD, NEW)
    assert names(target.parent) == ["data.bin", "data.bin.bak"]


def test_a_backup_that_fails_changes_nothing(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StorageFullError):
        replace_file(target, NEW, backup=True)
    assert unchanged(target)


# -- leftovers ---------------------------------------------------------------------------------------


def leftover(target: Path, number: int, *, backup: bool = False) -> Path:
    path = target.with_name(f".{target.name}.{number:x}{'.bak' if backup else ''}.atio.tmp")
    path.write_bytes(b"half a fi")
    return path


def test_leftovers_of_the_dead_are_removed(target: Path) -> None:
    for number in (0, 1, 2, 5, 7, 8, 9):
        leftover(target, number)
    leftover(target, 1, backup=True)
    replace_file(target, OLD)
    assert unchanged(target)


def test_files_of_others_are_left_alone(target: Path) -> None:
    others = [".data.bin.tmp", ".data.binx.0.atio.tmp", "data.bin.0.atio.tmp", ".other.0.atio.tmp"]
    for name in others:
        target.with_name(name).write_bytes(b"not ours")
    replace_file(target, NEW)
    assert names(target.parent) == sorted([*others, target.name])


def test_what_stands_in_the_way_is_passed_by(target: Path) -> None:
    target.with_name(".data.bin.0.atio.tmp").mkdir()
    target.with_name(".data.bin.1.atio.tmp").symlink_to("data.bin")
    replace_file(target, NEW)
    assert target.read_bytes() == NEW
    assert len(names(target.parent)) == 3


def test_living_writers_of_this_process_are_left_alone(target: Path) -> None:
    with Replacement(target) as first, Replacement(target) as second:
        assert first.path != second.path
        second.file.write(b"second")
        replace_file(target, b"third")
        assert target.read_bytes() == b"third"
        first.file.write(b"first")
    assert target.read_bytes() == b"first", "the last one to finish"
    assert names(target.parent) == [target.name]


@pytest.fixture
def writer() -> Iterator[Callable[[Path], subprocess.Popen[bytes]]]:
    """Start processes that have written half of a file."""
    code = (
        "import sys; from atio.storage.replace import Replacement\n"
        "with Replacement(sys.argv[1]) as new:\n"
        " new.file.write(b'half'); new.file.flush()\n"
        " print(new.path, flush=True); sys.stdin.readline(); new.file.write(b' whole')\n"
    )
    started = []

    def start(path: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        process.hidden = Path(os.fsdecode(process.stdout.readline().strip()))  # type: ignore[attr-defined]
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_living_writers_elsewhere_are_left_alone_and_killed_ones_cleaned_up(target: Path, writer) -> None:
    first, second = writer(target), writer(target)
    replace_file(target, b"ours")
    assert len(names(target.parent)) == 3
    first.kill()
    first.wait()
    assert first.hidden.exists()
    replace_file(target, b"ours")
    assert not first.hidden.exists()
    assert second.hidden.exists()
    assert target.read_bytes() == b"ours"
    second.communicate(b"\n")
    assert target.read_bytes() == b"half whole"
    assert names(target.parent) == [target.name]


def test_a_young_file_may_be_taken_for_a_dead_ones(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between making and locking it, another writer may remove it: then there is a next one."""
    real = replacing.LockedFile
    robbed: list[str] = []

    def rob(path: str, *, create: bool) -> object:
        if len(robbed) < 3:
            robbed.append(path)
            Path(path).unlink()
            if len(robbed) == 2:
                Path(path).write_bytes(b"another writer's")
        return real(path, create=create)

    monkeypatch.setattr(replacing, "LockedFile", rob)
    with Replacement(target) as new:
        monkeypatch.undo()
        assert new.path not in robbed
        new.file.write(NEW)
    assert target.read_bytes() == NEW
    assert Path(robbed[1]).read_bytes() == b"another writer's"


@pytest.mark.parametrize("moment", range(1, 5))
def test_an_interrupt_while_the_file_is_made(
    target: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Control-C right after a system call: the file is there, and nobody knows it yet."""
    real, calls = os.open, []

    def interrupted(path: str, *args: object, **kwargs: object) -> int:
        fd = real(path, *args, **kwargs)  # type: ignore[arg-type]
        calls.append(path)
        if len(calls) == moment:
            os.close(fd)
            raise KeyboardInterrupt
        return fd

    monkeypatch.setattr(os, "open", interrupted)
    try:
        replace_file(target, OLD)
    except KeyboardInterrupt:
        assert len(calls) >= moment
    assert unchanged(target)


def test_without_locks_nothing_is_removed(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No locks, no way to tell the dead from the living."""

    def no_locks(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    other = leftover(target, 0)
    monkeypatch.setattr("atio.storage.locking._lock", no_locks)
    replace_file(target, NEW)
    assert target.read_bytes() == NEW
    assert other.exists()
    assert len(names(target.parent)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_its_parents_file_alone(target: Path) -> None:
    with Replacement(target) as new:
        new.file.write(b"from the ")
        new.file.flush()
        child = os.fork()
        if child == 0:
            try:
                new.__exit__(RuntimeError, RuntimeError(), None)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert Path(new.path).exists()
        new.file.write(b"parent")
    assert target.read_bytes() == b"from the parent"


def test_threads_that_write_at_once(target: Path) -> None:
    contents = [bytes([65 + i]) * 50_000 for i in range(8)]
    torn: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = target.read_bytes()
            if found not in (OLD, *contents):
                torn.append(found)

    def write(content: bytes) -> None:
        for _ in range(20):
            replace_file(target, content, durable=False)

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not torn
    assert names(target.parent) == [target.name]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a list of open descriptors")
def test_the_space_of_a_large_file_is_free_before_the_next_is_written(tmp_path: Path) -> None:
    """A thread gives it back; the next replacement waits for it, and a failed one keeps nothing open."""
    target = tmp_path / "large"

    def held() -> set[str]:
        opened = {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
        return {path for path in opened if path.startswith(str(tmp_path))}

    for number in range(3):
        replace_file(target, bytes([number]) * (5 << 20))
        with pytest.raises(KeyError), Replacement(target) as replacement:
            assert held() == {replacement.path, str(tmp_path)}
            raise KeyError
    assert not held()
    assert target.read_bytes() == b"\2" * (5 << 20)
