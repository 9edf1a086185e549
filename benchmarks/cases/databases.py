"""A million rows of five columns into a new table of a database, beside pandas' own way with its defaults."""

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.harness import Bench, Row, Worker, median
from tests.databases import servers

BUDGETS = {"PostgreSQL": 5.0, "SQLite": 2.0}  # times faster
SUBJECTS = ("databases:atio", "databases:pandas")


def run(bench: Bench) -> None:
    rows = bench.pick(1_000_000, 200_000)
    with ExitStack() as stack:
        workers = stack.enter_context(bench.workers(*SUBJECTS))
        for database, url in places(bench, stack).items():
            calls = {subject: writing(worker, url, rows) for subject, worker in workers.items()}
            found = bench.interleave(bench.pick(3, 2), calls)
            speeds = []
            for subject in SUBJECTS:
                seconds = median(found, subject)
                speeds.append(seconds and rows / seconds / 1e3)
                if subject in workers:
                    bench.report.figure(workers[subject].name, f"{database} (thousand rows/s)", speeds[-1])
            what, budget = f"{rows:,} rows x 5 columns into {database}", BUDGETS.get(database)
            row = Row(what, speeds[0], "k rows/s", "DataFrame.to_sql", speeds[1], budget, better="≥")
            bench.report.rows.append(row)


def writing(worker: Worker, url: str, rows: int) -> Callable[[int], float]:
    who = "ours" if worker.name.startswith("atio") else "theirs"
    return lambda number: worker.call("table", url=url, name=f"{who}{number}", rows=rows)


def places(bench: Bench, stack: ExitStack) -> dict[str, str]:
    """URLs of fresh databases, durable as they ship; MariaDB where it is installed."""
    folder = bench.fresh("databases").parent
    found = {
        "SQLite": f"sqlite:///{folder}/engine.db",
        "SQLite, by sqlite3": f"{folder}/sqlite3.db",
        "PostgreSQL": stack.enter_context(servers.postgresql(durable=True)),
    }
    if servers.mariadbd() is not None:
        found["MariaDB"] = stack.enter_context(servers.mariadb(durable=True))
    else:
        bench.report.notes.append("MariaDB: not installed")
    return {
        name: url if isinstance(url, str) else url.render_as_string(hide_password=False)
        for name, url in found.items()
    }
