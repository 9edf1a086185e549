"""Runs all attacks and writes what came of them to docs/reliability.md.

make torture                                 half an hour and more on two processors, as root
ATIO_TORTURE_SHARE=5 make torture            with as many power cuts as the published figures
ATIO_TORTURE_SHARE=0.1 make torture          a part of each attack, without the peers: what CI runs
python -m tests.torture.report FIGURES       from the figures of a run, without a new one
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa

import atio
from benchmarks.peers_env import REQUIREMENTS, ROOT, peers_python
from tests.support.share import SHARE
from tests.torture.mounts import PRIVILEGED

PAGE = ROOT / "docs" / "reliability.md"
MARKED = "slow or torture"
BEGIN, END = "<!-- figures: written by make torture -->", "<!-- end of figures -->"


class Figure(msgspec.Struct, frozen=True):
    """A line of the report: so many cases of one attack, so many of them failed; ``peer`` None is atio."""

    name: str
    tried: int
    failed: int
    peer: str | None = None


def main(arguments: list[str]) -> int:
    if arguments:
        lines, code = Path(arguments[0]).read_text().splitlines(), 0
    else:
        if SHARE >= 1:
            peers_python()  # made once, before the clock runs
        lines, code = attacked()
    figures = total(msgspec.convert(json.loads(line), Figure) for line in lines)
    write(figures)
    for figure in figures:
        sys.stdout.write(f"{figure.peer or 'atio':12} {cell(figure):>20}  {figure.name}\n")
    return code


def attacked() -> tuple[list[str], int]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "figures"
        report.touch()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            str((os.cpu_count() or 1) + 1),
            "--dist",
            "worksteal",
            "-m",
            MARKED,
            "--durations",
            "20",
        ]
        environment = {**os.environ, "ATIO_TORTURE_REPORT": str(report)}
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        return report.read_text().splitlines(), code


def total(figures: Iterable[Figure]) -> list[Figure]:
    """One figure for each attack and library."""
    sums: dict[tuple[str, str | None], tuple[int, int]] = {}
    for figure in figures:
        tried, failed = sums.get((figure.name, figure.peer), (0, 0))
        sums[figure.name, figure.peer] = tried + figure.tried, failed + figure.failed
    order = sorted(sums, key=lambda key: (key[0], key[1] is not None, key[1] or ""))
    return [Figure(name, *sums[name, peer], peer) for name, peer in order]


# -- the page --------------------------------------------------------------------------------------


def write(figures: list[Figure]) -> None:
    head, _, rest = PAGE.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    PAGE.write_text("\n".join([head + BEGIN, "", *page(figures), "", END + tail]))


def page(figures: list[Figure]) -> list[str]:
    ours = {figure.name: figure for figure in figures if figure.peer is None}
    lines = [
        conditions(),
        "",
        "| attack: what counts as a failure | cases | failures |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {name} | {found.tried:,} | {found.failed:,} |" for name, found in ours.items()]
    peers = sorted({figure.peer for figure in figures if figure.peer}, key=str.lower)
    if not peers:
        return lines
    found = {(figure.name, figure.peer): figure for figure in figures}
    names = sorted({figure.name for figure in figures if figure.peer})
    lines += ["", "The same attacks under the peers, as they are shipped: failures of cases.", ""]
    lines += [row(["attack", "atio", *peers]), row(["---", *["---:"] * (len(peers) + 1)])]
    for name in names:
        lines.append(row([name, *(cell(found.get((name, peer))) for peer in (None, *peers))]))
    return lines


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(figure: Figure | None) -> str:
    return "–" if figure is None else f"{figure.failed:,} of {figure.tried:,}"


def conditions() -> str:
    named = r"^(deltalake|pylance|pyiceberg|arcticdb|duckdb|duckdb-extension-ducklake)(?:\[\S*\])?==(\S+)"
    pins = re.findall(named, REQUIREMENTS.read_text(), re.MULTILINE)
    versions = ", ".join(f"{name} {version}" for name, version in pins)
    rights = "" if PRIVILEGED else " Without root: what needs it was left out."
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: atio {atio.__version__}, Python {platform.python_version()}, "
        f"pyarrow {pa.__version__}, {platform.system()} {platform.release().split('-')[0]}, "
        f"{os.cpu_count()} processors; {versions}.{rights}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
