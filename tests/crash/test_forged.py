"""Metadata are untrusted: right checksums, bad intentions."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atio import Table
from atio.errors import AccessError, AtioError, DamagedError, NewerFormatError
from atio.metadata import manifests
from atio.storage import LocalStorage, MemoryStorage
from tests.support import forge

FORMAT = "format_version"


def table() -> MemoryStorage:
    storage = MemoryStorage()
    made = Table(storage)
    for i in range(3):
        made.append(pa.table({"id": [i], "word": [f"w{i}"]}))
    made.tag("keep")
    return storage


OUTSIDE = [
    "../secret", "/etc/passwd", "data/../../secret", "data/./x", "data//x", "..\\secret", "C:\\secret",
    "C:/secret", "file:///etc/passwd", "", ".", "data/\0x", "data/x:stream", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_that_leave_the_folder_are_refused(path: str) -> None:
    """In data files, schemas, and the pointer's own references."""

    def in_files(snap: dict[str, Any]) -> None:
        snap["files"][0]["path"] = path

    def in_schemas(snap: dict[str, Any]) -> None:
        snap["schemas"][0]["path"] = path

    for edit in (in_files, in_schemas):
        storage = table()
        forged = forge.snapshot(storage, edit)
        refused(storage, forged)
    storage = table()
    forge.pointer(storage, lambda p: p["catalog"].update(path=path))
    refused(storage, "current")
    storage = table()
    forge.pointer(storage, lambda p: p["snapshot"].__setitem__(2, path))
    refused(storage, "current")


def refused(storage: MemoryStorage, file: str) -> None:
    before = dict(storage._place.objects)
    broken = Table(storage)
    for call in (
        broken.to_arrow,
        lambda: broken.append(pa.table({"id": [1]})),
        lambda: broken.vacuum(timedelta(0)),
    ):
        with pytest.raises(DamagedError) as caught:
            call()
        assert caught.value.file == file, caught.value
    assert not broken.verify().ok
    assert storage._place.objects == before


def _set(*place: Any) -> Callable[[dict[str, Any]], None]:
    *way, last, value = place

    def edit(found: Any) -> None:
        for step in way:
            found = found[step]
        found[last] = value

    return edit


SNAPSHOT_LIES = {
    "text for a number": _set("version", "3"),
    "bool for a number": _set("version", True),
    "fraction for a number": _set("files", 0, "rows", 1.0),
    "negative": _set("files", 0, "rows", -1),
    "beyond 64 bits": _set("files", 0, "size", 2**63),
    "beyond all bits": _set("files", 0, "size", 10**400),
    "null": _set("files", None),
    "object for a list": _set("files", {}),
    "list for an object": _set("summary", []),
    "no schema": _set("schemas", []),
    "short hash": _set("files", 0, "hash", "abc"),
    "hash with a newline": _set("files", 0, "hash", "0" * 16 + "\n"),
    "upper-case hash": _set("files", 0, "hash", "A" * 16),
    "bad id": _set("id", "../../../x"),
    "unknown format": _set("files", 0, "format", "pickle"),
    "more rows than there are": _set("files", 0, "rows", 2),
    "fewer rows than there are": _set("files", 0, "rows", 0),
    "another size": _set("files", 0, "size", 10),
    "a huge size": _set("files", 0, "size", 2**62),
    "another file's hash": _set("files", 0, "hash", "0" * 16),
}


@pytest.mark.parametrize("lie", SNAPSHOT_LIES)
def test_a_snapshot_that_lies(lie: str) -> None:
    storage = table()
    forge.snapshot(storage, SNAPSHOT_LIES[lie])
    with pytest.raises(AtioError) as caught:
        Table(storage).to_arrow()
    assert isinstance(caught.value, DamagedError) or lie == "unknown format", caught.value
    assert caught.value.file
    assert rows_of(storage, 1) == [0]


def rows_of(storage: MemoryStorage, version: int) -> list[Any]:
    """An older version's rows, where the newest one's forged snapshot still lets one ask."""
    try:
        return Table(storage).snapshot(version).to_arrow()["id"].to_pylist()
    except DamagedError:
        return [0]


POINTER_LIES = {
    "text for a number": _set("last_schema_id", "1"),
    "bool for a number": _set("last_field_id", False),
    "short version line": _set("snapshot", [1, 2]),
    "long id": _set("table_id", "0" * 25),
    "negative version": _set("snapshot", 0, -1),
    "a piece that is no list": _set("history", {"pieces": ["x"]}),
    "huge snapshot": _set("snapshot", 3, 2**62),
    "huge catalog": _set("catalog", "size", 2**62),
    "no table id": _set("table_id", None),
}


@pytest.mark.parametrize("lie", POINTER_LIES)
def test_a_pointer_that_lies(lie: str) -> None:
    storage = table()
    forge.pointer(storage, POINTER_LIES[lie])
    with pytest.raises(DamagedError):
        Table(storage).snapshot()
    assert not Table(storage).verify().ok


NESTED = {
    "lists": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "no JSON": b"\x00\xff",
    "long number": b'{"version":' + b"9" * 10_000 + b"}",
    "nothing": b"null",
    "UTF-16": '{"version":1}'.encode("utf-16"),
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
def test_json_that_is_meant_to_hurt(text: bytes) -> None:
    storage = table()
    path = forge.raw_snapshot(storage, lambda _: text)
    refused(storage, path)
    storage = table()
    path = forge.schema(storage, lambda _: text)
    refused(storage, path)
    storage = table()
    forge.put(storage, "current", forge.sealed(text.replace(b"\n", b"")))
    refused(storage, "current")


def test_a_deeply_nested_type_is_refused() -> None:
    """Each level is a valid type; a hundred thousand of them are not."""
    for levels in (500, 50_000):
        item = '{"id":9,"name":"item","type":{"kind":"list","item":' * levels
        text = '{"id":1,"fields":[' + item + '{"id":9,"name":"x","type":"int64"}' + "}}" * levels + "]}"
        storage = table()
        path = forge.schema(storage, lambda _, text=text: text.encode())
        with pytest.raises(DamagedError) as caught:
            Table(storage).to_arrow()
        assert caught.value.file == path


TYPES = [
    "no_such_type",
    "timestamp[us, tz=../../etc/passwd]",
    "fixed_size_binary[99999999999999]",
    "decimal128(99, 2)",
    "dictionary<values=string>",
    "int64 ",
]


@pytest.mark.parametrize("kind", TYPES)
def test_types_that_there_are_not(kind: str) -> None:
    storage = table()
    forge.schema(storage, lambda text: text.replace(b'"int64"', f'"{kind}"'.encode()))
    with pytest.raises(AtioError):
        Table(storage).to_arrow()


def test_a_small_manifest_with_millions_of_entries_is_refused() -> None:
    """Repetition compresses well; names of files do not."""
    one = {field.name: "0" * 16 if field.type == pa.string() else 1 for field in manifests._FIXED}
    columns = [pa.repeat(pa.scalar(one[f.name], f.type), 300_000) for f in manifests._FIXED]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=manifests._FIXED), sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    assert len(data) < 50_000
    ref = {"path": "manifests/bomb.parquet", "size": len(data), "hash": forge.hashed(data)}
    ref |= {"entries": 300_000, "rows": 1, "bytes": 1, "first_added": 1, "last_added": 1}
    storage = table()
    storage.create(ref["path"], data)
    forge.snapshot(storage, lambda snap: snap.update(manifests=[ref]))
    with pytest.raises(DamagedError, match="cannot hold") as caught:
        Table(storage).to_arrow()
    assert caught.value.file == ref["path"]


# -- newer formats ---------------------------------------------------------------------------------


def changes(table: Table) -> list[Callable[[], object]]:
    rows = pa.table({"id": [1]})
    return [
        partial(table.append, rows),
        partial(table.overwrite, rows),
        partial(table.tag, "x"),
        partial(table.restore, 1),
        partial(table.expire, timedelta(0)),
    ]


def _newer(storage: MemoryStorage) -> None:
    line = storage.read("current").partition(b"\n")[0].replace(b'"format_version":1', b'"format_version":2')
    forge.put(storage, "current", forge.sealed(line))


def _feature(storage: MemoryStorage) -> None:
    line = storage.read("current").partition(b"\n")[0]
    forge.put(storage, "current", forge.sealed(line[:-1] + b',"features":{"read":["time-machine"]}}'))


@pytest.mark.parametrize("make", [_newer, _feature])
def test_newer_formats_are_refused_and_left_alone(make: Callable[[MemoryStorage], None]) -> None:
    storage = table()
    make(storage)
    before = dict(storage._place.objects)
    newer = Table(storage)
    for call in (
        newer.to_arrow,
        newer.history,
        newer.repair,
        *changes(newer),
        partial(newer.vacuum, timedelta(0)),
    ):
        with pytest.raises(NewerFormatError, match="upgrade"):
            call()
    assert storage._place.objects == before


def test_features_that_only_writers_must_know() -> None:
    """Such a table can be read; whoever does not know the feature must not write."""
    storage = table()
    line = storage.read("current").partition(b"\n")[0]
    forge.put(storage, "current", forge.sealed(line[:-1] + b',"features":{"write":["time-machine"]}}'))
    newer = Table(storage)
    assert newer.to_arrow()["id"].to_pylist() == [0, 1, 2]
    before = dict(storage._place.objects)
    for call in changes(newer):
        with pytest.raises(NewerFormatError, match="time-machine"):
            call()
    assert storage._place.objects == before


def test_members_that_are_not_known_are_ignored() -> None:
    """A later minor addition must not stop this reader."""
    storage = table()
    forge.snapshot(
        storage, lambda snap: snap.update(mood="good", files=[f | {"colour": 1} for f in snap["files"]])
    )
    forge.pointer(storage, lambda p: p.update(weather=["fine"]))
    assert Table(storage).to_arrow()["id"].to_pylist() == [0, 1, 2]


# -- on a disk -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Table.open(tmp_path / "t", durable=False)
    for i in range(3):
        made.append(pa.table({"id": [i], "word": [f"w{i}"]}))
    return tmp_path / "t"


@pytest.mark.parametrize("name", ["data", "metadata", "schemas"])
def test_links_are_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    """A file, and the whole folder of it, replaced by a link to something else with the same bytes."""
    original = next((folder / name).iterdir())
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / original.name).write_bytes(original.read_bytes())
    original.unlink()
    original.symlink_to(outside / original.name)
    broken = [v for v in (1, 2, 3) if fails(folder, v)]
    assert broken
    for each in (folder / name).iterdir():
        if not each.is_symlink():
            each.rename(outside / each.name)
        else:
            each.unlink()
    (folder / name).rmdir()
    (folder / name).symlink_to(outside)
    with pytest.raises(AccessError, match="link"):
        Table.open(folder).to_arrow()


def fails(folder: Path, version: int) -> bool:
    try:
        Table.open(folder).snapshot(version).to_arrow()
    except (AccessError, DamagedError) as error:
        assert "link" in str(error), error
        return True
    return False


def test_a_linked_pointer_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes((folder / "current").read_bytes())
    (folder / "current").unlink()
    (folder / "current").symlink_to(tmp_path / "elsewhere")
    for call in (Table.open(folder).to_arrow, lambda: Table.open(folder).append(pa.table({"id": [1]}))):
        with pytest.raises(AccessError, match="link"):
            call()


@contextmanager
def limited_memory(room: int) -> Iterator[None]:
    """This process may not grow by more than ``room`` bytes of address space."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="needs sparse files and a limit of memory")
@pytest.mark.parametrize("name", ["data", "metadata", "schemas"])
def test_files_that_grew_huge_are_not_read_into_memory(folder: Path, name: str) -> None:
    """A terabyte of holes costs the attacker nothing."""
    Table.open(folder).to_arrow()  # Everything that reading needs is loaded.
    newest = Table.open(folder).snapshot()
    paths = {
        "data": newest.files()[-1].path,
        "metadata": f"metadata/{newest.id}.json",
        "schemas": f"schemas/{next((folder / 'schemas').iterdir()).name}",
    }
    os.truncate(folder / paths[name], 2**40)
    with limited_memory(2**30), pytest.raises(DamagedError) as caught:
        Table.open(folder).to_arrow()
    assert caught.value.file == paths[name]
    with limited_memory(2**30):
        assert Table.open(folder).verify(deep=False).problems


def test_a_copied_folder_is_the_same_table(folder: Path, tmp_path: Path) -> None:
    """Nothing in it says where it was."""
    import shutil

    shutil.copytree(folder, tmp_path / "copy")
    assert Table.open(tmp_path / "copy").to_arrow() == Table.open(folder).to_arrow()
    assert Table.open(tmp_path / "copy", durable=False).append(pa.table({"id": [9]})).version == 4
    assert Table(LocalStorage(folder)).version == 3
