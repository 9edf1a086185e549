"""What comes out of a bucket, or from a server, may be anybody's: an error of ours, or nothing at all."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from atio import Table
from atio.errors import AtioError, StorageError
from atio.storage import MemoryStorage
from atio.storage.remote import upload as upload_module
from atio.storage.remote.connections import Connections
from atio.storage.remote.messages import Response
from atio.table.face.handle import system_clock
from tests.remote.servers import Server
from tests.remote.test_security import CALLS, Talker, storage_at
from tests.support.tables import required

NAMES = (
    *("data/../evil", "data//x", "data/./y", "/absolute", "data/folder/", "data/a\\b"),
    *("data/\u00e9 u+%20&<>", "metadata/0000000000000000000000zz.json", "_SUCCESS/x", "current/x"),
)


def test_names_that_no_table_makes(server: Server, folder: str) -> None:
    """Objects of others beside its own: none is removed, copied, or taken for one of its own."""
    storage = server.storage(folder)
    table = Table(storage, clock=lambda: system_clock() + 10**13)
    for number in range(3):
        table.append({"x": [number]})
    bucket = server.bucket()
    for name in NAMES:
        bucket.put(f"{folder}/{name}", b"evil", None, "mark")
    assert table.verify().ok
    assert not set(table.vacuum(timedelta(0)).files) & set(NAMES)
    for name in NAMES:
        assert bucket.get(f"{folder}/{name}", 0, 9) is not None, name
    copied = MemoryStorage()
    table.copy_to(copied)
    assert {entry.path for entry in copied.list()} == required(storage)


def bomb(levels: int) -> bytes:
    """XML of a kilobyte that stands for gigabytes."""
    entities = b"".join(b'<!ENTITY e%d "%s">' % (n + 1, b"&e%d;" % n * 10) for n in range(levels))
    return (
        b'<!DOCTYPE x [<!ENTITY e0 "aaaaaaaaaa">'
        + entities
        + b"]><x><Contents><Key>&e%d;</Key>" % levels
        + b"</Contents><Blob><Name>&e%d;</Name></Blob></x>" % levels
    )


BODIES = {
    "nothing": b"",
    "noise": bytes(range(256)),
    "a file": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x><Contents><Key>&e;</Key></Contents></x>',
    "parts missing": b"<x><Contents/><Blob/></x>",
    "no numbers": b"<x><Contents><Size>-x</Size></Contents><Blob><Name>a</Name></Blob></x>",
    "no object": b"[]",
    "no facts": b"{}",
    "facts of other kinds": b'{"items": [{}], "size": "x", "generation": 1, "metadata": [1]}',
    "no list": b'{"items": 5, "error": {"errors": 5}}',
    "no time": b'{"items": [{"name": 1, "size": "1", "updated": "x"}], "error": 5}',
    "too deep": b"[" * 30_000,
    "too large a number": b'{"generation": "1", "size": "' + b"9" * 5000 + b'"}',
}
SPANS = (
    {},
    {"content-range": "bytes 0-0/99999999999999999999", "location": "http://[::1/x"},
    {"content-range": "bytes 0-0/1", "location": "/p?upload_id=1", "range": "bytes=0-99999999999999"},
)


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
@pytest.mark.parametrize("status", [200, 206, 308, 412])
def test_answers_without_sense(kind: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a server says: no other error than atio's comes out."""
    monkeypatch.setattr(upload_module, "PART", 1 << 16)
    tokens = {"etag": '"1"', "x-goog-generation": "1"}
    storage = storage_at(1, kind)
    for body in BODIES.values():
        for span in SPANS:
            answer = Response(status, tokens | span, body)
            monkeypatch.setattr(Connections, "send", lambda *_, answer=answer, **__: answer)
            for call in CALLS.values():
                with suppress(AtioError):
                    call(storage)


@pytest.mark.parametrize("kind", ["s3", "az"])
def test_a_bomb_does_not_go_off(kind: str) -> None:
    """The parser refuses it; nothing grows."""
    with Talker(lambda _: (200, {}, bomb(9))) as server, pytest.raises(StorageError, match="XML"):
        list(storage_at(server.port, kind).list())
