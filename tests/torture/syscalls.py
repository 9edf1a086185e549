"""Watching a process make its system calls, one by one, and interfering: ``ptrace``.

A function runs in a forked child that stops before and after each of its system calls. A watcher sees them
all, whatever library makes them, and may kill the child there, make the call fail, or cut it short.
"""

# System calls on text paths, as those who are watched make them.
# ruff: noqa: PTH115, PTH118, PTH123

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

HANGS = 30.0
"""Seconds after which a child is taken to hang."""

# Names and arguments of the calls that can concern files: d is a folder's descriptor, p a path, f a file's
# descriptor. A path follows its folder's descriptor. The man pages of section 2 have them all.
_CALLS = """
0 read f|1 write f|2 open p|3 close f|4 stat p|5 fstat f|6 lstat p|7 poll|8 lseek f|9 mmap ----f
16 ioctl f|17 pread64 f|18 pwrite64 f|19 readv f|20 writev f|21 access p|32 dup f|33 dup2 f
40 sendfile ff|41 socket|42 connect f|44 sendto f|45 recvfrom f|46 sendmsg f|47 recvmsg f|49 bind f
51 getsockname f|54 setsockopt f|55 getsockopt f|72 fcntl f|73 flock f|74 fsync f|75 fdatasync f
76 truncate p|77 ftruncate f|80 chdir p|82 rename pp|83 mkdir p|84 rmdir p|85 creat p|86 link pp
87 unlink p|88 symlink -p|89 readlink p|90 chmod p|91 fchmod f|92 chown p|93 fchown f|94 lchown p
137 statfs p|138 fstatfs f|162 sync|187 readahead f|188 setxattr p|189 lsetxattr p|190 fsetxattr f
191 getxattr p|192 lgetxattr p|193 fgetxattr f|194 listxattr p|195 llistxattr p|196 flistxattr f
197 removexattr p|198 lremovexattr p|199 fremovexattr f|206 io_setup|217 getdents64 f|221 fadvise64 f
257 openat dp|258 mkdirat dp|260 fchownat dp|262 newfstatat dp|263 unlinkat dp|264 renameat dpdp
265 linkat dpdp|266 symlinkat -dp|267 readlinkat dp|268 fchmodat dp|269 faccessat dp|271 ppoll
275 splice f-f|277 sync_file_range f|280 utimensat dp|285 fallocate f|292 dup3 f|295 preadv f
296 pwritev f|306 syncfs f|316 renameat2 dpdp|326 copy_file_range f-f|327 preadv2 f|328 pwritev2 f
332 statx dp|425 io_uring_setup|437 openat2 dp|439 faccessat2 dp|452 fchmodat2 dp
"""
CALLS = {
    int(number): (name, "".join(arguments))
    for number, name, *arguments in (
        one.split() for line in _CALLS.split("\n") for one in line.split("|") if one
    )
}

_TRACEME, _POKEUSER, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 6, 24, 0x4200, 0x420E
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x100000  # SYSGOOD, forks and threads too, and EXITKILL
_ENTRY, _EXIT = 1, 2
_ALL_KINDS = 0x40000000  # __WALL: threads, too
_RAX, _RDX, _ORIG_RAX = 80, 96, 120  # offsets in x86-64's struct user
_WORKING_FOLDER = -100
_MARKS = 900
"""The descriptor whose writes are words to the watcher."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def why_not() -> str | None:
    """Why this cannot work here; None if it does."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "system calls are traced on Linux, x86-64"
    try:
        run(lambda: None, Watcher())
    except OSError as error:
        return f"the system forbids tracing: {error.strerror}"
    return None


class Act(Enum):
    """What is done to a call."""

    KILL = "the process is killed before it"
    FAIL = "it does nothing and fails"
    FAIL_AFTER = "it does its work and fails"
    SHORT = "half of the bytes are read or written"
    SHORT_AND_KILL = "half of the bytes are written, then the process is killed"


@dataclass(frozen=True)
class Fault:
    act: Act
    error: int = 0
    """errno"""

    def __str__(self) -> str:
        return self.act.name + (f" {errno.errorcode[self.error]}" if self.error else "")


class Process:
    """The memory and descriptors of a child that is stopped."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)

    def bytes(self, address: int, length: int) -> bytes:
        parts = []
        while length > 0:
            part = os.pread(self._memory, length, address)
            if not part:
                raise OSError(errno.EFAULT, "cannot read the child's memory")
            parts.append(part)
            address, length = address + len(part), length - len(part)
        return b"".join(parts)

    def text(self, address: int) -> str:
        found = b""
        while b"\0" not in found:
            # Up to the end of the page: the next may not exist.
            found += self.bytes(address + len(found), 4096 - (address + len(found)) % 4096)
        return os.fsdecode(found.partition(b"\0")[0])

    def where(self, fd: int) -> str | None:
        """What the descriptor leads to."""
        name = "cwd" if fd == _WORKING_FOLDER else f"fd/{fd}"
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{self.pid}/{name}")
        return None

    def position(self, fd: int) -> int:
        with open(f"/proc/{self.pid}/fdinfo/{fd}") as info:
            return int(info.readline().split()[1])

    def close(self) -> None:
        os.close(self._memory)


@dataclass
class Call:
    """One system call of one thread."""

    process: Process
    thread: int
    number: int
    args: tuple[int, ...]
    fault: Fault | None = None
    notes: dict[str, object] = field(default_factory=dict)
    """What a watcher keeps from entry to exit."""

    @property
    def name(self) -> str:
        return CALLS[self.number][0] if self.number in CALLS else f"number {self.number}"

    @property
    def is_main(self) -> bool:
        """Whether the first thread makes it."""
        return self.thread == self.process.pid

    def fd(self, place: int = 0) -> int:
        return ctypes.c_int(self.args[place]).value

    @cached_property
    def paths(self) -> list[str]:
        """Every path or open file that it concerns, in the order of its arguments."""
        found = []
        folder = _WORKING_FOLDER
        for place, kind in enumerate(CALLS.get(self.number, ("", ""))[1]):
            if kind == "d":
                folder = self.fd(place)
            elif kind == "f" and (where := self.process.where(self.fd(place))):
                found.append(where)
            elif kind == "p":
                path = self.process.text(self.args[place]) if self.args[place] else ""
                above = "" if path.startswith("/") else self.process.where(folder) or ""
                found.append(os.path.join(above, path) if path else above)
                folder = _WORKING_FOLDER
        return found

    def concerns(self, folder: str) -> bool:
        return any(path == folder or path.startswith(folder + "/") for path in self.paths)

    def __str__(self) -> str:
        names = ", ".join(path.rpartition("/")[2] or path for path in self.paths)
        return f"{self.name}({names})"


class Watcher:
    """Sees everything that the child does."""

    def entry(self, call: Call) -> Fault | None:
        """Before a call; the fault is what becomes of it."""
        return None

    def exit(self, call: Call, result: int) -> None:
        """After a call; a negative result is an errno, as the child sees it."""

    def mark(self, word: str) -> None:
        """The child said a word (``mark``); it stands still meanwhile."""


def mark(word: str) -> None:
    """Tell the watcher; for the child."""
    with contextlib.suppress(OSError):  # Nobody watches.
        os.write(_MARKS, word.encode())


@dataclass(frozen=True)
class Ending:
    """Exit code, negative for a signal."""

    code: int

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class HangError(Exception):
    """The child did not end in time."""


def run(body: Callable[[], object], watcher: Watcher) -> Ending:
    """Run ``body`` in a forked child; an exception in it is printed and makes the exit code 1."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _child(body)
    tracer = _Tracer(pid, watcher)
    try:
        with _alarm():
            return tracer.run()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        tracer.reap()
        raise
    finally:
        tracer.close()


def _child(body: Callable[[], object]) -> None:
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _MARKS)
        os.close(nowhere)
        _ptrace(_TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        body()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise HangError(f"the child did not end within {HANGS:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ptrace(request: int, tid: int, address: int = 0, data: object = 0) -> int:
    result = _libc.ptrace(request, tid, address, data)
    if result == -1 and (number := ctypes.get_errno()):
        raise OSError(number, os.strerror(number))
    return result


class _Tracer:
    """The loop around ``waitpid``: one stop of one thread at a time."""

    def __init__(self, pid: int, watcher: Watcher) -> None:
        self._pid = pid
        self._watcher = watcher
        self._calls: dict[int, Call] = {}
        self._known = {pid}
        self._processes: dict[int, Process] = {}
        self._owners: dict[int, int] = {pid: pid}
        self._info = ctypes.create_string_buffer(96)
        self._reaped = False

    def run(self) -> Ending:
        _, status = os.waitpid(self._pid, _ALL_KINDS)
        if not os.WIFSTOPPED(status):  # It could not even ask to be traced.
            self._reaped = True
            raise OSError(errno.EPERM, "ptrace is not allowed")
        _ptrace(_SETOPTIONS, self._pid, 0, _OPTIONS)
        _ptrace(_SYSCALL, self._pid)
        while True:
            tid, status = os.waitpid(-1, _ALL_KINDS)
            if os.WIFSTOPPED(status):
                # A thread that is killed while it is stopped is gone by the time of the answer.
                with contextlib.suppress(ProcessLookupError):
                    _ptrace(_SYSCALL, tid, 0, self._stopped(tid, status))
            elif tid == self._pid:
                self._reaped = True
                return Ending(os.waitstatus_to_exitcode(status))

    def reap(self) -> None:
        """Wait for the end of a child that was killed; its other threads come first."""
        while not self._reaped:
            tid, status = os.waitpid(-1, _ALL_KINDS)
            self._reaped = tid == self._pid and not os.WIFSTOPPED(status)

    def close(self) -> None:
        for process in self._processes.values():
            process.close()

    def _stopped(self, tid: int, status: int) -> int:
        """Deal with a stop; returns the signal to go on with."""
        number = os.WSTOPSIG(status)
        if number == signal.SIGTRAP | 0x80:
            self._at_call(tid)
            return 0
        if status >> 16:
            return 0  # A thread or process was made.
        if tid not in self._known:
            self._known.add(tid)
            return 0  # It begins stopped.
        return 0 if number == signal.SIGTRAP else number

    def _at_call(self, tid: int) -> None:
        _ptrace(_GET_SYSCALL_INFO, tid, 96, ctypes.addressof(self._info))
        kind = self._info[0][0]
        if kind == _ENTRY:
            number, *args = struct.unpack_from("<7Q", self._info, 24)
            self._entry(tid, Call(self._process(tid), tid, number, tuple(args)))
        elif kind == _EXIT and tid in self._calls:
            self._exit(self._calls.pop(tid), *struct.unpack_from("<q", self._info, 24))

    def _process(self, tid: int) -> Process:
        owner = self._owners.get(tid)
        if owner is None:
            with open(f"/proc/{tid}/status") as status:
                owner = next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
            self._owners[tid] = owner
        if owner not in self._processes:
            self._processes[owner] = Process(owner)
        return self._processes[owner]

    def _entry(self, tid: int, call: Call) -> None:
        if call.name == "write" and call.fd() == _MARKS:
            self._watcher.mark(call.process.bytes(call.args[1], call.args[2]).decode())
            return
        self._calls[tid] = call
        call.fault = fault = self._watcher.entry(call)
        if fault is None:
            return
        if fault.act is Act.KILL:
            os.kill(call.process.pid, signal.SIGKILL)
        elif fault.act is Act.FAIL:
            _ptrace(_POKEUSER, tid, _ORIG_RAX, ctypes.c_void_p(-1))
        elif fault.act in (Act.SHORT, Act.SHORT_AND_KILL):
            _ptrace(_POKEUSER, tid, _RDX, max(call.args[2] // 2, 1))

    def _exit(self, call: Call, result: int) -> None:
        fault = call.fault
        if fault is not None and fault.act in (Act.FAIL, Act.FAIL_AFTER):
            if fault.act is Act.FAIL:
                result = -fault.error
            _ptrace(_POKEUSER, call.thread, _RAX, ctypes.c_void_p(-fault.error))
        self._watcher.exit(call, result)
        if fault is not None and fault.act is Act.SHORT_AND_KILL:
            os.kill(call.process.pid, signal.SIGKILL)
