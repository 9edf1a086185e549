"""The matrix of types, through real tables."""

from pathlib import Path

import pytest

from tests.fidelity import check
from tests.fidelity.__main__ import render
from tests.fidelity.cases import ARROW_CASES, PANDAS_CASES, POLARS_CASES

# What Parquet cannot hold is refused, by name, before anything is written.
REFUSED_ARROW = {name for name in ARROW_CASES if "union" in name} | {"dictionary_struct"}
REFUSED_PANDAS = {"categoricals_interval"}


@pytest.mark.parametrize("name", ARROW_CASES)
def test_arrow(name: str, tmp_path: Path) -> None:
    result = check.arrow(ARROW_CASES[name](), tmp_path / "t")
    assert result.startswith(check.REFUSED) if name in REFUSED_ARROW else result == check.EXACT


@pytest.mark.parametrize("name", PANDAS_CASES)
def test_pandas(name: str, tmp_path: Path) -> None:
    result = check.pandas(PANDAS_CASES[name](), tmp_path / "t")
    assert result.startswith(check.REFUSED) if name in REFUSED_PANDAS else result == check.EXACT


@pytest.mark.parametrize("name", POLARS_CASES)
def test_polars(name: str, tmp_path: Path) -> None:
    assert check.polars(POLARS_CASES[name](), tmp_path / "t") == check.EXACT


def test_the_documented_matrix_is_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "fidelity.md"
    assert page.read_text(encoding="utf-8") == render(), "run `make matrix > docs/fidelity.md`"
