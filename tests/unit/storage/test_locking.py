"""Locks and leases among threads, processes and their children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atio.errors import ConflictError, LockTimeoutError, StorageError
from atio.storage import LocalStorage
from atio.storage.locking import LockedFile

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Run code in a new process; it finds ``storage`` made."""
    running = []
    head = (
        "import os, signal, sys\nfrom atio.storage import LocalStorage\nstorage = LocalStorage(sys.argv[1])\n"
    )

    def run(code: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", head + code, str(root), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def is_free(root: Path) -> bool:
    """Tell whether a handle of its own can take the lock at once."""
    try:
        with LocalStorage(root, lock_timeout=0).exclusive():
            return True
    except LockTimeoutError:
        return False


# -- waiting -------------------------------------------------------------------------------------


def test_timeout(root: Path, fake) -> None:
    """Short pauses first, longer ones later, and an error that says who might hold the lock."""
    waiting = LocalStorage(root, lock_timeout=3, clock=fake.clock, sleep=fake.sleep)
    with LocalStorage(root).exclusive(), pytest.raises(LockTimeoutError, match="waited 3 s") as caught:
        waiting.swap("current", b"x", None)
    assert waiting.load("current") is None
    assert 3 <= fake.now < 3.01
    assert 0.0001 <= fake.pauses[0] <= 0.0003
    assert max(fake.pauses) <= 0.0075
    assert fake.pauses != sorted(fake.pauses)  # jitter: waiters do not march in step
    if sys.platform == "linux":
        assert "handle of this process" in str(caught.value)


def test_the_lock_is_taken_when_it_comes_free(root: Path, fake) -> None:
    """Waiting ends with the wait, not with the timeout."""
    holder = LocalStorage(root).exclusive()
    holder.__enter__()

    def let_go() -> None:
        if len(fake.pauses) == 5:
            holder.__exit__(None, None, None)

    fake.action = let_go
    with LocalStorage(root, clock=fake.clock, sleep=fake.sleep).exclusive():
        assert len(fake.pauses) == 5
        assert not is_free(root)


def test_a_lock_file_removed_while_waiting(root: Path, fake) -> None:
    """A lock on a file that is no longer there would exclude nobody: the new one is locked instead."""
    holder = LocalStorage(root).exclusive()
    holder.__enter__()

    def remove() -> None:
        if len(fake.pauses) == 1:
            (root / ".lock").unlink()
            holder.__exit__(None, None, None)

    fake.action = remove
    with LocalStorage(root, clock=fake.clock, sleep=fake.sleep).exclusive():
        assert not is_free(root)
    assert is_free(root)


def test_a_stray_copy_does_not_keep_the_lock(root: Path, count_descriptors) -> None:
    """A child between fork and exec has copies of all descriptors; the lock ends all the same."""
    before = count_descriptors()
    with LocalStorage(root).exclusive():
        fds = [int(link.name) for link in Path("/proc/self/fd").iterdir()]
        (locked,) = [fd for fd in fds if _leads_to(fd, root / ".lock")]
        copy = os.dup(locked)
    try:
        assert is_free(root)
    finally:
        os.close(copy)
    assert count_descriptors() == before


def _leads_to(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:  # the listing's own descriptor
        return False


def test_threads_of_one_handle(root: Path) -> None:
    """A thread that cannot have it in time is told so; the holder's reentrancy is not shared."""
    storage = LocalStorage(root, lock_timeout=0)
    failures = []

    def enter() -> None:
        try:
            with storage.exclusive():
                failures.append("entered")
        except LockTimeoutError as error:
            failures.append(str(error))

    with storage.exclusive(), storage.exclusive():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert not is_free(root)
    assert len(failures) == 1
    assert "another thread" in failures[0]
    assert is_free(root)


def test_no_locks_on_this_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without locks nothing is written: going on would lose commits."""
    import errno
    import fcntl

    def unsupported(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    storage = LocalStorage(root)
    with pytest.raises(StorageError, match="offers no locks"):
        storage.swap("current", b"x", None)
    assert storage.load("current") is None


# -- processes -----------------------------------------------------------------------------------


def test_a_killed_holder_frees_the_lock(root: Path, start: Start) -> None:
    """While it lives nobody enters, and the error names it; when it is killed the lock is free."""
    process = start("with storage.exclusive():\n    print('held', flush=True)\n    sys.stdin.read()")
    assert process.stdout.readline() == "held\n"
    with pytest.raises(LockTimeoutError) as caught:
        LocalStorage(root, lock_timeout=0).swap("current", b"x", None)
    if sys.platform == "linux":
        assert f"process {process.pid} (" in str(caught.value)
    process.send_signal(signal.SIGKILL)
    process.wait()
    LocalStorage(root, lock_timeout=0).swap("current", b"x", None)


def test_leases_of_the_killed_are_dead(root: Path, start: Start) -> None:
    """Their files are removed by whoever looks; leases of the living stay."""
    storage = LocalStorage(root)
    mine = storage.lease("mine")
    process = start("lease = storage.lease('theirs')\nprint('leased', flush=True)\nsys.stdin.read()")
    assert process.stdout.readline() == "leased\n"
    assert storage.live_leases() == {"mine", "theirs"}
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (root / "leases/theirs").exists()
    assert storage.live_leases() == {"mine"}
    assert {path.name for path in (root / "leases").iterdir()} == {"mine"}
    mine.release()


FORKED = """
lease = storage.lease('theirs')
lock = storage.exclusive()
lock.__enter__()
if os.fork() == 0:
    os.write(1, b'child\\n')
    sys.stdin.readline()
    os.write(1, b'still here\\n')
    os._exit(0)
signal.pause()
"""


def test_a_forked_child_does_not_keep_the_locks(root: Path, start: Start) -> None:
    """The child outlives its killed parent, the parent's lock and lease do not."""
    process = start(FORKED)
    assert process.stdout.readline() == "child\n"
    storage = LocalStorage(root, lock_timeout=0)
    assert not is_free(root)
    assert storage.live_leases() == {"theirs"}
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert is_free(root)
    assert storage.live_leases() == frozenset()
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "still here\n"


def test_a_forked_child_does_not_release_its_parents_locks(root: Path, start: Start) -> None:
    """Leaving the block in the child neither unlocks the parent's lock nor ends its lease."""
    process = start(
        "with storage.exclusive():\n"
        "    lease = storage.lease('theirs')\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        os.waitpid(child, 0)\n"
        "        os.write(1, b'child left\\n')\n"
        "        sys.stdin.readline()\n"
        "    else:\n"
        "        lease.release()\n"
        "if child:\n"
        "    os.write(1, b'parent left\\n')\n"
        "    sys.stdin.readline()\n"
    )
    assert process.stdout.readline() == "child left\n"
    assert not is_free(root)
    assert LocalStorage(root).live_leases() == {"theirs"}
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "parent left\n"
    assert is_free(root)


def test_a_forked_child_does_not_inherit_the_right_to_enter(root: Path, start: Start) -> None:
    """In the block that it was forked in, a child has to wait for its parent like anybody else."""
    process = start(
        "from atio.errors import LockTimeoutError\n"
        "storage = LocalStorage(sys.argv[1], lock_timeout=0)\n"
        "with storage.exclusive():\n"
        "    with storage.exclusive():\n"
        "        child = os.fork()\n"
        "    if child == 0:\n"
        "        try:\n"
        "            storage.swap('current', b'stolen', None)\n"
        "        except LockTimeoutError:\n"
        "            os._exit(7)\n"
        "        os._exit(1)\n"
        "    os.write(1, b'%d\\n' % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert process.stdout.readline() == "7\n"
    assert LocalStorage(root).load("current") is None


def test_a_forked_child_can_lock(root: Path, start: Start) -> None:
    """A child forked while another thread held the lock starts with a fresh state."""
    process = start(
        "import threading\n"
        "held, go = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with storage.exclusive():\n"
        "        held.set()\n"
        "        go.wait()\n"
        "thread = threading.Thread(target=hold)\n"
        "thread.start()\n"
        "held.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.stdin.readline()\n"
        "    def write():\n"
        "        storage.swap('current', b'content', None)\n"
        "        storage.lease('writer').release()\n"
        "    thread = threading.Thread(target=write, daemon=True)\n"
        "    thread.start()\n"
        "    thread.join(10)\n"
        "    os._exit(7)\n"
        "go.set()\n"
        "thread.join()\n"
        "os.write(1, b'free\\n')\n"
        "os.write(1, b'%d\\n' % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert process.stdout.readline() == "free\n"
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "7\n"
    assert LocalStorage(root).read("current") == b"content"


COUNT = """
from atio.errors import ConflictError
storage = LocalStorage(sys.argv[1], durable=False)  # so that nothing but the lock keeps them in order
done = 0
print('ready', flush=True)
sys.stdin.readline()
while done < int(sys.argv[2]):
    value = storage.load('current')
    count = int(value.data.split()[0]) if value else 0
    try:
        storage.swap('current', b'%d by %d' % (count + 1, os.getpid()), value.token if value else None)
    except ConflictError:
        continue
    done += 1
"""


def test_processes_count_up(root: Path, start: Start) -> None:
    """Four processes, fifty swaps each, no count lost."""
    processes = [start(COUNT, "50") for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0] * 4
    assert LocalStorage(root).read("current").split()[0] == b"200"
    assert {path.name for path in root.iterdir()} == {"current", ".lock"}


# -- leases --------------------------------------------------------------------------------------


def test_a_lease_checked_before_it_is_locked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker takes the new file for a dead one and removes it: the writer makes another."""
    checks = []
    try_lock = LockedFile.try_lock

    def checked_first(file: LockedFile) -> bool:
        if not checks:
            checks.append(None)
            checks[0] = LocalStorage(root).live_leases()
        return try_lock(file)

    storage = LocalStorage(root)
    monkeypatch.setattr(LockedFile, "try_lock", checked_first)
    lease = storage.lease("writer")
    assert checks == [frozenset()]
    assert (root / "leases/writer").exists()
    assert storage.live_leases() == {"writer"}
    lease.release()


def test_a_lease_name_in_use(root: Path, fake) -> None:
    """Two live writers cannot have one name."""
    lease = LocalStorage(root).lease("writer")
    with pytest.raises(LockTimeoutError):
        LocalStorage(root, lock_timeout=1, clock=fake.clock, sleep=fake.sleep).lease("writer")
    assert LocalStorage(root).live_leases() == {"writer"}
    lease.release()


def test_a_forgotten_lease_is_dead(root: Path) -> None:
    """A lease lives as long as its object."""
    storage = LocalStorage(root)
    lease = storage.lease("writer")
    assert storage.live_leases() == {"writer"}
    del lease
    assert storage.live_leases() == frozenset()
    assert list((root / "leases").iterdir()) == []


def test_looking_makes_nothing(root: Path) -> None:
    """Asking for leases, the pointer or a listing does not bring a table into being."""
    storage = LocalStorage(root)
    assert storage.live_leases() == frozenset()
    assert storage.load("current") is None
    assert list(storage.list()) == []
    storage.delete(["data/x"])
    with pytest.raises(ConflictError):
        LocalStorage(root / "other").swap("current", b"x", "token")
    assert not (root / "current").exists()


def test_waiting_in_the_queue_ends_in_time_and_leaves_nothing(tmp_path: Path) -> None:
    """By the real clock the system's own queue is used; who gives up must not get the lock later."""
    holder, other = LocalStorage(tmp_path), LocalStorage(tmp_path, lock_timeout=0.05)
    with (
        holder.exclusive(),
        ThreadPoolExecutor(1) as pool,
        pytest.raises(LockTimeoutError, match=r"0\.05 s"),
    ):
        pool.submit(lambda: other.exclusive().__enter__()).result()
    for _ in range(20):
        with other.exclusive():
            pass


def test_everyone_in_the_queue_gets_a_turn(tmp_path: Path) -> None:
    turns = []

    def work(number: int) -> None:
        storage = LocalStorage(tmp_path)
        for _ in range(20):
            with storage.exclusive():
                turns.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(turns) == sorted([*range(8)] * 20)
