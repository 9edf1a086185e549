"""Sorting more rows than fit into memory: sorted runs in temporary files, then merged.

The sort is stable. Nulls come last, NaN before them, whatever the direction.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import types as pt

from atio.formats import recode
from atio.formats.plan import Plan, unified
from atio.predicate.keep import taken
from atio.storage.failures import translating

RUN_BYTES = 128 * 2**20
"""Decoded bytes that are held and sorted at once."""
_FAN_IN = 64
_BATCH_BYTES = 2**20
_PIECES = 16
"""In so many pieces a run's rows are put into order, so that they are not in memory twice."""


class External:
    """Sorts a stream of tables of one schema.

    Parameters
    ----------
    schema
        Of the tables.
    keys
        Makes the columns to sort by of a table: of types that Arrow sorts, most significant first.
    directions
        ``ascending`` or ``descending``, one for each key.
    memory
        Decoded bytes to be held at once.
    """

    def __init__(
        self,
        schema: pa.Schema,
        keys: Callable[[pa.Table], list[pa.ChunkedArray]],
        directions: Sequence[str],
        memory: int,
    ) -> None:
        self._plan = Plan(schema, _rule, "temporary")
        self._keys = keys
        self._order = [(f"k{number}", direction) for number, direction in enumerate(directions)]
        self._memory = memory

    def sorted(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The rows of all tables, in order, in tables of bounded size."""
        tables = iter(tables)
        held, more = self._gathered(tables)
        if not more:
            if held:
                yield from map(self._rows, self._run(held))
            return
        with (
            translating(tempfile.gettempdir()),
            tempfile.TemporaryDirectory(prefix="atio-sort-") as folder,
        ):
            runs = [_spill(self._run(held), folder)]
            while more:
                held, more = self._gathered(tables)
                if held:
                    runs.append(_spill(self._run(held), folder))
            while len(runs) > _FAN_IN:  # Neighbours first: equal rows stay in their order.
                groups = [runs[i : i + _FAN_IN] for i in range(0, len(runs), _FAN_IN)]
                runs = [_spill(self._merged(group), folder) for group in groups]
            yield from map(self._rows, self._merged(runs))

    def _gathered(self, tables: Iterator[pa.Table]) -> tuple[list[pa.Table], bool]:
        """As much as may be held, and whether there may be more."""
        held: list[pa.Table] = []
        size = 0
        for table in tables:
            held.append(table)
            size += table.nbytes
            if size >= self._memory:
                return held, True
        return held, False

    def _rows(self, keyed: pa.Table) -> pa.Table:
        """As they were given: without the keys, which are behind the columns."""
        return self._plan.decode(keyed.select(range(len(self._plan.schema))), None)

    def _run(self, held: list[pa.Table]) -> Iterator[pa.Table]:
        """What is held, sorted, its keys beside it; empties ``held``."""
        table = unified(pa.concat_tables(held))
        held.clear()
        keys = self._keys(table)
        order = self._indices(keys)
        table = self._plan.encode(table)
        fields = [pa.field(name, key.type) for (name, _), key in zip(self._order, keys, strict=True)]
        keyed = pa.Table.from_arrays([*table.columns, *keys], schema=pa.schema([*table.schema, *fields]))
        step = -(-len(order) // _PIECES) or 1
        for start in range(0, len(order), step):
            yield taken(keyed, order.slice(start, step))

    def _indices(self, keys: list[pa.ChunkedArray]) -> pa.Array:
        import pyarrow.compute as pc

        named = pa.Table.from_arrays(keys, names=[name for name, _ in self._order])
        return pc.sort_indices(named.combine_chunks(), sort_keys=self._order)

    def _merged(self, paths: list[str]) -> Iterator[pa.Table]:
        """The rows of sorted runs as one; removes them.

        Of each run some rows are held. Sorted together they are final up to the first last one of a run
        that has more.
        """
        import pyarrow.compute as pc

        share = self._memory // (2 * len(paths))
        runs = [_Run(path) for path in paths]
        try:
            while True:
                for run in runs:
                    run.fill(share)
                if not any(run.rows.num_rows for run in runs):
                    return
                whole = unified(pa.concat_tables([run.rows for run in runs]))
                order = self._indices(whole.columns[-len(self._order) :])
                starts, lasts, end = [], [], 0
                for run in runs:
                    starts.append(end)
                    end += run.rows.num_rows
                    if run.more:
                        lasts.append(end - 1)
                if lasts:
                    places = pc.index_in(pa.array(lasts, order.type), value_set=order)
                    order = order.slice(0, pc.min(places).as_py() + 1)
                for run, start in zip(runs, starts, strict=True):
                    until = pa.scalar(start + run.rows.num_rows, order.type)
                    mine = pc.and_(
                        pc.greater_equal(order, pa.scalar(start, order.type)), pc.less(order, until)
                    )
                    run.drop(mine.true_count)
                yield taken(whole, order)
        finally:
            for run in runs:
                run.close()


class _Run:
    """A sorted run on disk, of which some rows are held."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._file = pa.OSFile(path)
        self._reader = pa.ipc.open_stream(self._file)
        self.rows: pa.Table = self._reader.schema.empty_table()
        self.more = True

    def fill(self, size: int) -> None:
        """Hold at least ``size`` bytes of rows, if there are as many."""
        held = [self.rows]
        found = self.rows.nbytes
        while self.more and (found < size or not any(one.num_rows for one in held)):
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                self.more = False
                break
            held.append(pa.Table.from_batches([batch]))
            found += batch.nbytes
        if len(held) > 1:
            self.rows = pa.concat_tables(held)

    def drop(self, rows: int) -> None:
        self.rows = self.rows.slice(rows)

    def close(self) -> None:
        self._file.close()
        self._path.unlink()


def _spill(tables: Iterable[pa.Table], folder: str) -> str:
    handle, path = tempfile.mkstemp(suffix=".arrows", dir=folder)
    os.close(handle)
    writer = None
    with pa.OSFile(path, "wb") as file:
        for table in tables:
            if writer is None:
                writer = pa.ipc.new_stream(file, table.schema)
            rows = max(1, table.num_rows * _BATCH_BYTES // max(table.nbytes, 1))
            writer.write_table(table, max_chunksize=rows)
        assert writer is not None
        writer.close()
    return path


def _rule(kind: pa.DataType) -> recode.Recoding:
    """Types whose rows Arrow can pick, in place of those whose rows it cannot."""
    if pt.is_string_view(kind):
        return recode.cast(kind, pa.large_string())
    if pt.is_binary_view(kind):
        return recode.cast(kind, pa.large_binary())
    try:
        if pt.is_run_end_encoded(kind):
            return recode.run_ends(kind, _rule(kind.value_type))
        if pt.is_nested(kind) and not pt.is_union(kind):
            return recode.nested(kind, _rule)
    except recode.RefusedError:
        pass
    return recode.keep(kind)
