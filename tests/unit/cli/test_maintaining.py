from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from atio import Table

from .conftest import Atio


def _files(path: Path) -> set[str]:
    return {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}


def _damage(path: Path, version: int) -> str:
    file = path / Table.open(path).snapshot(version).files()[0].path
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return file.name


def test_the_dry_run_of_expire_is_what_the_real_one_does(atio: Atio, path: Path) -> None:
    before = _files(path)
    plan = atio("expire", path, "--older-than", 0, "--dry-run", "--json").document
    assert _files(path) == before
    assert plan["versions"] == [2]
    assert plan["dry_run"] is True
    assert "would forget 1 version (2)" in atio("expire", path, "--older-than", 0, "--dry-run").out
    done = atio("expire", path, "--older-than", 0, "--json").document
    assert {**done, "dry_run": True} == plan
    assert set(plan["files"]) <= before - _files(path)
    assert "nothing to expire" in atio("expire", path, "--older-than", 0).out
    assert [s.version for s in Table.open(path).history()] == [3, 1]


def test_expire_heeds_age_and_number(atio: Atio, path: Path) -> None:
    assert atio("expire", path, "--json").document["versions"] == []
    assert atio("expire", path, "--older-than", "2001-01-01", "--json").document["versions"] == []
    kept = atio("expire", path, "--older-than", "2999-01-01", "--keep-last", 2, "--json").document
    assert kept["versions"] == []
    atio("untag", path, "v1.0")
    assert "forgot 2 versions (1-2) and deleted" in atio("expire", path, "--older-than", "0").out


@pytest.mark.parametrize("text", ["soon", "7", "-1d", ""])
def test_expire_refuses_what_is_no_age(atio: Atio, path: Path, text: str) -> None:
    atio("expire", path, f"--older-than={text}", code=2)
    assert len(Table.open(path).history()) == 3


def test_vacuum(atio: Atio, path: Path) -> None:
    Table.open(path).stage({"id": [1], "price": [2.0]})
    (orphan,) = _files(path) - {f for f in _files(path) if not f.startswith("data/")} - _used(path)
    assert "nothing to delete" in atio("vacuum", path).out
    old = time.time() - 3 * 86400
    os.utime(path / orphan, (old, old))
    assert atio("vacuum", path, "--dry-run").lines[0] == orphan
    assert atio("vacuum", path, "--dry-run", "--json").document["files"] == [orphan]
    assert (path / orphan).exists()
    assert "nothing" in atio("vacuum", path, "--older-than", "1w").out
    assert "deleted 1 file" in atio("vacuum", path, "--older-than", "2d").out
    assert not (path / orphan).exists()
    atio("vacuum", path, "--older-than", "2026-01-01", code=2)


def _used(path: Path) -> set[str]:
    table = Table.open(path)
    return {f.path for s in table.history() for f in s.files()}


def test_verify(atio: Atio, path: Path) -> None:
    assert atio("verify", path).out.startswith("intact: 3 versions")
    found = atio("verify", path, "--json").document
    assert (found["ok"], found["deep"], found["versions"], found["problems"]) == (True, True, 3, [])
    name = _damage(path, 3)
    assert atio("verify", path, "--shallow", "--json").document["ok"] is True
    run = atio("verify", path, "--json", code=1)
    (problem,) = run.document["problems"]
    assert problem["file"].endswith(name)
    assert problem["versions"] == [3]
    text = atio("verify", path, code=1).out
    assert name in text
    assert "repair" in text


def test_repair(atio: Atio, path: Path) -> None:
    assert "nothing to repair" in atio("repair", path).out
    _damage(path, 3)
    atio("head", path, code=5)
    plan = atio("repair", path, "--dry-run", "--json").document
    assert (plan["content"], plan["lost"], plan["changed"], plan["dry_run"]) == (2, [3], True, True)
    atio("head", path, code=5)
    assert "would be given up: 1 damaged version (3)" in atio("repair", path, "--dry-run").out
    done = atio("repair", path, "--json").document
    assert {**done, "dry_run": True} == plan
    assert len(atio("head", path, "--json").document["rows"]) == 4
    atio("verify", path)


def test_a_damaged_pointer(atio: Atio, path: Path) -> None:
    (path / "current").write_bytes(b"nonsense")
    run = atio("log", path, "--json", code=5)
    assert run.document["error"]["kind"] == "damaged"
    assert "atio repair" in run.err
    atio("repair", path)
    assert len(atio("log", path, "--json").document["versions"]) == 3


def test_compact(atio: Atio, path: Path) -> None:
    before = _files(path)
    plan = atio("compact", path, "--sort-by", "-id", "--dry-run", "--json").document
    assert _files(path) == before
    assert plan["dry_run"] is True
    assert (plan["version"], plan["made"]) == (None, [])
    assert "would rewrite 1 file, 1 row," in atio("compact", path, "--sort-by", "-id", "--dry-run").out
    table = Table.open(path)
    assert "nothing to compact" in atio("compact", path).out
    table.restore(2)
    table.set_properties({"append.merge": "false"})
    done = atio("compact", path, "--sort-by", "-id,name", "--message", "tidy", "--json").document
    assert done["version"] == 5
    assert table.to_arrow()["id"].to_pylist() == [4, 3, 2, 1]
    assert table.snapshot().message == "tidy"
    table.append(table.to_arrow())
    assert "version 7: rewrote 2 files, 8 rows," in atio("compact", path).out
    assert atio("log", path, "--json").document["versions"][0]["operation"] == "compact"
    assert "version 8" in atio("compact", path, "--zorder-by", "id,name", "--where", "id > 1").out


@pytest.mark.parametrize(
    "extra", [["--sort-by", "nobody"], ["--target-size", "7"], ["--where", "nobody = 1"]]
)
def test_compact_refuses_bad_arguments(atio: Atio, path: Path, extra: list[str]) -> None:
    atio("compact", path, *extra, code=2)
    assert len(Table.open(path).history()) == 3
