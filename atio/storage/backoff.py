"""Trying again, after pauses that grow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """How often, and after which pauses, something is tried again.

    Pauses are drawn from 0 … ``pause`` · 2ⁿ seconds, at most ``longest``: whoever was turned away together
    does not come back together.
    """

    attempts: int = 8
    pause: float = 0.1
    longest: float = 5.0
    sleep: Callable[[float], object] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform

    def tries(self) -> Iterator[int]:
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(self.uniform(0, min(self.longest, self.pause * 2**attempt)))
            yield attempt
