"""TPC-H lineitem through atio, and through the same engines on the same files without atio."""

from pathlib import Path

from benchmarks.harness import Bench, Row, Worker, median

QUERIES = [
    ("few", "frame", "polars", "2 of 16 columns, 1 % of the rows", "Polars, same files", 1.0),
    ("few", "atio", "polars", "the same to Arrow, by Arrow's decoder", "Polars, same files", None),
    ("Q1", "lazy", "polars", "Q1 through to_lazy()", "Polars, same files", 1.05),
    ("Q6", "lazy", "polars", "Q6 through to_lazy()", "Polars, same files", 1.05),
    ("Q1", "sql", "duckdb", "Q1 through sql()", "DuckDB, same files", 1.05),
    ("Q6", "sql", "duckdb", "Q6 through sql()", "DuckDB, same files", 1.05),
]


def run(bench: Bench) -> None:
    source = bench.lineitem(0.2 if bench.quick else 1)
    with bench.workers("engines") as workers:
        if "engines" not in workers:
            return
        worker, root = workers["engines"], bench.fresh("queries")
        worker.call("write", root=root, source=source)
        for query, ours, other, what, against, budget in QUERIES:
            laps = {
                through: lambda _, q=query, through=through: lap(worker, root, q, through)
                for through in (ours, other)
            }
            bench.interleave(2, laps)  # first ones: what engines read themselves is hashed once a process
            found = bench.interleave(bench.pick(21, 7), laps)
            seconds = (median(found, ours), median(found, other))
            bench.report.rows.append(Row(what, seconds[0], "s", against, seconds[1], budget))


def lap(worker: Worker, root: Path, query: str, through: str) -> float:
    result = worker.call("query", root=root, query=query, through=through)
    if not result["rows"]:
        raise AssertionError(f"{query} through {through} found nothing")
    return result["lap"]
