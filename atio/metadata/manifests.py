"""Manifests: lists of data files with their statistics, as Parquet (spec/manifest.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from atio.columns import column
from atio.errors import DamagedError
from atio.metadata.objects import Objects
from atio.model.snapshot import DataFile, Deleted, Footer, ManifestRef, PartitionValue
from atio.schema import scalars

_FIXED = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("added", pa.int64(), nullable=False),
        pa.field("level", pa.int32(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("schema_id", pa.int64(), nullable=False),
        pa.field("footer_size", pa.int64()),
        pa.field("footer_hash", pa.string()),
        pa.field("partition", pa.string()),
    ]
)
_DELETED = pa.schema(
    [
        pa.field("deleted_path", pa.string()),
        pa.field("deleted_size", pa.int64()),
        pa.field("deleted_hash", pa.string()),
        pa.field("deleted_offset", pa.int64()),
        pa.field("deleted_length", pa.int64()),
        pa.field("deleted_count", pa.int64()),
    ]
)
"""There only if an entry has deleted rows."""
_KINDS = {field.name: field.type for field in (*_FIXED, *_DELETED)}
_LEAST = 10
"""Bytes that an entry takes however well it is compressed: its random name alone is 96 bits."""
_SUFFIXES = (".lower", ".upper", ".nulls", ".nans")


def write(objects: Objects, entries: Sequence[DataFile], types: dict[int, pa.DataType]) -> ManifestRef:
    """Write a manifest; ``types`` are the columns' types by field id, for the statistics."""
    ref = objects.put("manifests", encode(entries, types), suffix=".parquet")
    made = ManifestRef(
        path=ref.path,
        size=ref.size,
        hash=ref.hash,
        entries=len(entries),
        rows=sum(e.live for e in entries),
        bytes=sum(e.size for e in entries),
        first_added=min(e.added for e in entries),
        last_added=max(e.added for e in entries),
    )
    objects.remember(made, tuple(entries))
    return made


def read(objects: Objects, ref: ManifestRef) -> tuple[DataFile, ...]:
    """Every entry, the removed ones too, in order."""
    found = objects.parsed(ref, tuple, decode)
    _check_places(ref, len(found))
    return found


def entries(objects: Objects, ref: ManifestRef) -> Entries:
    """Every entry, the removed ones too, as columns."""
    found = objects.parsed(ref, Entries, Entries)
    _check_places(ref, found.count)
    return found


def _check_places(ref: ManifestRef, count: int) -> None:
    if count != ref.entries or any(place >= ref.entries for place in ref.removed):
        raise DamagedError(f"{ref.path} has {count} entries, not {ref.entries}", file=ref.path)


def live(objects: Objects, ref: ManifestRef) -> tuple[DataFile, ...]:
    found = read(objects, ref)
    gone = set(ref.removed)
    return tuple(e for i, e in enumerate(found) if i not in gone) if gone else found


def encode(entries: Sequence[DataFile], types: dict[int, pa.DataType]) -> bytes:
    columns: dict[str, list[Any]] = {
        "path": [e.path for e in entries],
        "size": [e.size for e in entries],
        "hash": [e.hash for e in entries],
        "rows": [e.rows for e in entries],
        "added": [e.added for e in entries],
        "level": [e.level for e in entries],
        "format": [e.format for e in entries],
        "schema_id": [e.schema_id for e in entries],
        "footer_size": [e.footer.size if e.footer else None for e in entries],
        "footer_hash": [e.footer.hash if e.footer else None for e in entries],
        "partition": [_written(e.partition) for e in entries],
    }
    # Most tables have no partitions and no deleted rows, and no such columns.
    parted = any(e.partition for e in entries)
    fields = [field for field in _FIXED if parted or field.name != "partition"]
    if any(e.deleted for e in entries):
        fields += _DELETED
        for name in _DELETED.names:
            member = name.removeprefix("deleted_")
            columns[name] = [getattr(e.deleted, member) if e.deleted else None for e in entries]
    arrays = [column(columns[field.name], field.type) for field in fields]
    stats: dict[int, dict[int, tuple[Any, ...]]] = {}
    for place, entry in enumerate(entries):
        for identity, *values in entry.stats:
            if isinstance(identity, int):
                stats.setdefault(identity, {})[place] = tuple(values)
    for identity, by_entry in stats.items():
        if identity not in types:
            continue
        bound = statistics_type(types[identity])
        for number, suffix in enumerate(_SUFFIXES):
            values = [
                found[number] if (found := by_entry.get(i)) and number < len(found) else None
                for i in range(len(entries))
            ]
            if number == 3 and all(value is None for value in values):
                continue
            kind = bound if number < 2 else pa.int64()
            fields.append(pa.field(f"{identity}{suffix}", kind))
            arrays.append(statistics(identity, values, kind))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    import pyarrow.parquet as pq  # brings file systems and TLS along: not for those who need no manifest

    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", write_statistics=False, store_schema=False, use_dictionary=False
    )
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _written(partition: tuple[PartitionValue, ...]) -> str | None:
    return msgspec.json.encode(partition).decode() if partition else None


@lru_cache(2**12)
def partition(text: str | None) -> tuple[PartitionValue, ...]:
    """An entry's partition, of its column in the manifest; ``ValueError`` if it is none."""
    return msgspec.json.decode(text, type=tuple[PartitionValue, ...]) if text else ()


def _checked(name: str, found: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = _KINDS[name]
    found = found.cast(kind)
    if pa.types.is_integer(kind) and len(found):
        import pyarrow.compute as pc

        least = pc.min(found).as_py()
        if least is not None and least < 0:
            raise ValueError(f"{name} is below 0")
    return found


def statistics(identity: int, values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """One kind of statistics of a field, as JSON has them, as a column.

    They come from snapshots, which may have anything in their place: ``DamagedError``.
    """
    try:
        return column([None if pa.types.is_null(kind) else scalars.decode(v, kind) for v in values], kind)
    except (TypeError, ValueError, ArithmeticError, pa.ArrowException) as error:
        raise DamagedError(f"statistics of the field {identity} are not of its type: {error}") from error


class Entries:
    """A manifest's entries as columns; those that are asked for as objects.

    ``ValueError`` if the bytes are not what ``encode`` makes.
    """

    def __init__(self, data: bytes) -> None:
        import pyarrow.parquet as pq

        with _not_a_manifest():
            self._file = pq.ParquetFile(pa.BufferReader(data))
        self.count: int = self._file.metadata.num_rows
        if self.count * _LEAST > len(data):
            raise ValueError(f"{len(data)} bytes cannot hold {self.count} entries")
        self._names = set(self._file.schema_arrow.names)
        self._columns: dict[str, pa.ChunkedArray] = {}

    def column(self, name: str) -> pa.ChunkedArray | None:
        """A column by name, such as ``rows`` or ``3.lower``; None if there is none."""
        if name not in self._columns and name in self._names:
            self._load([name])
        return self._columns.get(name)

    def _load(self, names: Sequence[str]) -> None:
        wanted = [name for name in names if name not in self._columns]
        if wanted:
            with _not_a_manifest():
                table = self._file.read(wanted, use_threads=False)
                for name in wanted:
                    found = table.column(name)
                    self._columns[name] = _checked(name, found) if name in _KINDS else found

    def files(self, places: Sequence[int] | None = None) -> tuple[DataFile, ...]:
        """The entries at these places, or all, with all that is known of them."""
        statistics = [n for n in self._file.schema_arrow.names if n not in _KINDS]
        vectors = [name for name in _DELETED.names if name in self._names]
        present = [n for n in _FIXED.names if n != "partition" or n in self._names]
        self._load([*present, *vectors, *statistics])
        columns = {**self._columns}
        if places is not None:
            indices = column(places, pa.int64())
            columns = {name: found.take(indices) for name, found in columns.items()}
        fixed = {name: columns[name].to_pylist() for name in (*present, *vectors)}
        stats: list[list[tuple[Any, ...]]] = [[] for _ in fixed["path"]]
        for identity in (int(n.removesuffix(".nulls")) for n in statistics if n.endswith(".nulls")):
            names = [name for suffix in _SUFFIXES if (name := f"{identity}{suffix}") in columns]
            for place, values in enumerate(zip(*(columns[n].to_pylist() for n in names), strict=True)):
                if any(value is not None for value in values):
                    lower, upper, *counts = values
                    stats[place].append((identity, scalars.encode(lower), scalars.encode(upper), *counts))
        deleted = _vectors([fixed[name] for name in vectors], len(fixed["path"]))
        plain = [n for n in _FIXED.names if not n.startswith(("footer", "partition"))]
        parts = fixed.get("partition") or [None] * len(fixed["path"])
        footers = zip(fixed["footer_size"], fixed["footer_hash"], strict=True)
        return tuple(
            DataFile(
                **{name: fixed[name][place] for name in plain},
                footer=None if size is None else Footer(size=size, hash=checksum),
                stats=tuple(stats[place]),
                deleted=deleted[place],
                partition=partition(parts[place]),
            )
            for place, (size, checksum) in enumerate(footers)
        )


def _vectors(columns: list[list[Any]], count: int) -> list[Deleted | None]:
    if not columns:
        return [None] * count
    if len(columns) != len(_DELETED):
        raise ValueError("a column of deletion vectors is missing")
    names = [name.removeprefix("deleted_") for name in _DELETED.names]
    rows = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    try:
        return [None if row["path"] is None else Deleted(**row) for row in rows]
    except TypeError as error:
        raise ValueError(f"a deletion vector is incomplete: {error}") from error


def decode(data: bytes) -> tuple[DataFile, ...]:
    """All entries; ``ValueError`` if ``data`` is not what ``encode`` makes."""
    return Entries(data).files()


@contextmanager
def _not_a_manifest() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(f"not a manifest: {error}") from error


def statistics_type(kind: pa.DataType) -> pa.DataType:
    """How bounds of a column are stored: the type that compares alike and JSON can match."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return statistics_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return statistics_type(kind.storage_type)
    if pa.types.is_temporal(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_decimal(kind) and not 0 <= kind.scale <= kind.precision:
        return pa.null()  # Parquet has no such decimals: their bounds are left out.
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return pa.decimal128(kind.precision, kind.scale)
    return kind
