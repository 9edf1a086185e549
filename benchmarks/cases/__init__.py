"""One benchmark a module, each a function `run(bench)` that fills the bench's report; all are in CASES."""

from collections.abc import Callable

from benchmarks.cases import (
    append,
    buckets,
    bulk,
    concurrent,
    databases,
    expire,
    integrity,
    leaks,
    startup,
    store,
    tiny_reads,
    writers,
)
from benchmarks.harness import Bench

# `lookup` (a point lookup on a sorted table of 60 files, beside DuckLake) and `upsert` (beside Lance) come
# when the table can do them.
CASES: dict[str, Callable[[Bench], None]] = {
    "append": append.run,
    "tiny_reads": tiny_reads.run,
    "buckets": buckets.run,
    "bulk": bulk.run,
    "concurrent": concurrent.run,
    "databases": databases.run,
    "expire": expire.run,
    "integrity": integrity.run,
    "leaks": leaks.run,
    "startup": startup.run,
    "store": store.run,
    "writers": writers.run,
}
