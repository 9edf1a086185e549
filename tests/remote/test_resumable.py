"""Resumable uploads of GCS, against a model of its documented protocol.

https://cloud.google.com/storage/docs/performing-resumable-uploads. The server that the other tests run
cannot resume: it appends whatever arrives.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from atio.errors import ExistsError, StorageError
from tests.remote.proxy import Fault, Proxy
from tests.remote.servers import QUICK, Server
from tests.support.share import at_most

_STEP = 256 << 10


class Model:
    """What the server knows."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, dict[str, Any]] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.keep = lambda data: data
        """What of a part the server keeps: it may keep less than it was sent."""

    def begin(self, name: str, about: dict[str, Any]) -> str:
        identity = str(len(self.sessions))
        self.sessions[identity] = {"name": name, "about": about, "content": bytearray(), "end": None}
        return identity

    def put(self, identity: str, span: str, data: bytes) -> tuple[int, dict[str, str], bytes]:
        session = self.sessions.get(identity)
        if session is None:
            return 404, {}, b""
        if session["end"] is not None:
            return session["end"]
        found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", span)
        assert found, span
        content = session["content"]
        total = None if found[3] == "*" else int(found[3])
        if found[1] is not None:
            start = int(found[1])
            assert len(data) == int(found[2]) + 1 - start
            assert total is not None or len(data) % _STEP == 0
            if start > len(content):
                return 400, {}, b""
            data = data[len(content) - start :]  # What is there already is not heeded.
            content += data if len(content) + len(data) == total else self.keep(data)
        if total is not None and len(content) == total:
            if session["name"] in self.objects:
                session["end"] = (412, {}, b"")
            else:
                md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
                metadata = session["about"].get("metadata", {})
                stored = {"size": str(total), "generation": "17", "md5Hash": md5, "metadata": metadata}
                self.objects[session["name"]] = {**stored, "content": bytes(content)}
                session["end"] = (200, {}, json.dumps(stored).encode())
            return session["end"]
        return 308, {"Range": f"bytes=0-{len(content) - 1}"} if content else {}, b""


@contextmanager
def gcs_model() -> Iterator[tuple[Server, Model]]:
    model = Model()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            assert query["uploadType"] == ["resumable"]
            assert query["ifGenerationMatch"] == ["0"]
            with model.lock:
                identity = model.begin(query["name"][0], json.loads(self._body()))
            place = f"http://elsewhere.example{urlsplit(self.path).path}?uploadType=resumable&upload_id={identity}"
            self._reply(200, {"Location": place}, b"")

        def do_PUT(self) -> None:
            identity = parse_qs(urlsplit(self.path).query)["upload_id"][0]
            body = self._body()
            with model.lock:
                self._reply(*model.put(identity, self.headers["Content-Range"], body))

        def do_DELETE(self) -> None:
            identity = parse_qs(urlsplit(self.path).query)["upload_id"][0]
            with model.lock:
                known = model.sessions.pop(identity, None)
            self._reply(499 if known else 404, {}, b"")

        def do_GET(self) -> None:
            name = unquote(urlsplit(self.path).path.rpartition("/")[2])
            with model.lock:
                found = model.objects.get(name)
            if found is None:
                self._reply(404, {}, b"")
            else:
                stored = {key: value for key, value in found.items() if key != "content"}
                self._reply(200, {}, json.dumps(stored).encode())

        def _body(self) -> bytes:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                raise ConnectionResetError
            return body

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Server("gs", f"http://127.0.0.1:{server.server_port}", {"token": "anon"}), model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def upload(server: Server, name: str, content: bytes) -> None:
    storage = server.storage("folder", QUICK, read_timeout=2.0)
    sink = storage.sink(name)
    try:
        for start in range(0, len(content), 3 << 20):
            sink.write(content[start : start + (3 << 20)])
        sink.close()
    finally:
        sink.abort()


CONTENT = random.Random(1).randbytes((16 << 20) + 7)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE], ids=lambda f: f.name)
@pytest.mark.parametrize(
    "request_number", [2, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 1)[: at_most(2)])]
)
def test_any_request_meets_any_fault(fault: Fault, request_number: int) -> None:
    """The object is whole, and there once."""
    count = itertools.count(1)
    with (
        gcs_model() as (server, model),
        Proxy(server.port, lambda _: fault if next(count) == request_number else Fault.NONE) as proxy,
    ):
        upload(server.at(proxy.port), "a", CONTENT)
        proxy.release()
        assert {name: found["content"] for name, found in model.objects.items()} == {"folder/a": CONTENT}


def test_a_server_that_keeps_less_than_it_was_sent() -> None:
    """The rest is sent again, from where the server says."""
    with gcs_model() as (server, model):
        model.keep = lambda data: data[: max(_STEP, len(data) // 2 // _STEP * _STEP)]
        upload(server, "a", CONTENT)
        assert model.objects["folder/a"]["content"] == CONTENT


def test_a_server_that_keeps_nothing() -> None:
    """This is given up after a while, and the session is ended."""
    with gcs_model() as (server, model):
        model.keep = lambda data: b""
        with pytest.raises(StorageError, match="part"):
            upload(server, "a", CONTENT)
        assert model.objects == {}
        assert model.sessions == {}


def test_a_server_that_stores_something_else() -> None:
    """The store's own checksum is compared with what was sent."""
    with gcs_model() as (server, model):
        model.keep = lambda data: bytes(len(data))
        with pytest.raises(StorageError, match="other bytes"):
            upload(server, "a", CONTENT)


def test_another_made_it_meanwhile() -> None:
    """Uploads do not write over what is there when they end."""
    with gcs_model() as (server, model):
        storage = server.storage("folder", QUICK)
        sink = storage.sink("a")
        sink.write(CONTENT)
        model.objects["folder/a"] = {"size": "1", "generation": "1", "metadata": {}, "content": b"x"}
        with pytest.raises(ExistsError):
            sink.close()
        assert model.objects["folder/a"]["content"] == b"x"
