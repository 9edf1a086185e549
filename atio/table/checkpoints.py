"""Appending a long stream in parts, so that a failure costs one part and not all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa

from atio.commit.state import consistently, load_state
from atio.errors import InputError
from atio.frames import Incoming, incoming
from atio.frames.base import RangeIndex
from atio.model.snapshot import Snapshot
from atio.table import lookup
from atio.table.writing import Intent, Writer


def append_in_parts(
    writer: Writer,
    data: object,
    rows: int,
    *,
    message: str | None,
    token: str | None,
    schema_mode: str = "strict",
) -> Snapshot:
    """See ``Table.append``, ``checkpoint_rows``; returns the last version."""
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise InputError(f"checkpoint_rows is {rows!r}; it is a number of rows, at least 1")
    source = incoming(data)
    cut = _Cut(source, rows)
    made: list[int] = []
    try:
        while True:
            name = None if token is None else f"{token}#{len(made)}"
            snapshot = _known(writer, name)
            if snapshot is None:
                intent = Intent(overwrite=False, message=message, token=name, schema_mode=schema_mode)
                snapshot = writer.write(cut.part(), intent)
            else:
                cut.skip()
            made.append(snapshot.version)
            if cut.is_at_end():
                return snapshot
    except BaseException as error:
        if made:
            again = "repeat the call to go on" if token else "append the rest"
            error.add_note(
                f"{len(made) * rows:,} rows are in the table, versions {made[0]} to {made[-1]}: {again}"
            )
        raise


def _known(writer: Writer, token: str | None) -> Snapshot | None:
    """The version that an earlier call made of this part."""
    objects = writer.committer.objects
    if token is None or load_state(objects) is None:
        return None
    version = consistently(objects, partial(writer.committer.version_of, token))
    if version is None:
        return None
    return consistently(objects, lambda state: lookup.retained(objects, state, version) or state.snapshot)


class _Cut:
    """A stream of rows, cut into parts of ``rows`` rows; the last one may have fewer."""

    def __init__(self, source: Incoming, rows: int) -> None:
        self._source = source
        self._tables = iter(source.tables)
        self._rows = rows
        self._held: pa.Table | None = None
        self._start = 0

    def part(self) -> Incoming:
        """The next part, to be consumed before the one after it."""
        index, stop = self._source.index, self._start + self._rows
        if index is not None:
            begin = index.start + self._start * index.step
            end = index.start + min(stop, len(index)) * index.step
            index = RangeIndex(begin, end, index.step, index.name)
        return Incoming(self._source.schema, self._next(), None, index, streamed=True)

    def skip(self) -> None:
        for _ in self._next():
            pass

    def is_at_end(self) -> bool:
        """Whether there are no more rows."""
        while self._held is None or not self._held.num_rows:
            self._held = next(self._tables, None)
            if self._held is None:
                return True
        return False

    def _next(self) -> Iterator[pa.Table]:
        left = self._rows
        self._start += left
        while left and not self.is_at_end():
            assert self._held is not None
            table, self._held = self._held, None
            if table.num_rows > left:
                self._held = table.slice(left)
                table = table.slice(0, left)
            left -= table.num_rows
            yield table
