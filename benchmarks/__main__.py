"""Run the benchmarks: ``python -m benchmarks [NAME …] [--quick] [--json FILE] [--no-peers]``."""

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES
from benchmarks.harness import Bench, Report, Row, workplace
from benchmarks.peers_env import peers_python

console = Console(width=None if sys.stdout.isatty() else 140)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument(
        "--quick", action="store_true", help="fewer repeats and less data; under four minutes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure here")
    parser.add_argument("--no-peers", action="store_true", help="atio and its floors only")
    options = parser.parse_args()
    if unknown := set(options.names) - set(CASES):
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")

    peers = None if options.no_peers else peers_python()
    reports = []
    with workplace() as folder:
        bench = Bench(folder, options.quick, peers, Report(""))
        for name in options.names or CASES:
            bench.report = Report(name)
            start = time.perf_counter()
            CASES[name](bench)
            reports.append(bench.report)
            show(bench.report, time.perf_counter() - start)
    kept = [row.kept for report in reports for row in report.rows if row.budget is not None]
    console.print(f"{kept.count(True)} of {len(kept)} budgets kept")
    if options.json:
        machine = {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        }
        found = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": options.quick,
            "machine": machine,
        }
        found["reports"] = [report.as_json() for report in reports]
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def show(report: Report, seconds: float) -> None:
    console.rule(f"{report.name}  ({seconds:.0f} s)", align="left")
    table = Table("what", "atio", "beside", "its figure", "ratio", "budget", "", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for row in report.rows:
        table.add_row(*cells(row))
    console.print(table)
    if report.subjects:
        columns = list(dict.fromkeys(column for figures in report.subjects.values() for column in figures))
        beside = Table("", *columns, box=None, pad_edge=False)
        for column in beside.columns[1:]:
            column.justify = "right"
        for subject, figures in report.subjects.items():
            beside.add_row(subject, *(number(figures.get(column)) for column in columns))
        console.print()
        console.print(beside)
    for note in dict.fromkeys(report.notes):
        console.print(f"not measured: {note}", style="yellow", markup=False)


def cells(row: Row) -> list[str]:
    unit = f" {row.unit}" if row.unit else ""
    mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[row.kept]
    measured, budget = "", ""
    if row.against and row.measured is not None:
        measured = f"+{number(row.measured)}{unit}" if row.by == "difference" else f"{row.measured:.2f} x"
    if row.budget is not None:
        of = " x" if row.against and row.by == "ratio" else unit
        budget = f"{row.better} {row.budget:g}{of}"
    other = number(row.other) + unit if row.against else ""
    return [row.what, number(row.atio) + unit, row.against or "", other, measured, budget, mark]


def number(value: float | str | None) -> str:
    """Three figures, thousands set apart."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
