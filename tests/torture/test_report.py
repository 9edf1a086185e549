"""The page of figures: sums, and the peers beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import report
from tests.torture.conftest import Figure


def test_figures_of_many_processes_become_a_page(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    torture_figure: Figure,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page, figures = tmp_path / "reliability.md", tmp_path / "figures"
    page.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nThe end.\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setenv("ATIO_TORTURE_REPORT", str(figures))
    torture_figure("cut", 1000, 0)
    torture_figure("cut", 500, 0)
    torture_figure("cut", 20, 7, "Lance")
    torture_figure("flip", 10, 1)
    for _ in range(2):  # Written again, it is the same.
        assert report.main([str(figures)]) == 0
        text = page.read_text()
        assert text.startswith("# Title\n")
        assert text.endswith("\n\nThe end.\n")
        assert "old" not in text
        assert "| cut | 1,500 | 0 |" in text
        assert "| flip | 10 | 1 |" in text
        assert "| cut | 0 of 1,500 | 7 of 20 |" in text
        assert text.count("| flip ") == 1, "no peer was attacked so"
    assert "7 of 20" in capsys.readouterr().out


def test_the_page_has_its_place() -> None:
    text = report.PAGE.read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1
