"""The example that ``make demo`` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atio import Table

EXAMPLE = Path(__file__).parents[3] / "examples" / "nycflights.py"


def _run(folder: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("polars")
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        env=environment,
    )


def test_the_tour(tmp_path: Path) -> None:
    run = _run(tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert len(run.stdout.splitlines()) <= 45
    assert max(map(len, run.stdout.splitlines())) <= 100
    for word in (
        "exactly what went in",
        "SchemaError",
        "1.5",
        "as told",
        "every byte",
        "atio log demo_table",
    ):
        assert word in run.stdout
    assert "NOT" not in run.stdout
    table = Table.open(tmp_path / "demo_table")
    assert [s.version for s in table.history()] == [12, 11, 10, 6]
    assert table.snapshot("2013-h1").rows == 166_158
    assert table.snapshot().rows == 336_776


def test_a_folder_of_someone_else_stays(tmp_path: Path) -> None:
    Table.open(tmp_path / "demo_table", durable=False).append({"a": [1]})
    run = _run(tmp_path)
    assert run.returncode == 2
    assert Table.open(tmp_path / "demo_table").to_arrow().to_pydict() == {"a": [1]}
