"""Mounting and unmounting without the tools: a cut takes milliseconds."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


def mount(device: str, target: Path, kind: str, options: str = "") -> None:
    _check(
        _libc().mount(device.encode(), os.fsencode(target), kind.encode(), 0, options.encode()),
        f"mount {target}",
    )


def unmount(target: Path) -> None:
    _check(_libc().umount2(os.fsencode(target), 0), f"umount {target}")


def sync(root: Path) -> None:
    """Bring everything of a file system to its medium, as time does."""
    fd = os.open(root, os.O_RDONLY)
    try:
        _check(_libc().syncfs(fd), "syncfs")
    finally:
        os.close(fd)


@contextmanager
def memory_disk(size: int, inodes: int) -> Iterator[Path]:
    """A file system in memory, of so many bytes and files."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        mount("tmpfs", root, "tmpfs", f"size={size},nr_inodes={inodes}")
        try:
            yield root
        finally:
            unmount(root)


def _may_mount() -> bool:
    """Root of a container often may not."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    try:
        with memory_disk(2**16, 16):
            return True
    except OSError:
        return False


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


PRIVILEGED = _may_mount()
"""Whether this process may mount."""
