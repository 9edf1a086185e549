"""When immutable pieces are merged: the rule shared by manifests, history and tokens.

Pieces are kept oldest first and roughly geometric in size. A new piece is merged with its
predecessors whenever the last ``FANOUT`` are of about one size, so a list of n entries has
O(log n) pieces and every entry is rewritten O(log n) times.
"""

from __future__ import annotations

from collections.abc import Sequence

FANOUT = 4
LARGEST = 65_536
"""Entries of a piece that is never merged again."""


def to_merge(counts: Sequence[int]) -> int:
    """How many of the last pieces belong into one; 0 when none do.

    Parameters
    ----------
    counts
        Entries of each piece, oldest first.
    """
    stack = [(count, 1) for count in counts]
    while len(stack) >= FANOUT:
        last = stack[-FANOUT:]
        total = sum(count for count, _ in last)
        if last[0][0] > total - last[0][0] or total > LARGEST:
            break
        stack[-FANOUT:] = [(total, sum(pieces for _, pieces in last))]
    pieces = stack[-1][1] if stack else 0
    return pieces if pieces > 1 else 0
