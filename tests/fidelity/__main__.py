"""Print the matrix of types that come back exactly: ``python -m tests.fidelity``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fidelity import check
from tests.fidelity.cases import ARROW_CASES, PANDAS_CASES, POLARS_CASES

HEAD = """# Types that come back

Each case is written to a table, read back and compared: types, values to the last bit, names, index,
categories,
zones, metadata. Then it is appended in two parts, and compared again. `make matrix` prints this page.
"""


def render() -> str:
    parts = [HEAD]
    for title, cases, run in (
        ("Arrow", ARROW_CASES, check.arrow),
        ("pandas", PANDAS_CASES, check.pandas),
        ("Polars", POLARS_CASES, check.polars),
    ):
        results = {name: _result(make, run) for name, make in cases.items()}
        exact = sum(result == check.EXACT for result in results.values())
        parts.append(f"## {title}: {exact} of {len(results)} exact\n\n| case | result |\n| --- | --- |")
        parts.append("\n".join(f"| {name} | {result} |" for name, result in results.items()) + "\n")
    return "\n".join(parts)


def _result(make: Callable[[], Any], run: Callable[[Any, Path], str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return run(make(), Path(folder) / "t")
        except AssertionError:
            return "differs"


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201
