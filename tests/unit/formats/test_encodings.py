"""Parquet files: the encoding that a column gets, and reading text that is stored as dictionaries."""

import io
import random
from datetime import date, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atio.errors import DamagedError
from atio.formats import get_format
from atio.formats.conformance import encode
from atio.formats.parquet import core
from atio.formats.parquet.plan import ParquetPlan

PARQUET = get_format("parquet")
ROWS = 20_000


def encodings(table: pa.Table, **options: str) -> dict[str, set[str]]:
    """Of each leaf column, those of its pages."""
    data, _ = encode(PARQUET, table, **options)
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    return {column.path_in_schema: set(column.encodings) - {"RLE", "PLAIN"} for column in columns}


def test_values_that_do_not_come_again_are_differences() -> None:
    randoms = random.Random(1)
    some = [randoms.randrange(2**40) for _ in range(ROWS)]
    few = [randoms.randrange(100) * 2**33 for _ in range(ROWS)]
    start = date(1, 1, 1)
    table = pa.table(
        {
            "some": some,
            "few": few,
            "null": [None if i % 3 else value for i, value in enumerate(some)],
            "day": [start + timedelta(days=i) for i in range(ROWS)],
            "time": pa.array(some, pa.timestamp("us")),
            "price": pa.array([Decimal(value).scaleb(-2) for value in some], pa.decimal128(18, 2)),
            "large": pa.array([Decimal(value) for value in some], pa.decimal128(38, 0)),
            "float": [float(value) for value in some],
            "text": [str(value) for value in some],
            "word": [str(value) for value in few],
            "a.b": some,
            "inner": [{"x": value, "y": [value]} for value in some],
        }
    )
    found = encodings(table)
    for name in ("some", "null", "day", "time", "price"):
        assert found[name] == {"DELTA_BINARY_PACKED"}, name
    for name in ("float", "text"):
        assert found[name] == set(), name
    for name in ("few", "word", "large", "a.b", "inner.x", "inner.y.list.element"):
        assert found[name] == {"RLE_DICTIONARY"}, name
    assert PARQUET.read(pa.py_buffer(encode(PARQUET, table)[0]), table.schema).equals(table)


def test_few_rows_and_those_who_chose_are_left_alone() -> None:
    many = pa.table({"x": range(ROWS)})
    assert encodings(many)["x"] == {"DELTA_BINARY_PACKED"}
    assert encodings(many, dictionary="true")["x"] == {"RLE_DICTIONARY"}
    assert encodings(many, dictionary="false")["x"] == set()
    assert encodings(many.slice(0, 1000))["x"] == {"RLE_DICTIONARY"}


def test_a_sample_is_taken_from_everywhere() -> None:
    """Values that come again only beside each other."""
    table = pa.table({"x": [i // 10 for i in range(1_000_000)]})
    assert encodings(table)["x"] == {"DELTA_BINARY_PACKED"}
    pieces = pa.concat_tables(table.slice(start, 999) for start in range(0, 1_000_000, 999))
    assert encodings(pieces)["x"] == {"DELTA_BINARY_PACKED"}


TYPES = [
    pa.int8(),
    pa.map_(pa.string(), pa.list_(pa.int8())),
    pa.struct([("a", pa.int8()), ("b", pa.struct([("c", pa.large_list(pa.string()))]))]),
    pa.list_(pa.float32(), 2),
    pa.dictionary(pa.int32(), pa.string()),
]


@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
def test_paths_are_those_of_the_file(types: list[pa.DataType]) -> None:
    schema = pa.schema([(f"c{i}", type_) for i, type_ in enumerate(types)])
    data, _ = encode(PARQUET, schema.empty_table())
    file = pq.ParquetFile(io.BytesIO(data)).schema
    assert ParquetPlan(schema).paths == [file.column(i).path for i in range(len(file))]


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
def test_text_that_comes_again_is_read_as_dictionaries(
    type_: pa.DataType, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [None if i % 7 == 0 else f"word {i % 5}" * 3 for i in range(300_000)]
    field = pa.field("x", type_, metadata={"unit": "none"})
    schema = pa.schema([field, ("n", pa.int64())], metadata={"a": "b"})
    table = pa.table([pa.array(words, pa.string()).cast(type_), range(300_000)], schema=schema)
    data, _ = encode(PARQUET, table, row_group_rows="100000")
    opened, chosen = core._opened, []

    def opening(*args: object) -> object:
        chosen.append(args[3:])
        return opened(*args)

    monkeypatch.setattr(core, "_opened", opening)
    source = pa.py_buffer(data)
    for columns in (None, ["x"], ["n", "x"]):
        found = PARQUET.read(source, schema, columns, threads=threads)
        assert found.equals(table.select(columns or ["x", "n"]))
        assert found.schema.equals(table.select(columns or ["x", "n"]).schema, check_metadata=True)
    with PARQUET.parts(source, schema, table.num_rows) as parts:
        assert parts.read(["x"], [1, 2], threads=threads).equals(table.select(["x"]).slice(100_000))
        assert parts.head(["x"], 2, 10).equals(table.select(["x"]).slice(200_000, 10))
    pieces = PARQUET.batches(source, schema, rows=50_000)
    assert pa.concat_tables(pieces).equals(table)
    assert ([0],) in chosen


def test_text_of_many_values_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"x": [str(i) for i in range(ROWS)]})
    data = pa.py_buffer(encode(PARQUET, table, dictionary="true")[0])
    monkeypatch.setattr(core, "_decoded", None)  # it would be called
    assert PARQUET.read(data, table.schema).equals(table)


def test_text_under_another_name_is_damage() -> None:
    table = pa.table({"x": ["a", "b"] * ROWS})
    data = pa.py_buffer(encode(PARQUET, table)[0])
    with pytest.raises(DamagedError, match="cannot be decoded as parquet"):
        PARQUET.read(data, pa.schema([("y", pa.string())]))


def test_text_too_long_for_one_array_is_decoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pa.array(["a", "b", None, "a"]).dictionary_encode()

    class Narrow:
        def __init__(self, chunk: pa.DictionaryArray) -> None:
            self.chunk = chunk

        def __len__(self) -> int:
            return len(self.chunk)

        def __getitem__(self, part: slice) -> "Narrow":
            return Narrow(self.chunk[part])

        def cast(self, type_: pa.DataType) -> pa.Array:
            if len(self.chunk) > 1:
                raise pa.ArrowInvalid("offset overflow")
            return self.chunk.cast(type_)

    pieces = core._decoded(Narrow(whole), pa.string())
    assert [value for piece in pieces for value in piece.to_pylist()] == ["a", "b", None, "a"]
