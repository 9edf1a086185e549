"""Changing rows: delete, update, replace where a condition holds, upsert."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from atio.commit.build import Request
from atio.commit.changes import Change
from atio.commit.loop import Outcome
from atio.commit.state import State, consistently, pointer_token
from atio.errors import (
    AtioError,
    ConflictError,
    ContendedError,
    DamagedError,
    InputError,
    OutcomeUnknownError,
    SchemaError,
    VersionNotFoundError,
    meant,
)
from atio.frames import Incoming, incoming
from atio.metadata.objects import Objects
from atio.model.base import new_id
from atio.model.snapshot import Snapshot
from atio.schema.bound import BoundSchema
from atio.schema.cast import cast
from atio.table import properties
from atio.table.alive import picked
from atio.table.datafiles import discard
from atio.table.finding import Ask, DeleteFound, Finder, Found, StillSo, View, noting
from atio.table.keyed import NewKeys, key_of, new_keys
from atio.table.keys import Keys, check_key
from atio.table.matching import Matching
from atio.table.planning import Planned
from atio.table.sharing import append_changes
from atio.table.stage import Staged, stage

if TYPE_CHECKING:
    from atio.predicate import Where
    from atio.table.writing import Writer

T = TypeVar("T")

_SMALL = 8 * 2**20
"""Decoded bytes up to which rows are one file, written together with the metadata."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change of rows did.

    Attributes
    ----------
    version
        The version it made; None when there was nothing to do.
    inserted, updated, deleted
        Rows that are new, that have other values now, and that are gone.
    """

    version: int | None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


class Changer:
    """Changes the rows of one table, each time as one version."""

    def __init__(self, writer: Writer, message: str | None, expected_version: int | None) -> None:
        self._writer = writer
        self._committer = writer.committer
        self.objects = writer.committer.objects
        self._message = message
        self._expected = expected_version
        self._seen: str | None = None
        self.made: Snapshot | None = None
        """The version that was made, if any."""

    # -- operations ----------------------------------------------------------------------------

    def delete(self, where: Where) -> Changed:
        """See ``Table.delete``."""
        return self.attempts(partial(self._delete, Finder(_asking(where))))

    def _delete(self, finder: Finder) -> Changed:
        state, found = self.look(finder)
        change = DeleteFound(finder)
        if not found:
            self.noted(state, change)
            return Changed(None)
        made = self.commit("delete", (change,))
        return Changed(made.version, deleted=change.rows)

    def update(self, values: Mapping[str, object], where: Where) -> Changed:
        """See ``Table.update``."""
        if not isinstance(values, Mapping) or not values:
            raise InputError(
                "update() takes a dict of new values by column", hint='{"price": col("price") * 2}'
            )
        return self.attempts(partial(self._update, dict(values), where))

    def _update(self, values: dict[str, object], where: Where) -> Changed:
        finder = Finder(_asking(where))
        state, found = self.look(finder)
        assign = assignment(values, state.schema.public)
        if not found:
            self.noted(state, StillSo(finder, found))
            return Changed(None)
        rows = map(assign, self.rows(state, found))
        objects = self.objects.recorder()
        with self.staged(objects, peeked(state.schema.public.remove_metadata(), rows), state) as staged:
            change = DeleteFound(finder, only=found)
            changes = (change, *self.appended(objects, state, staged, keep=not {*values} & {*key_of(state)}))
            made = self.commit("update", changes, objects)
        return Changed(made.version, updated=change.rows)

    def replace(self, data: object, where: Where | None, token: str | None) -> Snapshot:
        """See ``Table.overwrite`` with ``where``, or with ``partitions`` if it is None."""
        source = incoming(data)
        objects = self.objects.recorder()
        state = consistently(self.objects, lambda state: state)
        if token is not None:
            known = consistently(self.objects, partial(self._committer.version_of, token))
            if known is not None:
                return self._writer.result(Outcome(state.snapshot, known))
        if where is not None:
            condition = _asking(where)(state.schema)
            source = _with_tables(source, _inside(source.tables, state.schema, condition))
        elif not state.catalog.partitioning:
            raise InputError(
                "the table has no partitions to replace",
                hint="set_partitioning() gives it some; where= replaces the rows that it is true for",
            )
        with self.staged(objects, source, state) as staged:
            finder, required = _replaced(state, staged, where)
            changes = (*required, DeleteFound(finder), *self.appended(objects, state, staged))

            def run() -> Snapshot:
                self.look(finder)
                outcome = self._request("overwrite", changes, objects, token=token)
                made = self._writer.result(outcome)
                if outcome.replayed is not None:
                    self._writer.discard_unused(staged, made, outcome.replayed)
                return made

            return self.attempts(run)

    def upsert(self, data: object, on: Sequence[str]) -> Changed:
        """See ``Table.upsert``."""
        source = incoming(data)
        objects = self.objects.recorder()
        state = consistently(self.objects, lambda state: state)
        on = key_columns(on, state)
        check_complete(source.schema, state.schema.public)
        parts: list[pa.Table] = []
        kept = _with_tables(source, _collected(source.tables, on, state.schema, parts))
        with self.staged(objects, kept, state) as staged:
            if not staged.rows:
                return Changed(None)
            keys = Keys(pa.concat_tables(parts))
            finder = Finder(keys.condition, noting)
            change = DeleteFound(finder)

            def run() -> Changed:
                self.look(finder)
                same = set(on) == set(key_of(state))
                changes = (change, *self.appended(objects, state, staged, keep=same))
                made = self.commit("upsert", changes, objects)
                updated = len(found_places(change.found, keys))
                return Changed(made.version, inserted=staged.rows - updated, updated=updated)

            return self.attempts(run)

    # -- steps ---------------------------------------------------------------------------------

    def attempts(self, run: Callable[[], T]) -> T:
        """Start over when others changed too much of what was looked at."""
        policy = self._committer.retry
        for attempt in policy.tries():
            try:
                return run()
            except ContendedError:
                raise
            except (ConflictError, VersionNotFoundError):
                if self._expected is not None or attempt == policy.attempts - 1:
                    raise
            except DamagedError:
                # Files may be missing because others replaced, and expired, the version that was looked at.
                if attempt == policy.attempts - 1 or self._seen in (None, pointer_token(self.objects)):
                    raise
        raise AssertionError

    def look(self, finder: Finder) -> tuple[State, list[Found]]:
        """Find the rows, while nobody waits."""
        state, (found,) = self.look_for((finder,))
        return state, found

    def look_for(self, finders: Sequence[Finder]) -> tuple[State, list[list[Found]]]:
        """What several find in one state."""

        def look(state: State) -> tuple[State, list[list[Found]]]:
            self._seen = state.token
            view = _view_now(self.objects, state)
            return state, [finder.look(view) for finder in finders]

        return consistently(self.objects, look)

    def rows(self, state: State, found: Iterable[Found]) -> Iterator[pa.Table]:
        """All columns of the rows that were found, a bounded part at a time."""
        view = _view_now(self.objects, state)
        names = state.schema.arrow.names
        for one in found:
            file = one.touched.file
            condition = everything(state.schema)
            matching = Matching(self.objects, state.schema, names, condition)
            mask = one.mask
            if mask is None:
                planned = Planned(file, sure=True)
                yield from matching.pieces(planned, view.source(file), whole=False, threads=True)
            else:
                yield from matching.rows_at(file, view.source(file), mask)

    def staged(self, objects: Objects, source: Incoming, state: State) -> _Staging:
        return _Staging(objects, source, state)

    def appended(
        self, objects: Objects, state: State, staged: Staged, *, keep: bool = False
    ) -> tuple[Change, ...]:
        """What adds rows, after others were deleted; ``keep``: their keys are surely their own."""
        if not staged.files:
            return ()
        chosen = state.catalog.properties
        merge = properties.file_options(chosen) if properties.merges(chosen) else None
        changes = append_changes((staged,), merge)
        if not state.catalog.key:
            return changes
        if keep:
            return (NewKeys(None), *changes)
        compared = new_keys(objects, state, ((file, staged.bound()) for file in staged.files))
        consistently(self.objects, lambda state: compared.prepare(_view_now(self.objects, state)))
        return (compared, *changes)

    def noted(self, state: State, *changes: Change) -> None:
        """Nothing is to be done; in a transaction there may be by its end."""
        self._committer.noted(Request("none", changes, expected_version=self._expected), state)

    def commit(self, operation: str, changes: tuple[Change, ...], staged: Objects | None = None) -> Snapshot:
        return self._request(operation, changes, staged).snapshot

    def _request(
        self,
        operation: str,
        changes: tuple[Change, ...],
        staged: Objects | None,
        token: str | None = None,
    ) -> Outcome:
        request = Request(
            operation,
            changes,
            message=self._message,
            token=token,
            expected_version=self._expected,
            staged=staged,
        )
        outcome = self._committer.commit(request)
        self.made = outcome.snapshot
        return outcome


class _Staging:
    """Rows in data files for as long as they may still be committed; removed if they surely were not."""

    def __init__(self, objects: Objects, source: Incoming, state: State) -> None:
        self._objects, self._source, self._state = objects, source, state
        # A stream may take longer than the grace period of a vacuum: a lease tells it to wait.
        prefix = new_id()[:8] if source.streamed else ""
        self._prefix = prefix
        self._lease = objects.storage.lease(prefix) if prefix else None
        self._staged: Staged | None = None

    def __enter__(self) -> Staged:
        try:
            options = properties.file_options(self._state.catalog.properties)
            self._staged = stage(self._objects, self._source, self._state, options, prefix=self._prefix)
        except BaseException:
            self._release()
            raise
        return self._staged

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        del trace
        self._release()
        surely_failed = isinstance(error, AtioError) and not isinstance(error, OutcomeUnknownError)
        if surely_failed and self._staged is not None:
            discard(self._objects.storage, self._staged.files)

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None


def _view_now(objects: Objects, state: State) -> View:
    return View(objects, state.snapshot, state.schema)


def _asking(where: Where) -> Ask:
    from atio.predicate import bind

    return lambda bound: bind(where, bound.public)


def _replaced(state: State, staged: Staged, where: Where | None) -> tuple[Finder, tuple[Change, ...]]:
    """What finds the rows that new ones replace, and what must be so for that."""
    if where is not None:
        return Finder(_asking(where)), ()
    from atio.table.layout import layout_of
    from atio.table.partitions import Partitions, SameLayout

    partitions = Partitions(layout_of(state.catalog, state.schema), staged.files)
    return Finder(partitions.condition), (SameLayout(state.catalog.partitioning),)


def everything(bound: BoundSchema) -> Any:
    from atio.predicate import bind_value

    return bind_value(True, bound.public)


def peeked(schema: pa.Schema, tables: Iterator[pa.Table]) -> Incoming:
    """As few rows as will be one file are gathered beforehand: that is written with the metadata."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        held.append(table)
        size += table.nbytes
        if size > _SMALL:
            return Incoming(schema, chain(held, tables), None, None, streamed=True)
    return Incoming(schema, iter(held), sum(table.num_rows for table in held), None, streamed=False)


def _with_tables(source: Incoming, tables: Iterator[pa.Table]) -> Incoming:
    return Incoming(source.schema, tables, source.rows, None, source.streamed)


# -- update ----------------------------------------------------------------------------------------


def assignment(values: Mapping[str, object], schema: pa.Schema) -> Callable[[pa.Table], pa.Table]:
    """What gives rows their new values; those of all columns are computed from the old ones."""
    made: dict[str, Callable[[pa.Table], Any]] = {}
    for name, value in values.items():
        if name not in schema.names:
            raise InputError(
                f"there is no column {name!r}",
                column=str(name),
                hint=meant(str(name), schema.names) or f"columns are {', '.join(schema.names[:20])}",
            )
        made[name] = _computed(name, value, schema)

    def assign(table: pa.Table) -> pa.Table:
        columns = [
            made[name](table) if name in made else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        ]
        return pa.Table.from_arrays(columns, names=table.column_names)

    return assign


def _computed(name: str, value: object, schema: pa.Schema) -> Callable[[pa.Table], Any]:
    field = schema.field(name)
    from atio.predicate import Expr, Node, bind_value
    from atio.predicate.bound import Const

    if isinstance(value, Expr | Node):
        bound = bind_value(value, schema)
        if isinstance(bound.root, Const):
            return _computed(name, bound.root.value.as_py(), schema)

        def compute(table: pa.Table) -> pa.ChunkedArray:
            found = bound.evaluate(table)
            if isinstance(found, pa.Scalar):
                found = _repeated(found, table.num_rows)
            whole = found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
            return cast(whole, field)

        return compute
    scalar = _scalar(value, field)
    if not scalar.is_valid and not field.nullable:
        raise SchemaError(f"column {name!r} may not be null", column=name)
    return lambda table: _repeated(scalar, table.num_rows)


def _scalar(value: object, field: pa.Field) -> pa.Scalar:
    kind = field.type
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    whole = isinstance(value, int) and not isinstance(value, bool) and pa.types.is_integer(kind)
    try:
        if isinstance(value, Decimal) and pa.types.is_floating(kind):
            value = float(value)
        if value is None or whole or pa.types.is_floating(kind) or pa.types.is_nested(kind):
            return pa.scalar(value, kind)
        found = pa.scalar(value)
        return cast(pa.chunked_array([pa.array([value], found.type)]), field.with_type(kind))[0]
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            f"column {field.name!r} is {field.type}; {value!r} is no value of it", column=field.name
        ) from error


def _repeated(scalar: pa.Scalar, rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(scalar, rows)])


# -- new rows --------------------------------------------------------------------------------------


def _inside(tables: Iterable[pa.Table], bound: BoundSchema, condition: Any) -> Iterator[pa.Table]:
    """The tables, if the condition is true for all of their rows."""
    import pyarrow.compute as pc

    start = 0
    for table in tables:
        fitted = _fitted(table, condition.columns, bound)
        mask = condition.evaluate(fitted)
        if isinstance(mask, pa.Scalar):
            mask = pa.repeat(mask, table.num_rows)
        if isinstance(mask, pa.ChunkedArray):
            mask = mask.combine_chunks()
        outside = pc.invert(pc.fill_null(mask, False))
        if outside.true_count:
            shown = picked(table.slice(), outside).slice(0, _SHOWN).to_pylist()
            first = start + outside.index(True).as_py()
            raise InputError(
                f"{outside.true_count} rows are outside of what is replaced ({condition!r}), "
                f"from row {first} on: {shown}",
                hint="drop them, or append() them",
            )
        start += table.num_rows
        yield table


def _fitted(table: pa.Table, names: Sequence[str], bound: BoundSchema) -> pa.Table:
    """Some columns of new rows as the table has them."""
    columns, fields = [], []
    for name in names:
        field = bound.public.field(name).with_nullable(True)
        fields.append(field)
        if name in table.column_names:
            columns.append(_as_field(table.column(name), field))
        else:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
    if not names:
        return table
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _as_field(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type) and column.type == field.type:
        return column
    return cast(column, field)


def key_columns(on: Sequence[str], state: State) -> Sequence[str]:
    """The columns to compare rows by, checked; the table's key if none are named."""
    on = on or key_of(state)
    if not on:
        raise InputError("the table has no key", hint="name the columns with on=, or make it with key=")
    check_key(on, state.schema.public)
    return on


def check_complete(given: pa.Schema, schema: pa.Schema) -> None:
    """Raise unless new rows, which replace others whole, have all columns."""
    lacking = [name for name in schema.names if name not in given.names]
    if lacking:
        raise SchemaError(
            f"column {lacking[0]!r} is missing in the data: rows that are replaced would lose its values",
            column=lacking[0],
            hint="add the column, or change single columns with update()",
        )


def _collected(
    tables: Iterable[pa.Table], on: Sequence[str], bound: BoundSchema, parts: list[pa.Table]
) -> Iterator[pa.Table]:
    """The tables; their keys are gathered in ``parts``."""
    for table in tables:
        parts.append(keys_of(table, on, bound))
        yield table


def keys_of(table: pa.Table, on: Sequence[str], bound: BoundSchema) -> pa.Table:
    found = _fitted(table, on, bound)
    plain = []
    for column in found.columns:
        kind = column.type
        while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        plain.append(column if column.type == kind else cast(column, pa.field("", kind)))
    return pa.table(plain, names=list(on))


def found_places(found: Iterable[Found], keys: Keys) -> pa.Array:
    """Which of the keys the rows that were found have, each once."""
    parts = [rows for one in found for rows in one.noted]
    return keys.places(pa.concat_tables(parts)).unique() if parts else pa.array([], pa.int64())
