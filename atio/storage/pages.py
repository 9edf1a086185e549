"""Large pages of memory for large reads: to come by small ones takes longer than to fill them."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

_WORTH_IT = 2**23


def in_large_pages(memory: memoryview) -> None:
    """Ask the system to back fresh memory, which is not written yet, by large pages. A no is no error."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None or memory.nbytes < _WORTH_IT:
        return
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    before = -start % mmap.PAGESIZE
    with suppress(OSError, AttributeError):
        madvise = ctypes.CDLL(None).madvise
        madvise(ctypes.c_void_p(start + before), ctypes.c_size_t(memory.nbytes - before), advice)
