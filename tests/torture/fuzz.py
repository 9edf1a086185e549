"""Metadata as somebody makes them who means harm, or nothing by it: every checksum is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import hypothesis.strategies as st
import pandas as pd
import pyarrow as pa

from atio import Table
from atio.errors import AtioError
from atio.storage import MemoryStorage
from tests.crash.test_forged import limited_memory
from tests.faulty import copied
from tests.support import forge

LATER = 4_102_444_800_000_000
BIG = 2**62


@cache
def table() -> MemoryStorage:
    """One of every kind of metadata file, and of most members."""
    storage = MemoryStorage()
    made = Table(storage)
    for i in range(9):
        words = pd.Series([f"w{i}", "w"], dtype="category")
        frame = pd.DataFrame({"id": [i, -i], "word": words, "at": pd.Timestamp(i, tz="UTC")})
        made.append(frame.set_index("id"), token=f"t{i}")
    made.set_properties({"append.merge": "false", "user.a": "b", "parquet.compression": "zstd"})
    made.overwrite(pa.table({"id": [1.5], "text": ["x"], "parts": [[{"a": 1}]]}), message="hello")
    for i in range(14):
        made.append(pa.table({"id": [float(i)], "text": ["y"], "parts": [[{"a": i}]]}), token=f"u{i}")
    made.tag("keep", 12, message="it")
    made.overwrite(newest(2))
    made.append(newest(8))
    return storage


@cache
def changed() -> MemoryStorage:
    """The same of what came later: a key, partitions, order, conditions, deletion vectors, a branch."""
    storage = MemoryStorage()
    made = Table.create(
        storage,
        keyed(0).schema,
        key="id",
        partition_by=["bucket(2, id)"],
        sort_by=[("n", "descending")],
        checks={"small": "n < 1000"},
        properties={"append.merge": "false"},
    )
    for i in range(7):
        made.append(keyed(4 * i))
    made.delete("id = 5")
    made.update({"word": "v"}, "id in (8, 9, 10)")
    made.append(keyed(28))
    made.tag("keep", 3)
    branch = made.create_branch("side")
    branch.delete("id = 20")
    branch.append(keyed(40))
    return storage


def keyed(start: int) -> pa.Table:
    return pa.table(
        {"id": range(start, start + 4), "word": ["a", "b", None, "c"], "n": [float(start), 1.0, 2.0, None]}
    )


TABLES = (table, changed)


def newest(start: int) -> pd.DataFrame:
    """Columns of many kinds, so of many kinds of statistics; and an index that goes by steps."""
    return pd.DataFrame(
        {
            "n": [1, 2, None],
            "price": [Decimal("1.50"), None, Decimal("-2.25")],
            "word": pd.Categorical(["a", "b", "a"], ["b", "a", "c"], ordered=True),
            "at": pd.to_datetime([1, 2, 3], unit="s", utc=True),
            "raw": [b"x", b"", None],
            "on": [True, False, None],
            "parts": [[{"a": 1}], [], None],
        },
        index=pd.RangeIndex(start, start + 6, 2),
    )


def documents(storage: MemoryStorage) -> list[str]:
    """The JSON files that the newest version, or the index, is read from."""
    pointer = load(storage, "current")
    newest = f"metadata/{pointer['snapshot'][2]}.json"
    found = ["current", newest, pointer["catalog"]["path"]]
    found += [
        f"metadata/{piece[0]}.json"
        for kind in ("history", "tokens")
        for piece in pointer.get(kind, {}).get("pieces", ())
    ]
    found += [ref["path"] for ref in load(storage, newest)["schemas"]]
    return found


def load(storage: MemoryStorage, path: str) -> Any:
    data = storage.read(path)
    return json.loads(data.partition(b"\n")[0] if path == "current" else data)


def replace(storage: MemoryStorage, path: str, data: bytes) -> None:
    """Put other bytes there, and make all that refers to them fit."""
    if path == "current":
        forge.put(storage, path, forge.sealed(data.replace(b"\n", b" ")))
        return
    forge.put(storage, path, data)
    size, checksum = len(data), forge.hashed(data)
    pointer = load(storage, "current")
    newest = f"metadata/{pointer['snapshot'][2]}.json"
    if path != newest:
        snapshot = load(storage, newest)
        if _refit(snapshot, path, size, checksum):
            replace(storage, newest, json.dumps(snapshot).encode())
            return
    _refit(pointer, path, size, checksum)
    forge.put(storage, "current", forge.sealed(json.dumps(pointer).encode()))


def _refit(node: Any, path: str, size: int, checksum: str) -> bool:
    """Give every reference to ``path`` below ``node`` this size and hash; whether there was one."""
    if isinstance(node, dict):
        if node.get("path") == path:
            node.update(size=size, hash=checksum)
            return True
        return _any_refit(node.values(), path, size, checksum)
    if not isinstance(node, list):
        return False
    identity = path.removeprefix("metadata/").removesuffix(".json")
    if identity in [x for x in node if isinstance(x, str)]:
        place = node.index(identity)
        node[place + 1 : place + 3] = [size, checksum]
        return True
    return _any_refit(node, path, size, checksum)


def _any_refit(nodes: Iterable[Any], path: str, size: int, checksum: str) -> bool:
    found = [_refit(value, path, size, checksum) for value in nodes]  # all of them, not up to the first
    return any(found)


# -- what is put in ---------------------------------------------------------------------------------

_ITEM = {"id": 9, "name": "item", "type": "int64"}
NASTY = [
    None, True, False, 0, 1, -1, 2, 7, 100, 2**31 - 1, 2**31, 2**32, BIG, 2**63 - 1, 2**63, 2**64, -BIG,
    1.5, -0.0, 1e308, "", "x", "1E+999999999", "NaN", "-Infinity", "0" * 16, "0" * 24, "a" * 1000,
    "../x", "data/../../x", "/etc/passwd", "current", ".lock", "data/x.parquet", "http://127.0.0.1:1/x",
    "\ud800", "\0", "é", "parquet", "csv", "orc", "arrow", "jsonl", "pickle", "int8", "int64", "string",
    "null", "bool", "date32", "duration[ns]", "timestamp[ns, tz=Nowhere/Land]",
    "fixed_size_binary[2147483647]", "decimal128(38, -38)", "month_day_nano_interval",
    [], {}, [[]], [None], {"kind": "struct", "fields": []},
    {"kind": "list", "layout": "fixed_size_list", "size": 2**31 - 1, "item": _ITEM},
    {"kind": "dictionary", "index": "int8", "value": "string", "values": ["a", "a", None]},
    {"kind": "dictionary", "index": "int32", "value": {"kind": "struct", "fields": []}, "ordered": True},
    {"kind": "map", "key": {"id": 8, "name": "key", "type": "string"}, "value": _ITEM},
    {"kind": "run_end_encoded", "index": "int16", "value": "string"},
    {"kind": "extension", "name": "arrow.py_extension_type", "storage": "binary", "message": "AAAA"},
]  # fmt: skip
ANYTHING = st.sampled_from(NASTY) | st.integers(-(2**64), 2**64) | st.text(max_size=8)


def nodes(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a document."""
    yield way
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from nodes(inner, (*way, key))


def at(value: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        value = value[key]
    return value


@dataclass(frozen=True)
class Edit:
    """Other bytes for a metadata file of a table."""

    storage: MemoryStorage
    path: str
    data: bytes

    def __repr__(self) -> str:
        return f"Edit({self.path}: {self.data[:2000]!r})"


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """A document with a few values replaced, removed, repeated or taken from elsewhere."""
    storage = draw(st.sampled_from(TABLES))()
    path = draw(st.sampled_from(documents(storage)))
    document = load(storage, path)
    for _ in range(draw(st.integers(1, 3))):
        places = [way for way in nodes(document) if way]
        if not places:
            break
        way = draw(st.sampled_from(places))
        holder, key = at(document, way[:-1]), way[-1]
        match draw(st.sampled_from(["replace", "remove", "repeat", "borrow"])):
            case "replace":
                holder[key] = deepcopy(draw(ANYTHING))
            case "remove":
                del holder[key]
            case "repeat" if isinstance(holder, list):
                holder.insert(key, deepcopy(holder[key]))
            case _:
                holder[key] = deepcopy(at(document, draw(st.sampled_from(places))))
    return Edit(storage, path, json.dumps(document).encode())


# -- what is done with it -----------------------------------------------------------------------

FRAME = pa.table({"n": [1.0]})
OPERATIONS: dict[str, Callable[[Table], object]] = {
    "fill a manifest": lambda t: [t.append(newest(14 + 6 * i)) for i in range(12)],
    "some prices": lambda t: t.to_arrow(["word"], where="price > 1 and at > '1970-01-01'"),
    "rows": lambda t: t.to_arrow(),
    "pandas": lambda t: t.to_pandas(),
    "polars": lambda t: t.to_polars(),
    "batches": lambda t: list(t.snapshot().to_batches(["n"])),
    "some": lambda t: t.to_arrow(["n"], where="n > 1"),
    "history": lambda t: [(s.version, s.time, repr(s), s.files(), s.schema) for s in t.history()],
    "versions": lambda t: [t.snapshot(v).to_arrow() for v in (3, 12)],
    "tag": lambda t: (t.tags, t.properties, t.snapshot("keep").to_arrow()),
    "html": lambda t: t.snapshot()._repr_html_(),
    "diff": lambda t: t.diff(3),
    "changes": lambda t: t.changes(5).read_all(),
    "a key": lambda t: t.get(3),
    "a branch": lambda t: Table(t._objects.storage, branch="side").to_arrow(where="n > 1"),
    "verify": lambda t: t.verify(),
    "append": lambda t: t.append(FRAME, token="fresh"),
    "append pandas": lambda t: t.append(newest(14)),
    "overwrite": lambda t: t.overwrite(FRAME, token="t3"),
    "upsert": lambda t: t.upsert(keyed(2)),
    "delete": lambda t: t.delete("n = 1"),
    "compact": lambda t: t.compact(),
    "merge": lambda t: t.merge_branch("side"),
    "properties": lambda t: t.set_properties({"user.x": "y"}),
    "name": lambda t: t.tag("new"),
    "restore": lambda t: t.restore(12),
    "expire": lambda t: t.expire(timedelta(0)),
    "vacuum": lambda t: t.vacuum(timedelta(0)),
    "repair": lambda t: t.repair(),
}


def attack(edit: Edit, names: Sequence[str] = tuple(OPERATIONS)) -> None:
    """Every operation succeeds, or refuses with an error of atio's own, in bounded memory."""
    forged = copied(edit.storage)
    replace(forged, edit.path, edit.data)
    for name in names:
        try:
            with limited_memory(2**30):
                OPERATIONS[name](Table(copied(forged), clock=lambda: LATER))
        except AtioError:
            continue
        except BaseException as error:
            error.add_note(f"{name}, {edit!r}")
            raise


def warm_up() -> None:
    """Import, and start threads, while there is memory."""
    for name, operation in OPERATIONS.items():
        for made in TABLES:
            try:
                operation(Table(copied(made()), clock=lambda: LATER))
            except AtioError:
                continue
            break
        else:
            raise AssertionError(f"{name} works on neither table")
