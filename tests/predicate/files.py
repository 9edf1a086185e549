"""Statistics of files, as writers collect them and manifests keep them, and forgotten at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from atio.formats import get_format
from atio.formats.conformance import encode
from atio.metadata.manifests import statistics_type
from atio.predicate import ColumnBounds, Path


@dataclass(frozen=True)
class Files:
    """Files of one table: a list of tables and what is known of them."""

    parts: list[pa.Table]
    known: dict[Path, ColumnBounds]

    @property
    def rows(self) -> pa.Array:
        return pa.array([len(part) for part in self.parts], pa.int64())

    def column(self, path: Path) -> ColumnBounds | None:
        return self.known.get(path)


def files(parts: list[pa.Table], format_name: str = "parquet") -> Files:
    """The parts with the statistics of files of that format."""
    infos = [encode(get_format(format_name), part)[1] for part in parts]
    known = {}
    for path in {path for info in infos for path in info.stats}:
        kind = leaf(parts[0].schema, path)
        bound = statistics_type(kind)
        found = [info.stats.get(path) for info in infos]
        known[path] = ColumnBounds(
            lower=column(found, "lower", bound),
            upper=column(found, "upper", bound),
            nulls=column(found, "nulls", pa.int64()),
            nans=column(found, "nans", pa.int64()),
        )
    return Files(parts, known)


def column(found: list[Any], name: str, kind: pa.DataType) -> pa.Array:
    return pa.array([None if stats is None else getattr(stats, name) for stats in found], kind)


def leaf(schema: pa.Schema, path: Path) -> pa.DataType:
    kind = schema.field(path[0]).type
    for name in path[1:]:
        kind = kind.field(name).type
    return kind


@st.composite
def partitioned(draw: st.DrawFn, table: pa.Table) -> Files:
    """Cut anywhere; then some of what is known is not."""
    cuts = sorted(draw(st.lists(st.integers(0, len(table)), max_size=4)))
    parts = [table.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(table)], strict=True)]
    made = files(parts, draw(st.sampled_from(["parquet", "arrow"])))
    known = {
        path: ColumnBounds(
            **{name: forgotten(draw, getattr(bounds, name)) for name in bounds.__struct_fields__}
        )
        for path, bounds in made.known.items()
        if draw(st.integers(0, 9))
    }
    return Files(parts, known)


def forgotten(draw: st.DrawFn, values: pa.Array) -> pa.Array | None:
    if draw(st.integers(0, 9)) == 0:
        return None
    keep = draw(st.lists(st.integers(0, 7), min_size=len(values), max_size=len(values)))
    return pa.array([v if k else None for v, k in zip(values.to_pylist(), keep, strict=True)], values.type)
