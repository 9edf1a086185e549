"""A condition bound to a schema: names resolved, types explicit, nothing left to guess for an engine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa

from atio.predicate.tree import AnyNode, Path

if TYPE_CHECKING:
    import polars as pl


class Field(msgspec.Struct, frozen=True, eq=False):
    """A column, or a field of its structs.

    Attributes
    ----------
    path
        Its names, from the top-level column down.
    places
        Positions of the inner fields in their structs.
    kind
        Its type in the schema; ``type`` is that of its values while they are compared.
    """

    path: Path
    places: tuple[int, ...]
    kind: pa.DataType
    type: pa.DataType


class Const(msgspec.Struct, frozen=True, eq=False):
    value: pa.Scalar

    @property
    def type(self) -> pa.DataType:
        return self.value.type


Name = Literal[
    "and", "or", "not", "is_null", "is_nan", "known", "in", "like",
    "eq", "ne", "lt", "le", "gt", "ge",
    "add", "subtract", "multiply", "divide", "modulo",
    "abs", "lower", "upper", "coalesce", "cast", "part",
]  # fmt: skip


class Op(msgspec.Struct, frozen=True, eq=False):
    """An operation on values that have the types it needs.

    ``option`` is the value set of ``in`` (an Arrow array without nulls and NaN), the ``Pattern`` of
    ``like``, the answer of ``known`` (what every value gives that is not null), and of ``part`` what makes
    partitions of values in their order, by which files can be skipped; rows have other ways to tell.
    """

    name: Name
    args: tuple[Value, ...]
    type: pa.DataType
    option: Any = None


Value = Field | Const | Op


def fields(value: Value) -> Iterator[Field]:
    """Every mention of a column."""
    if isinstance(value, Field):
        yield value
    elif isinstance(value, Op):
        for arg in value.args:
            yield from fields(arg)


class Bound(msgspec.Struct, frozen=True, eq=False, dict=True):
    """A condition, or a value, of the rows of one schema.

    Attributes
    ----------
    tree
        What was bound, its columns with exact paths: this is what metadata should keep.
    root
        For the engines.
    """

    tree: AnyNode
    root: Value

    def __repr__(self) -> str:
        return repr(self.tree)

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the value; boolean for a condition."""
        return self.root.type

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The columns and fields it looks at, each once."""
        return tuple(dict.fromkeys(field.path for field in fields(self.root)))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The top-level columns it needs, each once."""
        return tuple(dict.fromkeys(path[0] for path in self.paths))

    def evaluate(self, table: pa.Table | pa.RecordBatch) -> pa.ChunkedArray | pa.Array:
        """The value of each row; of a condition true, false, or null for unknown.

        Raises ``InputError`` where the arithmetic overflows or a cast fails.
        """
        from atio.predicate.arrow import evaluate

        return evaluate(self.root, table)

    def filter(self, table: pa.Table) -> pa.Table:
        """The rows for which the condition is true."""
        from atio.predicate.keep import kept

        return kept(table, self.evaluate(table))

    def to_polars(self) -> pl.Expr:
        """The same for frames as :func:`atio.frames.to_polars` makes them."""
        from atio.predicate.polars import expression

        return expression(self.root)

    def to_sql(self) -> str:
        """The same as SQL for DuckDB, every name quoted, every conversion explicit."""
        from atio.predicate.explicit import tree_of
        from atio.predicate.render import sql

        return sql(tree_of(self.root))
