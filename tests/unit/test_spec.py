"""The specification and the code say the same, and the specification is enough to read a table."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import xxhash

from atio import Table
from atio.commit import state, together
from atio.commit.loop import RetryPolicy
from atio.errors import AtioError, NewerFormatError, ResponseLostError, StorageError
from atio.formats import FORMATS, get_format, stats
from atio.formats.base import Format
from atio.metadata import history, manifests, objects, tiers
from atio.model import base, pointer, schema, snapshot
from atio.schema import types
from atio.storage import requests
from atio.storage.base import Buffer, Capabilities, Storage
from atio.storage.memory import MemoryStorage
from atio.table import datafiles, merge, properties, vacuum

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "spec"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted(SPEC.glob("*.md"))}
ALL = "\n".join(PAGES.values())
EXAMPLE = SPEC / "examples" / "two_appends"

CONSTANTS = {
    "FORMAT_VERSION": base.FORMAT_VERSION,
    "METADATA_BYTES": objects.MAX_METADATA,
    "INLINE": state.INLINE,
    "REMOVED": state._MAX_REMOVED,
    "TAIL": history.TAIL,
    "FANOUT": tiers.FANOUT,
    "LARGEST": tiers.LARGEST,
    "TINY": merge.TINY,
    "TINY_FANOUT": merge.FANOUT,
    "TARGET_BYTES": datafiles.TARGET_BYTES,
    "DICTIONARY": types.MAX_DICTIONARY,
    "STATISTICS_LENGTH": stats.LENGTH,
    "STATISTICS_COLUMNS": stats.COLUMNS,
    "MAX_REQUEST": requests.LONGEST,
    "MOST_REQUESTS": together.MOST,
    "RETRY_ATTEMPTS": RetryPolicy().attempts,
}


# -- reading the specification ---------------------------------------------------------------------


def table_below(text: str, heading: str) -> list[dict[str, str]]:
    """The first table after a heading, a row as a dict by column title."""
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)
    assert len(section) == 2, f"{heading!r} is there {len(section) - 1} times"
    body = re.split(r"^#+ ", section[1], flags=re.MULTILINE)[0]
    first = re.search(r"(?:^\|.*\|\n?)+", body, re.MULTILINE)
    assert first is not None, f"no table below {heading!r}"
    lines = [line.strip("|") for line in first[0].splitlines()]
    titles, _, *rows = [[cell.strip().strip("`") for cell in line.split("|")] for line in lines]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def models() -> list[type[base.Model]]:
    return [
        value
        for module in (base, pointer, schema, snapshot)
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base.Model)
        and value is not base.Model
        and value.__module__ == module.__name__
    ]


def json_type(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.Metadata():
            return json_type(kind.type)
        case msgspec.inspect.StrType() | msgspec.inspect.LiteralType():
            return "string"
        case msgspec.inspect.BoolType():
            return "boolean"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return "number"
        case msgspec.inspect.VarTupleType():
            return "array"
        case msgspec.inspect.DictType():
            return "object"
        case msgspec.inspect.StructType():
            return "array" if kind.cls.__struct_config__.array_like else "object"
        case msgspec.inspect.NoneType():
            return "null"
        case msgspec.inspect.UnionType():
            return " or ".join(dict.fromkeys(json_type(t) for t in kind.types))
    raise AssertionError(kind)


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


# -- the models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", models(), ids=lambda m: m.__name__)
def test_members_are_as_specified(model: type[base.Model]) -> None:
    if model.__struct_config__.array_like:
        rows = table_below(ALL, f"Array `{model.__name__}`")
        assert [int(row["Position"]) for row in rows] == list(range(len(rows)))
        assert [row["Member"] for row in rows] == list(model.__struct_fields__)
        return
    rows = table_below(ALL, f"Object `{model.__name__}`")
    specified = {row["Member"]: row for row in rows}
    assert len(specified) == len(rows), "a member twice"
    config = model.__struct_config__
    if config.tag_field is not None:
        tag, kind = config.tag, specified.pop(config.tag_field)
        assert (kind["Required"], json.dumps(tag) in kind["Meaning"]) == ("required", True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(model)}
    assert set(specified) == set(fields)
    described = msgspec.inspect.type_info(model)
    assert isinstance(described, msgspec.inspect.StructType)
    info = {field.encode_name: field for field in described.fields}
    for name, field in fields.items():
        row = specified[name]
        assert row["Required"] == ("required" if field.required else "optional"), name
        assert set(row["Type"].split(" or ")) == set(json_type(info[name].type).split(" or ")), name
        if field.required:
            assert row["Default"] == "—", name
        else:
            written = json.loads(msgspec.json.encode(default_of(field)))
            assert json.loads(row["Default"]) == written, name


def test_nothing_is_specified_that_no_model_has() -> None:
    specified = set(re.findall(r"^#+ (?:Object|Array) `(\w+)`$", ALL, re.MULTILINE))
    assert specified - {"ColumnStatistics"} == {model.__name__ for model in models()}


def test_primitive_types_are_those_specified() -> None:
    block = re.search(r"^```types\n(.*?)^```$", PAGES["schema.md"], re.MULTILINE | re.DOTALL)
    assert block is not None
    assert sorted(block[1].split()) == sorted(types._PLAIN)


def test_manifest_columns_are_those_specified() -> None:
    names = {pa.int64(): "int64", pa.int32(): "int32", pa.string(): "string"}
    written = [(f.name, names[f.type], "yes" if f.nullable else "no") for f in manifests._FIXED]
    rows = table_below(PAGES["manifest.md"], "Manifest")
    assert [(row["Column"], row["Parquet type"], row["Nullable"]) for row in rows] == written


def test_constants_are_those_specified() -> None:
    rows = table_below(PAGES["integrity.md"], "Constants")
    assert {row["Constant"]: int(row["Value"]) for row in rows} == CONSTANTS


def test_every_constant_in_capitals_is_in_the_table() -> None:
    used = set(re.findall(r"`([A-Z][A-Z_]{3,})`", ALL)) | set(
        re.findall(r"\b(FANOUT|LARGEST|TINY\w*)\b", ALL)
    )
    assert used - {"PAR1"} <= set(CONSTANTS) | {"_SUCCESS", "O_CREAT", "F_FULLFSYNC"}


def test_formats_properties_names_and_capabilities_are_those_specified() -> None:
    rows = table_below(PAGES["data.md"], "Data files")
    assert [row["Format"] for row in rows] == list(FORMATS)
    for row in rows:
        found = get_format(row["Format"])
        in_part = type(found).vouches is not Format.vouches
        assert (found.suffix, in_part) == (row["Suffix"], row["Partial reads"] == "yes")
    rows = table_below(PAGES["pointer.md"], "Properties")
    assert [row["Property"] for row in rows if "<" not in row["Property"]] == list(properties.KNOWN)
    pattern = re.search(r"^```regex\n(.*)\n```$", PAGES["layout.md"], re.MULTILINE)
    assert pattern is not None
    assert pattern[1] == vacuum._OURS.pattern
    rows = table_below(PAGES["storage.md"], "Capabilities")
    assert [row["Capability"] for row in rows] == list(Capabilities.__struct_fields__)


def test_the_hash_of_nothing() -> None:
    assert xxhash.xxh3_64_hexdigest(b"") in PAGES["integrity.md"]
    assert objects.digest(b"") == xxhash.xxh3_64_hexdigest(b"")


# -- links -----------------------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        name, _, anchor = target.partition("#")
        assert (SPEC / name).exists(), target
        if anchor:
            assert anchor in anchors(name or page), target


def test_the_code_refers_to_pages_that_exist() -> None:
    named = {
        name
        for path in (ROOT / "atio").rglob("*.py")
        for name in re.findall(r"spec/(\w+\.md)", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= set(PAGES)


def test_the_index_lists_every_page() -> None:
    listed = {
        row["Document"].split("]")[0].strip("[`") for row in table_below(PAGES["README.md"], "Documents")
    }
    assert listed - {"reference_reader.py"} == set(PAGES) - {"README.md"}


# -- the example -----------------------------------------------------------------------------------


@pytest.fixture
def example(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example"))


ROWS = {"id": [1, 2, 3, 4, 5, 6], "fruit": ["apple", "pear", None, "plum", "pear", "apple"]}


def test_the_example_opens_and_verifies(example: Path) -> None:
    table = Table.open(example)
    assert table.to_arrow().to_pydict() == ROWS
    assert table.snapshot(1).to_arrow().num_rows == 3
    assert (table.snapshot(1).message, table.snapshot().token) == ("first", "monday")
    report = table.verify()
    assert report.ok
    assert report.files == sum(path.is_file() for path in EXAMPLE.rglob("*"))
    assert not table.vacuum(dt.timedelta(0), dry_run=True).files


def test_the_example_can_be_written_to(example: Path) -> None:
    table = Table.open(example, durable=False)
    assert table.append({"id": [7], "fruit": ["fig"]}).version == 3
    assert table.append({"id": [0], "fruit": ["fig"]}, token="monday").version == 2
    assert table.to_arrow().num_rows == 7


def test_the_example_is_printed_byte_by_byte() -> None:
    blocks = dict(re.findall(r"^```file (\S+)\n(.*?)\n```$", PAGES["examples.md"], re.MULTILINE | re.DOTALL))
    files = {str(path.relative_to(EXAMPLE).as_posix()): path for path in EXAMPLE.rglob("*") if path.is_file()}
    assert set(blocks) == {name for name in files if not name.startswith("data/")}
    for name, text in blocks.items():
        assert files[name].read_bytes() == (text + "\n" * (name == "current")).encode(), name
    rows = table_below(PAGES["examples.md"], "A complete example")
    assert rows
    for name, size, digest in re.findall(
        r"^\| `(\w+/\S+)` \| (\d+) \| `(\w+)` \|$", PAGES["examples.md"], re.MULTILINE
    ):
        data = files.pop(name).read_bytes()
        assert (len(data), xxhash.xxh3_64_hexdigest(data)) == (int(size), digest)
    assert set(files) == {"current"}


def test_the_example_decodes_with_the_models_and_back() -> None:
    found = pointer.Pointer.decode((EXAMPLE / "current").read_bytes())
    assert found.encode() == (EXAMPLE / "current").read_bytes()
    for line in (*found.history.tail, found.snapshot):
        data = (EXAMPLE / line.ref.path).read_bytes()
        assert snapshot.Snapshot.decode(data).encode() == data
    for path in (EXAMPLE / "schemas").iterdir():
        assert schema.Schema.decode(path.read_bytes()).encode() == path.read_bytes()


# -- the independent reader ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    found = importlib.util.spec_from_file_location("reference_reader", SPEC / "reference_reader.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_reader_is_small_and_independent() -> None:
    text = (SPEC / "reference_reader.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)) <= {
        "base64", "decimal", "io", "json", "pathlib", "pyarrow", "re", "struct", "typing", "xxhash",
    }  # fmt: skip


def categories(*values: str | None) -> pa.Array:
    return pa.array(values).dictionary_encode()


def many_appends(table: Table) -> None:
    for i in range(100):
        table.append({"a": [i, i + 1], "b": [f"x{i}", None]})


def overwritten(table: Table) -> None:
    many_appends(table)
    table.overwrite({"b": ["new"], "c": [1.5]})
    table.append({"c": [2.5]})


def restored(table: Table) -> None:
    many_appends(table)
    table.overwrite({"z": [True]})
    table.restore(70)
    table.append({"b": ["after"], "a": [-1]})


def dictionaries(table: Table) -> None:
    table.append(pa.table({"c": categories("x", None, "y"), "o": pa.array([1, 2, 1]).dictionary_encode()}))
    table.append(pa.table({"c": categories("z"), "o": pa.array([7]).dictionary_encode()}))
    table.append(pa.table({"c": categories("y", "x"), "o": pa.array([2, None]).dictionary_encode()}))


def grown_from_null(table: Table) -> None:
    table.append(pa.table({"a": pa.nulls(2), "b": [1, 2]}))
    table.append(pa.table({"a": pa.nulls(1), "b": [3]}))
    table.append(pa.table({"a": ["text"], "b": [4]}))
    table.append(pa.table({"a": pa.nulls(1), "b": [5]}))


def categories_then_growth(table: Table) -> None:
    table.append(pa.table({"a": pa.nulls(1), "c": categories("x")}))
    table.append(pa.table({"a": pa.nulls(1), "c": categories("y")}))
    table.append(pa.table({"a": [1], "c": categories("x")}))


def spilled(table: Table) -> None:
    table.append({"a": [-1], "b": ["first"]})
    table.set_properties({"append.merge": "false"})
    for i in range(40):
        table.append({"a": [i], "b": [f"x{i}"]})


def thinned_manifests(table: Table) -> None:
    spilled(table)
    table.set_properties({"append.merge": "true"})
    for i in range(20):
        table.append({"a": [100 + i], "b": [None]})


def rows_without_columns(table: Table) -> None:
    Table.create(table.url, pa.schema([]))


def empty(table: Table) -> None:
    Table.create(table.url, pa.schema([pa.field("a", pa.int8(), nullable=False, metadata={"unit": "m"})]))


def kinds(table: Table) -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    for n in range(3):
        table.append(
            pa.table(
                {
                    "when": pa.array([moment, None], pa.timestamp("us", "Europe/Berlin")),
                    "day": pa.array([moment.date(), None]),
                    "money": pa.array([Decimal("1.20") + n, None], pa.decimal128(12, 2)),
                    "raw": pa.array([b"\xff\x00", None], pa.large_binary()),
                    "code": pa.array([b"abc", None], pa.binary(3)),
                    "list": pa.array([[1, None], None], pa.large_list(pa.int16())),
                    "three": pa.array([[1, 2, n], None], pa.list_(pa.int32(), 3)),
                    "deep": pa.array([{"x": [{"y": float("inf")}]}, None]),
                    "map": pa.array([[("k", n)], None], pa.map_(pa.string(), pa.int64())),
                    "half": pa.array([1.5, None], pa.float16()),
                    "amounts": pa.array(
                        [Decimal("0.5"), Decimal(n)], pa.decimal128(5, 1)
                    ).dictionary_encode(),
                }
            )
        )


TABLES = [
    many_appends, overwritten, restored, dictionaries, grown_from_null, categories_then_growth,
    spilled, thinned_manifests, rows_without_columns, empty, kinds,
]  # fmt: skip


def test_the_reader_reads_the_example(reader: ModuleType) -> None:
    assert reader.read_table(EXAMPLE).to_pydict() == ROWS


@pytest.mark.parametrize("make", TABLES, ids=lambda make: str(make.__name__))
def test_the_reader_and_atio_agree(make: Callable[[Table], None], reader: ModuleType, tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    make(table)
    ours, theirs = table.to_arrow(), reader.read_table(tmp_path / "t")
    theirs.validate(full=True)
    assert theirs.schema.equals(ours.schema, check_metadata=True)
    assert theirs.equals(ours)


@pytest.mark.parametrize("folder", ["metadata", "schemas", "manifests", "data"])
def test_the_reader_notices_every_damage(folder: str, reader: ModuleType, tmp_path: Path) -> None:
    """A flipped bit, a cut and a missing file, in each file of the newest version."""
    table = Table.open(tmp_path / "t", durable=False)
    spilled(table)
    table.expire(dt.timedelta(0))
    table.vacuum(dt.timedelta(0))
    paths = sorted((tmp_path / "t" / folder).iterdir())
    newest = json.loads((tmp_path / "t" / "current").read_bytes().split(b"\n")[0])["snapshot"][2]
    for path in [p for p in paths if folder != "metadata" or p.stem == newest][:5]:
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 1
        for damaged in (bytes(flipped), data[:-1], None):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(reader.DamagedError, match=path.name):
                reader.read_table(tmp_path / "t")
            path.write_bytes(data)
    reader.read_table(tmp_path / "t")


def test_the_reader_refuses_what_is_newer_and_what_is_torn(reader: ModuleType, example: Path) -> None:
    current = example / "current"
    whole = current.read_bytes()
    current.write_bytes(whole[:-5])
    with pytest.raises(reader.DamagedError):
        reader.read_table(example)
    current.write_bytes(whole.replace(b'"format_version":1', b'"format_version":2'))
    with pytest.raises(NotImplementedError, match="version 2"):
        reader.read_table(example)


# -- rules of the protocol that a single process can attack ------------------------------------------


class LosingStorage(MemoryStorage):
    """Applies the next swap, lets others act, and loses the answer."""

    meanwhile: Callable[[], object] | None = None

    def swap(self, path: str, data: Buffer, expected: str | None) -> str:
        token = super().swap(path, data, expected)
        if self.meanwhile is not None:
            others, self.meanwhile = self.meanwhile, None
            others()
            raise ResponseLostError("lost")
        return token


HURRIED = RetryPolicy(sleep=lambda _: None)


@pytest.mark.parametrize(
    "others",
    [
        lambda table: None,
        lambda table: table.append({"a": [100]}),
        lambda table: table.tag("x", 1),
    ],
    ids=["nobody", "an append", "a tag"],
)
@pytest.mark.parametrize("token", [None, "monday"])
def test_a_commit_that_landed_is_found(others: Callable[[Table], object], token: str | None) -> None:
    """commit.md, "Looking again": neither twice nor undone, and the result is one's own version."""
    storage = LosingStorage()
    table = Table(storage, retry=HURRIED)
    table.append({"a": [1]})
    storage.meanwhile = lambda: others(Table(storage))
    mine = table.append({"a": [2]}, token=token)
    assert (mine.version, mine.rows) == (2, 2)
    assert Table(storage).to_arrow()["a"].to_pylist()[:2] == [1, 2]
    assert Table(storage).to_arrow()["a"].to_pylist().count(2) == 1


def test_nothing_is_deleted_while_the_outcome_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LosingStorage()
    table = Table(storage, retry=HURRIED)
    table.append({"a": [1]})
    table.set_properties({"append.merge": "false"})
    read = MemoryStorage.read

    def failing(self: MemoryStorage, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if path.startswith("metadata"):
            raise StorageError("the connection is down")
        return read(self, path, offset, length)

    def others() -> None:
        for i in range(20):
            Table(storage).append({"a": [100 + i]})
        monkeypatch.setattr(LosingStorage, "read", failing)

    storage.meanwhile = others
    with pytest.raises(AtioError):
        table.append({"a": [2]})
    monkeypatch.undo()
    assert Table(storage).to_arrow()["a"].to_pylist().count(2) == 1


def test_a_commit_refers_only_to_files_that_stay() -> None:
    storage = MemoryStorage()
    table = Table(storage)
    table.append({"a": [1]})
    staged = table.stage({"a": [2]}, overwrite=True)
    table.overwrite({"b": ["x"]})
    table.expire(dt.timedelta(0))
    table.commit(staged, overwrite=True)
    assert Table(storage).to_arrow().to_pydict() == {"a": [2]}


def test_staged_files_are_committed_once() -> None:
    table = Table(MemoryStorage())
    table.append({"a": [1]})
    staged = table.stage({"a": [2]})
    table.commit(staged)
    assert table.commit(staged).version == 2
    assert table.to_arrow()["a"].to_pylist() == [1, 2]


def rewrite_pointer(storage: Storage, **members: object) -> None:
    value = storage.load("current")
    assert value is not None
    line = json.dumps({**json.loads(value.data.split(b"\n")[0]), **members}, separators=(",", ":")).encode()
    digest = xxhash.xxh3_64_hexdigest(line).encode()
    storage.swap("current", b"%s\n%s\n" % (line, digest), value.token)


@pytest.mark.parametrize(
    "write",
    [
        lambda table: table.append({"a": [2]}),
        lambda table: table.tag("x"),
        lambda table: table.expire(dt.timedelta(0)),
        lambda table: table.vacuum(),
        lambda table: table.repair(),
    ],
    ids=["append", "tag", "expire", "vacuum", "repair"],
)
def test_writers_refuse_unknown_features(write: Callable[[Table], object]) -> None:
    storage = MemoryStorage()
    table = Table(storage)
    table.append({"a": [0]})
    table.append({"a": [1]})
    rewrite_pointer(storage, features={"write": ["from-the-future"]})
    assert Table(storage).to_arrow().num_rows == 2
    with pytest.raises(NewerFormatError):
        write(Table(storage))


@pytest.mark.parametrize("call", [Table.to_arrow, Table.repair])
def test_readers_refuse_unknown_features_and_ignore_unknown_members(call: Callable[[Table], object]) -> None:
    storage = MemoryStorage()
    Table(storage).append({"a": [0]})
    rewrite_pointer(storage, colour="blue")
    assert Table(storage).to_arrow().num_rows == 1
    rewrite_pointer(storage, features={"read": ["from-the-future"]})
    with pytest.raises(NewerFormatError, match="from-the-future"):
        call(Table(storage))


def test_a_repair_does_not_resurrect_what_never_landed(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append({"a": [1]})
    current, metadata = tmp_path / "t" / "current", tmp_path / "t" / "metadata"
    before = current.read_bytes()
    table.append({"a": [666]})
    current.write_bytes(before)  # its writer died just before the swap
    landed = set(metadata.iterdir())
    table.append({"a": [2]})
    (real,) = set(metadata.iterdir()) - landed
    table.append({"a": [3]})
    current.write_bytes(b"torn")
    real.write_bytes(b"")
    repaired = Table.open(tmp_path / "t", durable=False)
    assert repaired.repair().lost in ((), (2,))
    assert repaired.to_arrow()["a"].to_pylist() == [1, 2, 3]
    assert [one.version for one in repaired.history()] == [3, 1]


def test_a_repair_forgets_tokens_of_what_it_gave_up(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append({"a": [1]})
    lost = table.append({"a": [2]}, token="monday").files()[-1].path
    table.append({"a": [3]})
    (tmp_path / "t" / lost).unlink()
    table = Table.open(tmp_path / "t", durable=False)
    table.repair()
    table.append({"a": [2]}, token="monday")
    assert table.to_arrow()["a"].to_pylist() == [1, 2]


def test_a_manifest_leaves_out_bounds_that_parquet_cannot_hold() -> None:
    table = Table(MemoryStorage())
    column = pa.array([100], pa.decimal128(20, 0)).cast(pa.decimal128(20, -2))
    table.append(pa.table({"a": column}))
    table.set_properties({"append.merge": "false"})
    for _ in range(state.INLINE + 1):
        table.append(pa.table({"a": column}))
    assert table.to_arrow().num_rows == state.INLINE + 2


# -- the hint at the schema ------------------------------------------------------------------------


def without_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a bucket, where a state's files are read together."""
    able = Capabilities(swap=True, durable=False, lock=False, leases=False)
    monkeypatch.setattr(MemoryStorage, "capabilities", property(lambda _: able))


@pytest.mark.parametrize("hint", ["none", "wrong hash", "missing", "another"])
def test_the_schema_in_the_pointer_is_only_a_hint(hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot says which schema it has, whatever the pointer says; the next commit puts it right."""
    place = MemoryStorage()
    table = Table(place)
    table.append({"x": [1]})
    other = load_state(place).pointer.schema
    table.overwrite({"y": ["a"]})
    now = load_state(place)
    named = now.pointer.schema
    assert named == now.snapshot.schema_ref != other
    assert named is not None
    wrong = {
        "none": None,
        "wrong hash": named.replace(hash="0" * 16),
        "missing": named.replace(path="schemas/" + "0" * 24 + ".json"),
        "another": other,
    }
    place.swap("current", now.pointer.replace(schema=wrong[hint]).encode(), now.token)
    without_lock(monkeypatch)
    assert Table(place).to_arrow().to_pydict() == {"y": ["a"]}
    assert Table(place).verify().ok
    Table(place).tag("v1")
    assert load_state(place).pointer.schema == named
    made = Table(place).copy_to(MemoryStorage(), version="v1")
    assert made.to_arrow().to_pydict() == {"y": ["a"]}


def load_state(place: Storage) -> state.State:
    found = state.load_state(objects.Objects(place))
    assert found is not None
    return found
