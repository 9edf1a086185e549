"""The functions of atio 2 on the new table, with the programs of their documents."""

import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import atio
from atio.compat import check_success
from atio.errors import DamagedError, InputError, NotFoundError


def test_the_documented_workflow(tmp_path: Path) -> None:
    path = tmp_path / "daily_data"
    df1 = pd.DataFrame({"date": ["2024-01-01"], "value": [100]})
    atio.write_snapshot(df1, path, mode="overwrite")
    df2 = pd.DataFrame({"date": ["2024-01-02"], "value": [150]})
    atio.write_snapshot(df2, path, mode="append")
    pd.testing.assert_frame_equal(atio.read_table(path), pd.concat([df1, df2], ignore_index=True))
    pd.testing.assert_frame_equal(atio.read_table(path, version=1, output_as="pandas"), df1)
    assert atio.read_table(path, output_as="polars").equals(
        pl.concat([pl.from_pandas(df1), pl.from_pandas(df2)])
    )
    assert atio.read_table(path, output_as="arrow").num_rows == 2
    assert atio.expire_snapshots(path, keep_for=timedelta(days=30)).versions == ()
    planned = atio.expire_snapshots(path, keep_for=timedelta(0))
    assert planned.dry_run
    assert planned.versions == (1,)
    assert atio.expire_snapshots(path, keep_for=timedelta(0), dry_run=False).files == planned.files
    # The seed deleted the current version too when it was older than keep_for.
    assert len(atio.read_table(path)) == 2


def test_two_snapshots_of_one_instant_have_different_ids(tmp_path: Path) -> None:
    made = [atio.write_snapshot(pd.DataFrame({"a": [i]}), tmp_path / "t") for i in range(5)]
    assert len({s.id for s in made}) == len({s.time for s in made}) == 5


def test_the_marker_vouches_for_a_version(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with pytest.raises(NotFoundError):
        check_success(path)
    atio.Table.open(path).append({"a": [0]})
    with pytest.raises(NotFoundError):
        check_success(path)
    second = atio.write_snapshot({"a": [1]}, path, mode="append")
    assert check_success(path) == second
    with pytest.raises(atio.AtioError):
        atio.write_snapshot({"a": ["x"]}, path, mode="append")
    assert check_success(path) == second
    marker = json.loads((path / "_SUCCESS").read_text())
    (path / "_SUCCESS").write_text(json.dumps({**marker, "id": "0" * 24}))
    with pytest.raises(DamagedError, match="another version"):
        check_success(path)
    (path / "_SUCCESS").write_text("{")
    with pytest.raises(DamagedError, match="cannot be read"):
        check_success(path)


def test_formats_and_bad_arguments(tmp_path: Path) -> None:
    path = tmp_path / "t"
    atio.write_snapshot({"a": [1]}, path, format="csv")
    atio.write_snapshot({"a": [2]}, path, mode="append", format="parquet")
    assert atio.read_table(path)["a"].tolist() == [1, 2]
    with pytest.raises(InputError, match="mode"):
        atio.write_snapshot({"a": [1]}, path, mode="upsert")
    with pytest.raises(InputError, match="output_as"):
        atio.read_table(path, output_as="numpy")
    with pytest.raises(NotFoundError):
        atio.read_table(tmp_path / "nothing")
