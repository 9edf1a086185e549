"""Objects that are written piece by piece: in bounded memory, whole or not at all, and nothing left over."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from atio.errors import AtioError, ExistsError
from atio.storage.remote import xml
from atio.storage.remote.azure import AzureBucket
from atio.storage.remote.s3 import S3Bucket
from tests.remote.proxy import Fault, Proxy
from tests.remote.servers import QUICK, Server


def parts_left(server: Server, folder: str) -> list[str]:
    """What is billed without being an object."""
    bucket = server.bucket()
    if isinstance(bucket, S3Bucket):
        answer = bucket.send("GET", None, (("uploads", ""),))
        keys = [key.text or "" for key in xml.children(xml.parsed(answer.body), "Key")]
        return [key for key in keys if folder in key]
    if isinstance(bucket, AzureBucket):
        what = (("comp", "list"), ("include", "uncommittedblobs"), ("prefix", folder))
        answer = bucket.send("GET", None, (*what, ("restype", "container")))
        keys = [name.text or "" for name in xml.children(xml.parsed(answer.body), "Name")]
        waiting = (("blocklisttype", "uncommitted"), ("comp", "blocklist"))
        return [key for key in keys if b"<Block>" in bucket.send("GET", key, waiting).body]
    return []  # Google bills no unfinished uploads.


@pytest.mark.parametrize("size", [8 << 20, (8 << 20) + 1, 16 << 20, (24 << 20) + 5])
def test_sizes_around_parts(server: Server, folder: str, size: int) -> None:
    """No byte is lost or doubled where parts meet."""
    storage = server.storage(folder)
    content = bytes(range(251)) * (size // 251 + 1)
    sink = storage.sink("data/a")
    for start in range(0, size, 1_000_003):
        sink.write(content[start : min(size, start + 1_000_003)])
    sink.close()
    assert storage.read("data/a") == content[:size]
    assert storage.size("data/a") == size


def test_an_abort_leaves_nothing(server: Server, folder: str) -> None:
    """Neither an object nor parts."""
    storage = server.storage(folder)
    sink = storage.sink("data/a")
    sink.write(bytes(40 << 20))
    sink.abort()
    assert list(storage.list()) == []
    assert parts_left(server, folder) == []
    sink = storage.sink("data/a")
    sink.write(bytes(20 << 20))
    sink.close()
    assert storage.size("data/a") == 20 << 20


def test_an_error_while_writing_leaves_nothing(server: Server, folder: str) -> None:
    """When the store refuses a part for good, what it took before goes again."""
    harms: list[Callable[[], Fault]] = []
    with Proxy(server.port, lambda m: harms[0]() if harms and m.method == "PUT" else Fault.NONE) as proxy:
        storage = server.at(proxy.port).storage(folder, QUICK)
        sink = storage.sink("data/a")
        sink.write(bytes(20 << 20))
        harms.append(lambda: Fault.CUT_CONNECTION)

        def write_on() -> None:
            for _ in range(10):
                sink.write(bytes(8 << 20))

        with pytest.raises(AtioError):
            write_on()
        with pytest.raises(AtioError):
            sink.close()
    if server.scheme != "az":  # There the abort is a PUT too; the service drops such blocks after a week.
        assert parts_left(server, folder) == []
    assert list(server.storage(folder).list()) == []


def test_uploads_do_not_overwrite(server: Server, folder: str) -> None:
    """Also when the other object is made while the parts are on their way."""
    if server.scheme == "gs":
        pytest.skip("this server compares only at the beginning: see test_resumable.py")
    storage = server.storage(folder)
    sink = storage.sink("data/a")
    sink.write(bytes(20 << 20))
    server.storage(folder).create("data/a", b"first")
    with pytest.raises(ExistsError, match="data/a"):
        sink.close()
    assert storage.read("data/a") == b"first"
    assert parts_left(server, folder) in ([], [f"{folder}/data/a"])


@pytest.mark.parametrize("scheme", ["s3", *(pytest.param(n, marks=pytest.mark.slow) for n in ("gs", "az"))])
def test_memory_is_bounded(started: Callable[[str], Server], folder: str, scheme: str) -> None:
    """Several times the buffers go through."""
    storage = started(scheme).storage(folder)
    piece = bytes(1 << 20)
    tracemalloc.start()
    try:
        sink = storage.sink("data/a")
        for _ in range(128):
            sink.write(piece)
        sink.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert storage.size("data/a") == 128 << 20
    assert peak < 64 << 20
    storage.delete(["data/a"])
