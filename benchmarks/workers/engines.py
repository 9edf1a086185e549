"""TPC-H lineitem through atio, and by the same engines on the bare files. Runs in atio's environment."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from atio import Table, col
from benchmarks.workers.atio import Atio
from benchmarks.workers.base import lap, serve

KEPT = 2_000  # of 200,000 part keys: one row in a hundred, anywhere in the table
COLUMNS = ["l_partkey", "l_extendedprice"]
Q1 = """
    select l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice),
        sum(l_extendedprice * (1 - l_discount)), sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)),
        avg(l_quantity), avg(l_extendedprice), avg(l_discount), count(*)
    from t where l_shipdate <= date '1998-09-02' group by all order by all
"""
Q6 = """
    select sum(l_extendedprice * l_discount) from t
    where l_shipdate >= date '1994-01-01' and l_shipdate < date '1995-01-01'
        and l_discount between 0.05 and 0.07 and l_quantity < 24
"""


def q1(frame: pl.LazyFrame) -> pl.LazyFrame:
    price, left = pl.col("l_extendedprice"), 1 - pl.col("l_discount").cast(float)
    return (
        frame.filter(pl.col("l_shipdate") <= date(1998, 9, 2))
        .group_by("l_returnflag", "l_linestatus")
        .agg(
            pl.sum("l_quantity"),
            price.sum(),
            (price.cast(float) * left).sum().alias("discounted"),
            (price.cast(float) * left * (1 + pl.col("l_tax").cast(float))).sum().alias("charge"),
            pl.mean("l_quantity").alias("mean quantity"),
            price.mean().alias("mean price"),
            pl.len(),
        )
        .sort("l_returnflag", "l_linestatus")
    )


def q6(frame: pl.LazyFrame) -> pl.LazyFrame:
    day, discount = pl.col("l_shipdate"), pl.col("l_discount").cast(float)
    return frame.filter(
        (day >= date(1994, 1, 1))
        & (day < date(1995, 1, 1))
        & discount.is_between(0.05 - 1e-9, 0.07 + 1e-9)
        & (pl.col("l_quantity").cast(float) < 24)
    ).select((pl.col("l_extendedprice").cast(float) * discount).sum())


class Engines(Atio):
    name = "engines"

    def do_query(self, root: str, query: str, through: str) -> dict[str, Any]:
        """Open the table, or list its files, and run one query."""
        self.do_release()
        run = getattr(self, through)(Path(root), query)
        seconds, rows = lap(run)
        return {"lap": seconds, "rows": rows}

    def atio(self, root: Path, query: str) -> Callable[[], int]:
        del query
        return lambda: Table.open(root).to_arrow(COLUMNS, where=col("l_partkey") <= KEPT).num_rows

    def frame(self, root: Path, query: str) -> Callable[[], int]:
        del query
        return lambda: Table.open(root).to_polars(COLUMNS, where=col("l_partkey") <= KEPT).height

    def polars(self, root: Path, query: str) -> Callable[[], int]:
        files = sorted(root.glob("data/*.parquet"))
        asked: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
            "Q1": q1,
            "Q6": q6,
            "few": lambda frame: frame.filter(pl.col("l_partkey") <= KEPT).select(COLUMNS),
        }
        return lambda: asked[query](pl.scan_parquet(files)).collect().height

    def lazy(self, root: Path, query: str) -> Callable[[], int]:
        asked = {"Q1": q1, "Q6": q6}
        return lambda: asked[query](Table.open(root).to_lazy()).collect().height

    def duckdb(self, root: Path, query: str) -> Callable[[], int]:
        files = [str(file) for file in sorted(root.glob("data/*.parquet"))]
        text = {"Q1": Q1, "Q6": Q6}[query]

        def run() -> int:
            with duckdb.connect() as connection:
                connection.execute(f"create view t as from read_parquet({files!r})")
                return connection.execute(text).to_arrow_table().num_rows

        return run

    def sql(self, root: Path, query: str) -> Callable[[], int]:
        text = {"Q1": Q1, "Q6": Q6}[query]
        return lambda: Table.open(root).snapshot().sql(text).to_arrow().num_rows


if __name__ == "__main__":
    serve(Engines())
