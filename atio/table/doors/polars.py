"""A scan as a Polars ``LazyFrame``: Polars' own reader over the data files, or an IO plugin over ours."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from pyarrow import types as pt

from atio import frames
from atio.errors import InputError, MissingDependencyError, UnsupportedError
from atio.storage.parallel import THREADS, ordered
from atio.table.datafiles import BATCH_ROWS, whole_file
from atio.table.doors.native import Native, plain_files, verified_files

if TYPE_CHECKING:
    import polars as pl

    from atio.model.snapshot import DataFile
    from atio.table.scan import Scan

_SMALL = 2**20
_TAKEN = frozenset(
    {
        pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(),
        pa.uint32(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.large_string(),
        pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(), pa.date32(), pa.time32("ms"),
        pa.time64("us"), pa.time64("ns"), pa.duration("ms"), pa.duration("us"), pa.duration("ns"),
    }
)  # fmt: skip


def lazy(scan: Scan) -> pl.LazyFrame:
    """See ``Scan.to_lazy``."""
    if not scan.schema.names:
        return frames.to_polars(scan.to_arrow()).lazy()
    query = _natively(scan)
    return _over_rows(scan) if query is None else query


def frame(scan: Scan) -> pl.DataFrame:
    """See ``Scan.to_polars``."""
    if scan.objects.storage.capabilities.parallel:  # Polars decodes faster than what is fetched arrives
        return _fetched(scan)
    # Polars decodes only what a condition leaves of the other columns, Arrow all of them.
    wanted = scan.condition is not None and scan.limit is None and bool(scan.schema.names)
    query = _natively(scan, small=False) if wanted else None
    if query is not None:
        import polars as pl

        with suppress(pl.exceptions.PolarsError, OSError):  # A file that is gone by now, say: told below.
            return query.collect()
    return frames.to_polars(scan.to_arrow())


def _natively(scan: Scan, *, small: bool = True) -> pl.LazyFrame | None:
    """The query of Polars' own reader; None where it does not do, or for small files unless ``small``."""
    _require()
    files = plain_files(scan, _taken)
    if not files or (not small and _small(files)):
        return None
    found = verified_files(scan, files)
    if found is None:
        return None
    try:
        return _over_files(scan, found)
    except UnsupportedError:
        return None  # a condition that Polars would decide in its own way


def _fetched(scan: Scan) -> pl.DataFrame:
    """Of files that are elsewhere."""
    _require()
    files = _whole_files(scan)
    if not files:
        return lazy(scan).collect()
    import polars as pl

    def decoded(place: int) -> pl.DataFrame:
        return pl.read_parquet(whole_file(scan.objects.storage, files[place]))

    # The smallest first, so that there is soon something to decode.
    places = sorted(range(len(files)), key=lambda place: files[place].size)
    found = dict(zip(places, ordered(decoded, places, THREADS if _small(files) else 2), strict=True))
    return pl.concat([found[place] for place in range(len(files))], rechunk=False)


def _require() -> None:
    try:
        import polars as pl  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("Polars is not installed", hint='pip install "atio[polars]"') from error


def _taken(kind: pa.DataType) -> bool:
    if pt.is_timestamp(kind):
        return bool(kind.unit != "s" and not (kind.tz and kind.tz[0] in "+-"))
    if pt.is_decimal(kind):
        return bool(kind.bit_width <= 128 and 0 <= kind.scale <= kind.precision)
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind) or pt.is_map(kind):
        return True
    if pt.is_struct(kind):
        return bool(kind.num_fields)
    return kind in _TAKEN


# -- Polars' own reader --------------------------------------------------------------------------


def _over_files(scan: Scan, found: Native) -> pl.LazyFrame:
    import polars as pl
    import polars.selectors as cs

    # Names and folders are not to be read anything into. Before 1.41 or so, Polars skips row groups with NaN.
    frame = pl.scan_parquet(
        list(found.paths), glob=False, hive_partitioning=False, use_statistics=not found.nans
    )
    if scan.condition is not None:
        frame = frame.filter(scan.condition.to_polars())
    if scan.columns is not None:
        frame = frame.select(cs.by_name(*scan.columns))  # pl.col takes some names for patterns
    return frame if scan.limit is None else frame.head(scan.limit)


# -- rows of a scan ------------------------------------------------------------------------------


def _over_rows(scan: Scan) -> pl.LazyFrame:
    from polars.io.plugins import register_io_source

    dtypes = _dtypes(scan)

    def rows(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        files = None
        if with_columns is None and predicate is None and n_rows is None:
            files = _whole_files(scan)
        if files:
            return _frames(scan, files)
        return _rows(scan, dtypes, with_columns, predicate, n_rows, batch_size or BATCH_ROWS)

    # Lets Polars read once what a query mentions twice, where it can.
    pure = {"is_pure": True} if "is_pure" in inspect.signature(register_io_source).parameters else {}
    return register_io_source(rows, schema=dtypes, **pure)


def _dtypes(scan: Scan) -> pl.Schema:
    import polars as pl

    try:
        return frames.to_polars(scan.bound.empty().select(scan.schema.names)).schema
    except pl.exceptions.PanicException as error:  # which is not an Exception
        message = f"Polars cannot read these columns: {error}"
        raise UnsupportedError(message, hint="leave columns out with columns=, or use to_arrow()") from None


def _rows(
    scan: Scan,
    dtypes: Any,
    columns: list[str] | None,
    predicate: pl.Expr | None,
    most: int | None,
    batch_rows: int,
) -> Iterator[pl.DataFrame]:
    """The frames that Polars asks for; ``most`` counts rows before the predicate."""
    from atio.table.doors import pushed

    wanted = scan.schema.names if columns is None else columns
    read, limit, condition = list(wanted), scan.limit, scan.condition
    if most is not None:
        limit = most if limit is None else min(most, limit)
    filters: list[pl.Expr] = []
    if predicate is not None:
        filters = pushed.conjuncts(predicate)
        read += [name for name in dict.fromkeys(predicate.meta.root_names()) if name not in set(read)]
        if limit is None:
            condition = _narrowed(scan, pushed.condition(predicate, dtypes))
    narrow = msgspec.structs.replace(scan, columns=tuple(read), limit=limit, condition=condition)
    for batch in narrow.to_batches(batch_rows):
        frame = frames.to_polars(pa.Table.from_batches([batch]))
        if filters:
            frame = frame.filter(filters)
        yield frame if len(read) == len(wanted) else frame.select(frame.columns[: len(wanted)])


def _whole_files(scan: Scan) -> list[DataFile] | None:
    """The files of a scan that is all of them, if they are elsewhere and Polars reads them as they are."""
    whole = scan.condition is None and scan.limit is None and scan.columns is None
    return plain_files(scan, _taken) if whole and scan.objects.storage.capabilities.parallel else None


def _frames(scan: Scan, files: list[DataFile]) -> Iterator[pl.DataFrame]:
    """Files that are elsewhere, decoded by Polars while the next one is fetched and verified."""
    import polars as pl

    def read(file: DataFile) -> bytes:
        return whole_file(scan.objects.storage, file)

    with scan.located():
        for content in ordered(read, files, *((THREADS,) if _small(files) else (1, 1))):
            yield pl.read_parquet(content)


def _small(files: list[DataFile]) -> bool:
    return sum(file.size for file in files) < _SMALL * len(files)


def _narrowed(scan: Scan, more: Any) -> Any:
    """The scan's condition and one that Polars pushed down."""
    from atio.predicate import bind
    from atio.predicate.tree import both

    if more is None:
        return scan.condition
    tree = more if scan.condition is None else both(scan.condition.tree, more)
    try:
        return bind(tree, scan.bound.public)
    except InputError:
        return scan.condition
