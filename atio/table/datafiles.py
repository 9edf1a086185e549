"""Data files: written with checksums and statistics, read back only if both agree."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from typing import Self

import msgspec
import pyarrow as pa
import xxhash

from atio.errors import AtioError, DamagedError, Located, NotFoundError, SchemaError
from atio.formats import get_format
from atio.formats.base import FileInfo, Format, Parts
from atio.formats.plan import rows_only
from atio.formats.source import Sparse
from atio.metadata.objects import Objects, check, digest, missing
from atio.model.base import Ref, new_id
from atio.model.snapshot import ColumnStatistics, DataFile, Footer, PartitionValue
from atio.schema import scalars
from atio.schema.bound import BoundSchema
from atio.storage.base import Buffer, Sink, Storage
from atio.storage.parallel import each

BATCH_ROWS = 131_072
TARGET_BYTES = 256 * 2**20
"""Size at which a data file is closed and the next begun."""
_WHOLE = 2 * 2**20
"""Bytes up to which a file is read whole, so that its footer needs no reference of its own."""
_TAIL = 2**20
_TAIL_OF_COLUMN = 2**12
"""Bytes at the end of a file that are remembered as its footer, which grows with the columns."""
_CHUNK = 16 * 2**20
_RANGE = 8 * 2**20
"""Bytes to fetch by one request; of one row group so many at once:"""
_AT_ONCE = 2


class FileOptions(msgspec.Struct, frozen=True):
    """How new data files are made."""

    format: str = "parquet"
    target_bytes: int = TARGET_BYTES
    options: dict[str, str] = msgspec.field(default_factory=dict)


class _HashingOut:
    """Counts, hashes and passes on what a format writes; keeps the end for the footer's hash."""

    def __init__(self, sink: Sink, tail: int) -> None:
        self._sink = sink
        self._kept = tail
        self._hash = xxhash.xxh3_64()
        self._tail = bytearray()
        self.size = 0
        self.closed = False

    def write(self, data: Buffer, /) -> int:
        view = memoryview(data)
        self._hash.update(view)
        self._sink.write(view)
        self.size += view.nbytes
        self._tail += view[-self._kept :]
        if len(self._tail) > 2 * self._kept:
            del self._tail[: -self._kept]
        return view.nbytes

    def flush(self) -> None:
        """Nothing is held back."""

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    @property
    def tail(self) -> memoryview:
        """The end of what was written, or all of it."""
        return memoryview(self._tail)


class FileSetWriter:
    """Writes rows into as many data files as the target size asks for; all or none survive.

    Small ones go through ``objects``, which may keep them back. Use as a context manager: an exception
    removes what was written.
    """

    def __init__(self, objects: Objects, options: FileOptions, prefix: str = "") -> None:
        self._objects = objects
        self._storage = objects.storage
        self._options = options
        self._format = get_format(options.format)
        self._prefix = prefix
        self._open: _OpenFile | None = None
        self._partition: tuple[PartitionValue, ...] = ()
        self.files: list[DataFile] = []

    def begin(self, partition: tuple[PartitionValue, ...]) -> None:
        """What follows is of this partition; another one starts a new file."""
        if partition != self._partition:
            self.finish()
            self._partition = partition

    def write(self, table: pa.Table, schema: BoundSchema) -> None:
        """Add rows that have exactly this schema; a new schema starts a new file."""
        if table.num_rows == 0:
            return
        if not table.num_columns:
            self.files.append(_columnless(table.num_rows))
            return
        if self._open is not None and not self._open.fits(schema):
            self.finish()
        if self._open is None:
            self._open = _OpenFile(self._storage, self._format, self._options, self._path(), schema)
        self._open.write(table)
        if self._open.size >= self._options.target_bytes:
            self.finish()

    def write_whole(self, table: pa.Table, schema: BoundSchema) -> None:
        """Add a small frame as one file, in one write."""
        if table.num_rows == 0 or not table.num_columns:
            self.write(table, schema)
            return
        self._format.check(schema.arrow)
        sink = pa.BufferOutputStream()
        writer = self._format.writer(sink, schema.arrow, self._options.options)
        writer.write(table)
        info = writer.close()
        data = memoryview(sink.getvalue())
        path = self._path()
        made = _data_file(path, len(data), digest(data), data, info, schema, self._format.name)
        self.files.append(self._parted(made))
        self._objects.create(path, data)

    def _path(self) -> str:
        return f"data/{self._prefix}{new_id()}{self._format.suffix}"

    def finish(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            self.files.append(self._parted(opened.close()))

    def _parted(self, made: DataFile) -> DataFile:
        return made.replace(partition=self._partition) if self._partition else made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()

    def discard(self) -> None:
        if self._open is not None:
            self._open.abort()
            self._open = None
        discard(self._storage, self.files)


def discard(storage: Storage, files: Sequence[DataFile]) -> None:
    """Remove files that surely belong to no version."""
    with suppress(AtioError):  # Vacuum finds them; the error that led here matters more.
        storage.delete([file.path for file in files if file.size])


def null_came_first() -> SchemaError:
    """A stream's columns changed after rows had been written."""
    return SchemaError(
        "a column was all null in the first million rows and has values later",
        hint="give the column its type from the first rows on",
    )


class _OpenFile:
    def __init__(
        self, storage: Storage, format: Format, options: FileOptions, path: str, schema: BoundSchema
    ) -> None:
        format.check(schema.arrow)
        self._format, self._path, self._schema = format, path, schema
        self._sink = storage.sink(path)
        self._out = _HashingOut(self._sink, _TAIL + _TAIL_OF_COLUMN * len(schema.leaf_ids))
        try:
            self._writer = format.writer(self._out, schema.arrow, options.options)
        except BaseException:
            self._sink.abort()
            raise

    @property
    def size(self) -> int:
        return self._out.size

    def fits(self, schema: BoundSchema) -> bool:
        """Whether rows of this schema can go on in the file."""
        if self._schema is schema or self._schema.arrow == schema.arrow:
            return True
        if self._schema.same_structure(schema):
            return False
        raise null_came_first()

    def write(self, table: pa.Table) -> None:
        try:
            self._writer.write(table)
        except BaseException:
            self._sink.abort()
            raise

    def close(self) -> DataFile:
        try:
            info = self._writer.close()
            out = self._out
            made = _data_file(
                self._path, out.size, out.hexdigest(), out.tail, info, self._schema, self._format.name
            )
            self._sink.close()
        except BaseException:
            self._sink.abort()
            raise
        return made

    def abort(self) -> None:
        self._sink.abort()


def _data_file(
    path: str, size: int, hash: str, tail: memoryview, info: FileInfo, schema: BoundSchema, format: str
) -> DataFile:
    footer = None
    if info.footer is not None and size > _WHOLE and info.footer <= len(tail):
        end = tail[-info.footer :]
        if get_format(format).vouches(end):
            footer = Footer(size=info.footer, hash=digest(end))
    return DataFile(
        path=path, size=size, hash=hash, rows=info.rows, format=format, schema_id=schema.spec.id,
        footer=footer, stats=_statistics(info, schema),
    )  # fmt: skip


def _statistics(info: FileInfo, schema: BoundSchema) -> tuple[ColumnStatistics, ...]:
    found = []
    for path, stats in info.stats.items():
        identity = schema.leaf_ids.get(path)
        if identity is None:
            continue
        line = [identity, scalars.encode(stats.lower), scalars.encode(stats.upper), stats.nulls]
        if stats.nans is not None:
            line.append(stats.nans)
        found.append(tuple(line))
    return tuple(found)


def _columnless(rows: int) -> DataFile:
    """Rows without columns are a number: there is nothing to put in a file."""
    return DataFile(path=f"data/{new_id()}.none", size=0, hash=digest(b""), rows=rows)


# -- reading ---------------------------------------------------------------------------------------


def read_file(
    storage: Storage,
    file: DataFile,
    schema: pa.Schema,
    columns: Sequence[str],
    *,
    threads: bool = True,
) -> pa.Table:
    """The columns of one data file, every byte that matters verified.

    Raises
    ------
    DamagedError
        The file is missing, has another size or another checksum, or cannot be decoded.
    """
    if not columns:
        return rows_only(file.rows)
    try:
        source = _verified(storage, file, partial=len(columns) < len(schema))
    except AtioError as error:
        raise error.at(file=file.path) from error.__cause__
    return decode_file(source, file, schema, columns, threads=threads)


def read_files(
    storage: Storage, files: Sequence[DataFile], schema: pa.Schema, columns: Sequence[str]
) -> pa.Table:
    """As ``read_file``, of small files of one schema and format: in less time than one by one."""
    rows = sum(file.rows for file in files)
    if not columns:
        return rows_only(rows)
    if len(files) > 1:
        sources = []
        for file in files:
            with Located(file=file.path):
                sources.append(pa.py_buffer(whole_file(storage, file)))
        chosen = _chosen(columns, schema)
        with suppress(AtioError):  # One by one, the error names its file.
            table = get_format(files[0].format).read_each(sources, schema, chosen)
            if table.num_rows == rows:
                return table
    return pa.concat_tables([read_file(storage, file, schema, columns, threads=False) for file in files])


def _chosen(columns: Sequence[str], schema: pa.Schema) -> Sequence[str] | None:
    """As formats ask for columns: None for all in order."""
    return None if list(columns) == schema.names else columns


def decode_file(
    source: pa.Buffer | str | Sparse,
    file: DataFile,
    schema: pa.Schema,
    columns: Sequence[str],
    *,
    threads: bool = True,
) -> pa.Table:
    """As ``read_file``, of bytes that were verified, or a path whose partial reads verify themselves."""
    try:
        chosen = _chosen(columns, schema)
        table = get_format(file.format).read(source, schema, chosen, threads=threads)
    except AtioError as error:
        raise error.at(file=file.path) from error.__cause__
    if table.num_rows != file.rows:
        raise DamagedError(f"{file.path} has {table.num_rows} rows, not {file.rows}", file=file.path)
    return table


def whole_file(storage: Storage, file: DataFile) -> bytes:
    """The file's bytes, verified, for whoever decodes it.

    Raises
    ------
    DamagedError
        As ``read_file``.
    """
    ref = Ref(path=file.path, size=file.size, hash=file.hash)
    try:
        data = storage.read(file.path, 0, file.size + 1)  # However long the file is by now.
    except NotFoundError:
        raise missing(ref) from None
    check(ref, memoryview(data))
    return data


def read_batches(
    storage: Storage, file: DataFile, schema: pa.Schema, columns: Sequence[str], rows: int
) -> Iterator[pa.Table]:
    """As ``read_file``, at most ``rows`` rows at a time."""
    if not columns:
        for start in range(0, file.rows, rows):
            yield rows_only(min(rows, file.rows - start))
        return
    found = 0
    try:
        chosen = _chosen(columns, schema)
        source = _verified(storage, file, partial=True)  # mapped and hashed, all of it would be in memory
        for table in get_format(file.format).batches(source, schema, chosen, rows=rows):
            found += table.num_rows
            yield table
    except AtioError as error:
        raise error.at(file=file.path) from error.__cause__
    if found != file.rows:
        raise DamagedError(f"{file.path} has {found} rows, not {file.rows}", file=file.path)


@contextmanager
def open_parts(
    storage: Storage, file: DataFile, schema: pa.Schema, *, partial: bool = True
) -> Iterator[Parts]:
    """The file, to be read in part; what is read is verified, or all at once if not ``partial``.

    Raises
    ------
    DamagedError
        As ``read_file``.
    """
    try:
        source = _verified(storage, file, partial=partial)
        with get_format(file.format).parts(source, schema, file.rows) as parts:
            if sum(parts.rows) != file.rows:
                raise DamagedError(f"{file.path} has {sum(parts.rows)} rows, not {file.rows}", file=file.path)
            yield parts
    except AtioError as error:
        raise error.at(file=file.path) from error.__cause__


def spans(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Of row groups of so many rows, where each starts, and how many they are."""
    return list(zip(accumulate(rows, initial=0), rows, strict=False))


def _verified(storage: Storage, file: DataFile, *, partial: bool) -> pa.Buffer | str | Sparse:
    """The file's bytes, or a path or file elsewhere whose partial reads verify themselves."""
    ref = Ref(path=file.path, size=file.size, hash=file.hash)
    try:
        if file.footer is not None and storage.capabilities.parallel:
            return _elsewhere(storage, file, ref)
        path = storage.local_path(file.path) if file.size > _WHOLE else None
        if path is None:
            return pa.py_buffer(whole_file(storage, file))
        if partial and _can_be_read_in_part(storage, file, ref):
            return path
        return _mapped(path, ref)
    except NotFoundError:
        raise missing(ref) from None


def _can_be_read_in_part(storage: Storage, file: DataFile, ref: Ref) -> bool:
    """Whether the file's footer, which is verified here, vouches for the rest."""
    if file.footer is None:
        return False
    if (size := storage.size(file.path)) != file.size:
        raise DamagedError(f"{file.path} has {size} bytes, not {file.size}", file=file.path)
    tail = storage.read(file.path, max(file.size - file.footer.size, 0), file.footer.size)
    check(ref.replace(size=file.footer.size, hash=file.footer.hash), tail)
    return get_format(file.format).vouches(tail)


def _elsewhere(storage: Storage, file: DataFile, ref: Ref) -> Sparse:
    """The file, of which the footer is fetched and verified."""
    assert file.footer is not None
    start = max(file.size - file.footer.size, 0)
    tail = storage.read(file.path, start, file.footer.size + 1)  # However long the file is by now.
    check(ref.replace(size=file.footer.size, hash=file.footer.hash), tail)

    def piece(one: tuple[int, memoryview]) -> None:
        try:
            storage.read_into(file.path, *one)
        except NotFoundError:
            raise missing(ref) from None

    def fetch(places: list[tuple[int, memoryview]]) -> None:
        pieces = [
            (offset + start, into[start : start + _RANGE])
            for offset, into in places
            for start in range(0, len(into), _RANGE)
        ]
        each(piece, pieces, _AT_ONCE)

    found = Sparse(file.size, fetch)
    found.put(start, tail)
    return found


def _mapped(path: str, ref: Ref) -> pa.Buffer:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise missing(ref) from None
    try:
        if (size := os.fstat(descriptor).st_size) != ref.size:
            raise DamagedError(f"{ref.path} has {size} bytes, not {ref.size}", file=ref.path)
        data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    check(ref, memoryview(data))
    return pa.py_buffer(data)


def verify_file(storage: Storage, file: DataFile | Ref, *, deep: bool) -> None:
    """Raise ``DamagedError`` or ``NotFoundError`` unless the file is there, whole and unaltered."""
    if (size := storage.size(file.path)) != file.size:
        raise DamagedError(f"{file.path} has {size} bytes, not {file.size}", file=file.path)
    if deep:
        for _ in checked_blocks(storage, file):
            pass


def checked_blocks(storage: Storage, file: DataFile | Ref) -> Iterator[bytes]:
    """The file's content, 16 MiB at a time; ``DamagedError`` after the last if it is not what was written."""
    checksum = xxhash.xxh3_64()
    for start in range(0, file.size, _CHUNK):
        block = storage.read(file.path, start, min(_CHUNK, file.size - start))
        checksum.update(block)
        yield block
    if checksum.hexdigest() != file.hash:
        raise DamagedError(f"{file.path} is not what was written: its checksum differs", file=file.path)
