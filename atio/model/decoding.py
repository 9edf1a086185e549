"""Decoders of JSON, each made once.

Making one prepares its types. A second thread that decodes, or prepares, one of them meanwhile meets what is
not whole yet, and msgspec crashes the process (seen with 0.22). So they are made one after the other.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import msgspec

_made: dict[Any, msgspec.json.Decoder[Any]] = {}
_making = threading.Lock()
if hasattr(os, "register_at_fork"):
    # A child would wait for ever for a thread that it does not have, and find half a type.
    os.register_at_fork(
        before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release
    )


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """What decodes a type, strictly."""
    found = _made.get(kind)
    if found is None:
        with _making:
            found = _made.get(kind) or msgspec.json.Decoder(kind)
            _made[kind] = found
    return found
