"""What the formats other than Parquet share: recode, write, count; open, read, recode back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pyarrow as pa

from atio.formats.base import FileInfo, FileWriter, Format, Out
from atio.formats.errors import decoding
from atio.formats.options import Parse, parse
from atio.formats.plan import PerSchema, Plan, slices
from atio.formats.recode import Recoding
from atio.formats.sink import Sink, writing
from atio.formats.stats import Collector


class RecodedWriter(FileWriter):
    """Hands recoded tables to ``_put`` and ends with ``_finish``; both write to ``self._sink``."""

    silent: ClassVar[bool] = False
    """The encoder must not see the sink's errors."""

    def __init__(self, out: Out, plan: Plan) -> None:
        self._plan = plan
        self._sink = Sink(out, silent=self.silent)
        self._rows = 0
        self._stats = Collector(plan.schema)

    def write(self, table: pa.Table) -> None:
        self._plan.accept(table)
        self._stats.add(table)
        stored = self._plan.encode(table)
        with self._guarded():
            self._put(stored)
        self._rows += table.num_rows

    def close(self) -> FileInfo:
        with self._guarded():
            self._finish()
        return FileInfo(self._rows, None, self._stats.stats())

    @abstractmethod
    def _put(self, table: pa.Table) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    def _guarded(self) -> AbstractContextManager[None]:
        return writing(self._plan.name, self._sink)

    def __del__(self) -> None:
        # pyarrow's encoders finish their file when collected: not into the owner's handle.
        sink = getattr(self, "_sink", None)
        if sink is not None:
            sink.detach()


class RecodedFormat(Format):
    """A format by its rule and options, a writer, and how stored columns are read."""

    options: ClassVar[dict[str, Parse]] = {}

    def __init__(self) -> None:
        self._plans = PerSchema(self._plan)

    def _plan(self, schema: pa.Schema) -> Plan:
        return Plan(schema, self._rule, self.name)

    @staticmethod
    @abstractmethod
    def _rule(type_: pa.DataType) -> Recoding: ...

    @abstractmethod
    def _writer(self, out: Out, plan: Plan, options: dict[str, Any]) -> FileWriter: ...

    @abstractmethod
    def _read(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, *, threads: bool
    ) -> pa.Table:
        """The stored columns at ``order`` (ascending; None: all)."""

    @abstractmethod
    def _batches(
        self, source: pa.Buffer | str, plan: Plan, order: list[int] | None, rows: int
    ) -> Iterator[pa.Table]:
        """The same in pieces, of more than ``rows`` rows where the file has no smaller ones."""

    def check(self, schema: pa.Schema) -> None:
        self._plans(schema)

    def writer(self, out: Out, schema: pa.Schema, options: dict[str, str]) -> FileWriter:
        return self._writer(out, self._plans(schema), parse(self.name, options, self.options))

    def read(
        self,
        source: pa.Buffer | str,
        schema: pa.Schema,
        columns: Sequence[str] | None = None,
        *,
        threads: bool = True,
    ) -> pa.Table:
        plan = self._plans(schema)
        positions = plan.positions(columns)
        order = None if positions is None else sorted(set(positions))
        with decoding(self.name):
            stored = self._read(source, plan, order, threads=threads)
            return plan.arranged(plan.decode(stored, order), positions)

    def batches(
        self, source: pa.Buffer | str, schema: pa.Schema, columns: Sequence[str] | None = None, *, rows: int
    ) -> Iterator[pa.Table]:
        plan = self._plans(schema)
        positions = plan.positions(columns)
        order = None if positions is None else sorted(set(positions))
        pieces = self._batches(source, plan, order, rows)
        while True:
            # Not around the yield: the caller's errors are not damage.
            with decoding(self.name):
                stored = next(pieces, None)
                if stored is None:
                    return
                table = plan.arranged(plan.decode(stored, order), positions)
            yield from slices(table, rows)
