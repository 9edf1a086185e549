"""Every writer of files against the contract."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from atio.writers import FileWriter, Kind, get_writer, read
from atio.writers.conformance import COLUMNS, WriterConformance
from atio.writers.registry import BUILTIN

ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


def values(found: Any) -> list[dict[str, Any]]:
    """The rows of whatever was read."""
    if hasattr(found, "to_dict"):
        return found.to_dict("records")
    if hasattr(found, "to_pylist"):
        return found.to_pylist()
    return found


class Frames(WriterConformance):
    """Formats that hold rows and columns bring every frame back as it was."""

    extra: ClassVar[tuple[str, ...]] = ()

    def same(self, kind: Kind, made: Any, found: Any) -> None:
        rows = [{k: v for k, v in row.items() if k not in self.extra} for row in values(found)]
        assert rows == ROWS, kind

    @pytest.mark.parametrize("output_as", ["pandas", "polars", "arrow"])
    def test_read_as(self, output_as: str, tmp_path: Any) -> None:
        if not self.writer.readers:
            pytest.skip("is not read")
        kind = Kind.POLARS
        path = tmp_path / f"x{self.suffix}"
        self.put(self.sample(kind), path)
        found = read(path, format=self.writer, output_as=output_as)
        assert type(found).__module__.partition(".")[0] == {"arrow": "pyarrow"}.get(output_as, output_as)
        self.same(kind, None, found.to_arrow() if output_as == "polars" else found)


class TestCsv(Frames):
    writer = get_writer("csv")
    extra = ("Unnamed: 0",)


class TestTsv(Frames):
    writer = get_writer("tsv")
    extra = ("Unnamed: 0",)


class TestParquet(Frames):
    writer = get_writer("parquet")


class TestArrow(Frames):
    writer = get_writer("arrow")


class TestOrc(Frames):
    writer = get_writer("orc")


class TestAvro(Frames):
    writer = get_writer("avro")


class TestExcel(Frames):
    writer = get_writer("excel")
    extra = ("Unnamed: 0",)


class TestHtml(Frames):
    writer = get_writer("html")
    extra = ("Unnamed: 0",)


class TestXml(Frames):
    writer = get_writer("xml")
    extra = ("index",)


class TestStata(Frames):
    writer = get_writer("stata")
    extra = ("index",)


class TestJsonLines(Frames):
    writer = get_writer("jsonl")


class TestMarkdown(WriterConformance):
    writer = get_writer("markdown")


class TestJson(WriterConformance):
    writer = get_writer("json")

    def read(self, path: Any) -> Any:
        return read(path, self.writer, output_as="python")

    def same(self, kind: Kind, made: Any, found: Any) -> None:
        expected: Any = ROWS
        if kind is Kind.PANDAS:  # its own default: columns of rows
            expected = {n: {str(i): v for i, v in enumerate(c)} for n, c in COLUMNS.items()}
        elif kind is Kind.ARRAYS:
            expected = COLUMNS
        elif kind is Kind.NUMPY:
            expected = [list(row.values()) for row in ROWS]
        elif kind in (Kind.TEXT, Kind.OBJECT):
            expected = made
        assert found == expected


class Arrays(WriterConformance):
    samples: ClassVar[Mapping[Kind, Callable[[], Any]]] = {
        Kind.NUMPY: lambda: np.arange(6.0).reshape(2, 3),
    }

    def same(self, kind: Kind, made: Any, found: Any) -> None:
        if kind is Kind.NUMPY and not isinstance(found, dict):
            np.testing.assert_array_equal(found, made)
        elif kind is Kind.NUMPY:
            np.testing.assert_array_equal(found["arr_0"], made)
        else:
            assert {name: array.tolist() for name, array in found.items()} == COLUMNS


class TestNpy(Arrays):
    writer = get_writer("npy")


class TestNpz(Arrays):
    writer = get_writer("npz")


class TestCompressedNpz(Arrays):
    writer = get_writer("npz_compressed")


class TestHdf5(Frames):
    writer = get_writer("hdf5")
    samples: ClassVar[Mapping[Kind, Callable[[], Any]]] = {
        Kind.NUMPY: lambda: np.arange(6.0).reshape(2, 3),
        Kind.ARRAYS: lambda: {"a": np.arange(3), "b": np.arange(2.0)},
    }

    @pytest.mark.parametrize("kind", [k for k in Kind if k not in (Kind.NUMPY, Kind.ARRAYS)])
    def test_every_kind_is_written_or_refused(self, kind: Kind, target: Any) -> None:
        super().test_every_kind_is_written_or_refused(kind, target)

    @pytest.mark.parametrize("kind", [Kind.NUMPY, Kind.ARRAYS])
    def test_arrays(self, kind: Kind, target: Any) -> None:
        made = self.sample(kind)
        self.put(made, target)
        found = read(target, "hdf5", output_as="numpy")
        expected = made if isinstance(made, dict) else {"data": made}
        assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in expected.items()}


class TestBin(WriterConformance):
    writer = get_writer("bin")

    def same(self, kind: Kind, made: Any, found: Any) -> None:
        assert found == (made if kind is Kind.BYTES else made.tobytes())


class TestTxt(WriterConformance):
    writer = get_writer("txt")
    samples: ClassVar[Mapping[Kind, Callable[[], Any]]] = {Kind.NUMPY: lambda: np.arange(6.0).reshape(2, 3)}

    def same(self, kind: Kind, made: Any, found: Any) -> None:
        if kind is Kind.TEXT:
            assert found == made
        elif kind is Kind.NUMPY:
            np.testing.assert_array_equal(np.loadtxt(io.StringIO(found)), made)
        else:
            assert found.split()[:3] == list(COLUMNS)


class TestPickle(WriterConformance):
    writer = get_writer("pickle")

    def same(self, kind: Kind, made: Any, found: Any) -> None:
        assert type(found) is type(made)
        if kind is Kind.PANDAS:
            assert found.equals(made)


def test_every_format_of_files_is_here() -> None:
    tested = {cls.writer for cls in globals().values() if isinstance(cls, type) and hasattr(cls, "writer")}
    files = {w for name in BUILTIN if isinstance(w := get_writer(name), FileWriter)}
    assert files == tested
