from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from atio import Table

from .conftest import Atio


def test_log(atio: Atio, path: Path) -> None:
    found = atio("log", path, "--json").document
    assert found["table"] == str(path)
    assert found["more"] is False
    assert [v["version"] for v in found["versions"]] == [3, 2, 1]
    newest = found["versions"][0]
    assert newest["operation"] == "overwrite"
    assert newest["message"] == "third"
    assert newest["token"] == "once"
    assert newest["rows"] == 1
    assert newest["time"].endswith("Z")
    assert datetime.fromisoformat(newest["time"]) == Table.open(path).snapshot().time
    assert found["versions"][2]["tags"] == ["v1.0"]
    heading, *lines = atio("log", path).lines
    assert heading.split() == ["version", "time", "operation", "rows", "change", "size", "tags", "message"]
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    assert [line.split()[5] for line in lines] == ["-3", "+2", "+2"]
    assert "\x1b" not in "".join(lines)


def test_log_limited(atio: Atio, path: Path) -> None:
    found = atio("log", path, "-n", 2, "--json").document
    assert [v["version"] for v in found["versions"]] == [3, 2]
    assert found["more"] is True
    assert len(atio("log", path, "-n", 2).lines) == 3
    assert atio("log", path, "-n", 1, "--all", "--json").document["more"] is False


def test_the_time_in_the_log_leads_to_its_version(atio: Atio, path: Path) -> None:
    words = atio("log", path).lines[1].split()
    found = atio("show", path, "--as-of", f"{words[1]} {words[2]}", "--json").document
    assert found["version"] == 3
    assert atio("show", path, "--as-of", datetime.now(UTC).date(), "--json").document["version"] == 3


def test_show(atio: Atio, path: Path) -> None:
    Table.open(path).set_properties({"user.owner": "me"})
    found = atio("show", path, "--json").document
    assert (found["version"], found["rows"], found["files"], found["newest"]) == (3, 1, 1, 3)
    assert found["all_tags"] == {"v1.0": 1}
    assert found["properties"] == {"user.owner": "me"}
    assert [c["name"] for c in found["columns"]] == ["id", "price"]
    assert [c["version"] for c in found["last_commits"]] == [3, 2, 1]
    text = atio("show", path).out
    for word in (str(path), "third", "v1.0 → 1", "user.owner=me", "id", "price", "double", "2 columns"):
        assert word in text
    old = atio("show", path, "-v", "v1.0", "--json").document
    assert (old["version"], old["tags"], old["newest"]) == (1, ["v1.0"], 3)
    assert "the newest is 3" in atio("show", path, "-v", "v1.0").out


def test_show_of_a_wide_table_is_one_screen(atio: Atio, tmp_path: Path) -> None:
    Table.open(tmp_path / "w", durable=False).append({f"c{i}": [i] for i in range(500)})
    lines = atio("show", tmp_path / "w").lines
    assert len(lines) < 40
    assert any("480 more" in line for line in lines)


def test_head(atio: Atio, path: Path) -> None:
    assert atio("head", path).lines == ["id  price", " 5    1.5"]
    found = atio("head", path, "-v", 2, "-n", 3, "--json").document
    assert found["version"] == 2
    assert found["rows"] == [{"id": 1, "name": "a"}, {"id": 2, "name": None}, {"id": 3, "name": "b"}]
    assert atio("head", path, "-v", "v1.0", "-c", "name,id", "--json").document["rows"] == [
        {"name": "a", "id": 1}, {"name": None, "id": 2},
    ]  # fmt: skip
    assert atio("head", path, "-n", 0).lines == ["id  price"]


def test_head_refuses(atio: Atio, path: Path) -> None:
    assert "did you mean 'price'" in atio("head", path, "-c", "prize", code=2).err
    assert "not both" in atio("head", path, "-v", 1, "--as-of", "1h", code=2).err
    assert "retained" not in atio("head", path, "-v", 9, code=3).err
    assert "v1.0" in atio("head", path, "-v", "v2.0", code=3).err
    atio("head", path, "--as-of", "2001-01-01", code=3)
    atio("head", path, "--as-of", "soon", code=2)


def test_hostile_names_and_values_are_escaped(atio: Atio, tmp_path: Path) -> None:
    table = Table.open(tmp_path / "h", durable=False)
    table.append({"[red]a\x1b[2J": ["x\ny\x1b]0;title\x07[bold]"]}, message="m\x1b[31m\n2")
    for command in ("head", "log", "show", "schema"):
        out = atio(command, tmp_path / "h").out
        assert "\x1b" not in out
        assert "\x07" not in out
    assert "[bold]" in atio("head", tmp_path / "h").out
    assert atio("head", tmp_path / "h", "--json").document["rows"] == [
        {"[red]a\x1b[2J": "x\ny\x1b]0;title\x07[bold]"}
    ]


def test_schema(atio: Atio, path: Path) -> None:
    columns = atio("schema", path, "-v", 1, "--json").document["columns"]
    assert columns == [
        {"name": "id", "type": "int64", "nullable": True},
        {"name": "name", "type": "string", "nullable": True},
    ]
    assert atio("schema", path, "-v", 1).lines[1].split() == ["id", "int64", "yes"]


def test_files(atio: Atio, path: Path) -> None:
    found = atio("files", path, "-v", 2, "--json").document
    assert [f["rows"] for f in found["files"]] == [2, 2]
    assert [f["added"] for f in found["files"]] == [1, 2]
    for file in found["files"]:
        assert (path / file["path"]).stat().st_size == file["bytes"]
    assert len(atio("files", path, "-v", 2).lines) == 3


def test_diff(atio: Atio, path: Path) -> None:
    found = atio("diff", path, "v1.0", 3, "--json").document
    assert (found["old"], found["new"]) == (1, 3)
    assert (found["rows_added"], found["rows_removed"]) == (3, 4)
    assert (found["columns_added"], found["columns_removed"]) == (["price"], ["name"])
    text = atio("diff", path, 1).out
    for word in ("1 → 3", "+3 -4", "+price, -name"):
        assert word in text
    atio("diff", path, 1, 77, code=3)


def test_an_empty_table(atio: Atio, tmp_path: Path) -> None:
    Table.create(tmp_path / "e", pa.schema([pa.field("a", pa.int8(), nullable=False)]), durable=False)
    assert atio("head", tmp_path / "e").lines == ["a"]
    assert "not null" in atio("show", tmp_path / "e").out
    assert atio("log", tmp_path / "e", "--json").document["versions"][0]["version"] == 0
    Table.open(tmp_path / "none", durable=False).append(pa.table({"a": [1, 2]}).select([]))
    assert atio("head", tmp_path / "none", "-n", 2, "--json").document["rows"] == [{}, {}]
    assert atio("head", tmp_path / "none", "-n", 2).lines == ["2 rows without columns"]


@pytest.mark.parametrize("command", ["show", "log", "head", "schema", "files", "verify", "tag"])
def test_on_a_terminal(atio: Atio, path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    assert atio(command, path).out


def test_columns_that_do_not_fit_a_terminal(
    atio: Atio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Table.open(tmp_path / "w", durable=False).append({f"column{i}": ["x" * 60] for i in range(9)})
    assert "column8" in atio("head", tmp_path / "w").lines[0]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = atio("head", tmp_path / "w").out
    assert "7 more columns: column2" in out
    assert "…" in out


def test_changes(atio: Atio, path: Path) -> None:
    found = atio("changes", path, 1, 2, "--json").document["rows"]
    assert [(row["_change_type"], row["id"]) for row in found] == [("insert", 3), ("insert", 4)]
    lines = atio("changes", path, "v1.0", "-c", "id", "-n", 3).lines
    assert [line.split()[:2] for line in lines[1:]] == [["3", "insert"], ["4", "insert"], ["1", "delete"]]
    atio("changes", path, 9, code=2)
