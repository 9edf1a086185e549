"""What only Parquet has: options, checksums, row groups, field ids, the footer."""

import io
import struct

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from atio.errors import DamagedError, InputError
from atio.formats import get_format
from atio.formats.compare import difference
from atio.formats.conformance import Memory, encode
from atio.formats.parquet import write as module

PARQUET = get_format("parquet")


def opened(data):
    return pq.ParquetFile(pa.BufferReader(data))


def numbers(rows=5000):
    return pa.table({"n": range(rows), "t": [f"text {i % 100}" for i in range(rows)]})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"compression": "lzma"}, "compression"),
        ({"compression_level": "many"}, "compression_level"),
        ({"compression": "zstd", "compression_level": "99"}, "compression_level"),
        ({"compression": "snappy", "compression_level": "1"}, "compression_level"),
        ({"row_group_rows": "0"}, "row_group_rows"),
        ({"row_group_rows": "1.5"}, "row_group_rows"),
        ({"data_page_size": "1"}, "data_page_size"),
        ({"dictionary": "maybe"}, "dictionary"),
        ({"dictionaries": "true"}, "dictionaries"),
    ],
)
def test_bad_options_are_named(options, complaint):
    with pytest.raises(InputError, match=f"parquet.{complaint}"):
        PARQUET.writer(Memory(), numbers().schema, options)


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
def test_compression(compression):
    data, _ = encode(PARQUET, numbers(), compression=compression)
    found = opened(data).metadata.row_group(0).column(1).compression
    assert found == {"none": "UNCOMPRESSED"}.get(compression, compression.upper())
    assert difference(PARQUET.read(data, numbers().schema), numbers()) is None


def test_options_reach_the_file():
    data, _ = encode(PARQUET, numbers(), row_group_rows="2000", dictionary="false", data_page_size="2048")
    metadata = opened(data).metadata
    assert [metadata.row_group(i).num_rows for i in range(3)] == [2000, 2000, 1000]
    assert not metadata.row_group(0).column(1).has_dictionary_page
    larger, _ = encode(PARQUET, numbers(), row_group_rows="2000", dictionary="false")
    assert len(data) > len(larger)  # more pages, each with its header
    levels = [
        len(encode(PARQUET, numbers(), compression="zstd", compression_level=n)[0]) for n in ("1", "19")
    ]
    assert levels[1] != levels[0]


def test_small_files_have_no_dictionary_unless_told():
    small, large = numbers(100), numbers()
    for table, options, expected in (
        (small, {}, False),
        (large, {}, True),
        (small, {"dictionary": "true"}, True),
        (large, {"dictionary": "false"}, False),
    ):
        data, _ = encode(PARQUET, table, **options)
        assert opened(data).metadata.row_group(0).column(1).has_dictionary_page is expected


def test_small_writes_are_gathered_into_one_row_group():
    parts = [numbers().slice(i, 100) for i in range(0, 5000, 100)]
    data, info = encode(PARQUET, *parts)
    assert opened(data).num_row_groups == 1
    assert info.rows == 5000


def test_row_groups_stay_below_the_limit_of_bytes(monkeypatch):
    monkeypatch.setattr(module, "_ROW_GROUP_BYTES", 100_000)
    table = pa.table({"t": ["x" * 1000] * 500, "l": [["y" * 10]] * 500})
    data, _ = encode(PARQUET, table.slice(0, 1), table)
    groups = opened(data).metadata
    assert groups.num_row_groups > 4
    assert difference(PARQUET.read(data, table.schema), pa.concat_tables([table.slice(0, 1), table])) is None


@pytest.mark.parametrize("table", [numbers(3), numbers(), pa.table({"a": pa.array(["x" * 9_000_000])})])
def test_the_footers_length_is_right(table):
    data, info = encode(PARQUET, table)
    tail = data[len(data) - 8 :].to_pybytes()
    assert tail[4:] == b"PAR1"
    assert info.footer == struct.unpack("<I", tail[:4])[0] + 8
    # The footer alone is enough to know the file.
    assert (
        pq.read_metadata(io.BytesIO(b"PAR1" + data[len(data) - info.footer :].to_pybytes())).num_rows
        == info.rows
    )


def test_field_ids_at_every_depth():
    def numbered(name, type_, number):
        return pa.field(name, type_, metadata={"PARQUET:field_id": str(number)})

    inner = pa.struct([numbered("x", pa.int32(), 4), numbered("when", pa.timestamp("s"), 5)])
    schema = pa.schema(
        [numbered("a", pa.int64(), 1), numbered("l", pa.list_(numbered("element", inner, 3)), 2)]
    )
    table = pa.table(
        [pa.array([1]), pa.array([[{"x": 1, "when": 2}]], schema.field("l").type)], schema=schema
    )
    data, _ = encode(PARQUET, table)
    shown = str(opened(data).schema)
    assert all(
        f"field_id={i} {name}" in shown for i, name in enumerate(["a", "l", "element", "x", "when"], 1)
    )
    assert difference(PARQUET.read(data, schema), table) is None


def test_metadata_are_in_the_file_once():
    table = numbers(3).replace_schema_metadata({"pandas": "x" * 100_000})
    data, _ = encode(PARQUET, table)
    assert 100_000 < len(data) < 110_000
    assert opened(data).read().schema.metadata == table.schema.metadata


def test_pages_carry_checksums_and_partial_reads_check_them():
    table = numbers()
    data, _ = encode(PARQUET, table, compression="none", dictionary="false")
    flipped = bytearray(data)
    flipped[flipped.index(b"text 42")] ^= 1
    with pytest.raises(DamagedError, match=r"parquet.*CRC"):
        PARQUET.read(pa.py_buffer(bytes(flipped)), table.schema, ["t"])
    with pytest.raises(DamagedError, match=r"parquet.*CRC"):
        list(PARQUET.batches(pa.py_buffer(bytes(flipped)), table.schema, rows=1000))
    only_n = PARQUET.read(pa.py_buffer(bytes(flipped)), table.schema, ["n"])
    assert difference(only_n, table.select(["n"])) is None


def test_only_the_chosen_columns_bytes_are_touched():
    table = numbers()
    data, info = encode(PARQUET, table)
    column = opened(data).metadata.row_group(0).column(1)
    start = column.dictionary_page_offset
    wiped = bytearray(data)
    wiped[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    assert start + column.total_compressed_size <= len(wiped) - info.footer
    read = PARQUET.read(pa.py_buffer(bytes(wiped)), table.schema, ["n"])
    assert difference(read, table.select(["n"])) is None


def test_other_engines_read_the_same_rows(tmp_path):
    table = numbers().append_column("when", pa.array(range(5000), pa.timestamp("us", "UTC")))
    (tmp_path / "x.parquet").write_bytes(encode(PARQUET, table)[0])
    assert ds.dataset(tmp_path / "x.parquet").to_table().equals(table)


@pytest.mark.parametrize("type_", [pa.timestamp("s"), pa.timestamp("s", "UTC"), pa.time32("s")])
def test_values_that_would_overflow_are_refused(type_):
    count = pa.array([2**60], pa.int64()) if type_.bit_width == 64 else pa.array([3_000_000], pa.int32())
    with pytest.raises(InputError, match="cannot be written as parquet") as caught:
        encode(PARQUET, pa.table({"when": count.cast(type_)}))
    assert caught.value.column == "when"


@pytest.mark.parametrize("columns", [None, ["s"]])
def test_a_nested_column_of_several_row_groups(columns):
    value = pa.array([{"d": "x", "l": ["y"]}] * 100)
    table = pa.table({"s": value, "n": range(100)})
    data, _ = encode(PARQUET, table, row_group_rows="30")
    wanted = table if columns is None else table.select(columns)
    assert difference(PARQUET.read(data, table.schema, columns), wanted) is None


def test_the_public_classes_serve_where_the_core_has_changed(monkeypatch):
    import pyarrow._parquet as core

    def changed(*args, **kwargs):
        raise TypeError("another signature")

    monkeypatch.setattr(core, "ParquetWriter", changed)
    monkeypatch.setattr(core, "ParquetReader", changed)
    monkeypatch.setattr(pq.core, "ParquetReader", REAL_READER)
    table = numbers()
    monkeypatch.setattr(core, "ParquetWriter", FirstCallFails(REAL_WRITER))
    data, info = encode(PARQUET, table)
    assert info.rows == 5000
    assert difference(PARQUET.read(data, table.schema), table) is None


REAL_READER = pq.core.ParquetReader
REAL_WRITER = pq.core._parquet.ParquetWriter


class FirstCallFails:
    """The public writer goes through the same attribute of the core."""

    def __init__(self, real):
        self.real = real
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == 1:
            raise TypeError("another signature")
        return self.real(*args, **kwargs)


def test_five_thousand_columns():
    table = pa.table({f"c{i}": [i, None] for i in range(5000)})
    data, info = encode(PARQUET, table)
    assert len(info.stats) == 200
    assert difference(PARQUET.read(data, table.schema), table) is None
    assert difference(PARQUET.read(data, table.schema, ["c4999"]), table.select(["c4999"])) is None


def groups_of(rows: int, columns: int = 2, **options: str) -> list[int]:
    schema = pa.schema([(f"c{i}", pa.int32()) for i in range(columns)])
    table = pa.Table.from_arrays([pa.array(range(rows), pa.int32())] * columns, schema=schema)
    sink = pa.BufferOutputStream()
    writer = get_format("parquet").writer(sink, schema, options)
    writer.write(table)
    writer.close()
    with get_format("parquet").parts(sink.getvalue(), schema, rows) as parts:
        assert parts.head(["c1"], 0, 7)["c1"].to_pylist() == list(range(7))
        last = len(parts.rows) - 1
        head = parts.head(["c1", "c0"], last, parts.rows[last])
        assert head.equals(parts.read(["c1", "c0"], [last], threads=True))
        return list(parts.rows)


def test_files_of_some_rows_have_four_row_groups_and_larger_ones_large_ones() -> None:
    assert groups_of(30_000) == [30_000]
    assert groups_of(100_000) == [32_768, 32_768, 32_768, 1_696]
    assert groups_of(200_000) == [50_000] * 4
    assert groups_of(300_000) == [300_000]
    assert groups_of(100_000, row_group_rows="90000") == [90_000, 10_000]
    assert groups_of(40_000, columns=200) == [40_000]
