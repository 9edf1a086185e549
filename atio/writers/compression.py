"""Whole files compressed on the way, as their names say."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from atio.writers.streams import Forward, buffered

_GZIP_LEVEL = 6


def compressing(file: BinaryIO, method: str) -> BinaryIO:
    """Return a stream that compresses into ``file``. Closing it finishes, and leaves ``file`` open."""
    return buffered(_Compressing(_compressor(file, method)))


def _compressor(file: BinaryIO, method: str) -> Any:
    if method == "gzip":
        import gzip

        # Neither name nor time: the same data are the same bytes.
        return gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0)
    if method == "bz2":
        import bz2

        return bz2.BZ2File(file, "wb")
    if method == "xz":
        import lzma

        return lzma.LZMAFile(file, "wb")
    import pyarrow as pa

    return pa.CompressedOutputStream(pa.PythonFile(_Open(file), "w"), method)


class _Compressing(Forward):
    """A compressor, finished when it is closed."""

    def __init__(self, compressor: Any) -> None:
        super().__init__(compressor)
        self._compressor = compressor

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._compressor.close()


class _Open:
    """A file that Arrow cannot close."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def decompressing(file: BinaryIO, method: str) -> BinaryIO:
    """Return the decompressed content of ``file``."""
    if method == "gzip":
        import gzip

        return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))
    if method == "bz2":
        import bz2

        return cast("BinaryIO", bz2.BZ2File(file, "rb"))
    if method == "xz":
        import lzma

        return cast("BinaryIO", lzma.LZMAFile(file, "rb"))
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(file, "r"), method) as stream:
        return io.BytesIO(stream.read())
