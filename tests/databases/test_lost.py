"""An answer that gets lost: what took effect is found out, or said to be unknown, and never told wrongly."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from atio.errors import OutcomeUnknownError, StorageError
from atio.writers.sql import write_table
from tests.databases.places import MariadbPlace, PostgresqlPlace
from tests.databases.servers import folder

OLD = pa.table({"id": [1, 2]})
NEW = pa.table({"id": [2, 3]})


class Proxy:
    """Passes bytes between clients and a server, until a client says ``word``; then cuts that connection.

    Attributes
    ----------
    deliver
        Whether the server still gets the word, and its answer alone is lost.
    closed
        Whether nobody is let in afterwards.
    """

    def __init__(self, here: Path, server: Path, word: bytes, *, deliver: bool, closed: bool = False) -> None:
        self.word, self.deliver, self.closed = word, deliver, closed
        self.cut = False
        self._server = server
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(here))
        self._door.listen()
        threading.Thread(target=self._welcome, daemon=True).start()

    def _welcome(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                if self.cut and self.closed:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                lost = threading.Event()
                threading.Thread(target=self._out, args=(client, server, lost), daemon=True).start()
                threading.Thread(target=self._back, args=(client, server, lost), daemon=True).start()

    def _out(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if self.word in data and not self.cut:
                    self.cut = True
                    lost.set()
                    if self.deliver:
                        server.sendall(data)
                    else:
                        server.shutdown(socket.SHUT_RDWR)
                        client.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _back(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if lost.is_set():
                    break
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        server.close()
        client.close()

    def close(self) -> None:
        self._door.close()


@contextlib.contextmanager
def before_postgresql(place: PostgresqlPlace, **options: bool) -> Iterator[sa.URL]:
    name = ".s.PGSQL.5432"
    with folder() as here:
        proxy = Proxy(here / name, Path(str(place.url.query["host"])) / name, b"COMMIT", **options)
        yield place.url.update_query_dict({"host": str(here)})
        proxy.close()
        assert proxy.cut


@contextlib.contextmanager
def before_mariadb(place: MariadbPlace, word: bytes, **options: bool) -> Iterator[sa.URL]:
    with folder() as here:
        proxy = Proxy(here / "s", Path(str(place.url.query["unix_socket"])), word, **options)
        yield place.url.update_query_dict({"unix_socket": str(here / "s")})
        proxy.close()
        assert proxy.cut


@pytest.mark.parametrize("mode", ["fail", "replace", "append", "upsert"])
def test_postgresql_did_commit(postgresql: PostgresqlPlace, mode: str) -> None:
    if mode != "fail":
        write_table(OLD, "t", postgresql.con, key="id" if mode == "upsert" else None)
    with before_postgresql(postgresql, deliver=True) as url:
        assert write_table(NEW, "t", url, if_exists=mode, key="id" if mode == "upsert" else None) == 2
    rows = {"append": [(1,), (2,), (2,), (3,)], "upsert": [(1,), (2,), (3,)]}
    assert postgresql.rows("t") == rows.get(mode, [(2,), (3,)])


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_postgresql_did_not_commit(postgresql: PostgresqlPlace, mode: str) -> None:
    write_table(OLD, "t", postgresql.con)
    before = postgresql.state("t")
    with (
        before_postgresql(postgresql, deliver=False) as url,
        pytest.raises(StorageError, match="did not take"),
    ):
        write_table(NEW, "t", url, if_exists=mode)
    assert postgresql.state("t") == before


def test_postgresql_is_gone(postgresql: PostgresqlPlace) -> None:
    write_table(OLD, "t", postgresql.con)
    with before_postgresql(postgresql, deliver=True, closed=True) as url, pytest.raises(OutcomeUnknownError):
        write_table(NEW, "t", url, if_exists="append")
    assert len(postgresql.rows("t")) in (2, 4)


def test_mariadb_did_swap(mariadb: MariadbPlace) -> None:
    for mode in ("fail", "replace"):
        with before_mariadb(mariadb, b"RENAME TABLE", deliver=True) as url:
            assert write_table(NEW, "t", url, if_exists=mode) == 2
        assert mariadb.rows("t") == [(2,), (3,)]
    write_table(OLD, "t", mariadb.con, if_exists="replace")
    assert mariadb.tables() == {"t"}


def test_mariadb_did_not_swap(mariadb: MariadbPlace) -> None:
    write_table(OLD, "t", mariadb.con)
    before = mariadb.state("t")
    with before_mariadb(mariadb, b"RENAME TABLE", deliver=False) as url, pytest.raises(StorageError):
        write_table(NEW, "t", url, if_exists="replace")
    assert mariadb.state("t") == before


def test_mariadb_cannot_tell(mariadb: MariadbPlace) -> None:
    write_table(OLD, "t", mariadb.con)
    with before_mariadb(mariadb, b"\x03COMMIT", deliver=True) as url, pytest.raises(OutcomeUnknownError):
        write_table(NEW, "t", url, if_exists="append")
    with (
        before_mariadb(mariadb, b"RENAME TABLE", deliver=True, closed=True) as url,
        pytest.raises(OutcomeUnknownError),
    ):
        write_table(NEW, "t", url, if_exists="replace")
    assert len(mariadb.rows("t")) in (2, 4)
