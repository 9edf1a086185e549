"""From a path or URL to a storage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atio.errors import InputError, UnsupportedError
from atio.storage import LocalStorage, MemoryStorage, open_storage


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, Path and ``~`` all name local folders; nothing is made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in (str(tmp_path / "t"), tmp_path / "t", "t", Path("t"), "./t", "~/t", Path("~/t"), "x/../t"):
        storage = open_storage(name)
        assert isinstance(storage, LocalStorage)
        assert storage.url == str(tmp_path / "t")
        assert storage.capabilities.durable
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX paths")
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///tmp/t", "/tmp/t"),
        ("file://localhost/tmp/t", "/tmp/t"),
        ("FILE:///tmp/with%20space%23", "/tmp/with space#"),
        ("file:///tmp/ä?x#y", "/tmp/ä?x#y"),
    ],
)
def test_file_urls(url: str, path: str) -> None:
    """Percent signs are decoded, nothing else is cut off."""
    assert open_storage(url).url == path


@pytest.mark.parametrize(
    "url", ["file://server/share", "file://tmp", "file://", "memory://", "", "file:///nul%00"]
)
def test_urls_of_nothing(url: str) -> None:
    """A URL that names no place here says what to write instead."""
    with pytest.raises(InputError):
        open_storage(url)


@pytest.mark.parametrize("url", ["s4://bucket/t", "x+y://z", "sqlite:///t"])
def test_unsupported_urls(url: str) -> None:
    """Nothing is guessed: no folder called ``s4:`` is made."""
    with pytest.raises(UnsupportedError, match=r"file://.*memory://"):
        open_storage(url)


@pytest.mark.parametrize("url", [Path("s4://bucket/t"), "s4:/bucket/t", "file:/tmp/t"])
def test_urls_that_lost_a_slash(url: str | Path) -> None:
    """``Path`` swallows a slash; the folder ``s4:`` would be a surprise."""
    with pytest.raises(UnsupportedError, match="lost a slash"):
        open_storage(url)


def test_colons_that_are_no_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive of Windows, or a colon somewhere, is a path."""
    monkeypatch.chdir(tmp_path)
    for name in ("C:/t", "a:b", "./s4:/x", "2026-01-01T00:00/t"):
        assert isinstance(open_storage(name), LocalStorage)


def test_memory() -> None:
    """One name, one place, for as long as the process lives."""
    try:
        open_storage("memory://test-open/a").create("x", b"content")
        other = open_storage("memory://test-open/a")
        assert other.read("x") == b"content"
        assert list(open_storage("memory://test-open/b").list()) == []
        assert not other.capabilities.durable
        MemoryStorage.forget("test-open/a")
        assert list(open_storage("memory://test-open/a").list()) == []
    finally:
        MemoryStorage.forget("test-open/a")
        MemoryStorage.forget("test-open/b")


def test_a_storage_passes_through() -> None:
    """What is a storage already is taken as it is."""
    storage = MemoryStorage()
    assert open_storage(storage) is storage


def test_durability_is_passed_on(tmp_path: Path) -> None:
    """By paths and by file URLs."""
    assert not open_storage(tmp_path, durable=False).capabilities.durable
    assert not open_storage(tmp_path.as_uri(), durable=False).capabilities.durable


def test_pytest_is_not_imported() -> None:
    """The conformance suite costs nothing to those who do not use it."""
    code = "import sys, atio.storage; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
