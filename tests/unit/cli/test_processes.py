"""What only a process of its own shows: start-up, pipes, signals, clean standard error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atio import Table

COMMAND = [sys.executable, "-W", "error", "-m", "atio"]


def _run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, **options
    )  # type: ignore[call-overload, no-any-return]


def test_the_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from atio.cli import main\n"
        "sys.argv = ['atio', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print([m for m in ('pyarrow', 'pandas', 'polars', 'numpy', 'atio.table') if m in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]"


def test_codes_and_streams(path: Path) -> None:
    run = _run("log", path, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    assert len(json.loads(run.stdout)["versions"]) == 3
    run = _run("show", path / "missing")
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr.startswith("atio: there is no table")


def test_an_encoding_that_cannot_say_it_all(tmp_path: Path) -> None:
    Table.open(tmp_path / "t", durable=False).append({"이름": ["é😀"]}, message="한국어")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    run = _run("head", tmp_path / "t", "--json", env=environment)
    assert json.loads(run.stdout)["rows"] == [{"이름": "é😀"}]
    run = _run("log", tmp_path / "t", env=environment)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
@pytest.mark.parametrize(
    "arguments",
    [["export", "-", "--format", "jsonl"], ["export", "-", "--format", "csv"], ["head", "-n", "9999"]],
)
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    Table.open(tmp_path / "t", durable=False).append({"text": ["x" * 50] * 10_000})
    name, *rest = arguments
    process = subprocess.Popen(
        [*COMMAND, name, str(tmp_path / "t"), *rest], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_a_full_disk_behind_standard_output(path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [*COMMAND, "log", str(path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert run.returncode == 7
    assert "standard output" in run.stderr
    assert len(run.stderr.splitlines()) <= 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def test_an_interrupted_import_leaves_no_version(path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "import", str(path), "-", "--input-format", "jsonl"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stderr is not None
        # Two blocks of text: when both are taken, the import is in the middle of its work.
        process.stdin.write(b'{"id":1}\n' * (2**21 + 2**19))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        assert process.stderr.read() == b"atio: interrupted\n"
    assert process.returncode == 130
    assert Table.open(path).version == 3
