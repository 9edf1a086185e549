"""Single files in buckets: each is one put or one completion, whole or not at all."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import atio
from atio.errors import (
    AtioError,
    DamagedError,
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    StorageError,
    UnsupportedError,
)
from atio.storage.remote import upload as upload_module
from atio.writers.remote import RemoteTarget
from tests.remote.proxy import Fault, Message, Proxy
from tests.remote.servers import QUICK, Server
from tests.remote.test_faults import HARMS, HELD, LANDED, first
from tests.remote.test_uploads import parts_left
from tests.support.processes import FRESH
from tests.support.share import at_most

FRAME = pd.DataFrame({"n": [1, 2, 3], "text": ["a", "b", 'c,"d"']})
PIECE = pa.table({"x": np.random.default_rng(1).random(1 << 17)})
"""A MiB that does not compress."""


class Files:
    """Single files in a folder of a server."""

    def __init__(self, server: Server, folder: str) -> None:
        self.server = server
        self.folder = folder

    def url(self, name: str) -> str:
        return self.server.url(f"{self.folder}/{name}")

    def write(self, obj: Any, name: str, **kwargs: Any) -> None:
        atio.write(obj, self.url(name), storage_options=self.server.storage_options, **kwargs)

    def read(self, name: str, **kwargs: Any) -> Any:
        return atio.read(self.url(name), storage_options=self.server.storage_options, **kwargs)

    def verify(self, name: str) -> Any:
        return atio.verify(self.url(name), storage_options=self.server.storage_options)

    def names(self) -> list[str]:
        return sorted(entry.path for entry in self.server.storage(self.folder).list())

    def target(self, name: str, **options: Any) -> RemoteTarget:
        """One that is not patient."""
        return RemoteTarget(self.server.storage(self.folder, QUICK, **options), name)


@pytest.fixture
def files(server: Server, folder: str) -> Files:
    return Files(server, folder)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 wants 5 MiB of a part, Google multiples of 256 KiB."""
    monkeypatch.setattr(upload_module, "PART", 5 << 20)


def pieces(count: int) -> Iterator[pa.Table]:
    return (PIECE for _ in range(count))


# -- there and back ----------------------------------------------------------------------------

OBJECTS: dict[str, Callable[[], Any]] = {
    "pandas.parquet": lambda: FRAME,
    "polars.parquet": lambda: pl.from_pandas(FRAME),
    "lazy.parquet": lambda: pl.from_pandas(FRAME).lazy(),
    "lazy.csv": lambda: pl.from_pandas(FRAME).lazy(),
    "iterator.arrow": lambda: iter([pa.table(FRAME.to_dict("list"))] * 1),
    "records.jsonl": lambda: iter(FRAME.to_dict("records")),
    "packed.csv.gz": lambda: pl.from_pandas(FRAME),
    "sheet.xlsx": lambda: pl.from_pandas(FRAME),
}


def test_there_and_back(files: Files) -> None:
    """Every way of writing: by a library's own method, in pieces, compressed, formats that want to seek."""
    for name, make in OBJECTS.items():
        files.write(make(), name)
        found = files.read(name, output_as="arrow").to_pylist()
        assert found == FRAME.to_dict("records"), name
    files.write(np.arange(9), "array.npy")
    assert files.read("array.npy").tolist() == list(range(9))
    assert files.names() == sorted([*OBJECTS, "array.npy"])
    with pytest.raises(NotFoundError, match=r"missing\.csv"):
        files.read("missing.csv")


def test_replaced_whole(files: Files, small_parts: None) -> None:
    """Small by large by small; who reads meanwhile sees one or the other."""
    files.write({"x": [0.5]}, "x.parquet")
    failures: list[BaseException] = []
    stop = threading.Event()

    def watch() -> None:
        try:
            while not stop.is_set():
                assert files.read("x.parquet", output_as="arrow").num_rows in (1, 2, 12 << 17)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(2):
            files.write(pieces(12), "x.parquet", compression="none")
            assert files.read("x.parquet", output_as="arrow").num_rows == 12 << 17
            files.write({"x": [0.5, 1.5]}, "x.parquet")
            assert files.read("x.parquet", output_as="arrow").num_rows == 2
    finally:
        stop.set()
        thread.join()
    assert not failures
    assert files.names() == ["x.parquet"]
    assert parts_left(files.server, files.folder) == []


# -- requests ----------------------------------------------------------------------------------


def writing(message: Message) -> bool:
    """Whether it is the request that makes an object of a file, or its last part visible."""
    path, _, query = message.target.partition("?")
    if "/upload/" in path:
        return "uploadType=multipart" in query or message.method == "PUT"
    if query.startswith("uploadId") and message.method == "POST":
        return True
    return message.method == "PUT" and (not query or "blocklist" in query)


def test_one_request_makes_it(files: Files, small_parts: None) -> None:
    """A small file: a look, the put, and its flag is removed; a large one: its parts and one completion."""
    made: list[Message] = []

    def note(message: Message) -> Fault:
        if writing(message):
            made.append(message)
        return Fault.NONE

    with Proxy(files.server.port, note) as proxy:
        near = Files(files.server.at(proxy.port), files.folder)
        near.write({"x": [1]}, "small.parquet")
        assert (len(made), proxy.log.total) == (1, 3)
        made.clear()
        near.write(pieces(12), "large.parquet", compression="none")
    if files.server.scheme != "gs":  # there the parts are requests of the same kind
        assert len(made) == 1


# -- what fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [True, False])
def test_an_aborted_one_leaves_nothing(
    files: Files, small_parts: None, error: type[BaseException], old: bool
) -> None:
    """Neither an object nor parts that are billed; the old file is as it was."""
    if old:
        files.write({"x": [1.0]}, "x.parquet")

    def rows() -> Iterator[pa.Table]:
        yield from pieces(24)
        raise error("mine")

    with pytest.raises(error, match="mine"):
        files.write(rows(), "x.parquet", compression="none", backup=True, success_flag=True)
    assert files.names() == ["x.parquet"] * old
    if old:
        assert files.read("x.parquet", output_as="arrow").num_rows == 1
    if not (old and files.server.scheme == "az"):  # There they go with the next write, or after a week.
        assert parts_left(files.server, files.folder) == []


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
@pytest.mark.parametrize("kind", ["lazy", "iterator", "pandas"])
def test_a_store_that_fails_says_so(files: Files, small_parts: None, suffix: str, kind: str) -> None:
    """Whatever the library makes of it, the error is the store's."""
    frame = pl.concat([pl.from_arrow(PIECE)] * 16)
    obj = {"lazy": frame.lazy, "iterator": lambda: pieces(16), "pandas": frame.to_pandas}[kind]()
    with Proxy(files.server.port) as proxy:
        near = Files(files.server.at(proxy.port), files.folder)
        proxy.plan = lambda message: Fault.NONE if message.method == "GET" else Fault.BUSY
        with pytest.raises(StorageError, match="503"):
            atio.write(obj, near.target(f"x.{suffix}"))
    assert files.names() == []
    assert parts_left(files.server, files.folder) == []


@pytest.mark.parametrize("fault", HARMS, ids=lambda fault: fault.name)
def test_one_fault_is_nothing(files: Files, fault: Fault) -> None:
    """It is repeated, and comes to the same; what comes late does not undo what came after it."""
    files.write({"x": [0]}, "x.jsonl")
    with Proxy(files.server.port) as proxy:
        near = Files(files.server.at(proxy.port), files.folder)
        proxy.plan = first(fault, writing)
        patience = 0.5 if fault.slow else 30.0
        atio.write({"x": [1]}, near.target("x.jsonl", read_timeout=patience))
        assert files.read("x.jsonl", output_as="python") == [{"x": 1}]
        files.write({"x": [2]}, "x.jsonl")
        proxy.release()
    assert files.read("x.jsonl", output_as="python") == [{"x": 2}]
    assert files.names() == ["x.jsonl"]


@pytest.mark.parametrize("fault", HARMS, ids=lambda fault: fault.name)
def test_faults_that_stay(files: Files, fault: Fault) -> None:
    """A success is there; what is said not to have happened has not; only what nobody knows is "unknown"."""
    files.write({"x": [0]}, "x.jsonl")
    with Proxy(files.server.port) as proxy:
        near = Files(files.server.at(proxy.port), files.folder)
        proxy.plan = lambda message: fault if writing(message) else Fault.NONE
        outcome: BaseException | None = None
        try:
            patience = 0.5 if fault.slow else 30.0
            atio.write({"x": [1]}, near.target("x.jsonl", read_timeout=patience))
        except AtioError as error:
            outcome = error
        proxy.plan = lambda _: Fault.NONE
        proxy.release()
    (found,) = files.read("x.jsonl", output_as="python")
    if outcome is None:
        assert found == {"x": 1}
    elif fault in (*LANDED, *HELD) or not isinstance(outcome, OutcomeUnknownError):
        assert found == ({"x": 1} if fault in LANDED else {"x": 0}) or fault in HELD
    if fault in LANDED:
        assert outcome is None, "it was looked up"


@pytest.mark.parametrize("fault", HARMS, ids=lambda fault: fault.name)
@pytest.mark.parametrize(
    "number", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 1, 4, 5)[: at_most(4)])]
)
def test_parts_under_faults(files: Files, small_parts: None, fault: Fault, number: int) -> None:
    """Any request of a large file may meet any fault."""
    files.write({"x": [0.5]}, "x.parquet")
    count = itertools.count(1)
    with Proxy(files.server.port, lambda _: fault if next(count) == number else Fault.NONE) as proxy:
        near = Files(files.server.at(proxy.port), files.folder)
        patience = {"read_timeout": 1.0 if fault.slow else 30.0}
        try:
            atio.write(pieces(12), near.target("x.parquet", **patience), compression="none")
        except StorageError:
            assert files.server.scheme == "gs", "this server cannot resume: see test_resumable.py"
            return
    assert files.read("x.parquet", output_as="arrow").num_rows == 12 << 17
    if fault not in (*HELD, Fault.DUPLICATE, Fault.DUPLICATE_LATE, *LANDED):  # a doubled beginning stays
        assert parts_left(files.server, files.folder) == []


# -- flags and backups -------------------------------------------------------------------------


def test_flags(files: Files, small_parts: None) -> None:
    """They vouch for what was sent, of one part or several, and go with a write without one."""
    for rows in (iter([{"x": 1.5}]), pieces(12)):
        files.write(rows, "x.parquet", compression="none", success_flag=True)
        assert files.names() == [".x.parquet._SUCCESS", "x.parquet"]
        assert files.verify("x.parquet").size == files.server.storage(files.folder).size("x.parquet")
    files.write({"x": [1]}, "y.csv.gz", success_flag=True)
    assert files.verify("y.csv.gz").size > 0
    damage = files.server.storage(files.folder).replacement("x.parquet")
    damage.write(b"something else")
    damage.close()
    with pytest.raises(DamagedError, match=r"x\.parquet"):
        files.verify("x.parquet")
    files.write({"x": [1]}, "x.parquet")
    with pytest.raises(NotFoundError, match="flag"):
        files.verify("x.parquet")


def test_backups(files: Files, small_parts: None) -> None:
    """The old content under another name, whatever its size; of nothing there is none."""
    files.write(pieces(12), "x.parquet", compression="none", backup=True)
    assert files.names() == ["x.parquet"]
    old = files.server.storage(files.folder).read("x.parquet")
    files.write({"x": [1]}, "x.parquet", backup=True)
    storage = files.server.storage(files.folder)
    assert storage.read("x.parquet.bak") == old
    assert files.read("x.parquet", output_as="arrow").num_rows == 1


# -- many at once ------------------------------------------------------------------------------


def write_often(server: Server, folder: str, who: int, count: int) -> None:
    for number in range(count):
        rows = who * 10 + number + 1
        Files(server, folder).write({"who": [who] * rows, "rows": [rows] * rows}, "x.parquet")


def test_processes(files: Files) -> None:
    """Everybody's write succeeds, and what is there at the end is one of them."""
    with FRESH.Pool(3) as pool:
        pool.starmap(write_often, [(files.server, files.folder, who, 5) for who in range(3)], 1)
    found = files.read("x.parquet", output_as="arrow")
    assert set(found["rows"].to_pylist()) == {found.num_rows}
    assert found.num_rows == 10 * found["who"][0].as_py() + 5
    assert files.names() == ["x.parquet"]


CODE = """
import os, signal, sys
from pathlib import Path
import numpy as np, pyarrow as pa
import atio
kind, url, megabytes, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), eval(sys.argv[4])
piece = pa.table({"x": np.random.default_rng(1).random(1 << 17)})

def pieces(count):
    for number in range(count):
        yield piece
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field + ":"))

def source(count):
    if kind != "lazy":
        return pieces(count)
    import polars as pl
    return pl.scan_parquet(sys.argv[5]).head(count << 17)

plain = "uncompressed" if kind == "lazy" else "none"
if kind != "kill":
    atio.write(source(40), url, storage_options=options, compression=plain)
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
atio.write(source(megabytes), url, storage_options=options, compression=plain)
print(status("VmHWM") - before)
"""


def run(files: Files, kind: str, name: str, megabytes: int, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, kind, files.url(name), str(megabytes)]
    return subprocess.run(
        [*command, repr(files.server.storage_options), *more], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["iterator", pytest.param("lazy", marks=pytest.mark.slow)])
def test_memory_is_bounded(s3: Server, folder: str, kind: str, tmp_path: Path) -> None:
    """Several times the buffers go through."""
    files = Files(s3, folder)
    more = []
    if kind == "lazy":
        atio.write(pieces(300), tmp_path / "x.parquet", compression="none", row_group_size=1 << 17)
        more = [str(tmp_path / "x.parquet")]
    done = run(files, kind, "x.parquet", 300 if kind == "lazy" else 160, *more)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < (180 if kind == "lazy" else 90)
    s3.storage(folder).delete(["x.parquet"])


def test_a_killed_writer_changes_nothing(files: Files) -> None:
    """The old file is there; the next write succeeds."""
    files.write({"x": [1.5]}, "x.parquet")
    assert run(files, "kill", "x.parquet", 24).returncode == -signal.SIGKILL
    assert files.names() == ["x.parquet"]
    assert files.read("x.parquet", output_as="arrow").num_rows == 1
    files.write({"x": [1.5, 2.5]}, "x.parquet")
    assert files.read("x.parquet", output_as="arrow").num_rows == 2


# -- names and options ---------------------------------------------------------------------------


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no file"):
        atio.write(FRAME, "s3://bucket", format="csv", storage_options={"anon": True})
    with pytest.raises(InputError, match="names no file"):
        atio.write(FRAME, "s3://bucket/", format="csv", storage_options={"anon": True})
    with pytest.raises(InputError, match=r"did you mean 'secret'"):
        atio.write(FRAME, "s3://bucket/x.csv", storage_options={"key": "x", "secret": "x", "secrt": "x"})
    with pytest.raises(InputError, match="elsewhere"):
        atio.write(FRAME, tmp_path / "x.csv", storage_options={"key": "x"})
    with pytest.raises(UnsupportedError, match="nosuch://"):
        atio.write(FRAME, "nosuch://place/x.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_conditions(s3: Server, folder: str) -> None:
    """The last to write wins there, too."""
    with Proxy(s3.port, drops=frozenset({"if-match", "if-none-match"})) as proxy:
        files = Files(s3.at(proxy.port), folder)
        for number in range(3):
            files.write({"x": [number]}, "x.jsonl")
            assert files.read("x.jsonl", output_as="python") == [{"x": number}]
