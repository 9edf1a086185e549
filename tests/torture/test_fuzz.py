"""Metadata with right checksums and anything in them: no crash, no foreign error, no exhausted memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from atio import Table
from atio.errors import AtioError, DamagedError
from atio.storage import MemoryStorage
from tests.crash.test_forged import limited_memory
from tests.support import forge
from tests.support.share import at_most
from tests.torture import fuzz
from tests.torture.conftest import Figure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux")
COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    fuzz.warm_up()


Edit = Callable[[Any], object]


def field(type: object, id: int = 99, name: str = "z") -> Edit:
    """One more column of the newest version."""
    return lambda schema: schema["fields"].append({"id": id, "name": name, "type": type})


def wide(size: int) -> object:
    item = {"id": 100, "name": "item", "type": "int64"}
    return {"kind": "list", "layout": "fixed_size_list", "size": size, "item": item}


def bound(column: int, place: int, value: object) -> Edit:
    """In the statistics of the newest data file."""
    return lambda snapshot: snapshot["files"][-1]["stats"][column].__setitem__(place, value)


NOTHING = {"path": "data/x.none", "size": 0, "hash": "2d06800538d394c2"}
CASES: dict[str, tuple[int, Edit]] = {
    # What a damaged piece held was listed, number by number.
    "a piece of all numbers": (
        0,
        lambda p: p["history"]["pieces"][0].__setitem__(slice(2, 6), ["0" * 16, 9, 0, 2**62]),
    ),
    "an index that does not go on": (1, lambda s: s["index"].update(step=0)),
    # Each null took 16 GiB.
    "lists of a billion": (-1, field(wide(2**31 - 1))),
    "lists beyond numbers": (-1, field(wide(2**70))),
    "lists of less than nothing": (-1, field(wide(-1))),
    "values of a gigabyte": (-1, field("fixed_size_binary[999999999]")),
    "two columns of one name": (-1, field("int64", name="n")),
    "two columns of one id": (-1, lambda s: s["fields"].append({**s["fields"][0], "name": "z"})),
    "rows without a file": (1, lambda s: s["files"].append({**NOTHING, "rows": 2**62})),
    "statistics of another type": (1, bound(0, 1, "text")),
    "a decimal of a billion digits": (1, bound(1, 1, "1E+999999999")),
    "a decimal that is none": (1, bound(1, 2, "NaN")),
    "text in base64 that is none": (1, bound(4, 1, "!")),
}


@pytest.mark.parametrize("name", CASES)
def test_known_ways(name: str) -> None:
    """Those that did harm once, or were thought of."""
    place, edit = CASES[name]
    storage = fuzz.table()
    path = fuzz.documents(storage)[place]
    document = fuzz.load(storage, path)
    before = json.dumps(document)
    edit(document)
    assert json.dumps(document) != before
    fuzz.attack(fuzz.Edit(storage, path, json.dumps(document).encode()))


PATHS = ["../secret", "/etc/passwd", "data/../../x", "current", "metadata/x.json", "data/x\0", "data\\x", ""]
MANIFEST_LIES: list[tuple[str, object]] = [
    *(("path", path) for path in PATHS),
    ("size", -1), ("size", 2**62), ("rows", -1), ("rows", 2**62), ("hash", "x"), ("format", "pickle"),
    ("schema_id", 2**62), ("level", -1), ("added", -5), ("footer_size", 2**62),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), MANIFEST_LIES, ids=[f"{c} {v!r}" for c, v in MANIFEST_LIES])
def test_manifests_that_lie(column: str, value: object) -> None:
    """In Parquet, with a right checksum: refused, by the manifest's or the data file's name."""
    storage = MemoryStorage()
    made = Table(storage)
    made.append(pa.table({"n": [1]}))
    made.set_properties({"append.merge": "false"})
    for i in range(12):
        made.append(pa.table({"n": [i]}))
    (path,) = [entry.path for entry in storage.list("manifests")]
    entries = pq.read_table(pa.BufferReader(storage.read(path)))
    place = entries.schema.get_field_index(column)
    lies = pa.array([value] * len(entries), entries.schema.field(place).type)
    sink = pa.BufferOutputStream()
    pq.write_table(entries.set_column(place, entries.schema.field(place), lies), sink)
    fuzz.replace(storage, path, sink.getvalue().to_pybytes())
    with limited_memory(2**30):
        for where, rows in ((None, 13), ("n > 3", 8)):
            with suppress(AtioError):
                assert Table(storage).to_arrow(where=where).num_rows == rows
                assert column not in ("path", "size", "rows", "hash", "format"), "it matters"
        with suppress(AtioError):
            Table(storage).vacuum(timedelta(0))
    assert storage.read("current")


@pytest.mark.parametrize("path", ["current", "notes.txt", "data/x.parquet", "metadata/x.json"])
@pytest.mark.parametrize("kind", ["schemas", "manifests"])
def test_an_expiry_is_not_sent_to_other_files(kind: str, path: str) -> None:
    """What a forged old version names goes with it: it may name files of its kind only."""
    storage = MemoryStorage()
    Table(storage).append(pa.table({"n": [1]}))
    storage.create("notes.txt", b"mine")
    ref = {"path": path, "size": 1, "hash": "0" * 16}
    more = {"schemas": {"id": 9}, "manifests": dict.fromkeys(("entries", "rows", "bytes"), 0)}[kind]
    more |= {"first_added": 1, "last_added": 1} if kind == "manifests" else {}
    forged = forge.snapshot(storage, lambda s: s.setdefault(kind, []).append({**ref, **more}))
    with pytest.raises(DamagedError) as caught:
        Table(storage).overwrite(pa.table({"n": [2]}))
    assert caught.value.file == forged
    with suppress(AtioError):
        Table(storage).expire(timedelta(0))
    assert storage.read("current")
    assert storage.read("notes.txt") == b"mine"


@settings(max_examples=40, derandomize=True, phases=[Phase.explicit, Phase.generate], **COMMON)
@given(fuzz.edits(), st.lists(st.sampled_from(list(fuzz.OPERATIONS)), min_size=2, max_size=2))
def test_some_edits(edit: fuzz.Edit, names: list[str]) -> None:
    fuzz.attack(edit, names)


@pytest.fixture
def counted(torture_figure: Figure) -> Iterator[list[int]]:
    counts = [0, 1]
    yield counts
    torture_figure("metadata made to do harm: a foreign error, a crash, memory exhausted", *counts)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(4))
def test_many_edits(seed: int, counted: list[int]) -> None:
    tried = 0

    @settings(max_examples=at_most(75), **COMMON)
    @given(fuzz.edits())
    def attack(edit: fuzz.Edit) -> None:
        nonlocal tried
        tried += len(fuzz.OPERATIONS)
        fuzz.attack(edit)

    try:
        attack()
    finally:
        counted[0] = tried
    counted[1] = 0
