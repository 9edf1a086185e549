"""Several operations at once. Threads live for the one call: a forked child inherits none that is dead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

THREADS = 16


def each(action: Callable[[T], object], items: Sequence[T], threads: int = THREADS) -> None:
    """Run ``action`` on every item; the first error comes out when all have ended (one thread: at once)."""
    if len(items) < 2 or threads < 2:
        for item in items:
            action(item)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        futures = [pool.submit(action, item) for item in items]
    for future in futures:
        future.result()
