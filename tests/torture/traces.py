"""From the system calls of a process to what they did to files and folders below one folder, the box.

The result is a list of events on inodes, which knows no paths: what a file system could persist or lose.
"""

# System calls on text paths, as those who are watched make them.
# ruff: noqa: PTH116, PTH118, PTH208

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.syscalls import Call, Fault, Watcher

ROOT = 0
"""The box's inode."""


@dataclass(frozen=True)
class Entry:
    """A name in a folder now leads to ``target``, or to nothing (None)."""

    folder: int
    name: str
    target: int | None


@dataclass(frozen=True)
class Names:
    """One call's changes of names."""

    call: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Data:
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Size:
    inode: int
    size: int


@dataclass(frozen=True)
class Mode:
    inode: int
    mode: int


@dataclass(frozen=True)
class Sync:
    """What was done to the inode is on the medium; or may never get there, if that failed."""

    inode: int
    failed: bool = False


@dataclass(frozen=True)
class Mark:
    word: str


Event = Names | Data | Size | Mode | Sync | Mark


@dataclass(frozen=True)
class File:
    data: bytes
    mode: int


@dataclass(frozen=True)
class Folder:
    names: dict[str, int]


@dataclass
class Trace:
    """What the box was, and what happened in it."""

    start: dict[int, File | Folder]
    events: list[Event] = field(default_factory=list)
    folders: set[int] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)
    """A name that each inode once had, for messages."""

    def describe(self, event: Event) -> str:
        match event:
            case Names(call, entries):
                made = ", ".join(
                    f"{self.names.get(e.folder)}/{e.name}{'' if e.target is not None else ' gone'}"
                    for e in entries
                )
                return f"{call}: {made}"
            case Mark(word):
                return word
            case Data(inode, offset, data):
                return f"{len(data)} bytes at {offset} of {self.names.get(inode)}"
            case _:
                return f"{type(event).__name__.lower()} of {self.names.get(event.inode)}"


class UnmodelledError(Exception):
    """A call that may change files, and of which the model knows nothing."""


_HARMLESS = frozenset(
    {
        "read",
        "close",
        "stat",
        "fstat",
        "lstat",
        "poll",
        "ppoll",
        "lseek",
        "ioctl",
        "pread64",
        "readv",
        "preadv",
        "preadv2",
        "access",
        "dup",
        "dup2",
        "dup3",
        "fcntl",
        "flock",
        "statfs",
        "fstatfs",
        "readahead",
        "getxattr",
        "lgetxattr",
        "fgetxattr",
        "listxattr",
        "llistxattr",
        "flistxattr",
        "getdents64",
        "fadvise64",
        "newfstatat",
        "readlink",
        "readlinkat",
        "faccessat",
        "faccessat2",
        "statx",
        "chdir",
        "utimensat",
        "socket",
        "connect",
        "sendto",
        "recvfrom",
        "sendmsg",
        "recvmsg",
        "bind",
        "getsockname",
        "setsockopt",
        "getsockopt",
    }
)
_SHARED_AND_WRITABLE = (0x1, 0x2)


class Recorder(Watcher):
    """Makes a trace of a process.

    Parameters
    ----------
    box
        The folder to watch. It is what it is now when recording begins, all of it on the medium.
    at_mark
        Called with each word that the process says, while it stands still.
    """

    def __init__(self, box: Path, at_mark: Callable[[str], object] = lambda _: None) -> None:
        self._box = os.path.realpath(box)
        self._at_mark = at_mark
        self._inodes: dict[tuple[int, int], int] = {}
        self._count = ROOT
        self.trace = Trace({})
        self._load(self._box, "box")

    def _load(self, path: str, name: str) -> int:
        status = os.lstat(path)
        inode = self._new(status, name)
        if stat.S_ISDIR(status.st_mode):
            self.trace.folders.add(inode)
            self.trace.start[inode] = Folder(
                {entry: self._load(os.path.join(path, entry), entry) for entry in os.listdir(path)}
            )
        else:
            self.trace.start[inode] = File(Path(path).read_bytes(), stat.S_IMODE(status.st_mode))
        return inode

    def _new(self, status: os.stat_result, name: str) -> int:
        inode = self._count
        self._count += 1
        self._inodes[status.st_dev, status.st_ino] = inode
        self.trace.names[inode] = name
        return inode

    # -- what is what ------------------------------------------------------------------------

    def _at(self, path: str) -> int | None:
        """The inode behind a path; None if there is none."""
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        return self._inodes[status.st_dev, status.st_ino]

    def _open(self, call: Call) -> int | None:
        """The inode behind the descriptor, which is the first argument; None if it is not in the box."""
        status = os.stat(f"/proc/{call.process.pid}/fd/{call.fd()}")
        return self._inodes.get((status.st_dev, status.st_ino))

    def _split(self, path: str) -> tuple[int, str]:
        above, _, name = path.rpartition("/")
        status = os.stat(above)
        return self._inodes[status.st_dev, status.st_ino], name

    def _is_ours(self, path: str) -> bool:
        return path.startswith(self._box + "/")

    # -- the calls ---------------------------------------------------------------------------

    def mark(self, word: str) -> None:
        self.trace.events.append(Mark(word))
        self._at_mark(word)

    def entry(self, call: Call) -> Fault | None:
        """Note what can be seen only before the call."""
        name = call.name
        if name in _HARMLESS or not call.concerns(self._box):
            if name in ("io_uring_setup", "io_setup"):
                raise UnmodelledError(str(call))
            return None
        if name == "mmap":
            shared, writable = _SHARED_AND_WRITABLE
            if call.args[3] & shared and call.args[2] & writable:
                raise UnmodelledError(f"{call}: a shared writable mapping")
        elif name in ("open", "openat"):
            if _flags(call) & (os.O_CREAT | os.O_TRUNC):
                call.notes["was"] = self._at(call.paths[-1])
        elif name == "write":
            call.notes["offset"] = call.process.position(call.fd())
        elif name in ("unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2", "link", "linkat"):
            call.notes["was"] = self._at(call.paths[-1 if name == "unlinkat" else 0])
        elif name not in _KNOWN:
            raise UnmodelledError(str(call))
        return None

    def exit(self, call: Call, result: int) -> None:
        name = call.name
        if name in ("fsync", "fdatasync") and call.concerns(self._box):
            inode = self._open(call)
            assert inode is not None
            failed = result < 0 or call.fault is not None
            self.trace.events.append(Sync(inode, failed))
        elif result >= 0 and name in _KNOWN and call.concerns(self._box):
            _KNOWN[name](self, call, result)

    def _opened(self, call: Call, result: int) -> None:
        path = call.paths[-1]
        if not self._is_ours(path):
            return
        if _flags(call) & os.O_TMPFILE == os.O_TMPFILE:
            raise UnmodelledError(f"{call}: a file without a name")
        was = call.notes.get("was", ROOT)
        if was is None:
            self._made(call, path, os.stat(f"/proc/{call.process.pid}/fd/{result}"))
        elif _flags(call) & os.O_TRUNC:
            self.trace.events.append(Size(was, 0))  # type: ignore[arg-type]

    def _made(self, call: Call, path: str, status: os.stat_result) -> None:
        folder, name = self._split(path)
        inode = self._new(status, name)
        if stat.S_ISDIR(status.st_mode):
            self.trace.folders.add(inode)
        else:
            self.trace.events.append(Mode(inode, stat.S_IMODE(status.st_mode)))
        self.trace.events.append(Names(call.name, (Entry(folder, name, inode),)))

    def _mkdir(self, call: Call, _: int) -> None:
        self._made(call, call.paths[-1], os.stat(call.paths[-1]))

    def _written(self, call: Call, result: int) -> None:
        inode = self._open(call)
        if inode is not None:
            offset = call.args[3] if call.name == "pwrite64" else call.notes["offset"]
            data = call.process.bytes(call.args[1], result)
            self.trace.events.append(Data(inode, offset, data))  # type: ignore[arg-type]

    def _sized(self, call: Call, _: int) -> None:
        inode = self._open(call)
        if inode is not None:
            self.trace.events.append(Size(inode, call.args[1]))

    def _moded(self, call: Call, _: int) -> None:
        inode = self._open(call)
        if inode is not None:
            status = os.stat(f"/proc/{call.process.pid}/fd/{call.fd()}")
            self.trace.events.append(Mode(inode, stat.S_IMODE(status.st_mode)))

    def _unlinked(self, call: Call, _: int) -> None:
        self._named(call, Entry(*self._split(call.paths[-1]), None))

    def _linked(self, call: Call, _: int) -> None:
        self._named(call, Entry(*self._split(call.paths[-1]), call.notes["was"]))  # type: ignore[arg-type]

    def _renamed(self, call: Call, _: int) -> None:
        source, target = call.paths
        if self._at(source) is not None:
            return  # Two names of one file: nothing happens.
        was = call.notes["was"]
        assert isinstance(was, int)
        self.trace.names[was] = target.rpartition("/")[2]
        self._named(call, Entry(*self._split(target), was), Entry(*self._split(source), None))

    def _named(self, call: Call, *entries: Entry) -> None:
        self.trace.events.append(Names(call.name, entries))

    def _nothing(self, call: Call, result: int) -> None:
        pass


_KNOWN: dict[str, Callable[[Recorder, Call, int], None]] = {
    "open": Recorder._opened, "openat": Recorder._opened,
    "mkdir": Recorder._mkdir, "mkdirat": Recorder._mkdir,
    "write": Recorder._written, "pwrite64": Recorder._written, "ftruncate": Recorder._sized,
    "fchmod": Recorder._moded, "fchown": Recorder._moded, "unlink": Recorder._unlinked,
    "unlinkat": Recorder._unlinked, "rmdir": Recorder._unlinked, "link": Recorder._linked,
    "linkat": Recorder._linked, "rename": Recorder._renamed, "renameat": Recorder._renamed,
    "renameat2": Recorder._renamed, "mmap": Recorder._nothing, "fsync": Recorder._nothing,
    "fdatasync": Recorder._nothing,
    # Attributes are kept or lost with the file; no promise of atio rests upon them.
    "setxattr": Recorder._nothing,
}  # fmt: skip


def is_change(call: Call) -> bool:
    """Whether the call may change what is in the box, or sync it."""
    if call.name in ("open", "openat"):
        return bool(_flags(call) & os.O_CREAT)
    return call.name in _KNOWN and call.name != "mmap"


def _flags(call: Call) -> int:
    return call.args[1 if call.name == "open" else 2]
