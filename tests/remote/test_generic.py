"""Whatever else fsspec reaches: readable by all, writable by one who says that there is no other."""

from __future__ import annotations

import asyncio
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs
import pytest

import atio
from atio import Table
from atio.errors import (
    AccessError,
    AtioError,
    ConflictError,
    InputError,
    NotFoundError,
    StorageError,
    UnsupportedError,
)
from atio.storage import LocalStorage, Storage, open_storage
from atio.storage.conformance import StorageConformance
from atio.storage.remote.generic import FsspecStorage
from atio.storage.remote.objects import ObjectStorage
from atio.writers.remote import RemoteTarget
from tests.remote.servers import BUCKET, Server
from tests.remote.test_security import Talker, chain

fsspec: Any = pytest.importorskip("fsspec")


class TestMemory(StorageConformance):
    """fsspec's own memory stands for all stores without folders."""

    @pytest.fixture
    def storage(self) -> Iterator[Storage]:
        fs = fsspec.filesystem("memory")
        storage = open_storage(uuid.uuid4().hex, filesystem=fs, storage_options={"single_writer": True})
        yield storage
        if fs.exists(storage.url.removeprefix("memory://")):
            fs.rm(storage.url.removeprefix("memory://"), recursive=True)

    def reopen(self, storage: Storage) -> Storage:
        fs = fsspec.filesystem("memory")
        path = storage.url.removeprefix("memory://")
        return open_storage(path, filesystem=fs, storage_options={"single_writer": True})


class TestFolder(StorageConformance):
    """A disk by way of fsspec stands for all that have folders and renaming, such as SFTP."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return FsspecStorage(fsspec.filesystem("file"), str(tmp_path / "table"), single_writer=True)

    def reopen(self, storage: Storage) -> Storage:
        assert isinstance(storage, FsspecStorage)
        return FsspecStorage(fsspec.filesystem("file"), storage._folder, single_writer=True)


# -- one writer --------------------------------------------------------------------------------


@pytest.fixture
def fs() -> Any:
    return fsspec.filesystem("memory")


def test_writers_must_say_that_they_are_alone(fs: Any, folder: str) -> None:
    """Nothing at all is written otherwise; the error says why, and what to use."""
    storage = open_storage(folder, filesystem=fs)
    assert not storage.capabilities.swap
    calls: list[Callable[[], object]] = [
        lambda: storage.create("data/a", b"x"),
        lambda: storage.sink("data/a"),
        lambda: storage.swap("current", b"x", None),
        lambda: storage.delete(["data/a"]),
        lambda: Table(storage).append({"a": [1]}),
    ]
    for call in calls:
        with pytest.raises(
            UnsupportedError, match=r"overwrite each other's commits[^→]*→ use s3://.*single_writer"
        ):
            call()
    assert list(storage.list()) == []
    assert storage.load("current") is None
    with pytest.raises(NotFoundError):
        storage.read("data/a")


def test_a_table(fs: Any, folder: str) -> None:
    """One writes, others read."""
    writer = Table(open_storage(folder, filesystem=fs, storage_options={"single_writer": True}))
    reader = Table(open_storage(folder, filesystem=fs))
    for number in range(4):
        writer.append(pa.table({"a": [number]}))
        assert reader.to_arrow()["a"].to_pylist() == list(range(number + 1))
    assert reader.snapshot(2).to_arrow().num_rows == 2
    assert reader.verify().ok
    with pytest.raises(UnsupportedError):
        reader.append(pa.table({"a": [5]}))


def test_a_file_system_object(fs: Any, s3: Server, folder: str) -> None:
    """As the user has it: for the one who says that there is no other, or for the swap of a native client."""
    options = {"single_writer": True}
    Table.create(f"{folder}/one", filesystem=fs, storage_options=options).append({"a": [1]})
    assert Table.exists(f"{folder}/one", filesystem=fs)
    assert not Table.exists(f"{folder}/two", filesystem=fs)
    reader = Table.open(f"{folder}/one", filesystem=fs)
    assert reader.to_arrow()["a"].to_pylist() == [1]
    with pytest.raises(UnsupportedError, match="single_writer"):
        reader.append({"a": [2]})
    lent = Lent(**s3.storage_options)
    path = f"{BUCKET}/{folder}"
    Table.open(path, filesystem=lent).append({"a": [1]})
    Table.open(path, filesystem=lent).append({"a": [2]})
    assert Table.open(s3.url(folder), storage_options=s3.storage_options).to_arrow().num_rows == 2
    with pytest.raises(InputError, match="no path in a file system"):
        Table.open(s3.storage(folder), filesystem=lent)


def test_an_unknown_backend(folder: str) -> None:
    """A file system that nobody here has heard of: readable, and for one declared writer."""
    from fsspec.implementations.dirfs import DirFileSystem

    memory = fsspec.filesystem("memory")
    memory.makedirs(f"/{folder}", exist_ok=True)
    own = type("OwnFileSystem", (DirFileSystem,), {"protocol": "own"})(f"/{folder}", memory)
    writer = Table.open("t", filesystem=own, storage_options={"single_writer": True})
    for number in range(3):
        writer.append({"a": [number]})
    reader = Table.open("t", filesystem=own)
    assert reader.to_arrow()["a"].to_pylist() == [0, 1, 2]
    assert reader.url.startswith("own://")
    with pytest.raises(UnsupportedError, match=r"own://t can only be read[^→]*→ use s3://"):
        reader.append({"a": [3]})


def test_two_who_both_said_so(fs: Any, folder: str) -> None:
    """They are no longer safe, but one that comes later, not at the same time, is still told."""
    options = {"single_writer": True}
    one, two = (open_storage(folder, filesystem=fs, storage_options=options) for _ in range(2))
    old = one.swap("current", b"first", None)
    two.swap("current", b"second", old)
    with pytest.raises(ConflictError):
        one.swap("current", b"third", old)


def renaming_fails(fs: Any, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on it is said to, before or after it has happened."""
    move = type(fs).mv

    def fail(self: Any, *names: str) -> None:
        if when == "after":
            move(self, *names)
        raise OSError("secret words")

    monkeypatch.setattr(type(fs), "mv", fail)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replacement_that_fails(fs: Any, folder: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it did not happen, nothing stays; if it did, it is a success."""
    storage = open_storage(folder, filesystem=fs, storage_options={"single_writer": True})
    old = storage.swap("current", b"old", None)
    renaming_fails(fs, when, monkeypatch)
    if when == "after":
        token = storage.swap("current", b"new", old)
        value = storage.load("current")
        assert value is not None
        assert (value.data, value.token) == (b"new", token)
    else:
        with pytest.raises(StorageError) as caught:
            storage.swap("current", b"new", old)
        assert "secret" not in str(caught.value)
        assert storage.read("current") == b"old"
    assert [entry.path for entry in storage.list()] == ["current"]


def test_unknown_options(fs: Any) -> None:
    """Of the file system or of atio: a slip of the pen is told."""
    with pytest.raises(InputError, match="single_writer"):
        open_storage("x", filesystem=fs, storage_options={"single_writre": True})
    pytest.importorskip("paramiko")
    with pytest.raises(InputError, match=r"no storage option 'prt'"):
        open_storage("sftp://127.0.0.1/x", storage_options={"prt": 22})
    with pytest.raises(InputError, match="not a file system of fsspec"):
        open_storage("x", filesystem=pa.fs.LocalFileSystem())


def test_the_local_disk_is_itself(tmp_path: Path) -> None:
    """A file system object for it keeps all promises that a path does."""
    for path in (tmp_path / "t", f"file://{tmp_path / 't'}"):
        storage = open_storage(path, filesystem=fsspec.filesystem("file"), durable=False)
        assert isinstance(storage, LocalStorage)
        Table(storage).append({"a": [1]})
    assert Table.open(tmp_path / "t").to_arrow().num_rows == 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass/w#?ords@host:81/t/?signature=words#words", None),
        ("https://user:passwords@host:81/t/?signature=words", "https://host:81/t"),
        ("sftp://user:pass@words@host/folder@x/t", "sftp://host/folder@x/t"),
        ("zip://t::ftp://user:passwords@host/a.zip", "zip://t::ftp://host/a.zip"),
        ("sftp://user:words@[::1]:22/t", "sftp://[::1]:22/t"),
        ("memory://a/b", "memory://a/b"),
    ],
)
def test_what_places_are_called(fs: Any, url: str, shown: str | None) -> None:
    """As they were named, without the words that open them."""
    storage = FsspecStorage(fs, "/x", url=url)
    assert "words" not in storage.url + repr(storage)
    assert shown is None or storage.url == shown


def test_chains_of_urls(tmp_path: Path) -> None:
    """A table inside an archive; a file of it inside another cache."""
    Table.open(tmp_path / "table").append({"a": [1, 2]})
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "table")
    packed = Table.open(f"zip://table::{archive}")
    assert packed.to_arrow()["a"].to_pylist() == [1, 2]
    assert packed.verify().ok
    with pytest.raises(UnsupportedError, match="can only be read"):
        packed.append({"a": [3]})
    (tmp_path / "x.csv").write_text("x\n1\n")
    found = atio.read(f"simplecache::file://{tmp_path / 'x.csv'}", output_as="arrow")
    assert found["x"].to_pylist() == [1]


# -- file systems that there are native clients for --------------------------------------------


class Lent:
    """As s3fs's file system: what it was made with is what the native client gets."""

    protocol = ("s3", "s3a")

    def __init__(self, **options: Any) -> None:
        self.storage_options = options

    @staticmethod
    def _strip_protocol(path: str) -> str:
        return path.removeprefix("s3://")


def test_s3fs_lends_its_options(s3: Server, folder: str) -> None:
    """So a table in it has the swap that s3fs lacks."""
    filesystem = Lent(**s3.storage_options, use_listings_cache=False)
    for path in (f"{BUCKET}/{folder}", f"s3://{BUCKET}/{folder}"):
        storage = open_storage(path, filesystem=filesystem)
        assert isinstance(storage, ObjectStorage)
        assert storage.capabilities.swap
        assert storage.url == s3.url(folder)
    Table(storage).append({"a": [1]})
    assert Table(open_storage(s3.url(folder), storage_options=s3.storage_options)).to_arrow().num_rows == 1


# -- real servers ------------------------------------------------------------------------------


@contextmanager
def ftp_server(root: Path) -> Iterator[str]:
    pytest.importorskip("pyftpdlib")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_user("user", "passwords", str(root), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    server = FTPServer(("127.0.0.1", 0), handler)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_forever(timeout=0.05, blocking=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"ftp://user:passwords@127.0.0.1:{server.address[1]}/table"
    finally:
        stop.set()
        thread.join()
        server.close_all()


@contextmanager
def sftp_server(root: Path) -> Iterator[str]:
    asyncssh = pytest.importorskip("asyncssh")
    pytest.importorskip("paramiko")

    connections: list[Any] = []

    class Guarded(asyncssh.SSHServer):  # type: ignore[misc, name-defined]
        def connection_made(self, conn: Any) -> None:
            connections.append(conn)

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("user", "passwords")

        def password_auth_supported(self) -> bool:
            return True

    async def listening() -> Any:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Guarded,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root)),
        )  # fmt: skip

    async def hang_up() -> None:
        server.close()
        for connection in connections:
            connection.abort()
            await connection.wait_closed()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(listening(), loop).result(60)
        try:
            yield f"sftp://user:passwords@127.0.0.1:{server.get_port()}/table"
        finally:
            asyncio.run_coroutine_threadsafe(hang_up(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.filterwarnings("ignore")  # the servers warn of themselves
@pytest.mark.parametrize("serving", [ftp_server, sftp_server], ids=["ftp", "sftp"])
def test_servers_of_files(tmp_path: Path, serving: Callable[[Path], AbstractContextManager[str]]) -> None:
    """A table on a real server; the password in the URL is shown nowhere."""
    with serving(tmp_path) as url:
        writer = Table(open_storage(url, storage_options={"single_writer": True}))
        for number in range(3):
            writer.append(pa.table({"a": [number]}))
        reader = open_storage(url)
        assert Table(reader).to_arrow()["a"].to_pylist() == [0, 1, 2]
        assert Table(reader).verify().ok
        assert {entry.path for entry in reader.list()} >= {"current"}
        with pytest.raises(UnsupportedError) as refused:
            Table(reader).append(pa.table({"a": [3]}))
        with pytest.raises(AtioError) as missing:
            reader.read("data/missing")
        for text in (reader.url, repr(reader), str(refused.value), str(missing.value)):
            assert "passwords" not in text
            assert "user" not in text.replace("users", "")
        bare = url.replace("user:passwords@", "")
        assert reader.url == bare
        with pytest.raises(AccessError) as strange:
            open_storage(url.replace("passwords", "otherwords"))
        with pytest.raises(AtioError) as nobody:
            open_storage(f"{url.partition(':')[0]}://user:passwords@127.0.0.1:1/t")
        assert not isinstance(nobody.value, InputError)
        shown = [f"{one} {one!r}" for error in (strange, nobody, missing) for one in chain(error.value)]
        assert not [text for text in shown if "words" in text]
    assert Table.open(tmp_path / "table").to_arrow().num_rows == 3


@pytest.mark.filterwarnings("ignore")  # pyftpdlib warns of itself
def test_files_by_ftp(tmp_path: Path) -> None:
    """They take their place by renaming; nobody needs to be alone for that, and nothing else stays."""
    (tmp_path / "table").mkdir()
    with ftp_server(tmp_path) as url:
        for number in range(3):
            atio.write({"x": [number]}, f"{url}/x.csv", backup=True, success_flag=True)
            assert atio.read(f"{url}/x.csv", output_as="arrow")["x"].to_pylist() == [number]
            assert atio.verify(f"{url}/x.csv").size > 0

        def rows() -> Iterator[dict[str, int]]:
            yield {"x": 5}
            raise RuntimeError("mine")

        with pytest.raises(RuntimeError, match="mine"):
            atio.write(rows(), f"{url}/x.csv")
        with pytest.raises(NotFoundError) as missing:
            atio.read(f"{url}/missing.csv")
        assert "passwords" not in str(missing.value)
    found = {path.name: path for path in (tmp_path / "table").iterdir()}
    assert set(found) == {"x.csv", "x.csv.bak", ".x.csv._SUCCESS"}
    assert (found["x.csv"].read_text().split(), found["x.csv.bak"].read_text().split()) == (
        ['"x"', "2"],
        ['"x"', "1"],
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_whose_renaming_fails(
    fs: Any, folder: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it did not happen, the old file is there and nothing else; if it did, it is a success."""
    storage = FsspecStorage(fs, f"/{folder}", single_writer=True)
    target = RemoteTarget(storage, "x.jsonl")
    atio.write({"x": [0]}, target)
    renaming_fails(fs, when, monkeypatch)
    if when == "after":
        atio.write({"x": [1]}, target)
    else:
        with pytest.raises(StorageError, match="MemoryFileSystem failed"):
            atio.write({"x": [1]}, target)
    monkeypatch.undo()
    assert atio.read(target, output_as="python") == [{"x": int(when == "after")}]
    assert [entry.path for entry in storage.list()] == ["x.jsonl"]


@pytest.mark.filterwarnings("ignore")  # of the event loop in fsspec
@pytest.mark.parametrize(
    ("status", "kind"), [(403, AccessError), (401, AccessError), (500, StorageError), (302, StorageError)]
)
def test_who_asks_a_web_server_is_shown_nowhere(status: int, kind: type[AtioError]) -> None:
    """Not in what its library says either, however far one looks."""
    pytest.importorskip("aiohttp")
    with Talker(lambda _: (status, {"Location": "/words"} if status == 302 else {}, b"")) as server:
        table = Table.open(f"http://user:passwords@127.0.0.1:{server.port}/table?key=words")
        assert "words" not in repr(table)
        with pytest.raises(kind) as caught:
            table.snapshot()
    assert not [text for one in chain(caught.value) for text in (str(one), repr(one)) if "words" in text]


@pytest.mark.filterwarnings("ignore")  # of the event loop in fsspec
def test_http(tmp_path: Path) -> None:
    """A table that was put on a web server can be read from there."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("requests")
    Table.open(tmp_path / "table").append(pa.table({"a": [1, 2]}))

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        storage = open_storage(f"http://127.0.0.1:{server.server_port}/table")
        assert Table(storage).to_arrow()["a"].to_pylist() == [1, 2]
        assert storage.load("missing") is None
        with pytest.raises(UnsupportedError, match="single_writer"):
            Table(storage).append(pa.table({"a": [3]}))
        url = f"http://127.0.0.1:{server.server_port}/x.csv"
        (tmp_path / "x.csv").write_text("x\n1\n")
        assert atio.read(f"{url}?signature=secret", output_as="arrow")["x"].to_pylist() == [1]
        with pytest.raises(UnsupportedError, match="reading only"):
            atio.write({"x": [2]}, url)
        with pytest.raises(AtioError, match=r"y\.csv") as missing:
            atio.read(f"{url.replace('x.csv', 'y.csv')}?signature=secret")
        assert "secret" not in str(missing.value)
        assert (tmp_path / "x.csv").read_text() == "x\n1\n"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
