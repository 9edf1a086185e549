"""One benchmark a module, each a function `run(bench)` that fills the bench's report; all are in CASES."""

from collections.abc import Callable

from benchmarks.cases import (
    append,
    buckets,
    bulk,
    changes,
    compaction,
    concurrent,
    databases,
    evolve,
    expire,
    integrity,
    leaks,
    lookup,
    planning,
    queries,
    startup,
    store,
    tiny_reads,
    writers,
)
from benchmarks.harness import Bench

CASES: dict[str, Callable[[Bench], None]] = {
    "append": append.run,
    "tiny_reads": tiny_reads.run,
    "buckets": buckets.run,
    "bulk": bulk.run,
    "lookup": lookup.run,
    "planning": planning.run,
    "queries": queries.run,
    "evolve": evolve.run,
    "compaction": compaction.run,
    "changes": changes.run,
    "concurrent": concurrent.run,
    "databases": databases.run,
    "expire": expire.run,
    "integrity": integrity.run,
    "leaks": leaks.run,
    "startup": startup.run,
    "store": store.run,
    "writers": writers.run,
}
