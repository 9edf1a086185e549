"""What the name of a target says: format and compression."""

from __future__ import annotations

from typing import NamedTuple

COMPRESSIONS = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zst": "zstd",
    ".lz4": "lz4",
}
"""Suffix → method."""


class Name(NamedTuple):
    """Ends of a name.

    Attributes
    ----------
    suffix
        Of the format, with the dot, in lower case; empty if there is none.
    compression
        How the whole file is compressed; None if it is not.
    """

    suffix: str
    compression: str | None


def parse(name: str) -> Name:
    """Take the last part of a path or URL apart: ``data.csv.gz`` is ``.csv``, compressed by gzip."""
    name = name.rpartition("/")[2].lower()
    stem, dot, last = name.rpartition(".")
    compression = COMPRESSIONS.get(dot + last) if stem else None
    if compression:
        stem, dot, last = stem.rpartition(".")
    return Name(dot + last if stem else "", compression)
