"""Branches: lines of versions of their own over the same files."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atio import Table
from atio.errors import (
    ConflictError,
    ExistsError,
    InputError,
    NewerFormatError,
    NotFoundError,
    VersionNotFoundError,
)
from atio.storage import MemoryStorage
from tests.support.tables import listing, required

NOW = timedelta(0)
FAR = 4_102_444_800_000_000
"""The year 2100, in microseconds: every file is old enough to be vacuumed."""


def ids(table: Table, version: int | str | None = None) -> list[int]:
    return table.snapshot(version).to_arrow().column("id").to_pylist()


@pytest.fixture
def table() -> Table:
    """Three versions of a row each."""
    table = Table(MemoryStorage(), clock=iter(range(FAR, 2 * FAR, 10**6)).__next__)
    for number in range(1, 4):
        table.append({"id": [number]})
    return table


def test_each_line_sees_its_own(table: Table) -> None:
    branch = table.create_branch("trial")
    branch.append({"id": [40]})
    table.append({"id": [4]}, message="main")
    branch.append({"id": [50]})
    assert (ids(table), table.version, table.branch) == ([1, 2, 3, 4], 4, None)
    assert (ids(branch), branch.version, branch.branch) == ([1, 2, 3, 40, 50], 5, "trial")
    assert ids(branch, 4) == [1, 2, 3, 40]
    assert table.branches == {"trial": 5}
    assert [one.version for one in branch.history()] == [5, 4, 3]
    assert "branch trial" in repr(branch)
    with pytest.raises(VersionNotFoundError, match="older than the branch"):
        branch.snapshot(2)


def test_a_branch_of_an_older_version(table: Table) -> None:
    table.tag("two", 2)
    branch = table.create_branch("trial", "two")
    assert branch.overwrite({"id": [9], "more": ["x"]}).version == 3
    assert branch.schema.names == ["id", "more"]
    assert table.schema.names == ["id"]
    assert ids(branch, "two") == [1, 2]
    assert branch.restore(2).version == 4
    assert ids(branch) == [1, 2]


def test_the_newest_version_is_the_newest_by_then(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from atio.table import branches

    original = branches._amend

    def amend(*given: Any) -> None:
        table.append({"id": [4]})
        table.expire(NOW)
        original(*given)

    monkeypatch.setattr(branches, "_amend", amend)
    assert ids(table.create_branch("trial")) == [1, 2, 3, 4]
    with pytest.raises(VersionNotFoundError, match="version 4 is gone"):
        table.create_branch("older", 4)


def test_forwarding_keeps_every_version(table: Table) -> None:
    branch = table.create_branch("trial")
    for number in (4, 5, 6):
        branch.append({"id": [number]}, message=f"number {number}", token=f"t{number}")
    made = table.merge_branch("trial")
    assert (made.version, made.message) == (6, "number 6")
    assert [ids(table, version) for version in range(1, 7)] == [list(range(1, n + 1)) for n in range(1, 7)]
    assert table.append({"id": [4]}, token="t4").version == 4, "tokens come along"
    assert table.merge_branch("trial").version == 6, "nothing new"
    branch.append({"id": [7]})
    assert table.merge_branch("trial").version == 7
    table.drop_branch("trial")
    table.vacuum(NOW)
    assert [ids(table, version) for version in range(1, 8)] == [list(range(1, n + 1)) for n in range(1, 8)]
    assert table.verify().ok


def test_merging_what_both_appended(table: Table) -> None:
    branch = table.create_branch("trial")
    for number in range(40, 60):  # tiny files are merged on the way, those of the table among them
        branch.append({"id": [number]})
    branch.compact()
    table.append({"id": [4]})
    made = table.merge_branch("trial")
    assert (made.version, made.operation, made.message) == (5, "merge", "branch 'trial'")
    assert ids(table) == [1, 2, 3, 4, *range(40, 60)]
    assert table.diff(4, 5).rows_added == 20
    assert table.merge_branch("trial").version == 5, "nothing new"
    branch.append({"id": [60]})
    assert table.merge_branch("trial", message="more").message == "more"
    assert ids(table) == [1, 2, 3, 4, *range(40, 61)]
    assert ids(branch) == [1, 2, 3, *range(40, 61)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda b: b.overwrite({"id": [9]}), "overwrite"),
        (lambda b: b.restore(3), "restore"),
        (lambda b: b.add_column("more", pa.int64()) and b.append({"id": [8], "more": [1]}), "columns"),
    ],
)
def test_what_cannot_be_merged(table: Table, change, what: str) -> None:
    branch = table.create_branch("trial")
    branch.append({"id": [40]})
    change(branch)
    table.append({"id": [4]})
    with pytest.raises(ConflictError, match=what):
        table.merge_branch("trial")
    assert ids(table) == [1, 2, 3, 4]


def test_what_was_expired_cannot_be_merged(table: Table) -> None:
    branch = table.create_branch("trial")
    branch.append({"id": [40]})
    branch.append({"id": [50]})
    branch.expire(NOW)
    table.append({"id": [4]})
    with pytest.raises(ConflictError, match="expired"):
        table.merge_branch("trial")


def test_columns_that_the_table_changed_meanwhile(table: Table) -> None:
    branch = table.create_branch("trial")
    branch.append({"id": [40]})
    table.rename_column("id", "key")
    table.merge_branch("trial")
    assert table.to_arrow().column("key").to_pylist() == [1, 2, 3, 40]
    assert branch.schema.names == ["id"]


def test_categories_of_both_lines(table: Table) -> None:
    def words(*found: str) -> pa.Table:
        return pa.table({"word": pa.array(found).dictionary_encode()})

    table.overwrite(words("a"))
    branch = table.create_branch("trial")
    branch.append(words("b", "c"))
    table.append(words("d"))
    table.merge_branch("trial")
    assert table.to_arrow().column("word").to_pylist() == ["a", "d", "b", "c"]
    assert branch.to_arrow().column("word").to_pylist() == ["a", "b", "c"]


def test_each_line_keeps_what_it_needs(table: Table) -> None:
    storage = table._objects.storage
    branch = table.create_branch("trial", 2)
    for number in range(30, 42):
        branch.append({"id": [number]})
        table.append({"id": [number + 100]})
    expected = ids(branch, 2), ids(branch, 9), ids(branch)
    planned = table.expire(NOW, dry_run=True)
    assert planned.files == table.expire(NOW).files
    table.vacuum(NOW)
    assert (ids(branch, 2), ids(branch, 9), ids(branch)) == expected
    newest = ids(table)
    planned = branch.expire(NOW, dry_run=True)
    assert planned.versions == tuple(range(2, 14))
    assert planned.files == branch.expire(NOW).files
    branch.vacuum(NOW)
    assert (ids(branch), ids(table)) == (expected[2], newest)
    assert listing(storage) == required(storage)
    table.drop_branch("trial")
    table.vacuum(NOW)
    assert listing(storage) == required(storage)
    assert ids(table) == newest
    assert table.verify().ok
    with pytest.raises(NotFoundError, match="no branch 'trial'"):
        branch.append({"id": [0]})


def test_tags_are_the_tables(table: Table) -> None:
    table.tag("old", 1)
    branch = table.create_branch("trial")
    branch.append({"id": [40]})
    assert ids(branch, "old") == [1]
    with pytest.raises(InputError, match="merge the branch first"):
        branch.tag("new")
    branch.set_properties({"user.a": "b"})
    assert (table.properties, table.tags, table.version) == ({"user.a": "b"}, {"old": 1}, 3)


def test_wrong_names(table: Table) -> None:
    with pytest.raises(NotFoundError, match=r"there is no branch"):
        Table(table._objects.storage, branch="none").to_arrow()
    with pytest.raises(NotFoundError, match="no table here"):
        Table(MemoryStorage(), branch="none").append({"id": [1]})
    branch = table.create_branch("trial")
    with pytest.raises(ExistsError):
        table.create_branch("trial")
    with pytest.raises(InputError, match="without branch="):
        branch.create_branch("other")
    with pytest.raises(InputError):
        table.create_branch("7")
    with pytest.raises(InputError, match="without branch="):
        branch.repair()
    with pytest.raises(NotFoundError):
        table.drop_branch("other")


def test_who_knows_no_branches_does_not_write(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its vacuum would remove their files."""
    table.create_branch("trial")
    monkeypatch.setattr("atio.commit.state._FEATURES", frozenset())
    assert ids(table) == [1, 2, 3]
    with pytest.raises(NewerFormatError, match="branches"):
        table.append({"id": [4]})
    monkeypatch.undo()
    table.drop_branch("trial")
    monkeypatch.setattr("atio.commit.state._FEATURES", frozenset())
    table.append({"id": [4]})


def test_damage_of_a_branch_is_found(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t")
    table.append({"id": [1]})
    branch = table.create_branch("trial")
    branch.append({"id": [2]})
    [path] = {f.path for f in branch.snapshot().files()} - {f.path for f in table.snapshot().files()}
    (tmp_path / "t" / path).unlink()
    assert [problem.file for problem in table.verify().problems] == [path]
    assert ids(table) == [1]


@pytest.mark.parametrize("forwarded", [False, True])
def test_a_lost_pointer(tmp_path: Path, *, forwarded: bool) -> None:
    """Repair takes no version of a branch for one of the table's."""
    table = Table.open(tmp_path / "t")
    table.append({"id": [1]})
    branch = table.create_branch("trial")
    for number in (20, 30):
        branch.append({"id": [number]})
    if forwarded:
        table.merge_branch("trial")
    expected = {one.version: ids(table, one.version) for one in table.history()}
    (tmp_path / "t" / "current").unlink()
    table.repair()
    assert {one.version: ids(table, one.version) for one in table.history()} == expected
    assert ids(branch) == [1, 20, 30]
    assert json.loads((tmp_path / "t" / "current").read_text().splitlines()[0])["features"]["write"]
    branch.append({"id": [40]})
    table.append({"id": [2]})
    assert table.verify().ok


def test_copies(table: Table, tmp_path: Path) -> None:
    branch = table.create_branch("trial")
    branch.append({"id": [40]})
    table.tag("old", 1)
    whole = table.copy_to(tmp_path / "whole")
    assert ids(Table.open(tmp_path / "whole", branch="trial")) == [1, 2, 3, 40]
    assert ids(whole) == [1, 2, 3]
    one = branch.copy_to(tmp_path / "one", version=4)
    assert (ids(one), one.branches, one.version) == ([1, 2, 3, 40], {}, 4)
    assert ids(branch.copy_to(tmp_path / "tag", version="old")) == [1]
    for made in (whole, one):
        made.append({"id": [0]})
        assert made.verify().ok
