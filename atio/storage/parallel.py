"""Several operations at once. Threads live for the one call: a forked child inherits none that is dead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")

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


def ordered(
    action: Callable[[T], R], items: Iterable[T], threads: int = THREADS, ahead: int | None = None
) -> Iterator[R]:
    """Results of ``action`` in the order of the items.

    ``ahead`` of them are under way or done before they are asked for: by default as many as there are
    threads, and none if there is one thread only.
    """
    count = (threads if threads > 1 else 0) if ahead is None else ahead
    if not count:
        yield from map(action, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    futures: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                futures.append(pool.submit(action, item))
                if len(futures) > count:
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()
