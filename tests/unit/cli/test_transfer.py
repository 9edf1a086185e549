from __future__ import annotations

import gzip
import os
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, feather, orc, parquet

from atio import Table
from atio.cli import sources, targets

from .conftest import Atio

TYPES = {
    "i8": pa.int8(), "u64": pa.uint64(), "f16": pa.float16(), "f64": pa.float64(), "b": pa.bool_(),
    "s": pa.string(), "ls": pa.large_string(), "sv": pa.string_view(), "bin": pa.binary(),
    "fb": pa.binary(2), "d": pa.decimal128(9, 3), "d32": pa.date32(), "t": pa.time64("us"),
    "ts": pa.timestamp("ns"), "tz": pa.timestamp("us", "Asia/Seoul"), "dur": pa.duration("s"),
    "cat": pa.dictionary(pa.int8(), pa.string()),
}  # fmt: skip


def _typed() -> pa.Table:
    plain = {
        "i8": [-1, None], "u64": [2**64 - 1, 0], "f16": [1.5, None], "f64": [0.1, -1e300],
        "b": [True, None], "s": ["", None], "ls": ['a"b,c', "line\nbreak"], "sv": ["x", None],
        "bin": [b"\xff\x00", None], "fb": [b"ab", None], "d": [None, None], "d32": [1, None],
        "t": [1_000_001, None], "ts": [1_577_836_800_000_000_001, None], "tz": [1_577_836_800_000_001, None],
        "dur": [90, None], "cat": ["x", None],
    }  # fmt: skip
    return pa.table({name: pa.array(plain[name], kind) for name, kind in TYPES.items()})


# -- import ----------------------------------------------------------------------------------------


def test_files_of_all_kinds_become_one_version(atio: Atio, tmp_path: Path) -> None:
    rows = [pa.table({"id": [i], "name": [f"n{i}"]}) for i in range(8)]
    csv.write_csv(rows[0], tmp_path / "0.csv")
    (tmp_path / "1.tsv").write_text("name\tid\nn1\t1\n")
    parquet.write_table(rows[2], tmp_path / "2.parquet")
    feather.write_feather(rows[3], str(tmp_path / "3.feather"))
    with pa.ipc.new_stream(tmp_path / "4.arrow", rows[4].schema) as stream:
        stream.write_table(rows[4])
    (tmp_path / "5.jsonl").write_text('{"id":5,"name":"n5"}\n')
    orc.write_table(rows[6], str(tmp_path / "6.orc"))
    with gzip.open(tmp_path / "7.csv.gz", "wt") as file:
        file.write("id,name\n7,n7\n")
    files = sorted(p for p in tmp_path.iterdir())
    run = atio("import", tmp_path / "t", *files, "-m", "all", "--json")
    assert (run.document["version"], run.document["imported"], run.document["message"]) == (1, 8, "all")
    assert Table.open(tmp_path / "t").to_arrow().to_pydict() == pa.concat_tables(rows).to_pydict()


def test_a_failing_file_leaves_the_table_as_it_was(atio: Atio, path: Path, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("id,price\n1,1.5\n")
    (tmp_path / "bad.csv").write_text("id,price\n1.5,1\n")
    before = sorted(p.name for p in (path / "data").iterdir())
    run = atio("import", path, tmp_path / "good.csv", tmp_path / "bad.csv", "--json", code=2)
    error = run.document["error"]
    assert (error["kind"], error["column"], error["file"]) == ("schema", "id", str(tmp_path / "bad.csv"))
    assert "1.5" in error["message"]
    assert Table.open(path).version == 3
    assert sorted(p.name for p in (path / "data").iterdir()) == before
    (tmp_path / "more.csv").write_text("id,prize\n1,2\n")
    run = atio("import", path, tmp_path / "good.csv", tmp_path / "more.csv", code=2)
    assert "more.csv" in run.err
    assert "did you mean 'price'" in run.err
    atio("import", tmp_path / "new", tmp_path / "good.csv", tmp_path / "missing.csv", code=3)
    atio("import", tmp_path / "new", tmp_path / "good.csv", tmp_path, code=2)
    assert not Table.exists(tmp_path / "new")


def test_text_is_read_with_the_types_of_the_table(atio: Atio, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", pa.schema({"zip": pa.string(), "x": pa.float32()}), durable=False)
    (tmp_path / "a.csv").write_text("zip,x\n00712,1\n")
    (tmp_path / "a.jsonl").write_text('{"zip":"00713","x":2}\n')
    atio("import", tmp_path / "t", tmp_path / "a.csv", tmp_path / "a.jsonl")
    assert table.to_arrow().to_pylist() == [{"zip": "00712", "x": 1.0}, {"zip": "00713", "x": 2.0}]
    atio("import", tmp_path / "new", tmp_path / "a.csv", "--type", "zip=string")
    assert Table.open(tmp_path / "new").schema.field("zip").type == pa.string()
    atio("import", tmp_path / "guessed", tmp_path / "a.csv")
    assert Table.open(tmp_path / "guessed").schema.field("zip").type == pa.int64()


def test_later_files_are_read_with_the_types_of_the_first(atio: Atio, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("code\nA1\n")
    (tmp_path / "2.csv").write_text("code\n007\n")
    atio("import", tmp_path / "t", tmp_path / "1.csv", tmp_path / "2.csv")
    assert Table.open(tmp_path / "t").to_arrow()["code"].to_pylist() == ["A1", "007"]


def test_nulls_and_empty_text_are_told_apart(atio: Atio, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('n,s\n1,""\n,\nNA,NA\n')
    atio("import", tmp_path / "t", tmp_path / "a.csv")
    assert Table.open(tmp_path / "t").to_arrow().to_pydict() == {
        "n": ["1", None, "NA"],
        "s": ["", None, "NA"],
    }
    atio("import", tmp_path / "na", tmp_path / "a.csv", "--null", "NA")
    assert Table.open(tmp_path / "na").to_arrow().to_pydict() == {"n": [1, None, None], "s": ["", None, None]}
    run = atio("import", tmp_path / "na", tmp_path / "a.csv", code=2)
    assert "--null" in run.err
    assert "column 'n'" in run.err


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.csv", b"", "Empty"),
        ("a.csv", b"a,b\n1\n", "Expected 2"),
        ("a.csv", b"a,a\n1,2\n", "duplicate"),
        ("a.csv", b"a\n\xe9\n", "--encoding"),
        ("a.jsonl", b"", "Empty"),
        ("a.jsonl", b'{"a":1}\n{"a":"x"}\n', "--type"),
        ("a.jsonl", b"[1]\n", "object"),
        ("a.parquet", b"PAR1 nonsense", "cannot be read"),
        ("a.arrow", b"nonsense", "cannot be read"),
        ("a.feather", b"FEA1 nonsense", "version 1"),
        ("a.orc", b"nonsense", "cannot be read"),
        ("a.csv.gz", b"nonsense", ""),
        ("a.parquet.gz", b"nonsense", "compressed"),
        ("a.xyz", b"a\n1\n", "--input-format"),
        ("a", b"a\n1\n", "--input-format"),
    ],
)
def test_files_that_cannot_be_read(atio: Atio, tmp_path: Path, name: str, data: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(data)
    run = atio("import", tmp_path / "t", tmp_path / name, code=7 if name == "a.csv.gz" else 2)
    assert text in run.err
    assert name in run.err
    assert len(run.err.splitlines()) <= 2
    assert not Table.exists(tmp_path / "t")


def test_options_that_cannot_be(atio: Atio, path: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    for options in (
        ["--type", "id"], ["--type", "id=nonsense"], ["--format", "nonsense"], ["--format", "orc"],
        ["--input-format", "nonsense"], ["--encoding", "nonsense"], ["--expected-version", "-1"],
    ):  # fmt: skip
        atio("import", path, tmp_path / "a.csv", *options, code=2)
    atio("import", path, "-", code=2)
    atio("import", path, "-", "--input-format", "parquet", code=2, stdin=b"")
    atio("import", path, code=2)
    assert Table.open(path).version == 3


def test_encoding(atio: Atio, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a\né\n".encode("latin1"))
    atio("import", tmp_path / "t", tmp_path / "a.csv", "--encoding", "latin1")
    assert Table.open(tmp_path / "t").to_arrow()["a"].to_pylist() == ["é"]


def test_token_and_expected_version(atio: Atio, path: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    arguments = ["import", path, tmp_path / "a.csv", "--token", "monday"]
    assert atio(*arguments, "--json").document["replayed"] is False
    again = atio(*arguments, "--json").document
    assert (again["replayed"], again["version"], again["imported"]) == (True, 4, 0)
    assert "nothing to do" in atio(*arguments).out
    atio("import", path, tmp_path / "a.csv", "--expected-version", 3, code=4)
    atio("import", path, tmp_path / "a.csv", "--expected-version", 4)
    assert Table.open(path).version == 5


def test_overwrite_replaces_columns(atio: Atio, path: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("other\nx\n")
    atio("import", path, tmp_path / "a.csv", code=2)
    atio("import", path, tmp_path / "a.csv", "--overwrite")
    assert Table.open(path).to_arrow().to_pydict() == {"other": ["x"]}


def test_partitions_are_replaced(atio: Atio, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", pa.schema({"kind": pa.string(), "n": pa.int64()}), durable=False)
    table.append({"kind": ["a", "b"], "n": [1, 2]})
    (tmp_path / "a.csv").write_text("kind,n\na,3\n")
    atio("import", tmp_path / "t", tmp_path / "a.csv", "--partitions", code=2)
    table.set_partitioning("kind")
    atio("import", tmp_path / "t", tmp_path / "a.csv", "--partitions", "--overwrite", code=2)
    atio("import", tmp_path / "none", tmp_path / "a.csv", "--partitions", "--format", "csv", code=3)
    assert not (tmp_path / "none").exists()
    atio("import", tmp_path / "t", tmp_path / "a.csv", "--partitions")
    assert table.to_arrow().to_pydict() == {"kind": ["b", "a"], "n": [2, 3]}


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv", "jsonl", "orc"])
def test_the_format_of_a_new_table(atio: Atio, tmp_path: Path, form: str) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    atio("import", tmp_path / "t", tmp_path / "a.csv", "--format", form)
    atio("import", tmp_path / "t", tmp_path / "a.csv", "--format", form)
    files = atio("files", tmp_path / "t", "--json").document["files"]
    assert {f["format"] for f in files} == {form}
    assert Table.open(tmp_path / "t").to_arrow().to_pydict() == {"id": [1, 1]}


def test_standard_input(atio: Atio, tmp_path: Path) -> None:
    atio("import", tmp_path / "t", "-", "--input-format", "csv", stdin="a\n1\n2\n")
    atio("import", tmp_path / "t", "-", "--input-format", "jsonl", stdin='{"a":3}\n')
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema({"a": pa.int64()})) as stream:
        stream.write_table(pa.table({"a": [4]}))
    atio("import", tmp_path / "t", "-", "--input-format", "arrow", stdin=sink.getvalue().to_pybytes())
    assert Table.open(tmp_path / "t").to_arrow()["a"].to_pylist() == [1, 2, 3, 4]
    assert "1.5" in atio("import", tmp_path / "t", "-", "--input-format", "csv", stdin="a\n1.5\n", code=2).err


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in the file system")
def test_a_named_pipe(atio: Atio, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("a\n1\n",))
    writer.start()
    atio("import", tmp_path / "t", tmp_path / "pipe", "--input-format", "csv")
    writer.join()
    assert Table.open(tmp_path / "t").to_arrow()["a"].to_pylist() == [1]


def test_text_is_read_in_blocks(atio: Atio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_BLOCK", 4096)
    text = "a,b\n" + "".join(f'{i},"line\n{i}"\n' for i in range(3000))
    (tmp_path / "a.csv").write_text(text)
    found = sources.Sources([str(tmp_path / "a.csv")], sources.Settings(), None)
    tables = list(found.tables())
    assert max(t.num_rows for t in tables) < 1000
    assert pa.concat_tables(tables)["b"].to_pylist()[2999] == "line\n2999"
    assert found.rows == 3000
    (tmp_path / "a.csv").write_text("a\n" + "1\n" * 3000 + "x\n")
    run = atio("import", tmp_path / "t", tmp_path / "a.csv", code=2)
    assert "column 'a'" in run.err
    assert "--type a=string" in run.err
    assert not Table.exists(tmp_path / "t")


# -- export ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "arrow"])
def test_what_is_exported_can_be_imported_again(atio: Atio, tmp_path: Path, kind: str) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append(_typed())
    file = tmp_path / f"out.{kind}"
    assert atio("export", tmp_path / "t", file, "--json").document["rows"] == 2
    Table.create(tmp_path / "again", _typed().schema, durable=False)
    atio("import", tmp_path / "again", file)
    assert Table.open(tmp_path / "again").to_arrow().equals(table.to_arrow())


def test_nested_values(atio: Atio, tmp_path: Path) -> None:
    rows = pa.table({"l": [[1], None], "s": [{"x": 1}, {"x": None}], "n": [1, 2]})
    Table.open(tmp_path / "t", durable=False).append(rows)
    run = atio("export", tmp_path / "t", tmp_path / "o.csv", code=2)
    assert "column 'l'" in run.err
    assert "jsonl" in run.err
    atio("export", tmp_path / "t", tmp_path / "o.csv", "-c", "n")
    assert (tmp_path / "o.csv").read_text() == '"n"\n1\n2\n'
    for kind in ("jsonl", "orc"):
        atio("export", tmp_path / "t", tmp_path / f"o.{kind}")
        atio("import", tmp_path / kind, tmp_path / f"o.{kind}")
        assert Table.open(tmp_path / kind).to_arrow().to_pydict() == rows.to_pydict()


def test_columns_limit_version(atio: Atio, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "o.jsonl"
    atio("export", path, file, "-v", 2, "-c", "name,id", "-n", 3)
    assert file.read_text() == '{"name":"a","id":1}\n{"name":null,"id":2}\n{"name":"b","id":3}\n'
    assert "4 rows of version 2" in atio("export", path, file, "-v", 2).out
    atio("export", path, file, "-v", 99, code=3)
    atio("export", path, file, "-c", "nope", code=2)
    assert len(file.read_text().splitlines()) == 4


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "arrow", "orc"])
def test_no_rows(atio: Atio, tmp_path: Path, kind: str) -> None:
    Table.create(tmp_path / "t", pa.schema({"a": pa.int64()}), durable=False)
    assert atio("export", tmp_path / "t", tmp_path / f"o.{kind}", "--json").document["rows"] == 0
    if kind in ("parquet", "arrow", "orc"):
        atio("import", tmp_path / "again", tmp_path / f"o.{kind}")
        assert Table.open(tmp_path / "again").schema.names == ["a"]


def test_standard_output(atio: Atio, path: Path) -> None:
    assert atio("export", path, "-", "--format", "jsonl").out == '{"id":5,"price":1.5}\n'
    assert atio("export", path, "-", "--format", "csv").out == '"id","price"\n5,1.5\n'
    atio("export", path, "-", code=2)
    atio("export", path, "-", "--format", "csv", "--json", code=2)


def test_a_failed_export_leaves_the_old_file(
    atio: Atio, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "o.csv").write_text("old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(targets, "encode", fail)
        atio("export", path, folder / "o.csv", code=7)
    (path / Table.open(path).snapshot().files()[0].path).write_bytes(b"damage")
    atio("export", path, folder / "o.csv", code=5)
    assert [p.name for p in folder.iterdir()] == ["o.csv"]
    assert (folder / "o.csv").read_text() == "old"


def test_where_not_to_export(atio: Atio, path: Path, tmp_path: Path) -> None:
    before = (path / "current").read_bytes()
    atio("export", path, path / "current", "--format", "csv", code=2)
    atio("export", path, path, "--format", "csv", code=2)
    atio("export", path, tmp_path, "--format", "csv", code=2)
    atio("export", path, tmp_path / "no" / "folder.csv", code=3)
    atio("export", path, tmp_path / "o.csv.gz", code=2)
    atio("export", path, tmp_path / "o.xyz", code=2)
    assert (path / "current").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_an_existing_target_keeps_its_mode_and_a_link_stays_one(
    atio: Atio, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "real.csv").chmod(0o640)
    (tmp_path / "link.csv").symlink_to("real.csv")
    atio("export", path, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith('"id"')
    assert (tmp_path / "real.csv").stat().st_mode & 0o777 == 0o640


def test_small_batches_are_gathered_into_row_groups(atio: Atio, tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    for start in range(0, 300, 100):
        table.append(pa.table({"a": range(start, start + 100)}))
    atio("export", tmp_path / "t", tmp_path / "o.parquet")
    assert parquet.ParquetFile(tmp_path / "o.parquet").num_row_groups == 1
    assert parquet.read_table(tmp_path / "o.parquet")["a"].to_pylist() == list(range(300))


# -- copy ------------------------------------------------------------------------------------------


def test_copy_takes_all_versions_or_one(atio: Atio, path: Path, tmp_path: Path) -> None:
    document = atio("copy", path, tmp_path / "all", "--json").document
    assert (document["table"], document["destination"]) == (str(path), str(tmp_path / "all"))
    assert (document["version"], document["rows"], document["tags"]) == (3, 1, [])
    copied, table = Table.open(tmp_path / "all"), Table.open(path)
    assert [s.id for s in copied.history()] == [s.id for s in table.history()]
    assert copied.tags == table.tags
    one = atio("copy", path, tmp_path / "one", "--version", "v1.0")
    assert one.lines == [
        f"{tmp_path / 'one'}: one version copied, the newest is 1 with 2 rows, {_size(path)}"
    ]
    assert Table.open(tmp_path / "one").to_arrow().equals(table.snapshot(1).to_arrow())
    now = atio("copy", path, tmp_path / "now", "--as-of", "2999-01-01")
    assert "one version copied, the newest is 3 with 1 row" in now.out
    assert "all versions copied" in atio("copy", path, tmp_path / "more").out


def _size(path: Path) -> str:
    from atio.cli.output import size

    return size(Table.open(path).snapshot(1).bytes)


def test_copy_refuses(atio: Atio, path: Path, tmp_path: Path) -> None:
    """Tables at the destination, versions that are not there, damage; each with its exit code."""
    atio("copy", path, tmp_path / "new")
    atio("copy", path, tmp_path / "new")  # the very copy that was asked for
    Table.open(tmp_path / "new").tag("other")
    assert "there is a table already" in atio("copy", path, tmp_path / "new", code=2).err
    atio("copy", path, tmp_path / "u", "--version", 9, code=3)
    file = next((path / "data").iterdir())
    file.write_bytes(file.read_bytes()[:-1])
    run = atio("copy", path, tmp_path / "u", "--json", code=5)
    assert run.document["error"]["file"] == f"data/{file.name}"
    assert "()" not in run.out
    assert not Table.exists(tmp_path / "u")
