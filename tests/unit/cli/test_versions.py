from __future__ import annotations

from pathlib import Path

from atio import Table

from .conftest import Atio


def test_tag_and_list(atio: Atio, path: Path) -> None:
    assert atio("tag", path, "best", "-v", 2, "-m", "why").out == "best → version 2\n"
    assert Table.open(path).tags == {"v1.0": 1, "best": 2}
    assert atio("tag", path, "--json").document == {"table": str(path), "tags": {"v1.0": 1, "best": 2}}
    assert [line.split() for line in atio("tag", path).lines[1:]] == [["v1.0", "1"], ["best", "2"]]
    assert atio("tag", path, "last", "--json").document["version"] == 3


def test_a_tag_moves_only_when_told(atio: Atio, path: Path) -> None:
    run = atio("tag", path, "v1.0", "-v", 2, code=2)
    assert "--move" in run.err
    assert Table.open(path).tags == {"v1.0": 1}
    atio("tag", path, "v1.0", "-v", 2, "--move")
    assert Table.open(path).tags == {"v1.0": 2}


def test_a_tag_cannot_look_like_a_version(atio: Atio, path: Path) -> None:
    atio("tag", path, "2", code=2)
    atio("tag", path, "", code=2)
    atio("tag", path, "--move", code=2)
    atio("tag", path, "x", "-v", 99, code=3)
    assert Table.open(path).tags == {"v1.0": 1}


def test_untag(atio: Atio, path: Path) -> None:
    assert "v1.0" in atio("untag", path, "nope", code=3).err
    assert atio("untag", path, "v1.0", "--json").document["removed"] == "v1.0"
    assert Table.open(path).tags == {}


def test_restore(atio: Atio, path: Path) -> None:
    found = atio("restore", path, "v1.0", "-m", "back", "--json").document
    assert (found["version"], found["rows"], found["message"], found["operation"]) == (
        4,
        2,
        "back",
        "restore",
    )
    assert Table.open(path).to_arrow().column_names == ["id", "name"]
    assert "version 5" in atio("restore", path, 3).out
    atio("restore", path, 99, code=3)


def test_branches(atio: Atio, path: Path) -> None:
    assert atio("branch", path, "--json").document == {"table": str(path), "branches": {}}
    assert f"{path}@trial" in atio("branch", path, "trial", "-v", "v1.0").out
    trial = f"{path}@trial"
    assert atio("restore", trial, 1, "--json").document["version"] == 2
    assert [line.split() for line in atio("branch", path).lines[1:]] == [["trial", "2"]]
    assert atio("show", trial, "--json").document["version"] == 2
    assert "restore" in atio("merge-branch", path, "trial", code=4).err
    atio("drop-branch", path, "trial")
    assert "'trial'" in atio("show", trial, code=3).err
    atio("branch", path, "-v", 1, code=2)
    atio("branch", path, "next")
    assert atio("merge-branch", path, "next", "--json").document["version"] == 3
    assert "removed" in atio("drop-branch", path, "next", "--json").document


def test_a_folder_whose_name_has_the_sign(atio: Atio, tmp_path: Path) -> None:
    Table.open(tmp_path / "a@b").append({"n": [1]})
    assert atio("show", tmp_path / "a@b", "--json").document["rows"] == 1
