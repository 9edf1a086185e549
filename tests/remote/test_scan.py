"""Reading data files that are elsewhere: few requests, many at once, and every byte verified."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from atio import Table, col
from atio.errors import DamagedError
from atio.storage.remote.objects import ObjectStorage
from tests.remote.proxy import Proxy
from tests.remote.servers import Server
from tests.remote.test_requests import meet

ROWS = 60_000
GROUP = 15_000


def rows() -> pa.Table:
    """Some MB that do not compress: a number, values, a nested column."""
    rng = np.random.default_rng(5)
    values = pa.array(rng.random(ROWS))
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(0, 2 * ROWS + 1, 2), pa.int32()), rng.random(2 * ROWS)
    )
    return pa.table({"n": np.arange(ROWS), "v": values, "w": rng.random(ROWS), "l": lists})


@pytest.fixture
def large(storage: ObjectStorage, proxy: Proxy) -> Table:
    """A table of one data file of four row groups, opened and looked at."""
    table = Table.create(storage, properties={"parquet.row_group_rows": str(GROUP)})
    table.append(rows())
    (file,) = table.snapshot().files()
    assert file.footer is not None
    proxy.log.clear()
    return table


def test_many_small_files(storage: ObjectStorage, proxy: Proxy) -> None:
    """As many requests as files, all at once; no footer is fetched by itself."""
    table = Table.create(storage)
    expected = []
    for number in range(6):
        table.append({"a": list(range(number * 100, number * 100 + 100))})
        expected += range(number * 100, number * 100 + 100)
    snapshot = Table(storage).snapshot()
    files = list(snapshot.files())
    assert len(files) > 2
    ways: list[Callable[[], pa.Table]] = [
        snapshot.to_arrow,
        lambda: pa.Table.from_batches(snapshot.to_batches()),
        lambda: snapshot.to_arrow(where=col("a") >= 0),
    ]
    for read in ways:
        read()  # the schema is kept
        proxy.log.clear()
        proxy.before = meet(len(files))
        assert read()["a"].to_pylist() == expected
        assert (proxy.log.total, proxy.log.depth) == (len(files), 1)
        proxy.before = lambda _: None
    proxy.log.clear()
    assert snapshot.to_arrow(where=col("a") < 100).num_rows == 100
    assert proxy.log.total <= 1, "statistics are in the metadata"


def test_explaining(storage: ObjectStorage, proxy: Proxy) -> None:
    """Footers are looked at, all at once."""
    table = Table.create(storage, properties={"append.merge": "false"})
    for number in range(6):
        table.append({"a": list(range(number * 100, number * 100 + 100))})
    scan = table.snapshot().scan(where=col("a") >= 200)
    proxy.log.clear()
    proxy.before = meet(4)
    found = scan.explain()
    assert (proxy.log.total, proxy.log.depth) == (4, 1)
    assert (found.files, found.files_skipped, found.row_groups, found.rows) == (4, 2, 4, 400)


def test_a_large_file(large: Table, proxy: Proxy) -> None:
    """Its footer, whose size is known, and then all row groups at once."""
    snapshot = large.snapshot()
    proxy.log.clear()
    proxy.before = meet(4, first=1)
    assert snapshot.to_arrow().equals(rows())
    assert (proxy.log.total, proxy.log.depth) == (5, 2)


def test_some_columns(large: Table, proxy: Proxy) -> None:
    """Only what is asked for is fetched, wherever it lies."""
    snapshot = large.snapshot()
    for names in (["v"], ["l", "n"], ["w", "n"]):
        proxy.log.clear()
        assert snapshot.to_arrow(columns=names).equals(rows().select(names))
        assert proxy.log.total <= 1 + 4 * 2


def test_where(large: Table, proxy: Proxy) -> None:
    """Of row groups in which nothing can match nothing is fetched."""
    snapshot = large.snapshot()
    proxy.log.clear()
    found = snapshot.to_arrow(where=col("n") == 33_333)
    assert found.equals(rows().slice(33_333, 1))
    assert proxy.log.total <= 4
    assert snapshot.to_arrow(where=col("v") > 2).num_rows == 0


def test_batches_and_limits(large: Table, proxy: Proxy) -> None:
    snapshot = large.snapshot()
    assert pa.Table.from_batches(snapshot.to_batches(rows=7_000)).equals(rows())
    assert snapshot.to_arrow(limit=12_345).equals(rows().slice(0, 12_345))
    proxy.log.clear()
    first = next(iter(snapshot.to_batches(rows=1000)))
    assert first.num_rows == 1000
    assert proxy.log.total <= 4, "one row group and the next"
    assert snapshot.to_polars()["n"].to_list() == list(range(ROWS))
    assert snapshot.to_lazy().select("v").collect().height == ROWS


@pytest.mark.parametrize("where", ["first", "middle", "footer", "short", "long", "missing"])
def test_damage_is_noticed(large: Table, server: Server, folder: str, where: str) -> None:
    """By whoever reads that part, however it is read."""
    (file,) = large.snapshot().files()
    direct = server.storage(folder)
    data = bytearray(direct.read(file.path))
    if where == "missing":
        direct.delete([file.path])
    else:
        place = {"first": 1000, "middle": len(data) // 2, "footer": len(data) - 100}.get(where)
        if place is not None:
            data[place] ^= 1
        sink = direct.replacement(file.path)
        sink.write({"short": data[:-1], "long": data + b"x"}.get(where, data))
        sink.close()
    snapshot = large.snapshot()
    with pytest.raises(DamagedError, match=file.path):
        snapshot.to_arrow()
    with pytest.raises(DamagedError, match=file.path):
        for _ in snapshot.to_batches():
            pass
    with pytest.raises((DamagedError, pl.exceptions.ComputeError), match=file.path):
        snapshot.to_polars()
    if where == "middle":
        assert snapshot.to_arrow(where=col("n") < 10).num_rows == 10


def test_polars_decodes_it(large: Table, proxy: Proxy) -> None:
    """What was fetched and verified; whatever is selected, the rows are those of Arrow."""
    snapshot = large.snapshot()
    expected = pl.from_arrow(rows())
    assert snapshot.to_polars().equals(expected)
    proxy.log.clear()
    assert snapshot.to_lazy().collect().equals(expected)
    assert proxy.log.total <= 3
    proxy.log.clear()
    assert snapshot.to_lazy().select("v", "n").collect().equals(expected.select("v", "n"))
    assert proxy.log.total <= 3 + 4 * 2
    late = pl.col("n") > 39_000
    assert snapshot.to_lazy().filter(late).collect().equals(expected.filter(late))
    assert snapshot.to_lazy().head(5).collect().equals(expected.head(5))
    assert snapshot.to_lazy().select(pl.len()).collect().item() == ROWS
