"""``atio.write`` and ``atio.read``: what is written, what is refused, and what is left."""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

import atio
from atio.errors import (
    AtioError,
    InputError,
    MissingDependencyError,
    NotFoundError,
    SchemaError,
    StorageError,
    UnsupportedError,
)
from atio.storage import MemoryStorage

FRAME = pd.DataFrame({"id": [1, 2], "name": ["a", "b"]})
ROWS = FRAME.to_dict("records")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- what is written ---------------------------------------------------------------------------------


def test_the_library_that_owns_the_object_writes_it(tmp_path: Path) -> None:
    """The same bytes as its own call makes."""
    atio.write(FRAME, tmp_path / "a.csv", sep=";", index=False)
    assert (tmp_path / "a.csv").read_text() == FRAME.to_csv(sep=";", index=False)
    frame = pl.from_pandas(FRAME)
    atio.write(frame, tmp_path / "b.csv", separator="|")
    assert (tmp_path / "b.csv").read_text() == frame.write_csv(separator="|")
    table = pa.table({"id": [1, 2]})
    atio.write(table, tmp_path / "c.parquet", compression="zstd", row_group_size=1)
    own = io.BytesIO()
    pq.write_table(table, own, compression="zstd", row_group_size=1)
    assert (tmp_path / "c.parquet").read_bytes() == own.getvalue()
    array = np.arange(6.0).reshape(2, 3)
    atio.write(array, tmp_path / "d.npy")
    np.save(own := io.BytesIO(), array)
    assert (tmp_path / "d.npy").read_bytes() == own.getvalue()
    atio.write(array, tmp_path / "d.txt", fmt="%.1f", delimiter=",")
    assert (tmp_path / "d.txt").read_text() == "0.0,1.0,2.0\n3.0,4.0,5.0\n"


class Point(NamedTuple):
    id: int
    name: str


@dataclass
class Place:
    id: int
    name: str


class Capsule:
    """What knows only the Arrow protocol."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return pa.table(FRAME).__arrow_c_stream__(requested_schema)


OBJECTS = {
    "series": lambda: FRAME["id"],
    "polars series": lambda: pl.Series("id", [1, 2]),
    "record batch": lambda: pa.record_batch({"id": [1, 2]}),
    "capsule": Capsule,
    "dataset": lambda: ds.dataset(pa.table({"id": [1, 2]})),
    "named tuples": lambda: [Point(1, "a"), Point(2, "b")],
    "data classes": lambda: [Place(1, "a"), Place(2, "b")],
    "dict of records": lambda: {"x": {"id": 1}, "y": {"id": 2}},
    "list of frames": lambda: [FRAME.head(1), FRAME.tail(1)],
    "iterator of frames": lambda: iter([FRAME.head(1), pl.from_pandas(FRAME.tail(1))]),
    "iterator of tables": lambda: iter([pa.table({"id": [1]}), pa.table({"id": [2]})]),
    "chunks of a file": lambda: pd.read_csv(io.StringIO("id\n1\n2\n"), chunksize=1),
    "2-D array": lambda: np.array([[1], [2]]),
}


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("format", ["csv", "parquet", "jsonl", "arrow", "json"])
def test_other_objects(name: str, format: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{format}"
    atio.write(OBJECTS[name](), path)
    if format == "json" and name in ("2-D array", "dict of records"):  # as they are
        assert atio.read(path, output_as="python") == ([[1], [2]] if "2-D" in name else OBJECTS[name]())
        return
    options = {"orient": "records"} if format == "json" and "series" not in name else {}
    found = atio.read(path, **options)
    assert found[next(c for c in found if c not in ("key", "name", "Unnamed: 0"))].tolist() == [1, 2]
    if name == "dict of records":
        assert found["key"].tolist() == ["x", "y"]


def test_a_dict_of_records_that_have_a_key_already(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'key'"):
        atio.write({"x": {"key": 1}}, tmp_path / "x.csv")


ARRAYS = {
    "0-d": np.array(5),
    "empty": np.zeros((0, 3)),
    "not contiguous": np.arange(12).reshape(3, 4)[:, ::2],
    "Fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "dates": np.array(["2024-01-01", "NaT"], "M8[D]"),
    "structured": np.array([(1, b"x")], [("a", "i4"), ("b", "S3")]),
    "complex": np.array([1 + 2j]),
    "big-endian": np.array([1, 2], ">i4"),
    "unmasked": np.ma.masked_array([1, 2]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_every_shape(name: str, tmp_path: Path) -> None:
    array = np.asarray(ARRAYS[name])
    atio.write(ARRAYS[name], tmp_path / "x.npy")
    found = atio.read(tmp_path / "x.npy")
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
    atio.write(ARRAYS[name], tmp_path / "x.npz")
    assert atio.read(tmp_path / "x.npz")["arr_0"].tobytes() == array.tobytes()
    atio.write(ARRAYS[name], tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == array.tobytes()


def test_json_holds_any_value(tmp_path: Path) -> None:
    value = {
        "a": [1, {"b": None}],
        "c": "ü",
        "n": np.int64(5),
        "t": pd.Timestamp("2024-05-01"),
        "f": float("nan"),
    }
    atio.write(value, tmp_path / "x.json", indent=2)
    expected = {"a": [1, {"b": None}], "c": "ü", "n": 5, "t": "2024-05-01T00:00:00", "f": None}
    assert atio.read(tmp_path / "x.json", output_as="python") == expected
    assert (tmp_path / "x.json").read_text().startswith('{\n  "a"')
    atio.write(value, tmp_path / "y.json", sort_keys=True, default=str)
    assert (tmp_path / "y.json").read_text().startswith('{"a"')
    with pytest.raises(InputError, match="no JSON form"):
        atio.write([object()], tmp_path / "x.json")
    assert atio.read(tmp_path / "x.json", output_as="python") == expected


def test_json_lines_of_records_that_differ(tmp_path: Path) -> None:
    """Lines need no common columns."""
    records = [{"a": 1}, {"b": [1, 2]}, {}]
    atio.write(records, tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_text() == '{"a":1}\n{"b":[1,2]}\n{}\n'
    atio.write(iter([]), tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_text() == ""
    atio.write(iter([]), tmp_path / "x.json")
    assert (tmp_path / "x.json").read_text() == "[]\n"


def test_arrow_json_is_exact(tmp_path: Path) -> None:
    value = 0.1234567890123456789
    table = pa.table({"x": [value, float("nan")], "t": pa.array([1, None], pa.timestamp("ns"))})
    atio.write(table, tmp_path / "x.json")
    expected = [{"x": value, "t": "1970-01-01T00:00:00.000000001"}, {"x": None, "t": None}]
    assert atio.read(tmp_path / "x.json", output_as="python") == expected


def test_integers_with_nulls_stay_integers_in_documents(tmp_path: Path) -> None:
    atio.write(pa.table({"n": [1, None], "b": [True, None]}), tmp_path / "x.md")
    assert "1.0" not in (tmp_path / "x.md").read_text()
    atio.write(pa.table({"n": pa.array([1, None], pa.uint8()), "m": [1, 2]}), tmp_path / "x.xlsx")
    assert pd.read_excel(tmp_path / "x.xlsx", dtype="Int64")["n"].tolist() == [1, pd.NA]


def test_csv_of_arrow_has_plain_values(tmp_path: Path) -> None:
    table = pa.table(
        {
            "d": pa.array(["x", None]).dictionary_encode(),
            "v": pa.array(["y", ""], pa.string_view()),
            "b": pa.array([b"\x00", None]),
            "r": pa.array([1, 1]).cast(pa.int64()),
        }
    )
    atio.write(table, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == '"d","v","b","r"\n"x","y","AA==",1\n,"",,1\n'


def test_csv_of_arrow_without_a_header_may_begin_with_an_empty_piece(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2]})
    atio.write(pa.concat_tables([table.slice(0, 0), table]), tmp_path / "x.csv", include_header=False)
    assert (tmp_path / "x.csv").read_text() == "1\n2\n"


def test_orc_of_arrow_takes_only_what_is_there(tmp_path: Path) -> None:
    """Not what lies behind nulls, nor before and after a slice."""
    inner = pa.StructArray.from_arrays(
        [pa.array([1, 2, 3, 4])], names=["x"], mask=pa.array([True, False] * 2)
    )
    outer = pa.StructArray.from_arrays([inner], names=["s"])
    lists = pa.LargeListArray.from_arrays(pa.array([0, 1, 2, 3, 4]), outer, mask=pa.array([False, True] * 2))
    table = pa.table({"s": outer, "l": lists})
    twice = pa.concat_tables([table.slice(1), table])
    atio.write(twice, tmp_path / "x.orc")
    assert orc.read_table(tmp_path / "x.orc").to_pylist() == twice.to_pylist()


def test_empty_frames_keep_their_columns(tmp_path: Path) -> None:
    empty = pa.schema([("id", pa.int64()), ("name", pa.string())]).empty_table()
    for suffix in ("csv", "parquet", "arrow", "orc", "avro"):
        for obj in (empty, empty.to_reader(), iter([empty])):
            atio.write(obj, tmp_path / f"x.{suffix}")
            found = atio.read(tmp_path / f"x.{suffix}", output_as="arrow")
            assert (found.column_names, found.num_rows) == (["id", "name"], 0)


# -- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.CSV", "x.y.csv", ".csv.csv", "x.Csv"])
def test_the_suffix_tells_the_format(name: str, tmp_path: Path) -> None:
    atio.write(FRAME, tmp_path / name, index=False)
    assert (tmp_path / name).read_text() == FRAME.to_csv(index=False)


@pytest.mark.parametrize("name", ["x", "x.", ".csv", "csv", "x.gz", "x.cvs", "x.csv.bak"])
def test_names_that_tell_no_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="format=") as caught:
        atio.write(FRAME, tmp_path / name)
    assert ("did you mean '.csv'" in str(caught.value)) == (name == "x.cvs")
    atio.write(FRAME, tmp_path / name, "csv")
    assert names(tmp_path) == [name] if name != "x." else True


def test_format_wins_over_the_suffix(tmp_path: Path) -> None:
    atio.write(FRAME, tmp_path / "x.csv", format="PARQUET")
    assert atio.read(tmp_path / "x.csv", format="parquet").equals(FRAME)


def test_the_name_compresses_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    atio.write(FRAME, path, index=False)
    assert gzip.decompress(path.read_bytes()).decode() == FRAME.to_csv(index=False)
    assert atio.read(path).equals(FRAME)
    first = path.read_bytes()
    atio.write(FRAME, path, index=False)
    assert path.read_bytes() == first, "neither the time nor the name is in the file"
    atio.write(FRAME, path, index=False, compression=None)
    assert path.read_text() == FRAME.to_csv(index=False)
    atio.write(FRAME, path, index=False, compression="gzip")
    assert pd.read_csv(path).equals(FRAME)
    atio.write(pl.from_pandas(FRAME), path, compression="gzip")
    assert pd.read_csv(path).equals(FRAME)


def test_paths_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in (
        "a.csv",
        Path("b.csv"),
        b"c.csv",
        "~/d.csv",
        f"file://{tmp_path}/e.csv",
        f"{tmp_path}/f%.csv",
    ):
        atio.write(FRAME, path)  # type: ignore[arg-type]
    assert names(tmp_path) == ["a.csv", "b.csv", "c.csv", "d.csv", "e.csv", "f%.csv"]


@pytest.mark.parametrize(
    "path", ["nosuch://bucket/x.csv", "file://host/x.csv", "memory://x.csv", "memory:///x.csv"]
)
def test_urls_that_lead_nowhere(path: str) -> None:
    with pytest.raises(InputError):
        atio.write(FRAME, path)
    with pytest.raises(InputError):
        atio.read(path)


@pytest.mark.parametrize("path", [5, ["x.csv"], io.BytesIO(), object()])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(InputError, match="not a path"):
        atio.write(FRAME, path)


# -- what is refused ---------------------------------------------------------------------------------


def test_no_target_and_no_format() -> None:
    with pytest.raises(InputError):
        atio.write(FRAME)
    with pytest.raises(InputError, match="target_path"):
        atio.write(FRAME, format="csv")
    with pytest.raises(UnsupportedError, match="did you mean 'parquet'"):
        atio.write(FRAME, "x", format="parqet")
    with pytest.raises(InputError):
        atio.write(FRAME, "x", format=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("obj", "name", "options"),
    [
        (FRAME, "x.csv", {"indx": False}),
        (FRAME, "x.parquet", {"indx": False}),
        (FRAME, "x.parquet", {"partition_cols": ["id"]}),
        (FRAME, "x.csv", {"mode": "a"}),
        (FRAME, "x.jsonl", {"orient": "split"}),
        (FRAME, "x.tsv", {"sep": ","}),
        (FRAME, "x.csv", {"storage_options": {"key": "x"}}),
        (FRAME, "x.md", {"indx": 1}),
        (FRAME, "x.h5", {"mode": "a"}),
        (pl.DataFrame({"a": [1]}), "x.csv", {"index": False}),
        (pl.DataFrame({"a": [1]}), "x.parquet", {"partition_by": "a"}),
        (pl.DataFrame({"a": [1]}), "x.parquet", {"mkdir": True}),
        (pl.LazyFrame({"a": [1]}), "x.parquet", {"lazy": True}),
        (pl.LazyFrame({"a": [1]}), "x.csv", {"index": False}),
        (pa.table({"a": [1]}), "x.csv", {"sep": ";"}),
        (pa.table({"a": [1]}), "x.parquet", {"no": 1}),
        (pa.table({"a": [1]}), "x.parquet", {"filesystem": None}),
        (pa.table({"a": [1]}), "x.arrow", {"no": 1}),
        (pa.table({"a": [1]}), "x.orc", {"no": 1}),
        (pa.table({"a": [1]}), "x.avro", {"no": 1}),
        (pa.table({"a": [1]}), "x.json", {"orient": "records"}),
        (np.zeros(3), "x.npy", {"allow_pickle": True}),
        (np.zeros(3), "x.txt", {"no": 1}),
        ("text", "x.txt", {"no": 1}),
    ],
)
def test_arguments_that_are_not_the_librarys(
    obj: Any, name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(InputError, match=next(iter(options))) as caught:
        atio.write(obj, tmp_path / name, **options)
    assert caught.value.file == str(tmp_path / name)
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"old"


def test_arguments_are_found_without_writing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"did you mean 'index'\?.*knows:"):
        atio.write(FRAME, tmp_path / "x.csv", indx=False)


@pytest.mark.parametrize(
    ("obj", "name"),
    [
        (FRAME, "x.npy"),
        (FRAME, "x.bin"),
        (pl.DataFrame({"a": [1]}), "x.txt"),
        ([1, 2], "x.csv"),
        (5, "x.parquet"),
        (object(), "x.csv"),
        ({}, "x.csv"),
        ("text", "x.csv"),
        (b"bytes", "x.csv"),
        (np.array([object()]), "x.npy"),
        (np.ma.masked_array([1, 2], [True, False]), "x.npy"),
        (np.ma.masked_array([1, 2], [True, False]), "x.bin"),
        ({"a": np.array([{}])}, "x.npz"),
        (pa.table({"a": [1, None]}), "x.npz"),
        (pa.table({"a": [[1]]}), "x.csv"),
        (pa.table({"a": pa.array([1], pa.duration("s"))}), "x.avro"),
        (pa.table({"a b": [1]}), "x.avro"),
        (pd.DataFrame({"a": [1, "x", None]}, dtype=object), "x.h5"),
        ({"a": np.array(["text"])}, "x.h5"),
        (iter([1]), "x.pickle"),
        (pl.LazyFrame(), "x.pickle"),
    ],
)
def test_combinations_that_there_are_not(obj: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(UnsupportedError) as caught:
        atio.write(obj, tmp_path / name)
    assert caught.value.hint
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"old"


def test_what_a_library_refuses(tmp_path: Path) -> None:
    zoned = pd.DataFrame({"t": pd.to_datetime(["2024-01-01"]).tz_localize("UTC")})
    with pytest.raises(InputError, match=r"to_excel refused.*timezone"):
        atio.write(zoned, tmp_path / "x.xlsx")
    with pytest.raises(InputError, match="3D array"):
        atio.write(np.zeros((2, 2, 2)), tmp_path / "x.txt")
    with pytest.raises(InputError):
        atio.write([], tmp_path / "x.csv")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error", [ValueError("mine"), KeyError("mine"), OSError(28, "mine"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.jsonl", "x.json", "x.arrow", "x.avro", "x.xlsx"])
def test_the_users_own_errors_pass(error: BaseException, name: str, tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise error

    with pytest.raises(type(error)) as caught:
        atio.write(rows(), tmp_path / name)
    assert caught.value is error
    assert names(tmp_path) == []


def test_later_rows_must_fit_the_first(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"

    def pieces(*tables: dict[str, list[Any]]) -> Iterator[pa.Table]:
        return (pa.table(columns) for columns in tables)

    atio.write(pieces({"a": [1], "b": ["x"]}, {"b": ["y"], "a": [2]}, {"a": [3]}), path)
    assert atio.read(path, output_as="arrow").to_pydict() == {"a": [1, 2, 3], "b": ["x", "y", None]}
    with pytest.raises(SchemaError, match=r"'c' first appears in row 1"):
        atio.write(pieces({"a": [1]}, {"a": [2], "c": [1]}), path)
    with pytest.raises(SchemaError, match="'a'"):
        atio.write(pieces({"a": [1]}, {"a": [1.5]}), path)
    assert atio.read(path, output_as="arrow").num_rows == 3


def test_categories_may_grow_from_piece_to_piece(tmp_path: Path) -> None:
    pieces = [["a", "b"], ["b", "c", None], ["d", "a"]]
    for suffix in ("arrow", "parquet", "csv", "orc", "avro", "jsonl"):
        frames = (pd.DataFrame({"k": pd.Categorical(piece), "n": 1}) for piece in pieces)
        atio.write(frames, tmp_path / f"x.{suffix}")
        found = atio.read(tmp_path / f"x.{suffix}", output_as="arrow")["k"].to_pylist()
        assert found == ["a", "b", "b", "c", None, "d", "a"], suffix


# -- missing libraries -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "name", "extra"),
    [
        ("fastavro", "x.avro", "avro"),
        ("tables", "x.h5", "hdf5"),
        ("tabulate", "x.md", "markdown"),
        ("lxml", "x.xml", "xml"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    library: str, name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"atio\[{extra}\]") as caught:
        atio.write(FRAME, tmp_path / name)
    assert isinstance(caught.value, ImportError)
    assert names(tmp_path) == []


def test_without_pandas_everything_of_arrow_works(tmp_path: Path) -> None:
    """Whole processes in which pandas, Polars and NumPy cannot be imported."""
    code = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "polars"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import pyarrow as pa, atio
from atio.errors import MissingDependencyError
for name in ("x.csv", "x.parquet", "x.arrow", "x.orc", "x.jsonl"):
    atio.write([{"a": 1}], name)
    assert atio.read(name, output_as="arrow").to_pydict() == {"a": [1]}, name
atio.write([{"a": 1}], "x.avro")
for name in ("x.html", "x.xlsx", "x.dta"):
    try:
        atio.write([{"a": 1}], name)
    except MissingDependencyError as error:
        assert "atio[pandas]" in str(error)
    else:
        raise AssertionError(name)
try:
    atio.read("x.csv")
except MissingDependencyError as error:
    assert "atio[pandas]" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


# -- pickles -----------------------------------------------------------------------------------------


def test_pickles_are_read_only_when_named(tmp_path: Path) -> None:
    for name in ("x.pkl", "x.pickle"):
        atio.write({"any": {1, 2}}, tmp_path / name)
        with pytest.raises(InputError, match="runs whatever code"):
            atio.read(tmp_path / name)
        assert atio.read(tmp_path / name, format="pickle") == {"any": {1, 2}}
    atio.write(FRAME, tmp_path / "x.h5")
    with pytest.raises(InputError, match="runs whatever code"):
        atio.read(tmp_path / "x.h5")
    assert atio.read(tmp_path / "x.h5", format="hdf5").equals(FRAME)


def test_a_file_that_is_no_pickle_is_not_tried_as_one(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="allow_pickle"):
        atio.read(tmp_path / "x.npy")


# -- reading -----------------------------------------------------------------------------------------


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        atio.read(tmp_path / "x.csv")
    assert isinstance(caught.value, FileNotFoundError)
    atio.write(FRAME, tmp_path / "x.md")
    with pytest.raises(UnsupportedError, match="cannot be read back"):
        atio.read(tmp_path / "x.md")
    atio.write(np.zeros(2), tmp_path / "x.npy")
    with pytest.raises(UnsupportedError, match="it can as: numpy"):
        atio.read(tmp_path / "x.npy", output_as="pandas")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="refused") as caught2:
        atio.read(tmp_path / "x.parquet")
    assert caught2.value.file == str(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="nrowz"):
        atio.write(FRAME, tmp_path / "x.csv")
        atio.read(tmp_path / "x.csv", nrowz=1)


def test_arguments_of_reading(tmp_path: Path) -> None:
    atio.write(FRAME, tmp_path / "x.csv", index=False)
    assert atio.read(tmp_path / "x.csv", usecols=["id"], nrows=1).to_dict("list") == {"id": [1]}
    assert atio.read(tmp_path / "x.csv", output_as="polars", columns=["id"]).columns == ["id"]
    atio.write(np.arange(4, dtype="f4"), tmp_path / "x.bin")
    assert atio.read(tmp_path / "x.bin", output_as="numpy", dtype="f4").tolist() == [0, 1, 2, 3]


# -- the target --------------------------------------------------------------------------------------


def test_the_old_file_gives_way_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"old")
    path.chmod(0o640)
    inode = path.stat().st_ino

    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        assert path.read_bytes() == b"old"
        assert [n for n in names(tmp_path) if n.endswith(".atio.tmp")]

    atio.write(rows(), path, backup=True)
    assert path.read_text() == '"a"\n1\n'
    assert path.stat().st_ino != inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (tmp_path / "x.csv.bak").read_bytes() == b"old"
    assert names(tmp_path) == ["x.csv", "x.csv.bak"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        atio.write(FRAME, tmp_path / "no" / "x.csv")


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(AtioError):
        atio.write(FRAME, tmp_path / "x.csv")


def test_in_memory(tmp_path: Path) -> None:
    url = "memory://test-writing/a/x.csv"
    try:
        atio.write(FRAME, url, index=False)
        atio.write(FRAME.head(1), url, index=False, backup=True)
        assert len(atio.read(url)) == 1
        assert len(atio.read(url + ".bak", format="csv")) == 2
        with pytest.raises(RuntimeError):
            atio.write(failing(), url)
        assert len(atio.read(url)) == 1
        with pytest.raises(NotFoundError):
            atio.read("memory://test-writing/nope.csv")
        assert sorted(e.path for e in MemoryStorage.named("test-writing").list()) == [
            "a/x.csv",
            "a/x.csv.bak",
        ]
    finally:
        MemoryStorage.forget("test-writing")


def failing() -> Iterator[dict[str, int]]:
    yield {"a": 1}
    raise RuntimeError


def test_every_put_of_threads_lands_whole() -> None:
    url = "memory://test-threads/x.txt"
    try:
        threads = [threading.Thread(target=atio.write, args=(str(i) * 50, url)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = atio.read(url)
        assert len(found) == 50
        assert len(set(found)) == 1
    finally:
        MemoryStorage.forget("test-threads")


def test_a_disk_that_is_full_by_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some libraries say something else when a disk is full: the disk is asked."""
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="No space left"):
        atio.write(
            pd.DataFrame({"t": pd.to_datetime(["2024-01-01"]).tz_localize("UTC")}), tmp_path / "x.xlsx"
        )
