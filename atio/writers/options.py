"""The user's keyword arguments: for the library that does the work, and checked before it starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from atio.errors import InputError, meant

_DECIDED = {
    "mode": "a file is replaced whole: write all rows at once, or append to a Table",
    "storage_options": "the target is named by its path or URL alone",
    "credential_provider": "the target is named by its path or URL alone",
    "filesystem": "the target is named by its path or URL alone",
    "partition_cols": "the target is one file; write each part, or use a Table",
    "partition_by": "the target is one file; write each part, or use a Table",
    "mkdir": "make the folder first",
    "lazy": "the file is written when the call returns",
    "sync_on_close": "files are synced already",
}
"""Arguments of libraries that would take out of atio's hands what it answers for."""


def check(
    call: str, function: Callable[..., Any], given: Mapping[str, Any], taken: Iterable[str] = ()
) -> None:
    """Refuse arguments that ``function`` does not know, or that are not the user's to give.

    Parameters
    ----------
    call
        What the function is called in messages.
    taken
        Further arguments that are set by atio.
    """
    if not given:
        return
    known = _known(function)
    hidden = {*taken, *_DECIDED}
    for name in given:
        if name in _DECIDED and (known is None or name in known):
            raise InputError(f"{name}= cannot be given to {call}", hint=_DECIDED[name])
        if name in taken:
            raise InputError(f"{name}= cannot be given to {call}: it follows from the format")
        if known is not None and name not in known:
            raise unknown(call, name, sorted(known - hidden))


def unknown(call: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for an argument that nobody knows."""
    names = list(known)
    listed = f"{call} knows: {', '.join(names)}" if names else f"{call} knows no arguments"
    close = meant(name, names)
    return InputError(f"{call} knows no argument {name!r}", hint=f"{close} {listed}" if close else listed)


@lru_cache(maxsize=256)
def _known(function: Callable[..., Any]) -> frozenset[str] | None:
    """Names that may be given as keywords, after the object and the target; None if any may."""
    parameters = list(inspect.signature(function).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    if not named:
        named = [p for p in parameters[2:] if p.kind is p.POSITIONAL_OR_KEYWORD]
    return frozenset(p.name for p in named)
