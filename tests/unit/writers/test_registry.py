"""Formats by name and suffix, and writers of others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import atio
from atio.errors import ExistsError, InputError, UnsupportedError
from atio.writers import FileWriter, Kind, Progress, Writer, get_writer, registry
from atio.writers.cells import Function
from atio.writers.conformance import WriterConformance
from atio.writers.files import Cells, Draft


def _write(obj: Any, draft: Draft, progress: Progress, *, width: int = 60) -> None:
    for record in obj:
        text = record["sequence"]
        lines = "\n".join(text[i : i + width] for i in range(0, len(text), width))
        draft.file.write(f">{record['name']}\n{lines}\n".encode())
        progress.advance(1)


class FastaWriter(FileWriter):
    formats = ("fasta", "fa")
    suffixes = (".fasta", ".fa")
    cells: ClassVar[Cells] = {
        Kind.RECORDS: Function("fasta", _write),
        Kind.ITERATOR: Function("fasta", _write, streams=True),
    }


SEQUENCES = [{"name": "seq1", "sequence": "ACGT" * 20}]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = dict(registry._registered), dict(registry._suffixes)
    yield
    for found, old in zip((registry._registered, registry._suffixes), before, strict=True):
        found.clear()
        found.update(old)


def test_builtin_names_and_suffixes_are_those_of_their_writers() -> None:
    """The tables exist so that only one module is loaded; they must not drift from the classes."""
    for name in registry.BUILTIN:
        writer = get_writer(name)
        assert writer.formats[0] == name
        for other in writer.formats:
            assert get_writer(other) is writer
        if isinstance(writer, FileWriter):
            for suffix in writer.suffixes:
                assert registry.format_of(suffix) == name
    assert set(registry.SUFFIXES.values()) <= set(registry.BUILTIN)
    assert set(registry.ALIASES.values()) <= set(registry.BUILTIN)


def test_a_third_partys_writer(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError):
        atio.write(SEQUENCES, tmp_path / "x.fasta")
    atio.register_writer(FastaWriter)
    atio.write(SEQUENCES, tmp_path / "x.fa", width=40)
    assert (tmp_path / "x.fa").read_text() == ">seq1\n" + ("ACGT" * 10 + "\n") * 2
    atio.write(SEQUENCES, tmp_path / "x.txt", format="FASTA")
    assert "fasta" in registry.known_formats()
    with pytest.raises(InputError, match="knows: width"):
        atio.write(SEQUENCES, tmp_path / "x.fa", widht=40)


class TestFasta(WriterConformance):
    writer = FastaWriter()
    samples: ClassVar[Mapping[Kind, Callable[[], Any]]] = {
        Kind.RECORDS: lambda: list(SEQUENCES),
        Kind.ITERATOR: lambda: iter(SEQUENCES),
    }


def test_names_in_use_are_kept() -> None:
    class Mine(FileWriter):
        formats = ("csv",)

        def write(self, obj: Any, target: Any, *, progress: Progress, **kwargs: Any) -> None: ...

    with pytest.raises(ExistsError):
        atio.register_writer(Mine)
    assert not isinstance(get_writer("csv"), Mine)
    atio.register_writer(Mine(), replace=True)
    assert isinstance(get_writer("csv"), Mine)

    class Suffix(FastaWriter):
        formats = ("other",)
        suffixes = (".csv",)

    with pytest.raises(ExistsError, match=r"\.csv"):
        atio.register_writer(Suffix)


def test_what_is_no_writer() -> None:
    class NoNames(FastaWriter):
        formats = ()

    class BadSuffix(FastaWriter):
        formats = ("x",)
        suffixes = ("fasta",)

    for wrong in (object(), int, "csv", NoNames, BadSuffix):
        with pytest.raises(InputError):
            atio.register_writer(wrong)  # type: ignore[arg-type]


def test_a_writer_of_no_files(tmp_path: Path) -> None:
    written = []

    class Broker(Writer):
        formats = ("broker",)
        needs_path = False

        def write(self, obj: Any, target: Any, *, progress: Progress, **kwargs: Any) -> None:
            assert target is None
            written.append((obj, kwargs))

    atio.register_writer(Broker)
    atio.write([1], format="broker", topic="t")
    assert written == [([1], {"topic": "t"})]
    with pytest.raises(InputError, match="takes no target_path"):
        atio.write([1], tmp_path / "x", format="broker")
    with pytest.raises(InputError, match="are for files"):
        atio.write([1], format="broker", backup=True)
    with pytest.raises(UnsupportedError, match="cannot be read back"):
        atio.read(tmp_path / "x", format="broker")


def test_a_writer_may_be_given_itself(tmp_path: Path) -> None:
    atio.write(SEQUENCES, tmp_path / "x", format=FastaWriter())
    assert (tmp_path / "x").read_text().startswith(">seq1")


@pytest.mark.parametrize("broken", [False, True])
def test_entry_points(tmp_path: Path, broken: bool) -> None:
    """A package that is installed; one that cannot be loaded does not take the others with it."""
    info = tmp_path / "fasta-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fasta\nVersion: 1.0\n")
    points = "fasta = fasta_writer:FastaWriter\n" + (
        "broken = no_such_module:X\nwrong = json:dumps\n" if broken else ""
    )
    (info / "entry_points.txt").write_text(f"[atio.writers]\n{points}")
    (tmp_path / "fasta_writer.py").write_text(
        "from atio.writers import FileWriter, Kind\n"
        "from atio.writers.cells import Function\n"
        "def write(obj, draft, progress): draft.file.write(obj.encode())\n"
        "class FastaWriter(FileWriter):\n"
        "    formats = ('fasta',)\n"
        "    suffixes = ('.fasta',)\n"
        "    cells = {Kind.TEXT: Function('fasta', write)}\n"
    )
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import atio\n"
        "atio.write([{'a': 1}], 'x.csv')\n"
        "assert 'fasta_writer' not in sys.modules\n"
        "atio.write('ACGT', 'x.fasta'); atio.write('ACGT', 'x.txt', format='fasta')\n"
        "print(open('x.fasta').read())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout == "ACGT\n"
    assert ("no_such_module" in done.stderr) == broken


def test_the_documented_matrix_is_that_of_the_registry() -> None:
    from atio.writers.matrix import render

    page = Path(__file__).parents[3] / "docs" / "writers.md"
    assert page.read_text(encoding="utf-8") == render(), "run `make matrix`"


def test_importing_atio_loads_no_writer() -> None:
    code = "import sys, atio; assert not [m for m in sys.modules if m.startswith('atio.writers')]; atio.write"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_writing_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    code = (
        "import sys, atio; atio.write('x', 'x.txt'); atio.write({'a': 1}, 'x.json')\n"
        "loaded = {m.partition('.')[0] for m in sys.modules}\n"
        "heavy = loaded & {'pandas', 'polars', 'rich', 'openpyxl', 'lxml', 'tables', 'fastavro'}\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
