"""Running commands inside the test process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from atio import Table
from atio.cli.app import app


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Atio = Callable[..., Run]


@pytest.fixture
def atio() -> Atio:
    """Run a command; ``code`` is the exit code that must come out."""

    def run(*arguments: object, code: int = 0, stdin: str | bytes | None = None) -> Run:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        found = Run(result.exit_code, result.stdout, result.stderr)
        assert found.code == code, (found, result.exc_info)
        assert "Traceback" not in found.err
        if code == 0:
            assert found.err == ""
        return found

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three versions: 2 rows, 4 rows, and another column with 1 row; the first is tagged."""
    path = tmp_path / "t"
    table = Table.open(path, durable=False)
    table.append(pa.table({"id": [1, 2], "name": ["a", None]}), message="first")
    table.append(pa.table({"id": [3, 4], "name": ["b", "c"]}))
    table.overwrite(pa.table({"id": [5], "price": [1.5]}), message="third", token="once")
    table.tag("v1.0", version=1)
    return path
