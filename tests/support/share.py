"""How much of the long attacks runs: ``ATIO_TORTURE_SHARE``, 1 by default; CI runs a part of each."""

from __future__ import annotations

import os

SHARE = float(os.environ.get("ATIO_TORTURE_SHARE", "1"))
"""Of the cases of the long attacks; below 1 the peers are left out."""
EVERY = max(1, round(1 / SHARE))
"""Attacks on each of a kind (system calls, bytes) take one of so many."""


def at_most(cases: int) -> int:
    """As many cases of so many as are to be tried."""
    return max(1, round(cases * min(SHARE, 1)))
