"""Merging rows into a table by their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self

import msgspec
import pyarrow as pa

from atio.commit.changes import Change
from atio.commit.state import State, consistently
from atio.errors import InputError
from atio.frames import incoming
from atio.predicate.bound import Bound, Const
from atio.predicate.keep import taken
from atio.predicate.tree import Literal
from atio.schema.bound import BoundSchema
from atio.table.alive import picked
from atio.table.changing import (
    Changed,
    Changer,
    assignment,
    check_complete,
    everything,
    found_places,
    key_columns,
    keys_of,
    peeked,
)
from atio.table.finding import DeleteFound, Finder, Found, StillSo, noting
from atio.table.keyed import key_of
from atio.table.keys import Keys, WithoutKey

SOURCE = "source"
"""What the new row is called in expressions for the old one."""


class Plan(msgspec.Struct, frozen=True):
    """What a merge does: see ``Table.merge``."""

    matched: str
    values: dict[str, object]
    inserts: bool
    deletes_others: bool

    @classmethod
    def of(cls, matched: object, not_matched: object, not_by_source: object) -> Self:
        values = dict(matched) if isinstance(matched, Mapping) else {}
        what = "values" if values else matched
        for name, found, known in (
            ("when_matched", what, ("update", "delete", "ignore", "values")),
            ("when_not_matched", not_matched, ("insert", "ignore")),
            ("when_not_matched_by_source", not_by_source, ("ignore", "delete")),
        ):
            if found not in known:
                raise InputError(f"{name} is {found!r}", hint=f"it is one of {', '.join(known)}")
        return cls(str(what), values, not_matched == "insert", not_by_source == "delete")


def merge(changer: Changer, data: object, on: Sequence[str], plan: Plan) -> Changed:
    """See ``Table.merge``."""
    if (plan.matched, plan.inserts, plan.deletes_others) == ("update", True, False):
        return changer.upsert(data, on)
    source = incoming(data)
    state = consistently(changer.objects, lambda state: state)
    on = key_columns(on, state)
    if plan.inserts or plan.matched == "update":
        check_complete(source.schema, state.schema.public)
    tables = list(source.tables)
    rows = pa.concat_tables(tables) if tables else source.schema.empty_table()
    job = _Merge(changer, rows, Keys(keys_of(rows, on, state.schema)), plan)
    return changer.attempts(job.run)


class _Merge:
    def __init__(self, changer: Changer, rows: pa.Table, keys: Keys, plan: Plan) -> None:
        self._changer = changer
        self._rows = rows
        self._keys = keys
        self._plan = plan

    def run(self) -> Changed:
        """One attempt: what is written was made of the rows that are there now, and only fits those."""
        changer, plan, keys = self._changer, self._plan, self._keys
        finder = Finder(keys.condition, noting)
        touches = plan.matched != "ignore"
        # Those that match are written again, or go as well: then nothing needs to be told apart.
        others = Finder(everything if touches else self._others, None if touches else len)
        finders = (finder, others) if plan.deletes_others else (finder,)
        state, (found, *gone) = changer.look_for(finders)
        removal = DeleteFound(finder, found)
        changes: list[Change] = [removal if touches else StillSo(finder, found)]
        old = sum(one.touched.rows for one in found)
        again = old if plan.matched in ("update", "values") else 0
        removed = old if touches else 0
        if plan.deletes_others:
            removed = sum(one.touched.rows for one in gone[0])
            removal = DeleteFound(others)
            changes = [StillSo(finder, found), removal]
        places = found_places(found, keys)
        new, known = self._new(places), len(places)
        result = Changed(
            None,
            inserted=new.num_rows - (known if plan.matched == "update" else 0),
            updated={"update": known, "values": old}.get(plan.matched, 0),
            deleted=removed - again,
        )
        if not (result.inserted or result.updated or result.deleted):
            changer.noted(state, *changes)
            return result
        objects = changer.objects.recorder()
        source = peeked(state.schema.public.remove_metadata(), self._made(state, found, new))
        with changer.staged(objects, source, state) as staged:
            moved = bool({*plan.values} & {*key_of(state)})
            same = set(keys.names) == set(key_of(state)) and not moved
            changes += changer.appended(objects, state, staged, keep=same)
            version = changer.commit("merge", tuple(changes), objects).version
        # Of what came meanwhile, rows may be deleted, too.
        return replace(result, version=version, deleted=removal.rows - again)

    def _others(self, bound: BoundSchema) -> Bound:
        self._keys.condition(bound)  # The columns may have changed.
        return WithoutKey(Literal("bool", True), Const(pa.scalar(True)), self._keys)

    def _made(self, state: State, found: Sequence[Found], new: pa.Table) -> Iterator[pa.Table]:
        """The rows to append, in the table's columns."""
        if self._plan.matched == "values":
            yield from self._assigned(state, found)
        if new.num_rows:
            yield new

    def _new(self, known: pa.Array) -> pa.Table:
        """Rows of the data that become rows of the table as they are."""
        import pyarrow.compute as pc

        plan = self._plan
        places = self._keys.places(self._keys.rows)
        there = pc.is_in(places, value_set=known)
        wanted = pa.repeat(False, len(places))
        if plan.inserts:
            wanted = pc.or_(wanted, pc.invert(there))
        if plan.matched == "update":
            wanted = pc.or_(wanted, there)
        return picked(self._rows, wanted)

    def _assigned(self, state: State, found: Sequence[Found]) -> Iterator[pa.Table]:
        """The table's rows with the values that were asked for, of them and of the data's rows."""
        import pyarrow.compute as pc

        if SOURCE in state.schema.public.names:
            raise InputError(f"the table has a column {SOURCE!r} itself", column=SOURCE, hint="rename it")
        names = state.schema.arrow.names
        both = state.schema.public.append(pa.field(SOURCE, pa.struct(list(self._rows.schema))))
        assign = assignment(self._plan.values, both)
        numbers = self._keys.places(self._keys.rows)
        for rows in self._changer.rows(state, found):
            order = pc.index_in(self._keys.places(rows), value_set=numbers)
            new = taken(self._rows, order).combine_chunks()
            struct = pa.StructArray.from_arrays(
                [column.combine_chunks() for column in new.columns], fields=list(new.schema)
            )
            yield assign(rows.append_column(both.field(SOURCE), struct)).select(names)
