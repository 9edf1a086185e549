"""The writing process is killed: the table is as it was, at once, and the next write goes through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from atio.writers.sql import write_table
from tests.databases.conftest import ALL, make
from tests.databases.places import MariadbPlace, Place, ServerPlace

ROOT = Path(__file__).parents[2]
MODES = ["fail", "replace", "append", "delete_rows", "upsert"]
OLD = pa.table({"id": [1, 2, 3], "name": ["one", "two", "three"]})


def text(place: Place) -> str:
    url = isinstance(place, ServerPlace)
    return place.url.render_as_string(hide_password=False) if url else str(place.con)


@pytest.mark.parametrize("kind", ALL)
def test_sigkill(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    places: dict[str, Place] = {}
    for mode in MODES:
        folder = tmp_path / mode
        folder.mkdir()
        places[mode] = place = make(kind, request, folder)
        write_table(OLD, "t", place.con, key="id")
    before = {mode: place.state("t") for mode, place in places.items()}
    for place in places.values():
        place.close()  # another process is to have it
    arguments = [word for mode, place in places.items() for word in (text(place), mode)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.databases.victim", *arguments], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    finally:
        process.kill()
        process.communicate()
    for mode, place in places.items():
        if isinstance(place, MariadbPlace):  # what it was filling stays unseen, for the next write to remove
            assert all(name == "t" or name.startswith("_atio_") for name in place.tables())
            while place.writers():
                pass  # the server is about to notice
            write_table(OLD, "other", place.con)
            place.sql("DROP TABLE other")
        assert place.state("t") == before[mode], mode
        write_table(OLD, "t", place.con, if_exists="replace", key="id")
        assert place.rows("t") == before[mode][2]
