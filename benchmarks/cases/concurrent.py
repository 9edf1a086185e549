"""Six processes append to one table at once: how fast, and is every acknowledged append there once."""

import statistics
from contextlib import ExitStack

from benchmarks.data import ROWS
from benchmarks.harness import Bench, Report, Row, Worker, WorkerError

PROCESSES = 6
APPENDS = 50  # by each process
FEW = 10  # by each process of a slow peer
PEERS = ("lance", "deltalake", "pyiceberg", "arcticdb")  # DuckLake's catalog lets one process in


def run(bench: Bench) -> None:
    with ExitStack() as stack:
        names = ("atio", *(PEERS[:1] if bench.quick else PEERS))
        teams = {name: team for name in names if (team := start(bench, stack, name))}

        def rates_of(names: tuple[str, ...], rounds: int, appends: int) -> dict[str, list[float]]:
            there = [name for name in names if name in teams]
            return bench.interleave(rounds, {n: lambda _, n=n: rate(bench, teams[n], appends) for n in there})

        rates = rates_of(("atio", "lance"), bench.pick(5, 3), APPENDS)
        rates |= rates_of(PEERS[1:], bench.pick(2, 1), FEW)
        medians = {name: statistics.median(values) for name, values in rates.items()}
        for name, value in medians.items():
            bench.report.figure(teams[name][0].name, "commits/s", value)
            bench.report.figure(teams[name][0].name, "syncs an append", teams[name][0].syncs)
        bench.report.rows.append(
            Row(
                f"{PROCESSES} processes appending",
                medians.get("atio"),
                "commits/s",
                "Lance",
                medians.get("lance"),
                2.0,
                "≥",
            ),
        )
        if "atio" in rates:
            with bench.noting("atio"):
                once(bench, teams["atio"], bench.pick(20, 3))


def start(bench: Bench, stack: ExitStack, name: str) -> list[Worker]:
    """Six workers of one subject, or none if one of them cannot start."""
    modules, peers = ((name,), ()) if name == "atio" else ((), (name,))
    found = [stack.enter_context(bench.workers(*modules, peers=peers)) for _ in range(PROCESSES)]
    return [member[name] for member in found] if all(found) else []


def together(team: list[Worker], root: object, appends: int) -> list[dict]:
    """All members append at the same time; an error of one is raised after all have answered."""
    for member, worker in enumerate(team):
        worker.ask("appends", root=root, first=1 + member * appends, count=appends)
    answers, errors = [], []
    for worker in team:
        try:
            answers.append(worker.answer())
        except WorkerError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return answers


def rate(bench: Bench, team: list[Worker], appends: int) -> float:
    """Commits a second from the first start to the last end (one clock for all processes)."""
    root = bench.fresh(team[0].module)
    team[0].call("appends", root=root, first=0, count=1)
    for worker in team:
        worker.call("appends", root=root, first=0, count=0)  # opens the table: not what is measured
    answers = together(team, root, appends)
    count_kept(bench.report, team[0], root, 1 + PROCESSES * appends, sum(a["retries"] for a in answers))
    for worker in team:
        worker.call("release")
    seconds = max(a["end"] for a in answers) - min(a["begin"] for a in answers)
    return PROCESSES * appends / seconds


def count_kept(report: Report, worker: Worker, root: object, appends: int, retries: int) -> None:
    """Add a run to what this subject has kept of the rows it acknowledged."""
    known = report.subjects.setdefault(worker.name, {})
    for column, value in (
        ("rows acknowledged", appends * ROWS),
        ("rows kept", len(set(worker.call("ids", root=root)))),
        ("retries by the caller", retries),
    ):
        known[column] = known.get(column, 0) + value


def once(bench: Bench, team: list[Worker], repeats: int) -> None:
    """Race from the first append (it creates the table); then each id once, each version one append."""
    wrong = 0
    for _ in range(repeats):
        root = bench.fresh("once")
        try:
            together(team, root, APPENDS)
        except WorkerError as error:  # an append that gave up is a failure too
            bench.report.notes.append(f"atio: {error}")
            wrong += 1
            continue
        total = PROCESSES * APPENDS
        ids = sorted(team[0].call("ids", root=root))
        growth = team[0].call("growth", root=root)
        for worker in team:
            worker.call("release")
        exact = ids == list(range(ROWS, (total + 1) * ROWS))
        consecutive = growth == [ROWS * version for version in range(1, total + 1)]
        wrong += not (exact and consecutive)
    what = f"runs of {PROCESSES} x {APPENDS} with a lost, doubled or misnumbered append, of {repeats}"
    bench.report.rows.append(Row(what, wrong, "runs", budget=0))
