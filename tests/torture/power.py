"""File systems whose power can be cut: loop images of ext4 and XFS, stopped by their shutdown ioctl.

After the ioctl nothing more reaches the image, as if the machine had lost its power; mounting it again
replays the journal. Linux and root only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.torture.mounts import PRIVILEGED, mount, unmount

KINDS = ("ext4", "xfs")
MODES = {"log lost": 2, "log kept": 1}
"""What the file system still writes: nothing, or its journal (but no file's data)."""

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number
_MAKE = {"ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"], "xfs": ["mkfs.xfs", "-q", "-f"]}
_SIZE = {"ext4": 192 * 2**20, "xfs": 320 * 2**20}  # XFS refuses less than 300 MB


def missing(kind: str) -> str | None:
    """Why power cannot be cut here; None if it can."""
    if not PRIVILEGED:
        return "power cuts need root on Linux"
    tools = [_MAKE[kind][0], "losetup"]
    gone = [tool for tool in tools if shutil.which(tool) is None]
    if gone:
        return f"power cuts on {kind} need {', '.join(gone)}"
    if not Path("/dev/loop-control").exists():
        return "power cuts need loop devices"
    return None


class Disk:
    """A file system in a file, mounted at ``root``."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.root = folder / "mounted"
        self.root.mkdir()
        self._image = folder / "image"
        with self._image.open("wb") as image:
            image.truncate(_SIZE[kind])
        subprocess.run([*_MAKE[kind], self._image], check=True)
        made = subprocess.run(
            ["losetup", "--find", "--show", self._image], check=True, capture_output=True, text=True
        )
        self._device = made.stdout.strip()
        self._mounted = False
        self._mount()

    def _mount(self) -> None:
        mount(self._device, self.root, self.kind)
        self._mounted = True

    def cut(self, mode: str) -> None:
        """The power fails."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", MODES[mode]))
        finally:
            os.close(fd)

    def restart(self) -> None:
        """The machine comes back. Nobody may have anything on it open."""
        unmount(self.root)
        self._mounted = False
        self._mount()

    def close(self) -> None:
        if self._mounted:
            unmount(self.root)
        subprocess.run(["losetup", "--detach", self._device], check=True)
        self._image.unlink()


@contextmanager
def disk(kind: str) -> Iterator[Disk]:
    """A disk whose image is in memory: what is attacked is the file system, not the medium."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        made = Disk(kind, Path(folder))
        try:
            yield made
        finally:
            made.close()
