"""What is drawn and told, and that nobody's logging is touched."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import atio
from atio.writers import progress
from atio.writers.progress import Report, in_bytes, in_time

FRAME = pd.DataFrame({"a": range(10)})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def pieces(count: int = 5) -> Iterator[pa.Table]:
    for _ in range(count):
        yield pa.table({"a": range(10)})


# -- figures -----------------------------------------------------------------------------------------


def test_figures() -> None:
    now = 0.0
    report = Report("x", clock=lambda: now)
    report.measure(lambda: 2_500_000)
    now = 2.0
    assert report.figures() == "2.5 MB, 1.2 MB/s, 2.0 s"
    report.expect(1000)
    report.advance(250)
    assert report.figures() == "250 of 1,000 rows, 125 rows/s, 2.5 MB, 25%, 6.0 s left, 2.0 s"
    report.advance(750)
    now = 100.0
    assert report.figures() == "1,000 of 1,000 rows, 10 rows/s, 2.5 MB, 1:40"
    report.expect(None)
    assert report.figures() == "1,000 rows, 10 rows/s, 2.5 MB, 1:40"


def test_numbers() -> None:
    assert [in_bytes(n) for n in (0, 999, 1000, 1_234_567, 5e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "5,000.0 GB",
    ]
    assert [in_time(s) for s in (0.04, 9.94, 59.9, 60, 3723)] == ["0.0 s", "9.9 s", "0:59", "1:00", "1:02:03"]


def test_a_file_closed_meanwhile_has_no_size() -> None:
    report = Report("x")

    def closed() -> int:
        raise ValueError("closed")

    report.measure(closed)
    assert report.size() is None


def test_rows_are_counted_by_threads() -> None:
    report = Report("x")
    threads = [threading.Thread(target=lambda: [report.advance(1) for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert report.rows == 4000


# -- on a terminal -----------------------------------------------------------------------------------


def test_a_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    atio.write(pa.table({"a": range(10)}), tmp_path / "x.csv", show_progress=True)
    assert "x.csv" in screen.getvalue()
    assert "10 of 10 rows" in screen.getvalue()


def test_the_bar_moves_while_a_library_works(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_BAR_INTERVAL", 0.001)
    drawn = threading.Event()
    report = Report("x", show=True)

    def size() -> int:
        drawn.set()
        return 123_000

    report.measure(size)
    with report:
        assert drawn.wait(10), "drawn by a thread of its own"
    assert threading.active_count() >= 1
    assert not [t for t in threading.enumerate() if t.name == "atio-progress"]


def test_a_bar_of_the_users_own_stays_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console
    from rich.live import Live

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Live("mine", console=Console(file=screen)):
        atio.write(FRAME, tmp_path / "x.csv", show_progress=True)
    assert (tmp_path / "x.csv").exists()


def test_a_failed_write_ends_its_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())

    def rows() -> Iterator[Any]:
        yield {"a": 1}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        atio.write(rows(), tmp_path / "x.csv", show_progress=True)
    assert not [t for t in threading.enumerate() if t.name == "atio-progress"]


# -- elsewhere ---------------------------------------------------------------------------------------


def test_lines_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_INTERVAL", 0.001)
    monkeypatch.setattr(progress._Lines, "interval", 0.001)
    drawn = threading.Event()
    say = progress.say

    def noted(text: str) -> None:
        say(text)
        drawn.set()

    monkeypatch.setattr(progress, "say", noted)

    def slow() -> Iterator[pa.Table]:
        yield pa.table({"a": [1]})
        assert drawn.wait(10)
        yield pa.table({"a": [2]})

    atio.write(slow(), tmp_path / "x.csv", show_progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("[INFO] writing ")
    assert lines[-1].startswith(f"[INFO] wrote {tmp_path}/x.csv: 2 rows")


def test_no_standard_error_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windowed programs have none."""
    monkeypatch.setattr(sys, "stderr", None)
    atio.write(FRAME, tmp_path / "x.csv", show_progress=True, verbose=True)
    assert (tmp_path / "x.csv").exists()


def test_in_a_notebook(tmp_path: Path) -> None:
    """Standard error is no terminal there, and has no descriptor."""
    code = (
        "import io, sys, builtins\n"
        "class OutStream(io.StringIO):\n"
        "    def fileno(self): raise io.UnsupportedOperation\n"
        "sys.stderr = out = OutStream()\n"
        "builtins.get_ipython = lambda: None\n"
        "import atio\n"
        "atio.write([{'a': 1}], 'x.csv', show_progress=True, verbose=True)\n"
        "assert 'wrote x.csv' in out.getvalue(), out.getvalue()\n"
        "assert 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


# -- the user's logging --------------------------------------------------------------------------------


def test_steps_go_through_the_logger(tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys) -> None:
    caplog.set_level(logging.INFO, "atio")
    atio.write(FRAME, tmp_path / "x.csv", verbose=True)
    assert {record.name for record in caplog.records} == {"atio"}
    assert [r.levelname for r in caplog.records] == ["INFO"] * 6
    assert capsys.readouterr().err == "", "not told twice"


def test_nothing_is_told_unasked(tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys) -> None:
    caplog.set_level(logging.DEBUG)
    atio.write(FRAME, tmp_path / "x.csv")
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_a_failure_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(atio.AtioError):
        atio.write(FRAME, tmp_path / "x.csv", verbose=True, no=1)
    assert "File writing failed, the target is as it was: InputError" in capsys.readouterr().err


def test_the_logging_set_up_is_untouched(tmp_path: Path) -> None:
    code = (
        "import logging, atio\n"
        "def state():\n"
        "    return {n: (l.level, list(l.handlers), l.propagate, l.disabled)"
        " for n, l in [('root', logging.root), ('atio', logging.getLogger('atio'))]}\n"
        "before = state()\n"
        "atio.write([{'a': 1}], 'x.csv', show_progress=True, verbose=True)\n"
        "assert state() == before == {'root': (30, [], True, False), 'atio': (0, [], True, False)}\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
