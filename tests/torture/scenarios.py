"""What is attacked: every kind of commit, as steps that a process takes one after the other.

The attacks know what the user sees before the first step and after each. Whatever happens in between, a look
finds one of those, and the next write works and leaves nothing lying about.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

import atio
import atio.store
from atio import Snapshot, Table
from atio.errors import NotFoundError
from atio.storage import LocalStorage
from atio.storage.replace import replace_file
from tests.support.tables import listing, required
from tests.torture.syscalls import mark

NOW = timedelta(0)
WAITING = 3
"""Writers that wait in the scenario of several writers."""


@dataclass(frozen=True)
class Scenario:
    """Steps in a folder, the box.

    Attributes
    ----------
    prepare
        Makes what is there before, in the box.
    begin
        Runs in the process under attack, before the attack; its result is what the steps get.
    steps
        The commits.
    see
        What a user can see, comparable.
    survive
        Raises ``AssertionError`` unless the next write works and leaves nothing behind. Spends the box.
    strays
        Names of what nobody needs.
    go_on
        Writes once more, with what the steps got.
    point
        The names that make the new state visible when they are replaced.
    cleaning
        Steps that go on when the new state is there (removing files, writing a flag): they may fail then.
    loosely
        What of a view must be that after a step as long as the step was not acknowledged.
    """

    prepare: Callable[[Path], object]
    begin: Callable[[Path], Any]
    steps: tuple[Callable[[Any], object], ...]
    see: Callable[[Path], Any]
    survive: Callable[[Path], object]
    strays: Callable[[Path], set[str]]
    go_on: Callable[[Any], object]
    point: frozenset[str] = frozenset({"current"})
    cleaning: frozenset[int] = frozenset()
    loosely: Callable[[Any], Any] = lambda found: found

    def run(self, box: Path) -> None:
        """Take the steps, in the process under attack."""
        found = self.begin(box)
        for number, step in enumerate(self.steps, 1):
            mark(f"begin {number}")
            step(found)
            mark(f"ack {number}")
            mark(f"done {number}")


# -- tables --------------------------------------------------------------------------------------


def frame(start: int, count: int = 1) -> pa.Table:
    """Rows whose words are categories: new ones change the schema."""
    ids = list(range(start, start + count))
    words = pa.array([f"w{i % 5}" for i in ids], pa.string()).dictionary_encode()
    return pa.table({"id": ids, "word": words})


def opened(box: Path) -> Table:
    """A handle that tests use beside the attack: it need not sync."""
    return Table(LocalStorage(box / "t", durable=False, lock_timeout=1.0))


def see_table(box: Path) -> Any:
    """Every version, tags and properties; None without a table.

    The bytes of all files are checked against their hashes, so that versions can be told by those.
    """
    if not Table.exists(box / "t"):
        return None
    table = opened(box)
    report = table.verify()
    assert report.ok, report
    branches = {name: Table(LocalStorage(box / "t", durable=False), branch=name) for name in table.branches}
    return {
        "versions": {one.version: _version(one) for one in table.history()},
        "branches": {name: [_version(one) for one in branch.history()] for name, branch in branches.items()},
        "tags": table.tags,
        "properties": table.properties,
        "rows": rows(table),
    }


def _version(snapshot: Snapshot) -> Any:
    # Staged files make tokens of their own, different in each run.
    token = "staged" if (snapshot.token or "").startswith("staged:") else snapshot.token
    files = [(file.hash, file.live) for file in snapshot.files()]
    return snapshot.operation, snapshot.message, token, snapshot.schema, files


def survive_table(box: Path) -> None:
    """Nobody is locked out, the next commit works, all is whole then, and vacuum leaves what is needed."""
    table = opened(box)
    before = rows(table) if Table.exists(box / "t") else []
    table.append(frame(900))
    table.vacuum(NOW)
    table = opened(box)
    assert rows(table) == [*before, {"id": 900, "word": "w0"}]
    report = table.verify()
    assert report.ok, report
    strays = table_strays(box)
    assert not strays, strays


def table_strays(box: Path) -> set[str]:
    storage = LocalStorage(box / "t", durable=False)
    return listing(storage) - required(storage)


def rows(table: Table) -> list[Any]:
    return table.to_arrow().to_pylist()


def _nothing(box: Path) -> None:
    pass


def _grown(box: Path) -> None:
    table = opened(box)
    for start in range(3):
        table.append(frame(start))


def _worn(box: Path) -> None:
    """Versions that share files, versions that do not, a tag, a token."""
    table = opened(box)
    for start in range(3):
        table.append(frame(start), token=f"t{start}")
    table.overwrite(frame(10, 2))
    table.append(frame(20))
    table.append(frame(21))
    table.tag("keep", 2)


def _tiny(box: Path) -> None:
    """Seven files of a row: the next append merges, and moves history and tokens to pieces."""
    table = opened(box)
    table.append(frame(0, 2), token="t0")
    for start in range(1, 8):
        table.append(frame(start, 1 if start > 1 else 0), token=f"t{start}")


def _strewn(box: Path) -> None:
    _grown(box)
    storage = LocalStorage(box / "t", durable=False)
    storage.create("data/" + "0" * 24 + ".parquet", b"a stray")
    storage.create("metadata/" + "1" * 24 + ".json", b"{}")
    (box / "t/.current.0123456789abcdef.tmp").write_bytes(b"{")


def _keyed(box: Path) -> None:
    """A table with a key."""
    Table.create(LocalStorage(box / "t", durable=False), frame(0).schema, key="id")
    for start in range(0, 6, 3):
        opened(box).append(frame(start, 3))


def _partitioned(box: Path) -> None:
    """A table in partitions, with a condition on its rows."""
    Table.create(
        LocalStorage(box / "t", durable=False),
        frame(0).schema,
        partition_by="bucket(3, id)",
        sort_by="id",
        checks={"positive": "id >= 0"},
    )
    opened(box).append(frame(0, 6))


def _handle(box: Path) -> Table:
    return Table.open(box / "t")


def _append(start: int, **options: Any) -> Callable[[Table], object]:
    return lambda table: table.append(frame(start), **options)


def _create(table: Table) -> None:
    Table.create(table.url, frame(0).schema, properties={"user.a": "b"})


def _stream(table: Table) -> None:
    table.append(iter([frame(100, 3), frame(103, 3)]))


def _merge(table: Table) -> None:
    table.merge(frame(5, 2), when_not_matched_by_source="delete")


def _transact(table: Table) -> None:
    with table.transaction() as tx:
        tx.delete("id = 5")
        tx.append(frame(200, 2))
        tx.append(iter([frame(300), frame(301)]))


def _many_files(box: Path) -> None:
    table = opened(box)
    table.commit(*(table.stage(frame(i)) for i in range(11)))


def _staged(table: Table) -> None:
    """Two more files than a snapshot lists itself."""
    table.commit(*(table.stage(frame(100 + i)) for i in range(2)))


def together(table: Table) -> None:
    """Writers wait for the lock; who holds it commits for them."""
    storage = table._objects.storage

    def wait_and_append() -> None:
        Table.open(table.url).append(frame(50))
        mark("ack 1")

    threads = [threading.Thread(target=wait_and_append) for _ in range(WAITING)]
    with storage.exclusive():
        for thread in threads:
            thread.start()
        while waiting(Path(table.url)) < WAITING:
            time.sleep(0.001)
        table.append(frame(40))
    for thread in threads:
        thread.join()


def waiting(folder: Path) -> int:
    """How many writers wait, with whole requests. No lock is touched: that would disturb them."""
    count = 0
    for request in folder.glob("requests/*"):
        with contextlib.suppress(FileNotFoundError):
            head, _, data = request.read_bytes().partition(b"\n")
            count += bool(head) and len(data) >= int(head.split()[0])
    return count


def _table(
    prepare: Callable[[Path], object],
    *steps: Callable[[Table], object],
    cleaning: int = 0,
    leaves: str = "-",
) -> Scenario:
    """``leaves`` is a folder whose files may stay when nobody needs them any more."""

    def strays(box: Path) -> set[str]:
        return {path for path in table_strays(box) if not path.startswith(leaves)}

    return Scenario(
        prepare, _handle, steps, see_table, survive_table, strays, lambda table: table.append(frame(800)),
        cleaning=frozenset({cleaning}),
    )  # fmt: skip


# -- files ---------------------------------------------------------------------------------------


def see_files(box: Path) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every file that is not hidden; a backup of what is there says nothing."""
    found = {
        path.name: (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in box.iterdir()
        if not path.name.startswith(".")
    }
    if found.get("f.csv.bak") == found.get("f.csv"):
        found.pop("f.csv.bak", None)
    return found


def survive_file(box: Path) -> None:
    replace_file(box / "f.csv", b"the next\n", durable=False)
    assert (box / "f.csv").read_bytes() == b"the next\n"
    strays = file_strays(box)
    assert not strays, strays


def file_strays(box: Path) -> set[str]:
    """What the steps hid, flags and locks apart."""
    return {
        path.name
        for path in box.iterdir()
        if path.name.startswith(".") and not path.name.endswith(("._SUCCESS", ".atio.lock"))
    }


def _flag_strays(box: Path) -> set[str]:
    """The lock of the flag may stay if it could not be taken; whoever takes it next removes it."""
    return file_strays(box) - {".f.csv._SUCCESS.atio.tmp"}


def see_flagged(box: Path) -> Any:
    """The file, and whether its flag vouches for it."""
    found = (box / "f.csv").read_bytes() if (box / "f.csv").exists() else None
    try:
        atio.verify(box / "f.csv")
    except NotFoundError:
        return found, False
    return found, True


def survive_flagged(box: Path) -> None:
    atio.write(frame(7).to_pandas(), box / "f.csv", index=False, success_flag=True, durable=False)
    atio.verify(box / "f.csv")
    strays = file_strays(box)
    assert not strays, strays


def _old_file(box: Path) -> None:
    (box / "f.csv").write_bytes(b"id\n0\n" * 300)
    (box / "f.csv").chmod(0o640)


def _careless(box: Path) -> None:
    """Somebody else writes the file, and does not sync."""
    with (box / "f.csv").open("wb") as file:
        file.write(b"by hand\n")


def _bytes(box: Path) -> None:
    replace_file(box / "f.csv", b"id\n" + b"1\n" * 1000)


def _backup(box: Path) -> None:
    replace_file(box / "f.csv", b"id\n2\n", backup=True)


def _csv(box: Path) -> None:
    atio.write(frame(0, 40).to_pandas(), box / "f.csv", index=False)


def _flagged(start: int) -> Callable[[Path], object]:
    return lambda box: atio.write(frame(start, 40).to_pandas(), box / "f.csv", index=False, success_flag=True)


def _file(prepare: Callable[[Path], object], *steps: Callable[[Path], object], cleaning: int = 0) -> Scenario:
    return Scenario(
        prepare, lambda box: box, steps, see_files, survive_file, file_strays, _bytes,
        frozenset({"f.csv"}), frozenset({cleaning}),
    )  # fmt: skip


# -- the value store -----------------------------------------------------------------------------


def see_store(box: Path) -> Any:
    return atio.store.open(box / "v.json", default="nothing").value


def survive_store(box: Path) -> None:
    with atio.store.open(box / "v.json", default=[], durable=False, lock_timeout=1.0) as store:
        store.value = ["the next"]
    assert see_store(box) == ["the next"]
    strays = file_strays(box)
    assert not strays, strays


def _old_value(box: Path) -> None:
    (box / "v.json").write_bytes(b'{"n": 0}')


def _count(box: Path) -> None:
    with atio.store.open(box / "v.json", default={"n": 0}) as store:
        store.value["n"] += 1


def _count_locked(box: Path) -> None:
    with atio.store.open(box / "v.json", default={"n": 0}, lock=True) as store:
        store.value["n"] += 1


def _store(prepare: Callable[[Path], object], *steps: Callable[[Path], object]) -> Scenario:
    return Scenario(
        prepare, lambda box: box, steps, see_store, survive_store, file_strays, _count, frozenset({"v.json"})
    )


# -- all -----------------------------------------------------------------------------------------

TABLES = {
    "create": _table(_nothing, _create, _append(1)),
    "first append": _table(_nothing, _append(1), _append(2)),
    "append": _table(_grown, _append(100), _append(101)),
    "append with a token": _table(_tiny, _append(100, token="mine"), _append(100, token="mine")),
    "append a stream": _table(_grown, _stream),
    "overwrite": _table(_grown, lambda table: table.overwrite(frame(100, 2))),
    "merge of tiny files": _table(_tiny, _append(100)),
    "compact": _table(
        _worn, lambda table: table.compact(), lambda table: table.compact(sort_by=[("id", "descending")])
    ),
    "change rows": _table(
        _worn,
        lambda table: table.delete("id = 10"),
        lambda table: table.upsert(frame(20, 2), on="id"),
        lambda table: table.update({"word": "w0"}, "id = 20"),
    ),
    "keys, merge, transaction": _table(
        _keyed, lambda table: table.append(frame(4, 3), on_conflict="ignore"), _merge, _transact
    ),
    "append to partitions": _table(_partitioned, lambda table: table.append(frame(100, 6))),
    "branch": _table(
        _worn,
        lambda table: table.create_branch("trial"),
        lambda table: Table(table._objects.storage, branch="trial").append(frame(30)),
        lambda table: table.merge_branch("trial"),
        leaves="metadata/",  # what branches were before
    ),
    "stage and commit": _table(_many_files, _staged, leaves="data/"),
    "tag, properties, restore": _table(
        _worn,
        lambda table: table.tag("new", 3),
        lambda table: table.set_properties({"user.a": "b"}),
        lambda table: table.restore(2),
        lambda table: table.untag("keep"),
        leaves="metadata/",  # what tags and properties were before
    ),
    "expire": _table(_worn, lambda table: table.expire(NOW, keep_last=2), _append(100), cleaning=1),
    "vacuum": _table(_strewn, lambda table: table.vacuum(NOW), _append(100)),
    "several writers in one swap": _table(_grown, together),
}
FILES = {
    "write a file": _file(_nothing, _bytes),
    "write over a file": _file(_old_file, _bytes, _csv, cleaning=2),
    "write with a backup": _file(_old_file, _backup),
    "write with a flag": Scenario(
        _old_file, lambda box: box, (_flagged(0),), see_flagged, survive_flagged,
        _flag_strays, _flagged(200), frozenset({"f.csv", ".f.csv._SUCCESS"}), frozenset({1}),
        loosely=lambda found: found[0],
    ),
    "write over a flagged file": Scenario(
        _flagged(0), lambda box: box, (_flagged(100),), see_flagged, survive_flagged,
        _flag_strays, _flagged(200), frozenset({"f.csv", ".f.csv._SUCCESS"}), frozenset({1}),
    ),
    "store a value": _store(_nothing, _count, _count),
    "store a value, locked": _store(_old_value, _count_locked),
}  # fmt: skip
SCENARIOS = {**TABLES, **FILES}
