"""Every line about files in the documents of atio 2: its tables, its examples, its printed steps."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import atio


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def df() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": ["Alice", "Bob", "Charlie"],
            "age": [25, 30, 35],
            "city": ["Seoul", "Busan", "Incheon"],
        }
    )


def test_parameters_and_defaults() -> None:
    found = list(inspect.signature(atio.write).parameters.values())[:5]
    assert [(p.name, p.default) for p in found] == [
        ("obj", inspect.Parameter.empty),
        ("target_path", None),
        ("format", None),
        ("show_progress", False),
        ("verbose", False),
    ]


def test_basic_file_writing(df: pd.DataFrame) -> None:
    atio.write(df, "users.parquet", format="parquet")
    atio.write(df, "users.csv", format="csv", index=False)
    atio.write(df, "users.xlsx", format="excel", sheet_name="Users")
    assert pd.read_parquet("users.parquet").equals(df)
    assert pd.read_csv("users.csv").equals(df)
    assert pd.read_excel("users.xlsx", sheet_name="Users", index_col=0).equals(df)


def test_various_formats() -> None:
    df = pd.DataFrame(
        {
            "id": range(1000),
            "value": np.random.default_rng(1).standard_normal(1000),
            "category": np.random.default_rng(2).choice(["A", "B", "C"], 1000),
        }
    )
    atio.write(df, "data.csv", format="csv", index=False)
    atio.write(df, "data.parquet", format="parquet")
    atio.write(df, "data.xlsx", format="excel", sheet_name="Sheet1")
    atio.write(df, "data.json", format="json", orient="records")
    assert pd.read_csv("data.csv").equals(df)
    assert pd.read_parquet("data.parquet").equals(df)
    assert len(pd.read_excel("data.xlsx")) == 1000
    assert Path("data.json").read_text() == df.to_json(orient="records")


@pytest.mark.parametrize(
    "obj",
    [pd.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}), np.array([[1]])],
    ids=["pandas", "polars", "numpy"],
)
@pytest.mark.parametrize(
    ("name", "format"),
    [("data.csv", "csv"), ("data.parquet", "parquet"), ("data.xlsx", "excel"), ("data.json", "json")],
)
def test_the_table_of_formats(obj: Any, name: str, format: str) -> None:
    atio.write(obj, name, format=format)
    assert Path(name).stat().st_size


def test_progress_and_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    large_df = pd.DataFrame({"id": range(100_000), "value": np.zeros(100_000)})
    atio.write(large_df, "large_data.parquet", format="parquet", show_progress=True, verbose=True)
    atio.write(large_df, "big_data.parquet", format="parquet", show_progress=True)
    assert "wrote big_data.parquet: 100,000" in capsys.readouterr().err


def test_polars(df: pd.DataFrame) -> None:
    polars_df = pl.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]})
    atio.write(polars_df, "data.parquet", format="parquet")
    assert pl.read_parquet("data.parquet").equals(polars_df)


def test_the_steps_of_verbose(df: pd.DataFrame, capsys: pytest.CaptureFixture[str], here: Path) -> None:
    atio.write(df, "data.parquet", format="parquet", verbose=True)
    lines = capsys.readouterr().err.splitlines()
    steps = [
        rf"\[INFO\] Temporary directory: {here}",
        rf"\[INFO\] Temporary file path: {here}/\.data\.parquet\.0\.atio\.tmp",
        r"\[INFO\] Writer to use: to_parquet \(format: parquet\)",
        r"\[INFO\] Encoded 3 rows, [\d.]+ kB \(\d+\.\d{4}s\)",
        r"\[INFO\] Synced, and moved to its place: data\.parquet \(\d+\.\d{4}s\)",
        r"\[INFO\] File writing completed \(total time: \d+\.\d{4}s\)",
    ]
    assert len(lines) == len(steps)
    for line, step in zip(lines, steps, strict=True):
        assert re.fullmatch(step, line), line
