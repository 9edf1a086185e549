"""File kinds that ``import`` and ``export`` know, by suffix."""

from __future__ import annotations

from pathlib import PurePath

from atio.errors import UnsupportedError

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".orc": "orc",
}
KINDS = tuple(dict.fromkeys(SUFFIXES.values()))
STDIN = "-"
_ALIASES = {"feather": "arrow", "ipc": "arrow", "ndjson": "jsonl", "json": "jsonl", "jsonlines": "jsonl"}
_COMPRESSED = frozenset({".gz", ".bz2", ".zst", ".lz4", ".br"})


def kind_of(path: str, given: str | None, option: str) -> str:
    """The kind that was given, by ``option``, or that the file's name tells."""
    if given is not None:
        kind = _ALIASES.get(given.lower(), given.lower())
        if kind not in KINDS:
            raise UnsupportedError(
                f"no file format is called {given!r}", hint=f"there are: {', '.join(KINDS)}"
            )
        return kind
    if path == STDIN:
        raise UnsupportedError("the name - tells no format", hint=f"say which: {option} csv")
    suffixes = PurePath(path).suffixes
    last = next((s for s in reversed(suffixes) if s.lower() not in _COMPRESSED), "").lower()
    if last not in SUFFIXES:
        raise UnsupportedError(
            f"the name {path!r} tells no format",
            hint=f"say which with {option}, or use a suffix: {', '.join(f'.{kind}' for kind in KINDS)}",
        )
    return SUFFIXES[last]


def compressed(path: str) -> bool:
    """Whether the name says that the file is compressed as a whole."""
    return PurePath(path).suffix.lower() in _COMPRESSED
