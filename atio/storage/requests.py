r"""Requests of waiting writers: files in a folder, locked for as long as their writers live.

The holder of the table's lock carries them out together with its own commit, so that many writers
share one swap. A file is ``<length> <bell>\n<request>``, and after it ``<length>\n<answer>``. The bell is
the address of a socket that the writer sleeps at. It only hastens: who is not woken looks from time to time.
"""

# System calls on text paths: they give descriptors, and pathlib costs microseconds.
# ruff: noqa: PTH108, PTH118, PTH208

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from atio.errors import LockTimeoutError
from atio.storage.files import discard, is_real_folder
from atio.storage.locking import LockedFile, Waiting

LONGEST = 2**20
_HEAD = 64
_LOOKS = 0.02
"""Seconds after which a writer that nobody woke looks for itself."""


class FileRequest:
    """My own request."""

    def __init__(self, file: LockedFile, size: int, bell: Bell, waiting: Waiting) -> None:
        self._file = file
        self._size = size
        self._bell = bell
        self._waiting = waiting
        self._start = waiting.clock()

    def wait(self) -> None:
        waited = self._waiting.clock() - self._start
        if waited >= self._waiting.timeout:
            raise LockTimeoutError(
                f"waited {self._waiting.timeout:g} s for other writers",
                file=self._file.path,
                hint="try again, or find out which writer hangs",
            )
        self._bell.wait(min(_LOOKS, self._waiting.timeout - waited))

    def withdraw(self) -> bool:
        return _unlinked(self._file.path)

    def answer(self) -> bytes | None:
        try:
            found = _read(self._file, self._size)
        except OSError:
            return None  # The table has the answer, too.
        return None if found is None else found[0]

    def close(self) -> None:
        self._bell.close()
        self._file.release()


class ReceivedFile:
    """Another writer's request."""

    def __init__(self, file: LockedFile, data: bytes, size: int, bell: bytes) -> None:
        self._file = file
        self._size = size
        self._bell = bell
        self.data = data

    def take(self) -> bool:
        return _unlinked(self._file.path)

    def answer(self, data: bytes, /) -> None:
        with contextlib.suppress(OSError):
            self._file.write(b"%d\n%s" % (len(data), data), self._size)
        self.wake()

    def wake(self) -> None:
        ring(self._bell)


class Bell:
    """Wakes a process that sleeps, where the system has sockets with names of no file system."""

    def __init__(self) -> None:
        import socket  # only those who wait need it

        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("")
        self.address: bytes = self._socket.getsockname()

    def wait(self, timeout: float) -> None:
        self._socket.settimeout(timeout)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            self._socket.recv(1)

    def close(self) -> None:
        self._socket.close()


def ring(address: bytes) -> None:
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(b"!", address)


def post(folder: str, data: bytes, waiting: Waiting) -> FileRequest | None:
    """Leave a request; None where that is not possible."""
    if sys.platform != "linux" or len(data) > LONGEST:
        return None
    file = LockedFile(os.path.join(folder, os.urandom(12).hex()), create=True)
    try:
        # Not locked yet, it looked like a dead writer's: whoever saw that removes it, or has by now.
        if file.try_lock() and file.is_there():
            bell = Bell()
            framed = b"%d %s\n%s" % (len(data), bell.address.hex().encode(), data)
            file.write(framed, 0)
            return FileRequest(file, len(framed), bell, waiting)
    except OSError:
        discard(file.path)
    return None


def received(folder: str) -> Iterator[ReceivedFile]:
    """The requests of living writers; files of the dead are removed."""
    try:
        names = os.listdir(folder) if is_real_folder(folder) else []
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            file = LockedFile(os.path.join(folder, name), create=False)
            if file.try_lock():
                discard(file.path)
            elif (found := _read(file, 0)) is not None:
                data, size, bell = found
                yield ReceivedFile(file, data, size, bell)


def _unlinked(path: str) -> bool:
    """Whoever removes the file decides: it is withdrawn, or taken. If that fails, it is neither."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def _read(file: LockedFile, offset: int) -> tuple[bytes, int, bytes] | None:
    """What stands there, if it is whole, with the offset behind it and the bell."""
    head, line, _ = file.read(offset, _HEAD).partition(b"\n")
    length, _, bell = head.partition(b" ")
    if not line or not length.isdigit() or int(length) > LONGEST:
        return None
    start = offset + len(head) + 1
    data = file.read(start, int(length))
    if len(data) != int(length):
        return None
    return data, start + len(data), bytes.fromhex(bell.decode())
