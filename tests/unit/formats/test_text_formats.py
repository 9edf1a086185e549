"""How the text formats look on disk: what the spec promises to other readers."""

import math

import pyarrow as pa
import pytest

from atio.errors import DamagedError, InputError
from atio.formats import get_format
from atio.formats.compare import difference
from atio.formats.conformance import encode

TABLE = pa.table(
    {
        "n": pa.array([1, None]),
        'say "t"': ["a,b\n", ""],
        "f": [0.1, math.nan],
        "d": pa.array([19_000, 0], pa.int32()).cast(pa.date32()),
        "b": [b"\x00\xff", None],
        "ok": [True, False],
    }
)


def text(name, table):
    return encode(get_format(name), table)[0].to_pybytes().decode()


def test_csv():
    assert text("csv", TABLE) == (
        '"n","say ""t""","f","d","b","ok"\n1,"a,b\n","0.1",19000,"AP8=",true\n,"","nan",0,,false\n'
    )


def test_jsonl():
    table = TABLE.append_column(
        "m", pa.array([[("k", [1.5])], None], pa.map_(pa.string(), pa.list_(pa.float64())))
    )
    assert text("jsonl", table) == (
        '{"n":1,"say \\"t\\"":"a,b\\n","f":0.1,"d":19000,"b":"AP8=","ok":true,'
        '"m":[{"key":"k","value":[1.5]}]}\n'
        '{"n":null,"say \\"t\\"":"","f":"NaN","d":0,"b":null,"ok":false,"m":null}\n'
    )


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_unusual_nans_keep_their_bits(name):
    patterns = [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF800000000BEEF]
    floats = pa.Array.from_buffers(pa.float64(), 3, [None, pa.array(patterns, pa.uint64()).buffers()[1]])
    table = pa.table({"f": floats})
    assert "fff8000000000000" in text(name, table)
    assert difference(get_format(name).read(encode(get_format(name), table)[0], table.schema), table) is None


def test_jsonl_refuses_a_signalling_nan_it_could_not_bring_back():
    signalling = pa.Array.from_buffers(
        pa.float32(), 1, [None, pa.array([0x7F800001], pa.uint32()).buffers()[1]]
    )
    with pytest.raises(InputError, match="NaN") as caught:
        encode(get_format("jsonl"), pa.table({"f": signalling}))
    assert caught.value.column == "f"


@pytest.mark.parametrize(
    "line",
    [
        b'{"n":1',
        b"[1]\n",
        b'{"n":1,"x":2}\n',
        b'{"m":1}\n',
        b'{"n":NaN}\n',
        b'{"n":"x"}\n',
        b"\n",
        b"\xff\n",
        b'{"n":1}',
    ],
)
def test_jsonl_lines_that_are_not_rows_are_damage(line):
    with pytest.raises(DamagedError, match="jsonl"):
        get_format("jsonl").read(pa.py_buffer(line), pa.schema([("n", pa.float64())]))


@pytest.mark.parametrize("data", [b"", b'"n"', b'"m"\n1\n', b'"n"\nx\n', b'"n"\n1,2\n', b'"n"\n"\xff"\n'])
def test_csv_that_is_not_the_tables_is_damage(data):
    with pytest.raises(DamagedError, match="csv"):
        get_format("csv").read(pa.py_buffer(data), pa.schema([("n", pa.int64())]))


def test_batches_of_csv_survive_a_line_longer_than_a_block(monkeypatch):
    from atio.formats import csv

    monkeypatch.setattr(csv, "_BLOCK_BYTES", 1000)
    table = pa.table({"n": range(3000), "t": ["s"] * 2990 + ["x" * 50_000] + ["s"] * 9})
    data, _ = encode(get_format("csv"), table)
    pieces = list(get_format("csv").batches(data, table.schema, rows=100))
    assert all(piece.num_rows <= 100 for piece in pieces)
    assert difference(pa.concat_tables(pieces), table) is None
