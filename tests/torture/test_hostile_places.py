"""Links, pipes, folders and devices where files should be: an error, no hang, nothing outside is touched."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from atio import Table
from atio.errors import AtioError
from tests.crash.test_forged import limited_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="makes Linux's kinds of files")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with all its folders; and beside it what it must not touch."""
    home = tmp_path_factory.mktemp("original")
    table = Table.open(home / "t", durable=False)
    table.append(pa.table({"n": [1]}))
    table.set_properties({"append.merge": "false"})
    for i in range(13):
        table.append(pa.table({"n": [i]}))
    for name in ("leases", "requests"):
        (home / "t" / name).mkdir(exist_ok=True)
    outside = home / "outside"
    shutil.copytree(home / "t", outside)
    (outside / "a").write_text("secret")
    (outside / ("0" * 24)).write_text("secret")
    return home


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "home"))


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside if path.name in FOLDERS else outside / "a")


def _link_to_the_same(path: Path, outside: Path) -> None:
    """What is there is what should be there; but outside."""
    path.symlink_to(outside / path.relative_to(outside.parent / "t"))


def _dangling(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "made by following me")


def _pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, outside: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # Its name is too long for a socket's address.
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def _folder(path: Path, outside: Path) -> None:
    path.mkdir()
    (path / "x").touch()


def _file(path: Path, outside: Path) -> None:
    path.write_text("no folder")


def _device(path: Path, outside: Path) -> None:
    """Without an end."""
    path.symlink_to("/dev/zero")


FOLDERS = ("data", "metadata", "manifests", "schemas", "leases", "requests")
PLACES = ["current", ".lock", "data/*", "metadata/*", "manifests/*", "schemas/*", *FOLDERS]
KINDS = [_link, _link_to_the_same, _dangling, _pipe, _socket, _folder, _file, _device]
QUICK = [_link_to_the_same, _pipe]
SOME = [
    pytest.param(kind, id=kind.__name__.strip("_"), marks=[] if kind in QUICK else pytest.mark.torture)
    for kind in KINDS
]
OPERATIONS: dict[str, Callable[[Table], object]] = {
    "read": lambda t: t.to_arrow(),
    "verify": lambda t: t.verify(),
    "append": lambda t: t.append(pa.table({"n": [5]})),
    "stream": lambda t: t.append(iter([pa.table({"n": [5]})])),
    "tag": lambda t: t.tag("new", move=True),
    "expire": lambda t: t.expire(timedelta(0)),
    "vacuum": lambda t: t.vacuum(timedelta(0)),
    "repair": lambda t: t.repair(),
}


@contextmanager
def soon() -> Iterator[None]:
    """A hang is a failure."""

    def late(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def state(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", SOME)
def test_something_else_is_there(home: Path, place: str, kind: Callable[[Path, Path], None]) -> None:
    path = min((home / "t").glob(place))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    kind(path, home / "outside")
    before = state(home / "outside")
    for operation in OPERATIONS.values():
        with soon(), limited_memory(2**30), suppress(AtioError):
            operation(Table.open(home / "t", durable=False))
        assert state(home / "outside") == before
