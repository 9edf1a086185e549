"""What every writer of files must do.

Subclass :class:`WriterConformance`, set ``writer``, and let pytest collect it::

    class TestFasta(WriterConformance):
        writer = FastaWriter()
        samples = {Kind.RECORDS: lambda: [{"name": "seq1", "sequence": "ACGT"}]}
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from atio.errors import AtioError, InputError, StorageFullError, UnsupportedError
from atio.storage import MemoryStorage
from atio.writers.files import FileWriter
from atio.writers.kinds import Kind, kind_of
from atio.writers.names import COMPRESSIONS
from atio.writers.reading import read
from atio.writers.targets import LocalTarget
from atio.writers.writing import write

Make = Callable[[], Any]

COLUMNS = {"id": [1, 2, 3], "name": ["Ann", "Bö", 'c,"d"'], "x": [0.5, -2.0, 1e9]}
_OLD = b"the file that was here before"


def _records() -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


def _pandas() -> Any:
    return pytest.importorskip("pandas").DataFrame(COLUMNS)


def _polars() -> Any:
    return pytest.importorskip("polars").DataFrame(COLUMNS)


def _structured() -> Any:
    np = pytest.importorskip("numpy")
    rows = list(zip(*COLUMNS.values(), strict=True))
    return np.array(rows, dtype=[("id", "i8"), ("name", "U8"), ("x", "f8")])


def _arrays() -> Any:
    np = pytest.importorskip("numpy")
    return {name: np.array(values) for name, values in COLUMNS.items()}


def _arrow() -> Any:
    import pyarrow as pa

    return pa.table(COLUMNS)


SAMPLES: Mapping[Kind, Make] = {
    Kind.PANDAS: _pandas,
    Kind.POLARS: _polars,
    Kind.LAZY: lambda: _polars().lazy(),
    Kind.NUMPY: _structured,
    Kind.ARRAYS: _arrays,
    Kind.ARROW: _arrow,
    Kind.STREAM: lambda: _arrow().to_reader(),
    Kind.RECORDS: _records,
    Kind.ITERATOR: lambda: iter(_records()),
    Kind.TEXT: lambda: "Grüße\n",
    Kind.BYTES: lambda: b"\x00\xff" * 8,
    Kind.OBJECT: lambda: [1, "two", None],
}
"""A small object of every kind; the frames hold ``COLUMNS``."""


class WriterConformance:
    """The suite. ``samples`` replaces objects that a format cannot hold; ``options`` are always given."""

    writer: ClassVar[FileWriter]
    samples: ClassVar[Mapping[Kind, Make]] = {}
    options: ClassVar[Mapping[str, Any]] = {}

    # -- what subclasses may replace ---------------------------------------------------------

    def sample(self, kind: Kind) -> Any:
        made = self.samples.get(kind, SAMPLES[kind])()
        assert kind_of(made) is kind
        return made

    def same(self, kind: Kind, made: Any, found: Any) -> None:
        """Assert that ``found`` was read from a file that ``made`` was written to."""
        if hasattr(made, "__len__") and hasattr(found, "__len__"):
            assert len(made) == len(found), kind

    def read(self, path: Path | str) -> Any:
        return read(path, self.writer)

    # -- helpers -----------------------------------------------------------------------------

    @property
    def suffix(self) -> str:
        return self.writer.suffixes[0] if self.writer.suffixes else ".file"

    @property
    def kinds(self) -> list[Kind]:
        return [kind for kind in Kind if self.writer.cell(kind) is not None]

    def put(self, obj: Any, path: Path | str, **kwargs: Any) -> None:
        write(obj, path, self.writer, **{**self.options, **kwargs})

    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        path = tmp_path / f"target{self.suffix}"
        path.write_bytes(_OLD)
        return path

    def check_untouched(self, target: Path) -> None:
        assert target.read_bytes() == _OLD
        assert [path.name for path in target.parent.iterdir()] == [target.name]

    # -- names -------------------------------------------------------------------------------

    def test_names(self) -> None:
        assert self.writer.formats
        assert all(name == name.lower() for name in self.writer.formats)
        assert all(s.startswith(".") and s == s.lower() for s in self.writer.suffixes)
        assert not set(self.writer.suffixes) & set(COMPRESSIONS)

    def test_there_is_something_it_writes(self) -> None:
        assert self.kinds

    # -- what is written ---------------------------------------------------------------------

    @pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
    def test_every_kind_is_written_or_refused(self, kind: Kind, target: Path) -> None:
        obj = self.sample(kind)
        if self.writer.cell(kind) is None:
            with pytest.raises(UnsupportedError) as caught:
                self.put(obj, target)
            assert caught.value.hint, "the hint names a combination that works"
            assert self.writer.formats[0] in str(caught.value)
            self.check_untouched(target)
            return
        self.put(obj, target)
        assert target.read_bytes() != _OLD
        assert [path.name for path in target.parent.iterdir()] == [target.name]
        if self.writer.readers:
            self.same(kind, self.sample(kind), self.read(target))

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_whole_files_are_compressed(self, compression: str, tmp_path: Path) -> None:
        kind = self.kinds[0]
        target = tmp_path / f"target{self.suffix}{compression}"
        self.put(self.sample(kind), target)
        if self.writer.readers:
            self.same(kind, self.sample(kind), self.read(target))

    def test_an_object_store_gets_one_put(self) -> None:
        kind = self.kinds[0]
        name = f"conformance-{os.urandom(4).hex()}"
        try:
            self.put(self.sample(kind), f"memory://{name}/a/b{self.suffix}")
            assert [entry.path for entry in MemoryStorage.named(name).list()] == [f"a/b{self.suffix}"]
            if self.writer.readers:
                self.same(kind, self.sample(kind), self.read(f"memory://{name}/a/b{self.suffix}"))
        finally:
            MemoryStorage.forget(name)

    # -- what fails --------------------------------------------------------------------------

    def test_unknown_arguments_are_refused(self, target: Path) -> None:
        for kind in self.kinds:
            with pytest.raises(InputError, match="no_such_argument"):
                self.put(self.sample(kind), target, no_such_argument=1)
            self.check_untouched(target)

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
    def test_errors_of_the_users_iterator_pass_unchanged(
        self, error: type[BaseException], target: Path
    ) -> None:
        if self.writer.cell(Kind.ITERATOR) is None:
            pytest.skip("takes no iterators")
        mine = error("mine")

        def rows() -> Iterator[Any]:
            yield from self.sample(Kind.ITERATOR)
            raise mine

        with pytest.raises(error) as caught:
            self.put(rows(), target)
        assert caught.value is mine
        self.check_untouched(target)

    def test_a_full_disk_changes_nothing(self, target: Path) -> None:
        for kind in self.kinds:
            with pytest.raises(StorageFullError):
                write(self.sample(kind), _FullTarget(str(target)), self.writer, **self.options)
            self.check_untouched(target)

    # -- together ----------------------------------------------------------------------------

    def test_threads_do_not_meet(self, tmp_path: Path) -> None:
        kind = self.kinds[0]
        failures: list[BaseException] = []

        def work(path: Path) -> None:
            try:
                for _ in range(3):
                    self.put(self.sample(kind), path)
            except AtioError as error:
                failures.append(error)

        same = tmp_path / f"same{self.suffix}"
        paths = [same, same, tmp_path / f"other{self.suffix}"]
        threads = [threading.Thread(target=work, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"other{self.suffix}", same.name]

    def test_it_says_what_does_the_work(self) -> None:
        for kind in self.kinds:
            assert self.writer.describe(self.sample(kind))


class _FullTarget(LocalTarget):
    """A file on a disk that is full; the draft is a stream, so that every writer meets it."""

    def replacing(self, *, durable: bool, backup: bool) -> Any:
        return _Full(super().replacing(durable=durable, backup=backup), self.url)


class _Full:
    def __init__(self, inner: Any, url: str) -> None:
        self._inner = inner
        self.url = url
        self.file: Any = _FullFile()
        self.place = self.file

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._inner.__exit__(*error)

    def flush(self) -> None:
        pass

    def size(self) -> int:
        return 0

    def trouble(self) -> OSError:
        return _no_space()


def _no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _FullFile(io.RawIOBase):
    """Takes nothing."""

    full = True

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.full:
            raise _no_space()
        return memoryview(data).nbytes
