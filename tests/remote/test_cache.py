"""Metadata kept on the local disk: less is asked for, and nothing is believed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from atio import Table
from atio.errors import InputError
from atio.storage.base import Storage
from atio.storage.remote.cache import DiskCache
from tests.remote.proxy import Proxy
from tests.remote.servers import Server
from tests.support.processes import FRESH


def opened(server: Server, folder: str, **options: Any) -> Table:
    return Table.open(server.url(folder), storage_options={**server.storage_options, **options})


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_opening_again(server: Server, proxy: Proxy, folder: str, tmp_path: Path) -> None:
    """The pointer is asked for, and nothing that a process before has seen."""
    near = server.at(proxy.port)
    table = opened(server, folder)
    for number in range(3):
        table.append({"x": [number]})
    table.tag("v1")
    first = opened(near, folder, metadata_cache=str(tmp_path / "cache"))
    assert first.snapshot("v1").schema.names == ["x"]
    proxy.log.clear()
    second = opened(near, folder, metadata_cache=tmp_path / "cache")
    assert second.snapshot("v1").rows == 3
    assert [seen.method for seen in proxy.log.seen if seen.target.partition("?")[0].endswith("current")]
    assert proxy.log.total == 1
    table.append({"x": [3]})
    assert second.to_arrow()["x"].to_pylist() == [0, 1, 2, 3]


def test_who_wants_it(s3: Server, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off unless it is asked for; the option has the last word."""
    opened(s3, folder).append({"x": [1]})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ATIO_METADATA_CACHE", raising=False)
    assert opened(s3, folder).snapshot().schema.names == ["x"]
    assert kept(tmp_path) == []
    monkeypatch.setenv("ATIO_METADATA_CACHE", str(tmp_path / "named"))
    assert opened(s3, folder, metadata_cache=False).snapshot().schema.names == ["x"]
    assert kept(tmp_path) == []
    assert opened(s3, folder).snapshot().schema.names == ["x"]
    assert kept(tmp_path / "named")
    monkeypatch.setenv("ATIO_METADATA_CACHE", "0")
    assert opened(s3, folder, metadata_cache=True).snapshot().schema.names == ["x"]
    assert kept(tmp_path / "home" / "atio" / "metadata")
    with pytest.raises(InputError, match="metadata_cache"):
        opened(s3, folder, metadata_cache=5)


def test_only_metadata_is_kept(s3: Server, folder: str, tmp_path: Path) -> None:
    """No rows: those of a copy neither."""
    opened(s3, folder).append({"x": ["a word of the data"]})
    table = opened(s3, folder, metadata_cache=str(tmp_path / "cache"))
    assert table.to_arrow().num_rows == 1
    table.copy_to(tmp_path / "copy")
    (data,) = (tmp_path / "copy" / "data").iterdir()
    assert all(path.read_bytes() != data.read_bytes() for path in kept(tmp_path / "cache"))
    assert all(
        path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0
        for path in kept(tmp_path / "cache")
    )


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap", "folder"])
def test_damage_does_not_come_out(s3: Server, folder: str, tmp_path: Path, damage: str) -> None:
    """What is not what was written is fetched anew, and put in its place."""
    writer = opened(s3, folder)
    for number in range(4):
        writer.append({f"x{number}": [number]} if not number else {"x0": [number]})
    cache = tmp_path / "cache"
    expected = opened(s3, folder, metadata_cache=str(cache)).to_arrow()
    files = sorted(kept(cache))
    assert files
    good = {path: path.read_bytes() for path in files}
    for path, other in zip(files, files[1:] + files[:1], strict=True):
        data = bytearray(good[path])
        if damage == "folder":
            path.unlink()
            path.mkdir()
            continue
        data[len(data) // 2] ^= 1
        path.write_bytes({"flip": data, "cut": data[:-1], "empty": b"", "swap": good[other]}[damage])
    assert opened(s3, folder, metadata_cache=str(cache)).to_arrow().equals(expected)
    if damage != "folder" and len(files) > 1:
        assert {path: path.read_bytes() for path in files} == good


def test_verify_looks_at_the_table(s3: Server, folder: str, tmp_path: Path) -> None:
    """Damage there is found, whatever is kept here."""
    table = opened(s3, folder, metadata_cache=str(tmp_path / "cache"))
    table.append({"x": [1]})
    assert opened(s3, folder, metadata_cache=str(tmp_path / "cache")).snapshot().schema.names == ["x"]
    storage: Storage = s3.storage(folder)
    storage.delete([entry.path for entry in storage.list("metadata")])
    assert not opened(s3, folder, metadata_cache=str(tmp_path / "cache")).verify().ok


def test_tables_are_told_apart(s3: Server, folder: str, tmp_path: Path) -> None:
    """A copy has the same names and contents; another server may have the same URL."""
    cache = DiskCache(str(tmp_path / "cache"))
    one, two = s3.storage(folder), s3.storage(f"{folder}/other")
    assert one.identity != two.identity
    with Proxy(s3.port) as proxy:
        assert s3.at(proxy.port).storage(folder).identity != one.identity
    cache.put(b"one", one.identity, "metadata/a")
    assert cache.get(two.identity, "metadata/a") is None
    assert cache.get(one.identity, "metadata/a") == b"one"


# -- the folder --------------------------------------------------------------------------------


def test_it_is_bounded(tmp_path: Path) -> None:
    """By bytes and by files; what was not used for longest goes."""
    for bounds in ((100_000, 10**6), (10**9, 100)):
        folder = tmp_path / str(bounds[1])
        cache = DiskCache(str(folder), *bounds)
        old = time.time() - 10**6
        for number in range(400):
            cache.put(bytes(1000), str(number))
            path = Path(cache._path((str(number),)))
            if path.exists():
                os.utime(path, (old + number, old + number))
        assert cache.get("3") is None or cache.get("3") == bytes(1000)
        assert cache.get("350") == bytes(1000)
        cache.sweep()
        sizes = [path.stat().st_size for path in kept(folder)]
        assert 50 <= len(sizes) <= bounds[1]
        assert sum(sizes) <= bounds[0]
        assert cache.get("399") is not None
        assert cache.get("350") is not None, "it was used"
        assert cache.get("300" if bounds[1] == 100 else "200") is None
    cache.put(bytes(17 << 20), "too large")
    assert cache.get("too large") is None


def test_a_cache_that_cannot_be(s3: Server, folder: str, tmp_path: Path) -> None:
    """Is none; one that others may write to is refused."""
    opened(s3, folder).append({"x": [1]})
    (tmp_path / "file").write_bytes(b"")
    assert opened(s3, folder, metadata_cache=str(tmp_path / "file" / "cache")).to_arrow().num_rows == 1
    if os.name == "posix":
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o777)
        with pytest.raises(InputError, match="others may write"):
            opened(s3, folder, metadata_cache=str(tmp_path / "shared"))


def read_and_sweep(server: Server, folder: str, cache: str, seconds: float) -> int:
    """Read versions again and again, through a cache that is always too small."""
    import random

    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        table = opened(server, folder, metadata_cache=cache)
        table._objects.storage._cache = small = DiskCache(cache, 4000, 8)
        version = random.randrange(1, 13)
        assert table.snapshot(version).rows == version
        small.sweep()
        count += 1
    return count


@pytest.mark.skipif(os.name != "posix", reason="kills")
def test_processes_share_it_and_die(s3: Server, folder: str, tmp_path: Path) -> None:
    """At any moment; the others go on, and nothing stays for good."""
    writer = opened(s3, folder)
    for number in range(12):
        writer.append({"x": [number]})
    cache = str(tmp_path / "cache")
    victims = [FRESH.Process(target=read_and_sweep, args=(s3, folder, cache, 60.0)) for _ in range(3)]
    for victim in victims:
        victim.start()
    assert read_and_sweep(s3, folder, cache, 4.0) > 5
    for victim in victims:
        assert victim.is_alive()
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
    assert read_and_sweep(s3, folder, cache, 1.0) > 1
    old = time.time() - 10**5
    for path in kept(tmp_path):
        if path.name.endswith(".tmp"):
            os.utime(path, (old, old))
    DiskCache(cache, 4000, 8).sweep()
    assert not [path for path in kept(tmp_path) if path.name.endswith(".tmp")]
    assert len(kept(tmp_path)) <= 8
