"""Credentials go to the server they are for, and are shown to nobody."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

import atio
from atio import Table
from atio.errors import AccessError, AtioError, InputError, ResponseLostError, StorageError
from atio.storage import open_storage
from atio.storage.backoff import Backoff
from atio.storage.remote import upload as upload_module
from atio.storage.remote.connections import Connections
from atio.storage.remote.messages import Endpoint, Line, Request
from atio.storage.remote.objects import ObjectStorage
from tests.remote.servers import Server

ONCE = Backoff(attempts=1)
SECRETS = {
    "s3": {"key": "AKIATEST", "secret": "SECRETwords", "token": "SESSIONwords", "region": "us-east-1"},
    "gs": {"token": {"access_token": "BEARERwords"}},
    "az": {"account_name": "account", "sas_token": "?sv=2021&sig=SIGNATUREwords%3D"},
    "az-key": {"account_name": "account", "account_key": "QUNDT1VOVGtleQ=="},
}
WORDS = (
    *("SECRETwords", "SESSIONwords", "BEARERwords", "SIGNATUREwords", "QUNDT1VOVGtleQ"),
    *("AWS4-HMAC-SHA256", "SharedKey account"),
)


class Talker:
    """A server that answers everything the same way, and remembers what it was told."""

    def __init__(self, answer: Callable[[Any], tuple[int, dict[str, str], bytes]]) -> None:
        self.heard: list[tuple[str, str, str]] = []
        talker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _go(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                talker.heard.append((self.command, self.path, str(self.headers)))
                status, headers, body = answer(self)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _go

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def storage_at(port: int, kind: str, backoff: Backoff = ONCE) -> ObjectStorage:
    path = "/account" if kind.startswith("az") else ""
    return Server(kind[:2], f"http://127.0.0.1:{port}{path}", SECRETS[kind]).storage("folder", backoff)


def replace(storage: ObjectStorage) -> None:
    sink = storage.replacement("x.csv")
    sink.write(bytes(3 << 16))
    sink.close()


def upload(storage: ObjectStorage) -> None:
    sink = storage.sink("data/a")
    sink.write(bytes(3 << 16))
    sink.close()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "PART", 1 << 16)


CALLS: dict[str, Callable[[ObjectStorage], object]] = {
    "load": lambda storage: storage.load("current"),
    "read": lambda storage: storage.read("data/a"),
    "size": lambda storage: storage.size("data/a"),
    "create": lambda storage: storage.create("data/a", b"x"),
    "swap": lambda storage: storage.swap("current", b"x", '"1"'),
    "delete": lambda storage: storage.delete(["data/a"]),
    "list": lambda storage: list(storage.list()),
    "upload": upload,
    "replace": replace,
    "pieces": lambda storage: list(storage.pieces("data/a")),
    "range": lambda storage: storage.read_into("data/a", 0, memoryview(bytearray(1))),
}


def displayed(error: BaseException) -> list[str]:
    """A traceback with the variables of atio's functions, as some tools show it."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain: traceback.TracebackException | None = found
    while chain is not None:
        chain.stack = traceback.StackSummary.from_list(f for f in chain.stack if "/tests/" not in f.filename)
        chain = chain.__cause__
    return list(found.format())


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """What led to an error, also where it is said not to be shown."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", SECRETS)
def test_redirects_are_not_followed(kind: str, status: int) -> None:
    """Nothing arrives elsewhere, neither credentials nor data; and elsewhere's 200 is no success."""
    success = {"ETag": '"1"', "x-goog-generation": "1", "Content-Range": "bytes 0-0/1"}
    with Talker(lambda _: (200, success, b"x")) as elsewhere:
        away = {"Location": f"http://127.0.0.1:{elsewhere.port}/bucket/x", "ETag": '"1"'}
        with Talker(lambda _: (status, away, b"")) as server:
            for name, call in CALLS.items():
                with pytest.raises(ResponseLostError if name == "swap" else StorageError):
                    call(storage_at(server.port, kind))
            assert len(server.heard) >= len(CALLS)
        assert elsewhere.heard == []


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("status", [400, 401, 403, 409, 412, 500, 501, 503])
def test_a_server_that_repeats_what_it_hears(
    kind: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither messages nor tracebacks, with local variables, nor logs show what was secret."""
    caplog.set_level(logging.DEBUG)

    def echo(request: Any) -> tuple[int, dict[str, str], bytes]:
        heard = f"{request.path} {' '.join(str(request.headers).split())}".replace("&", "&amp;")
        if kind == "gs":
            return status, {}, f'{{"error": {{"message": "{heard.replace(chr(34), "")}"}}}}'.encode()
        return status, {}, f"<Error><Code>Odd</Code><Message>{heard}</Message></Error>".encode()

    with Talker(echo) as server:
        storage = storage_at(server.port, kind)
        shown = [repr(storage), str(storage), storage.url, repr(storage.__dict__)]
        for call in CALLS.values():
            with pytest.raises(AtioError) as caught:
                call(storage)
            error = caught.value
            shown += [str(error), repr(error), repr(error.__reduce__())]
            shown += displayed(error)
            shown += [f"{one} {one!r}" for one in chain(error)]
        heard = str(server.heard)
        assert any(word in heard for word in WORDS)
    shown += [record.getMessage() for record in caplog.records]
    text = "\n".join(shown)
    for word in WORDS:
        assert word not in text, word


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
@pytest.mark.parametrize(
    "endpoint", ["http://store.example", "http://10.0.0.1:9000", "http://127.0.0.1.example"]
)
def test_encryption_is_on(scheme: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP only to this machine, or when it is asked for."""
    for name in ("AWS_ALLOW_HTTP", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    options = {**SECRETS[scheme], "endpoint_url": endpoint}
    with pytest.raises(AccessError, match=r"without encryption[^→]*→[^→]*allow_http"):
        open_storage(f"{scheme}://bucket/t", storage_options=options)
    open_storage(f"{scheme}://bucket/t", storage_options={**options, "allow_http": True})
    open_storage(f"{scheme}://bucket/t", storage_options={**options, "use_ssl": False})
    for host in ("127.0.0.1", "localhost", "[::1]", "127.1.2.3"):
        open_storage(
            f"{scheme}://bucket/t", storage_options={**options, "endpoint_url": f"http://{host}:9000"}
        )


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://KEYwords:PASSwords@bucket/t", {"anon": True}),
        ("gs://KEYwords:PASSwords@bucket/t", {"token": "anon"}),
        ("s3://bucket/t", {"anon": True, "endpoint_url": "https://KEYwords:PASSwords@host"}),
        ("s3://bucket/t", {"anon": True, "endpoint_url": "https://host/?sig=PASSwords"}),
        ("s3://bucket/t", {"key": "KEYwords", "secret": "PASSwords\nInjected: yes\n."}),
        ("az://bucket/t", {"account_name": "a", "account_key": "PASSwords!"}),
        ("az://bucket/t", {"connection_string": "AccountKey=PASSwords;AccountName"}),
        ("az://bucket/t", {"account_name": "a", "sas_token": "PASSwords"}),
    ],
)
def test_mistaken_places_for_credentials(url: str, options: dict[str, object]) -> None:
    """What is wrong with them is said without them."""
    with pytest.raises(InputError) as caught:
        open_storage(url, storage_options=options)
    assert "words" not in str(caught.value)


def test_a_folder_is_not_left(started: Callable[[str], Server]) -> None:
    """The URL's folder is as carefully read as any path."""
    for folder in ("..", "a/../..", "a//b", "./a"):
        with pytest.raises(InputError):
            started("s3").storage(folder)


def test_nothing_secret_is_written(
    s3: Server, folder: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither into the table and files, nor into what is kept on the disk, shown or logged."""
    caplog.set_level(logging.DEBUG)
    secrets = ("KEYwords", "SECRETwords", "SESSIONwords")
    options = {
        **s3.storage_options,
        **dict(zip(("key", "secret", "token"), secrets, strict=True)),
        "metadata_cache": str(tmp_path),
    }
    for _ in range(2):
        table = Table.open(s3.url(folder), storage_options=options)
        table.append({"x": [1]})
        table.tag(f"v{table.snapshot().version}", message="a word")
    atio.write(
        {"x": [1]}, f"{s3.url(folder)}/x.csv", storage_options=options, success_flag=True, verbose=True
    )
    storage = s3.storage(folder)
    found = [storage.read(entry.path) for entry in storage.list()]
    found += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) > 5
    found += [
        repr(one).encode() for one in (table, table.snapshot(), table._objects.storage, table.history())
    ]
    found += [record.getMessage().encode() for record in caplog.records]
    assert not [word for word in secrets for text in found if word.encode() in text]


# -- TLS ---------------------------------------------------------------------------------------


@contextmanager
def tls_server(folder: Path) -> Iterator[tuple[int, Path]]:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs openssl to make a certificate")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [
        program,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    with Talker(lambda _: (200, {"ETag": '"1"'}, b"hello")) as talker:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        talker.server.socket = context.wrap_socket(talker.server.socket, server_side=True)
        talker.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        yield talker.port, certificate


def test_certificates_are_checked(tmp_path: Path) -> None:
    """An unknown authority's is refused, at once and with the remedy; a known one's is not."""
    request = Request("GET", "/x")
    with tls_server(tmp_path) as (port, certificate):
        place = Endpoint.parse(f"https://localhost:{port}")
        with pytest.raises(AccessError, match="certificate"):
            Connections(place, Line()).send(request)
        for verify in (str(certificate), False):
            connections = Connections(place, Line(verify=verify))
            for _ in range(3):
                assert connections.send(request).body == b"hello"
            connections.close()
        wrong = Endpoint.parse(f"https://127.0.0.1:{port}")
        with pytest.raises(AccessError, match="certificate"):
            Connections(wrong, Line(verify=str(certificate))).send(request)
        with pytest.raises(InputError, match="certificates"):
            Connections(place, Line(verify=str(tmp_path / "missing.pem"))).send(request)
