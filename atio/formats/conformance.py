"""The tests that every :class:`~atio.formats.base.Format` passes.

Subclass :class:`FormatConformance` in a test module and set ``format``::

    class TestMine(FormatConformance):
        format = MyFormat()

Needs pytest and Hypothesis. The one rule behind it all: a value comes back with the same bits, or is
refused with an :class:`~atio.errors.InputError`; it never comes back different.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyarrow import types as pt

from atio.errors import DamagedError, InputError, SchemaError, UnsupportedError
from atio.formats.base import ColumnStats, FileInfo, Format
from atio.formats.cases import TYPE_CASES
from atio.formats.compare import difference
from atio.formats.recode import taken

__all__ = ["TYPE_CASES", "FormatConformance", "Memory", "arrow_arrays", "encode"]

_NAMES = ("a.b", "a", "", "1", "x/y", 'q"uote', "new\nline", "ünï", "a.b.c", "b,", "nul\x00", " ")
_SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


class Memory:
    """An ``Out`` in memory."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self.parts.append(bytes(memoryview(data)))
        return len(self.parts[-1])

    def buffer(self) -> pa.Buffer:
        return pa.py_buffer(b"".join(self.parts))


class _FullDisk:
    """An ``Out`` that takes so many bytes and then fails for good."""

    def __init__(self, space: int) -> None:
        self.space = space
        self.error: OSError | None = None
        self.calls_after = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self.error is not None:
            self.calls_after += 1
        self.space -= size
        if self.space < 0:
            self.error = OSError(errno.ENOSPC, "no space left")
            raise self.error
        return size


def encode(format_: Format, *tables: pa.Table, **options: str) -> tuple[pa.Buffer, FileInfo]:
    """The tables, written one after the other, as a file."""
    out = Memory()
    writer = format_.writer(out, tables[0].schema, options)
    for table in tables:
        writer.write(table)
    info = writer.close()
    return out.buffer(), info


# -- random data -------------------------------------------------------------------------------


def _fixed(draw: st.DrawFn, rows: int, type_: pa.DataType) -> pa.Array:
    """Any bits of a fixed width, with nulls."""
    bits = type_.bit_width
    data = b"".join(
        draw(st.lists(st.binary(min_size=bits // 8, max_size=bits // 8), min_size=rows, max_size=rows))
    )
    valid = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    mask = pa.array(valid, pa.bool_()).buffers()[1] if rows else None
    return pa.Array.from_buffers(type_, rows, [mask, pa.py_buffer(data)])


def _drawn(draw: st.DrawFn, rows: int, values: st.SearchStrategy[Any], type_: pa.DataType) -> pa.Array:
    return pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), type_)


_ANY_BITS = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64(), pa.date32(), pa.date64(), pa.month_day_nano_interval()),
    *(pa.timestamp("us"), pa.timestamp("ns", "America/New_York"), pa.timestamp("s"), pa.duration("s")),
)


@st.composite
def _leaves(draw: st.DrawFn, rows: int) -> pa.Array:
    kind = draw(st.sampled_from(["bits", "text", "bytes", "decimal", "bool", "time"]))
    if kind == "text":
        return _drawn(
            draw, rows, st.text(), draw(st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]))
        )
    if kind == "bytes":
        return _drawn(draw, rows, st.binary(), draw(st.sampled_from([pa.binary(), pa.large_binary()])))
    if kind == "decimal":
        digits = st.integers(-(10**20) + 1, 10**20 - 1)
        counts = digits.map(lambda n: Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -7)))
        return _drawn(draw, rows, counts, draw(st.sampled_from([pa.decimal128(20, 7), pa.decimal256(40, 7)])))
    if kind == "bool":
        return _drawn(draw, rows, st.booleans(), pa.bool_())
    if kind == "time":
        unit, per_day = draw(st.sampled_from([("s", 86_400), ("ms", 86_400_000)]))
        return _drawn(draw, rows, st.integers(0, per_day - 1), pa.int32()).cast(pa.time32(unit))
    return _fixed(draw, rows, draw(st.sampled_from(_ANY_BITS)))


@st.composite
def arrow_arrays(draw: st.DrawFn, rows: int, depth: int = 2) -> pa.Array:
    """Arrays of ``rows`` rows: leaves, dictionaries, lists and structs of them, some of them slices."""
    kind = (
        draw(st.sampled_from(["leaf", "leaf", "dictionary", "list", "struct", "slice"])) if depth else "leaf"
    )
    if kind == "leaf":
        return draw(_leaves(rows))
    if kind == "slice":
        start = draw(st.integers(0, 3))
        return draw(arrow_arrays(rows + start, depth - 1)).slice(start)
    if kind == "struct":
        fields = [draw(arrow_arrays(rows, depth - 1)) for _ in range(draw(st.integers(1, 2)))]
        return pa.StructArray.from_arrays(
            fields, [f"f.{i}" for i in range(len(fields))], mask=_mask(draw, rows)
        )
    if kind == "dictionary":
        values = draw(_leaves(draw(st.integers(1, 4))))
        picks = _drawn(draw, rows, st.integers(0, len(values) - 1), pa.int8())
        return pa.DictionaryArray.from_arrays(picks, values, ordered=draw(st.booleans()))
    ends = sorted(draw(st.lists(st.integers(0, 2 * rows), min_size=rows, max_size=rows)))
    values = draw(arrow_arrays(ends[-1] if ends else 0, depth - 1))
    return pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), values, mask=_mask(draw, rows))


def _mask(draw: st.DrawFn, rows: int) -> pa.Array:
    return pa.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), pa.bool_())


@st.composite
def _tables(draw: st.DrawFn) -> list[pa.Table]:
    """Some tables of one schema: what a caller writes one after the other."""
    rows = draw(st.integers(0, 12))
    columns = [draw(arrow_arrays(rows)) for _ in range(draw(st.integers(1, 3)))]
    whole = pa.table(columns, names=[f"c{i}" for i in range(len(columns))])
    cut = draw(st.integers(0, rows))
    return [whole.slice(0, cut), whole.slice(cut), pa.concat_tables([whole.slice(cut), whole.slice(0, cut)])]


# -- what statistics have to say ---------------------------------------------------------------


def _ordered(chunk: pa.Array) -> list[Any]:
    """Non-null values as Python's, in the order bounds are in: temporal ones as counts."""
    if pt.is_dictionary(chunk.type):
        return _ordered(taken(chunk.dictionary, chunk.indices))
    if pt.is_temporal(chunk.type) and not pt.is_interval(chunk.type):
        chunk = chunk.view(pa.int32() if chunk.type.bit_width == 32 else pa.int64())
    return [value for value in chunk.to_pylist() if value is not None]


def _check_stats(path: tuple[str, ...], stats: ColumnStats, table: pa.Table) -> None:
    column = table.column(path[0])
    for name in path[1:]:
        i = column.type.get_field_index(name)
        column = pa.chunked_array([c.flatten()[i] for c in column.chunks], column.type.field(i).type)
    values = [value for chunk in column.chunks for value in _ordered(chunk)]
    if stats.nulls is not None:
        assert stats.nulls == len(column) - len(values), path
    coded = pt.is_dictionary(column.type) or pt.is_run_end_encoded(column.type)
    value_type = column.type.value_type if coded else column.type
    numbers = [value for value in values if value == value]  # noqa: PLR0124 -- not NaN
    assert stats.nans in ({None, len(values) - len(numbers)} if pt.is_floating(column.type) else {None}), path
    values = numbers
    for bound in (stats.lower, stats.upper):
        assert bound is None or pa.scalar(bound, value_type).is_valid, path
    for value in values:
        assert stats.lower is None or stats.lower <= value, path
        assert stats.upper is None or value <= stats.upper, path
    assert values or (stats.lower is None and stats.upper is None), path


# -- the suite ---------------------------------------------------------------------------------


def _layouts(array: pa.Array) -> Iterator[pa.Table]:
    """The same values as tables that are built differently."""
    yield pa.table({"c": array})
    yield pa.table({"c": array[1:]})
    yield pa.table({"c": array[:0]})
    yield pa.table({"c": pa.chunked_array([array, array[:0], array[1:3], array[2:]])})
    yield pa.table({"c": pa.chunked_array([], array.type)})


def _joined(pieces: list[pa.Table], like: pa.Table) -> pa.Table:
    return pa.concat_tables(pieces) if pieces else like.slice(0, 0)


class FormatConformance:
    """Set ``format``; a format whose decoder can crash on damaged bytes says ``survives_flips = False``."""

    format: ClassVar[Format]
    survives_flips: ClassVar[bool] = True

    def _refuses(self, schema: pa.Schema) -> bool:
        try:
            self.format.check(schema)
        except UnsupportedError:
            return True
        return False

    def _sample(self) -> pa.Table:
        """Columns that every format takes, with metadata."""
        columns = {
            "a.b": pa.array([1, None, 3, 4, 5] * 20),
            "a": pa.array(["x", "", None, "null", "ü"] * 20),
            "price": pa.array([1.5, float("nan"), None, -0.0, 1e300] * 20),
            "when": pa.array([0, -1, None, 10**15, 5] * 20, pa.timestamp("us", "Europe/Berlin")),
        }
        table = pa.table(columns)
        fields = [
            f.with_metadata({"PARQUET:field_id": str(i + 1), "k": "v"}) for i, f in enumerate(table.schema)
        ]
        return table.cast(pa.schema(fields, metadata={"table": "meta", "pandas": "{}"}))

    @pytest.mark.parametrize("case", list(TYPE_CASES))
    def test_a_type_comes_back_exactly_or_is_refused(self, case: str) -> None:
        array = TYPE_CASES[case]
        schema = pa.schema([pa.field("c", array.type)])
        if self._refuses(schema):
            with pytest.raises(UnsupportedError) as caught:
                self.format.writer(Memory(), schema, {})
            assert caught.value.column == "c"
            assert str(array.type) in str(caught.value)
            assert self.format.name in str(caught.value)
            return
        layouts = list(_layouts(array))
        sources = [encode(self.format, table)[0] for table in layouts]
        assert difference(self.format.read_each(sources, schema), pa.concat_tables(layouts)) is None
        for table in layouts:
            data, info = encode(self.format, table)
            assert difference(self.format.read(data, table.schema), table) is None
            assert info.rows == table.num_rows
            pieces = list(self.format.batches(data, table.schema, rows=2))
            assert difference(_joined(pieces, table), table) is None
            for path, stats in info.stats.items():
                _check_stats(path, stats, table)

    @given(tables=_tables())
    @_SETTINGS
    def test_random_tables_come_back_exactly_or_are_refused(self, tables: list[pa.Table]) -> None:
        schema, whole = tables[0].schema, pa.concat_tables(tables)
        try:
            self.format.check(schema)
            data, info = encode(self.format, *tables)
        except InputError:
            assume(False)
        assert difference(self.format.read(data, schema), whole) is None
        assert difference(_joined(list(self.format.batches(data, schema, rows=5)), whole), whole) is None
        last = [schema.names[-1]]
        sources = [encode(self.format, table)[0] for table in tables]
        assert difference(self.format.read_each(sources, schema, last), whole.select(last)) is None
        assert difference(self.format.read(data, schema, last), whole.select(last)) is None
        for path, stats in info.stats.items():
            _check_stats(path, stats, whole)

    def test_names_may_be_anything(self) -> None:
        table = pa.table([pa.array([i, None, i + 2]) for i in range(len(_NAMES))], names=list(_NAMES))
        data, _ = encode(self.format, table)
        assert difference(self.format.read(data, table.schema), table) is None
        for name in _NAMES:
            assert difference(self.format.read(data, table.schema, [name]), table.select([name])) is None

    def test_columns_come_in_the_order_asked_for(self) -> None:
        table = self._sample()
        data, _ = encode(self.format, table)
        for names in (["a"], ["price", "a.b"], ["when", "a", "a.b", "price"], []):
            wanted = table.select(names)
            assert difference(self.format.read(data, table.schema, names), wanted) is None
            if names:
                twice = pa.concat_tables([wanted, wanted])
                assert difference(self.format.read_each([data, data], table.schema, names), twice) is None
            pieces = list(self.format.batches(data, table.schema, names, rows=30))
            assert [piece.num_rows for piece in pieces] == [30, 30, 30, 10]
            assert all(difference(p, wanted.slice(30 * i, 30)) is None for i, p in enumerate(pieces) if names)

    def test_an_unknown_column_is_an_input_error(self) -> None:
        table = self._sample()
        data, _ = encode(self.format, table)
        with pytest.raises(InputError, match="nope"):
            self.format.read(data, table.schema, ["a", "nope"])

    def test_many_writes_are_one_file(self) -> None:
        table = self._sample()
        parts = [table.slice(0, 10), table.slice(0, 0), table.slice(10, 1), table.slice(11)]
        data, info = encode(self.format, *parts)
        assert info.rows == table.num_rows
        assert difference(self.format.read(data, table.schema), table) is None

    def test_pieces_without_rows_are_nothing(self) -> None:
        table = self._sample()
        none = table.slice(0, 0)
        for pieces in (
            [none, table],
            [pa.concat_tables([none, table])],
            [table, none, pa.concat_tables([table, none, table])],
        ):
            data, info = encode(self.format, *pieces)
            whole = pa.concat_tables(pieces)
            assert info.rows == whole.num_rows
            assert difference(self.format.read(data, table.schema), whole) is None

    def test_what_lies_behind_nulls_is_nothing(self) -> None:
        some = pa.array([1, 2, None, 4, 5, 6], pa.int64())
        inner = pa.StructArray.from_arrays([some], names=["x"], mask=pa.array([True, False] * 3))
        outer = pa.StructArray.from_arrays([inner, some], names=["s", "y"])
        lists = pa.ListArray.from_arrays(
            pa.array([0, 2, 3, 5, 6], pa.int32()), inner, mask=pa.array([False, True] * 2)
        )
        in_lists = pa.ListArray.from_arrays(pa.array([0, 1, 4]), lists, mask=pa.array([True, False]))
        of_lists = pa.StructArray.from_arrays([lists], names=["l"], mask=pa.array([True, False, True, False]))
        maps = pa.MapArray.from_arrays(
            pa.array([0, 1, None, 4, 6], pa.int32()), pa.array(list("abcdef")), inner
        )
        for array in (inner, outer, lists, in_lists, of_lists, maps):
            for table in (pa.table({"c": array}), pa.table({"c": array[1:]})):
                if not self._refuses(table.schema):
                    data, _ = encode(self.format, table, table)  # the second one behind the first
                    whole = pa.concat_tables([table, table])
                    assert difference(self.format.read(data, table.schema), whole) is None

    def test_dictionaries_may_differ_from_write_to_write(self) -> None:
        schema = pa.schema([("d", pa.dictionary(pa.int8(), pa.string(), ordered=True))])
        tables = [
            pa.table(
                [pa.array([f"{prefix}{i}" for i in range(100)]).dictionary_encode().cast(schema[0].type)],
                schema,
            )
            for prefix in "abc"
        ]
        data, _ = encode(self.format, *tables)
        # 300 values do not fit one dictionary with 8-bit indices: several chunks it has to be.
        read = self.format.read(data, schema)
        assert difference(read, pa.concat_tables(tables)) is None
        assert difference(_joined(list(self.format.batches(data, schema, rows=70)), read), read) is None

    def test_a_file_may_be_empty_of_rows(self) -> None:
        table = self._sample().slice(0, 0)
        for tables in ([table], [table, table]):
            data, info = encode(self.format, *tables)
            assert info.rows == 0
            assert difference(self.format.read(data, table.schema), table) is None
            assert list(self.format.batches(data, table.schema, rows=3)) == []

    def test_a_file_may_never_be_written_to(self) -> None:
        table = self._sample().slice(0, 0)
        out = Memory()
        self.format.writer(out, table.schema, {}).close()
        assert difference(self.format.read(out.buffer(), table.schema), table) is None

    def test_no_columns(self) -> None:
        table = pa.table({"a": [1, 2, 3]}).select([])
        data, info = encode(self.format, table)
        assert info.rows == 3
        assert self.format.read(data, table.schema).num_columns == 0

    def test_wide(self) -> None:
        table = pa.table({f"c{i}": [i, None] for i in range(600)})
        data, info = encode(self.format, table)
        assert len(info.stats) == 200
        assert difference(self.format.read(data, table.schema), table) is None
        assert difference(self.format.read(data, table.schema, ["c599"]), table.select(["c599"])) is None

    def test_long_values(self) -> None:
        table = pa.table({"text": ["a", "x" * 5_000_000, None, "y" * 70_000]})
        data, info = encode(self.format, table)
        assert difference(self.format.read(data, table.schema), table) is None
        assert (
            difference(_joined(list(self.format.batches(data, table.schema, rows=1)), table), table) is None
        )
        _check_stats(("text",), info.stats[("text",)], table)

    def test_batches_are_bounded(self) -> None:
        table = pa.table({"n": range(5000), "t": [str(i) for i in range(5000)]})
        data, _ = encode(self.format, table)
        pieces = list(self.format.batches(data, table.schema, rows=700))
        assert all(0 < piece.num_rows <= 700 for piece in pieces)
        assert difference(pa.concat_tables(pieces), table) is None

    def test_a_local_file_reads_like_its_bytes(self, tmp_path: Path) -> None:
        table = self._sample()
        data, _ = encode(self.format, table)
        # A name that is no URL and no pattern, though it looks like both.
        path = tmp_path / f"s3:*[x] ü{self.format.suffix}"
        path.write_bytes(data)
        for threads in (True, False):
            assert difference(self.format.read(str(path), table.schema, threads=threads), table) is None
        pieces = self.format.batches(str(path), table.schema, ["a"], rows=33)
        assert difference(pa.concat_tables(list(pieces)), table.select(["a"])) is None

    def test_a_missing_file_is_the_systems_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            self.format.read(str(tmp_path / "gone"), self._sample().schema)
        with pytest.raises(FileNotFoundError):
            list(self.format.batches(str(tmp_path / "gone"), self._sample().schema, rows=5))

    def test_nulls_where_none_may_be_are_refused(self) -> None:
        schema = pa.schema([pa.field("must", pa.int64(), nullable=False)])
        table = pa.table([pa.array([1, 2])], schema=schema)
        data, _ = encode(self.format, table)
        assert difference(self.format.read(data, schema), table) is None
        with pytest.raises(InputError, match="must"):
            encode(self.format, pa.Table.from_arrays([pa.array([1, None])], schema=schema))

    def test_another_schema_is_refused(self) -> None:
        writer = self.format.writer(Memory(), pa.schema([("a", pa.int64())]), {})
        with pytest.raises(SchemaError):
            writer.write(pa.table({"a": pa.array([1], pa.int32())}))

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(InputError, match="no_such_option"):
            self.format.writer(Memory(), pa.schema([("a", pa.int64())]), {"no_such_option": "1"})

    @pytest.mark.parametrize("space", [0, 100, 20_000])
    def test_the_sinks_error_passes_and_nothing_follows_it(self, space: int) -> None:
        table = pa.table({"n": range(30_000), "t": [f"{i * 7919 % 30_011}" for i in range(30_000)]})
        disk = _FullDisk(space)

        def write() -> None:
            writer = self.format.writer(disk, table.schema, {})
            writer.write(table)
            writer.close()

        with pytest.raises(OSError, match="no space left") as caught:
            write()
        assert caught.value is disk.error
        del caught
        assert disk.calls_after == 0

    def test_a_file_given_up_is_not_finished(self) -> None:
        out = Memory()
        writer = self.format.writer(out, self._sample().schema, {})
        writer.write(self._sample())
        before = len(out.parts)
        del writer
        assert len(out.parts) == before

    def test_emptied_and_cut_files_are_damaged(self) -> None:
        table = self._sample()
        data, _ = encode(self.format, table)
        whole = data.to_pybytes()
        for size in {0, 1, 7, *range(0, len(whole), max(1, len(whole) // 40))}:
            cut = pa.py_buffer(whole[:size])
            try:
                read = self.format.read(cut, table.schema)
            except DamagedError:
                continue
            # Text files may be cut between rows; the table's checksums notice.
            assert not self.format.checked
            assert read.num_rows < table.num_rows or difference(read, table) is not None

    def test_flipped_bits_are_damage_or_harmless(self) -> None:
        if not self.survives_flips:
            pytest.skip("the decoder can crash: its files are hashed before they are decoded")
        table = self._sample()
        data, info = encode(self.format, table)
        whole = data.to_pybytes()
        # The footer has its own checksum in the table's metadata.
        size = len(whole) - (info.footer or 0)
        damaged = 0
        for i in range(0, size, max(1, size // 400)):
            flipped = bytearray(whole)
            flipped[i] ^= 1 << (i % 8)
            try:
                read = self.format.read(
                    pa.py_buffer(bytes(flipped)), table.schema, table.schema.names, threads=False
                )
            except DamagedError:
                damaged += 1
                continue
            assert not self.format.checked or difference(read, table) is None, i
        assert damaged

    def test_another_files_schema_is_damage(self) -> None:
        data, _ = encode(self.format, pa.table({"x": ["text"], "y": [1.5]}))
        with pytest.raises(DamagedError):
            self.format.read(data, pa.schema([("a", pa.int64())]))
