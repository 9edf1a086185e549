"""Every Python block of the README and the documentation runs."""

import re
from pathlib import Path

import pytest

from atio.writers import registry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, m.start()) + 2, m[1]) for m in found]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.stem)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for known in ("_registered", "_suffixes"):  # what a page registers is not there for other tests
        monkeypatch.setattr(registry, known, dict(getattr(registry, known)))
    names: dict[str, object] = {}
    for line, code in blocks(page):
        padded = "\n" * (line - 1) + code
        exec(compile(padded, str(page), "exec"), names)


def test_the_readme_has_blocks() -> None:
    assert blocks(PAGES[0])
