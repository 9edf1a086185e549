"""Making sure that rows meet the table's constraints (spec/constraints.md).

Rows are looked at while they are staged. What the table has come to demand since is decided at the commit,
upon the state it builds on: by statistics, or by reading the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from atio.commit.state import Draft, State, put_schema
from atio.errors import ConstraintError
from atio.metadata.objects import Objects
from atio.model import schema as spec
from atio.model.base import new_id
from atio.model.pointer import Catalog, Check
from atio.model.snapshot import DataFile, ManifestRef, SchemaRef, Snapshot, Summary
from atio.schema.bound import BoundSchema
from atio.table.scan import Scan

if TYPE_CHECKING:
    from atio.commit.checks import Rule

_SHOWN_ROWS = 5
_SHOWN_COLUMNS = 8
_SHOWN_LENGTH = 40


# -- rows in memory --------------------------------------------------------------------------------


def rules(catalog: Catalog, schema: BoundSchema) -> list[Rule]:
    """The checks of a table, for rows of this schema."""
    from atio.commit.checks import rule_of

    return [rule_of(check, schema) for check in catalog.checks]


def check_rows(rules: Sequence[Rule], table: pa.Table, before: int) -> None:
    """Raise ``ConstraintError`` if a row does not meet a rule; ``before`` rows came before these."""
    import pyarrow.compute as pc

    from atio.predicate.keep import taken

    for rule in rules:
        places = pc.indices_nonzero(pc.fill_null(rule.offends.evaluate(table), False))
        if len(places):
            shown = taken(table.select(_shown(rule, table.schema)), places.slice(0, _SHOWN_ROWS))
            numbers = [before + place for place in places.slice(0, _SHOWN_ROWS).to_pylist()]
            raise _error(rule, f"{len(places):,} of these rows do", shown, numbers)


# -- rows in files ---------------------------------------------------------------------------------


class Obey(msgspec.Struct, frozen=True):
    """The rows that a commit adds meet the constraints of the state that it builds upon.

    Attributes
    ----------
    files
        Paths of the files that it adds; None for all that there are.
    checked
        The checks that these rows are known to meet.
    schema
        What the files were staged with; None if that is the schema which they are committed with.
    """

    files: frozenset[str] | None
    checked: tuple[Check, ...] = ()
    schema: BoundSchema | None = None

    def apply(self, draft: Draft) -> Draft:
        schema = draft.schema
        assert schema is not None
        open_rules = self._open(draft.catalog, schema)
        if open_rules:
            files, manifests = draft.files, draft.manifests
            if self.files is not None:
                files, manifests = tuple(file for file in files if file.path in self.files), ()
            _check_files(draft, open_rules, files, manifests)
        return msgspec.structs.replace(draft, is_checked=True)

    def _open(self, catalog: Catalog, schema: BoundSchema) -> list[Rule]:
        """What the rows are not known to meet."""
        unchecked = [check for check in catalog.checks if check not in self.checked]
        narrowed: list[int] = []
        if self.schema is not None and self.schema.spec is not schema.spec:
            narrowed = _narrowed(self.schema, schema)
        if not unchecked and not narrowed:
            return []
        from atio.commit.checks import not_null, rule_of

        return [
            *(rule_of(check, schema) for check in unchecked),
            *(not_null(column, schema) for column in narrowed),
        ]


class Ensure(msgspec.Struct, frozen=True):
    """All rows that there are meet a constraint.

    ``known``: files and manifests whose rows were looked at before the lock was taken.
    """

    rule: Callable[[BoundSchema], Rule]
    known: frozenset[str] = frozenset()

    def apply(self, draft: Draft) -> Draft:
        assert draft.schema is not None
        files = tuple(file for file in draft.files if file.path not in self.known)
        manifests = tuple(ref for ref in draft.manifests if ref.path not in self.known)
        with _correctable():
            _check_files(draft, [self.rule(draft.schema)], files, manifests)
        return draft

    def looked(self, objects: Objects, state: State) -> Ensure:
        """The same, the rows of a state having been looked at."""
        snapshot = state.snapshot
        with _correctable():
            _check(objects, [self.rule(state.schema)], snapshot, state.schema)
        known = {file.path for file in snapshot.files} | {ref.path for ref in snapshot.manifests}
        return msgspec.structs.replace(self, known=frozenset(known))


@contextmanager
def _correctable() -> Iterator[None]:
    """What is not there yet cannot be taken away: the rows can be corrected."""
    try:
        yield
    except ConstraintError as error:
        error.hint = "correct these rows first, with update() or delete()"
        raise


def check_version(objects: Objects, catalog: Catalog, snapshot: Snapshot, schema: BoundSchema) -> None:
    """Raise ``ConstraintError`` if a row of a version does not meet the checks of now."""
    if catalog.checks:
        _check(objects, rules(catalog, schema), snapshot, schema)


def _narrowed(before: BoundSchema, after: BoundSchema) -> list[int]:
    """Columns that could have nulls and may not have them now."""
    was = {field.id: field.nullable for field in before.spec.fields}
    return [field.id for field in after.spec.fields if not field.nullable and was.get(field.id)]


def _check_files(
    draft: Draft, rules: Sequence[Rule], files: tuple[DataFile, ...], manifests: tuple[ManifestRef, ...]
) -> None:
    if not files and not manifests:
        return
    if any(draft.objects.kept(file.path) is not None for file in files):
        draft.objects.flush()  # Files are read from where they will be.
    assert draft.schema is not None
    schema = put_schema(draft.objects, draft.schema)
    assert schema.ref is not None
    refs: tuple[SchemaRef, ...] = (schema.ref, *draft.older_schemas)
    snapshot = Snapshot(
        version=draft.version, id=new_id(), time=0, operation="check", schemas=refs, summary=Summary(),
        files=files, manifests=manifests,
    )  # fmt: skip
    _check(draft.objects, rules, snapshot, schema)


def _check(objects: Objects, rules: Sequence[Rule], snapshot: Snapshot, schema: BoundSchema) -> None:
    lenient = _with_nulls(schema)
    for rule in rules:
        scan = Scan(
            objects,
            snapshot,
            lenient,
            objects.storage.url,
            _shown(rule, schema.public),
            _SHOWN_ROWS,
            rule.offends,
        )
        found = scan.to_arrow()
        if found.num_rows:
            raise _error(rule, "rows of the table do", found, None)


def _with_nulls(schema: BoundSchema) -> BoundSchema:
    """The same columns, read whether they have nulls or not."""
    fields = tuple(field.replace(nullable=True) for field in schema.spec.fields)
    return BoundSchema(spec.Schema(id=schema.spec.id, fields=fields, metadata=schema.spec.metadata))


# -- messages --------------------------------------------------------------------------------------


def _shown(rule: Rule, schema: pa.Schema) -> tuple[str, ...]:
    """The columns to show: those of the rule, then others."""
    others = (name for name in schema.names if name not in rule.offends.columns)
    return (*rule.offends.columns, *others)[:_SHOWN_COLUMNS]


def _error(rule: Rule, what: str, shown: pa.Table, numbers: list[int] | None) -> ConstraintError:
    lines = []
    for place, row in enumerate(shown.to_pylist()):
        values = ", ".join(f"{name}={_short(value)}" for name, value in row.items())
        lines.append(f"row {numbers[place]} ({values})" if numbers else f"({values})")
    columns = rule.offends.columns
    return ConstraintError(
        f"{rule.text}: {what} not meet it: {'; '.join(lines)}",
        column=columns[0] if len(columns) == 1 else None,
        hint=f"correct the rows, or take the constraint away with {rule.remedy}",
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"
