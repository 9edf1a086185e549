"""What a table asks of a data-file format.

A format turns Arrow tables into one file and back. ``atio.formats.conformance`` tests it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec
import pyarrow as pa

T = TypeVar("T")


class ColumnStats(msgspec.Struct, frozen=True):
    """Statistics of one column of one file.

    Attributes
    ----------
    lower, upper
        Bounds of the non-null, non-NaN values as Python scalars of the column's Arrow type
        (``pa.scalar(x, type)`` accepts them), or None when unknown or when there is no such value.
        Long strings and binaries are truncated: ``lower`` ≤ every value ≤ ``upper`` still holds.
    nulls, nans
        Counts; None when unknown. ``nans`` is None for columns that are not floating.
    """

    lower: Any
    upper: Any
    nulls: int | None
    nans: int | None = None


class FileInfo(msgspec.Struct, frozen=True):
    """What a writer knows of the file it closed.

    ``footer`` is the length in bytes of the file's tail that describes the rest (Parquet's
    footer with its length and magic), or None. ``stats`` is keyed by the path of a leaf column
    (``("a",)``, ``("point", "x")``); leaves inside lists and maps have none.
    """

    rows: int
    footer: int | None = None
    stats: dict[tuple[str, ...], ColumnStats] = msgspec.field(default_factory=dict)


class Out(Protocol):
    """Where encoded bytes go; ``write`` takes any buffer."""

    def write(self, data: Any, /) -> int: ...


class FileWriter(ABC):
    """One file being written."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Encode more rows; the schema is the one the writer was made with."""

    @abstractmethod
    def close(self) -> FileInfo:
        """Finish the encoding (the sink itself stays open: its owner closes it)."""


Work = Callable[[int, pa.Table], T]
"""Is given the number of a row group, and its rows."""
MaskOf = Callable[[int], pa.BooleanArray]
"""Is given the number of a row group."""


class Parts(Protocol):
    """An open file, to be read in part: some columns of some of its row groups.

    Attributes
    ----------
    rows
        Of each row group, in order.
    """

    @property
    def rows(self) -> Sequence[int]: ...

    def stats(self, path: tuple[str, ...]) -> list[ColumnStats] | None:
        """Statistics of a leaf column, one of each row group; None when there are none."""

    def read(self, columns: Sequence[str], groups: Sequence[int], *, threads: bool) -> pa.Table:
        """The rows of these groups, in the file's order, columns in the order given (at least one)."""

    def each(self, columns: Sequence[str], groups: Sequence[int], work: Work[T], *, threads: bool) -> list[T]:
        """What ``work`` makes of each of these groups, as ``read`` gives it; large ones by threads."""

    def picked(
        self, columns: Sequence[str], groups: Sequence[int], mask: MaskOf, *, threads: bool
    ) -> pa.Table:
        """The rows of these groups, as ``read`` gives them, where the group's ``mask`` is true."""

    def verify(self, columns: Sequence[str]) -> None:
        """Raise ``DamagedError`` unless these columns are what was written; nothing is decoded."""

    def head(self, columns: Sequence[str], group: int, rows: int) -> pa.Table:
        """The first rows of a group, as ``read`` gives them, without decoding those behind."""


class Format(ABC):
    """Encode and decode one data file."""

    name: ClassVar[str]
    """As in ``Table.create(format=…)`` and in the metadata."""
    suffix: ClassVar[str]
    """With the dot: ``.parquet``."""
    checked: ClassVar[bool] = False
    """Its files have checksums inside, which find nearly all damage."""

    @abstractmethod
    def check(self, schema: pa.Schema) -> None:
        """Raise ``UnsupportedError`` naming the first column whose type would not come back exactly."""

    def vouches(self, footer: bytes | memoryview) -> bool:
        """Whether a file on disk with this footer may be read in part: what is read verifies itself."""
        del footer
        return False

    @abstractmethod
    def writer(self, out: Out, schema: pa.Schema, options: dict[str, str]) -> FileWriter:
        """Start a file. ``options`` are the table's ``<format>.*`` properties, prefix removed.

        Unknown options or bad values raise ``InputError`` (at table creation too).
        """

    @abstractmethod
    def read(
        self,
        source: pa.Buffer | str,
        schema: pa.Schema,
        columns: Sequence[str] | None = None,
        *,
        threads: bool = True,
    ) -> pa.Table:
        """Decode a whole file, or some top-level columns of it.

        Parameters
        ----------
        source
            The file's bytes, or the path of a local file.
        schema
            The schema it was written with: the result has exactly these types, in the order of
            ``columns`` (or of the schema).
        """

    def read_each(
        self, sources: Sequence[pa.Buffer], schema: pa.Schema, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Decode small files of one schema into one table, at least one column of them.

        An error need not tell which of them is damaged.
        """
        return pa.concat_tables([self.read(source, schema, columns, threads=False) for source in sources])

    @abstractmethod
    def batches(
        self, source: pa.Buffer | str, schema: pa.Schema, columns: Sequence[str] | None = None, *, rows: int
    ) -> Iterator[pa.Table]:
        """Decode piece by piece, at most ``rows`` rows each, without holding the whole file decoded."""

    def parts(self, source: pa.Buffer | str, schema: pa.Schema, rows: int) -> AbstractContextManager[Parts]:
        """Open a file of so many rows. Formats without row groups have one, which is the whole file."""
        return nullcontext(_Whole(self, source, schema, rows))


class _Whole:
    def __init__(self, format: Format, source: pa.Buffer | str, schema: pa.Schema, rows: int) -> None:
        self._format, self._source, self._schema = format, source, schema
        self.rows = (rows,)

    def stats(self, path: tuple[str, ...]) -> None:
        del path

    def read(self, columns: Sequence[str], groups: Sequence[int], *, threads: bool) -> pa.Table:
        found = self._format.read(self._source, self._schema, columns, threads=threads)
        return found if groups else found.slice(0, 0)

    def each(self, columns: Sequence[str], groups: Sequence[int], work: Work[T], *, threads: bool) -> list[T]:
        return [work(group, self.read(columns, [group], threads=threads)) for group in groups]

    def picked(
        self, columns: Sequence[str], groups: Sequence[int], mask: MaskOf, *, threads: bool
    ) -> pa.Table:
        from atio.predicate.keep import kept

        found = self.read(columns, groups, threads=threads)
        return kept(found, mask(0)) if groups else found

    def verify(self, columns: Sequence[str]) -> None:
        del columns  # All of the file was verified before it was decoded.

    def head(self, columns: Sequence[str], group: int, rows: int) -> pa.Table:
        return self.read(columns, [group], threads=True).slice(0, rows)
