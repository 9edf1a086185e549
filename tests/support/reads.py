"""What is decoded of Parquet files that are read in part."""

from __future__ import annotations

from typing import Any

import pytest

from atio.formats.parquet.read import FileParts


def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[int]]]:
    """A list that will have the columns and the row groups of each reading, from now on."""
    found: list[tuple[list[str], list[int]]] = []

    def note(name: str) -> None:
        real = getattr(FileParts, name)

        def reading(parts: FileParts, columns: Any, groups: Any, *rest: Any, **how: Any) -> Any:
            found.append((list(columns), [groups] if isinstance(groups, int) else list(groups)))
            return real(parts, columns, groups, *rest, **how)

        monkeypatch.setattr(FileParts, name, reading)

    for name in ("read", "each", "picked", "head"):
        note(name)
    return found
