"""Damage to the table of tests/crash/test_damage.py, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from atio import Table
from atio.errors import DamagedError
from atio.storage import MemoryStorage
from tests.crash.test_damage import NEWEST, all_rows, files_by_version, only_told, referenced, table
from tests.faulty import copied
from tests.support import forge
from tests.support.tables import rows


class Outcomes:
    """Counts cases, for the figures."""

    def __init__(self) -> None:
        self.tried = self.refused = self.same = 0

    @property
    def wrong(self) -> int:
        return self.tried - self.refused - self.same

    def read(self, files: tuple[str, ...], call: Callable[[], Any], expected: Any) -> bool:
        """Whether the damage is refused, with one of the files named; if not the result must be the same."""
        self.tried += 1
        try:
            found = call()
        except DamagedError as error:
            assert error.file in files, error
            self.refused += 1
            return True
        assert found == expected, f"{files}: other rows, silently"
        self.same += 1
        return False


def files() -> list[str]:
    return ["current", *referenced()]


def metadata() -> list[str]:
    return [path for path in files() if not path.startswith("data/") or path.endswith(".dv")]


@cache
def size(path: str) -> int:
    return len(table().read(path))


def altered(path: str, data: bytes) -> MemoryStorage:
    storage = copied(table())
    forge.put(storage, path, data)
    return storage


def flipped(path: str, place: int, bit: int) -> MemoryStorage:
    data = bytearray(table().read(path))
    data[place] ^= 1 << bit
    return altered(path, bytes(data))


def exchanged(one: str, other: str) -> MemoryStorage:
    storage = altered(one, table().read(other))
    forge.put(storage, other, table().read(one))
    return storage


@cache
def needing(path: str) -> int:
    """The newest version that cannot be read without the file; 0 if none needs it for its rows."""
    hit = [v for v, found in files_by_version().items() if path in found and (v, path) not in only_told()]
    return NEWEST if path == "current" else max(hit, default=0)


def attack(storage: MemoryStorage, *paths: str, outcomes: Outcomes) -> None:
    """The version that needs each damaged file is refused; another one is not, or is the same."""
    for path in paths:
        version = needing(path)
        if version:
            refused = outcomes.read(
                paths, lambda v=version: rows(Table(storage).snapshot(v)), all_rows()[version]
            )
            assert refused, f"{path} is damaged, and version {version} reads"
        else:  # An index, or the catalog: the rows are there, what it told is not.
            outcomes.read(paths, lambda: told(storage), told(table()))


def reads(storage: MemoryStorage, version: int) -> list[dict[str, Any]]:
    return rows(Table(storage).snapshot(version))


def told(storage: MemoryStorage) -> Any:
    """What a table tells of its versions, tags and tokens."""
    found = Table(storage)
    history = [s.version for s in found.history()]
    replay = Table(copied(storage)).append({"id": [1.0], "word": ["x"]}, token="t3").version
    return history, found.tags, found.properties, replay


def found_by_verify(storage: MemoryStorage, *paths: str) -> None:
    report = Table(storage).verify()
    missing = set(paths) - {problem.file for problem in report.problems}
    # Below a damaged pointer nothing can be found.
    assert not missing or "current" in paths, f"verify() does not see {missing}"
    assert report.problems


def repaired(storage: MemoryStorage, path: str) -> None:
    """The last intact version is back, and all that can be."""
    lost = {v for v, found in files_by_version().items() if path in found}
    done = Table(storage).repair()
    kept = max(set(all_rows()) - lost)
    assert (done.content, set(done.lost)) == (kept, lost)
    fresh = Table(storage)
    assert fresh.verify().ok
    assert rows(fresh.snapshot()) == all_rows()[kept]


def spots(step: int, offset: int = 0) -> Iterator[tuple[str, int]]:
    """Every ``step``-th byte of all metadata files."""
    place = offset
    for path in metadata():
        while place < size(path):
            yield path, place
            place += step
        place -= size(path)
