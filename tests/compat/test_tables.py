"""Tables of every release are read by this one, exactly; and those of later formats are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from atio import Table
from atio.errors import AtioError, ConflictError, ExistsError, NewerFormatError, VersionNotFoundError
from atio.formats.compare import difference
from spec import reference_reader
from tests.compat import make

RELEASES = sorted(path.name for path in make.TABLES.iterdir())


@pytest.fixture(params=RELEASES)
def stored(request: pytest.FixtureRequest) -> Path:
    return make.TABLES / request.param


@pytest.fixture
def copy(stored: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A table to write to: those that are stored stay as they are."""
    return lambda name: Path(shutil.copytree(stored / name, tmp_path / name))


def told(stored: Path) -> Any:
    return json.loads((stored / "history.json").read_text())


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_this_release_has_tables() -> None:
    assert RELEASES, "run python -m tests.compat.make"


def test_every_version_reads_as_it_was_written(stored: Path) -> None:
    table = Table.open(stored / "history")
    before = state(stored / "history")
    expected = told(stored)
    assert make.versions(table) == expected["versions"]
    assert (table.tags, table.properties) == (expected["tags"], expected["properties"])
    assert table.verify().ok
    assert state(stored / "history") == before, "reading wrote something"


def test_versions_are_found_by_time_and_tag(stored: Path) -> None:
    table = Table.open(stored / "history")
    expected = told(stored)
    for name, version in expected["tags"].items():
        assert table.snapshot(name).version == version
    for version in expected["versions"]:
        assert table.snapshot(as_of=datetime.fromisoformat(version["time"])).version == version["version"]
    with pytest.raises(VersionNotFoundError, match="gone"):
        table.snapshot(5)


def test_work_goes_on(copy: Callable[[str], Path], stored: Path) -> None:
    """Appends, replays of old tokens, tags, restores, expiry: as if nothing had been between."""
    expected = told(stored)
    table = Table.open(copy("history"), durable=False)
    newest = expected["versions"][0]
    for token, version in expected["tokens"].items():
        assert table.append(pa.table({"id": [0]}), token=token).version in (version, newest["version"])
    assert table.version == newest["version"], "a token was forgotten"
    made = table.append(pa.table({"id": [1], "word": ["w0"], "late": [None]}))
    assert [repr(row) for row in made.to_arrow().to_pylist()[:-1]] == newest["rows"]
    table.tag("again", move=True)
    table.restore("three")
    table.expire(timedelta(0), keep_last=2)
    table.vacuum(timedelta(0))
    assert table.verify().ok
    assert [repr(r) for r in table.snapshot("ten").to_arrow().to_pylist()] == next(
        v["rows"] for v in expected["versions"] if v["version"] == expected["tags"]["ten"]
    )


def test_changed_rows_and_branches(stored: Path, copy: Callable[[str], Path]) -> None:
    expected = json.loads((stored / "changes.json").read_text())
    assert make.versions(Table.open(stored / "changes")) == expected["versions"]
    for name, versions in expected["branches"].items():
        assert make.versions(Table.open(stored / "changes", branch=name)) == versions
    place = copy("changes")
    table = Table.open(place, durable=False)
    assert table.get(61)["price"] == 1.0
    with pytest.raises(ExistsError):
        table.append(make.sold(61))
    with pytest.raises(AtioError, match="no gifts"):
        table.update({"price": -1.0}, "id = 61")
    rows = {repr(row) for row in table.to_arrow().to_pylist()}
    table.compact()
    assert {repr(row) for row in table.to_arrow().to_pylist()} == rows
    found = reference_reader.read_table(stored / "changes")
    assert sorted(map(repr, found.to_pylist())) == sorted(expected["versions"][0]["rows"])
    with pytest.raises(ConflictError):
        table.merge_branch("kept")
    table.drop_branch("kept")
    table.expire(timedelta(0))
    table.vacuum(timedelta(0))
    assert table.verify().ok


def test_every_type(stored: Path) -> None:
    with pa.OSFile(str(stored / "types.arrow")) as source:
        expected = pa.ipc.open_file(source).read_all()
    assert len(expected.schema) > 50
    assert difference(Table.open(stored / "types").to_arrow(), expected) is None


def test_frames(stored: Path) -> None:
    table = Table.open(stored / "pandas")
    first = table.snapshot(1).to_pandas()
    pd.testing.assert_frame_equal(first, make.frame(), check_exact=True)
    assert first.attrs == make.frame().attrs
    expected = pd.DataFrame({"x": [1.5, 2.5, 3.5]}, index=pd.RangeIndex(10, 25, 5, name="step"))
    pd.testing.assert_frame_equal(table.to_pandas(), expected, check_exact=True)


@pytest.mark.parametrize("format", make.FORMATS)
def test_other_formats(stored: Path, copy: Callable[[str], Path], format: str) -> None:
    expected = pa.concat_tables([make.simple(), make.simple().slice(1)]).unify_dictionaries()
    assert difference(Table.open(stored / format).to_arrow(), expected) is None
    table = Table.open(copy(format), durable=False)
    made = table.append(make.simple())
    assert {file.format for file in made.files()} == {format}
    assert made.rows == 8


def test_the_specification_reads_them(stored: Path) -> None:
    """By its words alone."""
    found = reference_reader.read_table(stored / "history")
    assert difference(found, Table.open(stored / "history").to_arrow()) is None


# -- later formats ---------------------------------------------------------------------------------


def test_a_table_of_a_newer_format_is_refused(copy: Callable[[str], Path]) -> None:
    """Whatever is asked of it: with both versions and the way out, and nothing is touched."""
    place = copy("newer")
    before = state(place)
    table = Table.open(place)
    frame = pa.table({"id": [1]})
    for call in (
        table.snapshot, table.history, table.to_arrow, table.repair,
        lambda: table.tags, lambda: table.properties, lambda: table.version, lambda: table.schema,
        partial(table.append, frame), partial(table.overwrite, frame), partial(table.tag, "x"),
        partial(table.restore, 1), partial(table.expire, timedelta(0)), partial(table.vacuum, timedelta(0)),
        partial(table.set_properties, {"user.a": "b"}), partial(Table.create, place, frame.schema),
    ):  # fmt: skip
        with pytest.raises(NewerFormatError, match=r"format version 2; this atio reads up to 1\b") as caught:
            call()
        assert "upgrade" in str(caught.value)
        assert str(place) in str(caught.value)
    (problem,) = table.verify().problems
    assert (problem.file, "format version 2" in problem.error) == ("current", True)
    assert Table.exists(place)
    assert {name: data for name, data in state(place).items() if name != ".lock"} == before
