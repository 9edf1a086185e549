"""The rule for paths, as text."""

from __future__ import annotations

import pytest

from atio.model.paths import check_path
from atio.storage.conformance import BAD_PATHS, NAMES


@pytest.mark.parametrize("path", [*NAMES, "...", "..a", "a..", "a/..b/c", "~", "-", "a\nb", "x" * 5000])
def test_good(path: str) -> None:
    """What cannot leave the table is returned as it came."""
    assert check_path(path) is path


@pytest.mark.parametrize("path", BAD_PATHS)
def test_bad(path: str) -> None:
    """The message shows the path, escaped so that it can be printed anywhere."""
    with pytest.raises(ValueError, match="path") as caught:
        check_path(path)
    text = str(caught.value)
    assert text.encode().isascii()
    assert not path or repr(path) in text
