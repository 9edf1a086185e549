"""Where a file's bytes come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


@contextmanager
def opened(source: pa.Buffer | str) -> Iterator[pa.NativeFile]:
    """The bytes in memory, or the local file, as a file that is closed at the end.

    Local files are not mapped into memory: a disk's error would kill the process instead of
    raising, and reading is as fast.
    """
    file = pa.OSFile(source) if isinstance(source, str) else pa.BufferReader(source)
    try:
        yield file
    finally:
        file.close()
