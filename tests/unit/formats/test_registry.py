"""The table of formats: names, aliases, lazy loading."""

import subprocess
import sys

import pyarrow as pa
import pytest

from atio.errors import UnsupportedError
from atio.formats import FORMATS, get_format, holders


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_format_knows_its_own_name(name):
    assert get_format(name).name == name
    assert get_format(name) is get_format(name.upper())
    assert get_format(name).suffix.startswith(".")


@pytest.mark.parametrize(
    ("alias", "name"),
    [("feather", "arrow"), ("ipc", "arrow"), ("json", "jsonl"), ("jsonlines", "jsonl"), ("ndjson", "jsonl")],
)
def test_aliases(alias, name):
    assert get_format(alias) is get_format(name)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnsupportedError) as caught:
        get_format("xlsx")
    assert all(name in str(caught.value) for name in FORMATS)


def test_a_refusal_names_the_formats_that_can():
    nested = pa.schema([pa.field("where is it", pa.list_(pa.int8()))])
    with pytest.raises(UnsupportedError, match="these formats can: parquet, arrow, orc, jsonl") as caught:
        get_format("csv").check(nested)
    assert caught.value.column == "where is it"
    assert holders(pa.int8()) == list(FORMATS)
    assert holders(pa.dense_union([pa.field("a", pa.int8())])) == ["arrow"]


def test_the_reason_for_a_refusal_may_be_an_inner_type():
    inner = pa.dictionary(pa.int8(), pa.struct([("x", pa.int8())]))
    with pytest.raises(UnsupportedError, match=r"because of dictionary<"):
        get_format("parquet").check(pa.schema([("c", pa.list_(inner))]))


CODE = """
import sys
import pyarrow as pa
from atio.formats import get_format
assert not any(name.startswith("pyarrow._parquet") for name in sys.modules)
class Out:
    def write(self, data):
        self.data = data
        return len(data)
# Not from Python values: pyarrow would import pandas.
floats = pa.Array.from_buffers(pa.float64(), 2, [None, pa.py_buffer(bytes(16))])
out, table = Out(), pa.Table.from_arrays([floats, pa.nulls(2, pa.string())], ["x", "s"])
writer = get_format("parquet").writer(out, table.schema, {})
writer.write(table)
writer.close()
assert get_format("parquet").read(out.data, table.schema).equals(table)
assert get_format("parquet").read(out.data, table.schema, []).num_rows == 2
unwanted = ("pyarrow.dataset", "pyarrow.parquet", "pyarrow.compute", "pyarrow.fs", "pandas")
print([name for name in unwanted if name in sys.modules])
"""


def test_reading_and_writing_parquet_imports_little():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
