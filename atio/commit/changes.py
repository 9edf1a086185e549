"""What a commit can do to a table: functions from one draft to the next.

Each is given the state that the commit builds upon and raises ``ConflictError`` if what it needs
of it is no longer so. ``spec/commit.md`` has the rules by operation.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from atio.commit.state import Draft
from atio.errors import ConflictError, ExistsError, NotFoundError, SchemaError, VersionNotFoundError
from atio.frames.base import RangeIndex, merge_index
from atio.metadata import history
from atio.model import schema as spec
from atio.model.base import FrozenDict
from atio.model.pointer import Catalog, Check, PartitionField, SortField, Tag
from atio.model.snapshot import Changes, DataFile, FrameIndex, SchemaRef, Snapshot, Summary
from atio.schema import scalars
from atio.schema.bound import BoundSchema
from atio.schema.evolve import Edit
from atio.schema.merge import reconcile
from atio.schema.types import Ids


class Change(Protocol):
    """One step of a commit."""

    def apply(self, draft: Draft) -> Draft: ...


class CreateTable(msgspec.Struct, frozen=True):
    """Make a table that does not exist: version 0."""

    schema: BoundSchema
    catalog: Catalog

    def apply(self, draft: Draft) -> Draft:
        if draft.base is not None:
            raise ExistsError("the table exists already", hint="open it with Table.open()")
        return msgspec.structs.replace(draft, schema=self.schema, catalog=self.catalog)


class AddFiles(msgspec.Struct, frozen=True):
    """Append files. Commutes with everything but changes of the columns.

    ``grown_from`` is the id of the schema that the writer saw, if its own is a new one.
    """

    files: tuple[DataFile, ...]
    schema: BoundSchema
    grown_from: int | None = None
    index: FrameIndex | None = None

    def apply(self, draft: Draft) -> Draft:
        _check_keyed(draft)
        schema, older = draft.written(self.schema), draft.older_schemas
        identity: int | None = None
        if self.schema.ref in draft.older_schemas:
            # Written before the columns were changed: they are read by field ids, as older files are.
            schema, identity = draft.schema, self.schema.spec.id  # type: ignore[assignment]
        elif draft.schema is not None:
            schema, older = _merged_schema(draft, self)
        identity = identity or schema.spec.id
        rows = sum(file.rows for file in self.files)
        added = tuple(f.replace(added=draft.version, schema_id=identity, deleted=None) for f in self.files)
        before = draft.summary
        return msgspec.structs.replace(
            draft,
            schema=schema,
            older_schemas=older,
            files=(*draft.files, *added),
            index=_joined(draft.index, before.rows, self.index, rows),
            summary=Summary(
                rows=before.rows + rows,
                bytes=before.bytes + sum(f.size for f in added),
                files=before.files + len(added),
                added=before.added + rows,
                removed=before.removed,
            ),
        )


def _merged_schema(draft: Draft, added: AddFiles) -> tuple[BoundSchema, tuple[SchemaRef, ...]]:
    current, staged = draft.schema, added.schema
    assert current is not None
    unmoved = added.grown_from == current.spec.id and staged.spec.id == draft.last_schema_id + 1
    if staged.ref is None and unmoved:
        older = draft.older_schemas
        if not staged.same_structure(current) and current.ref is not None:
            older = (current.ref, *older)
        return staged, older
    return reconcile(current, staged, draft.last_schema_id), draft.older_schemas


def _joined(a: FrameIndex | None, rows_a: int, b: FrameIndex | None, rows_b: int) -> FrameIndex | None:
    if a is None and b is None:
        return None
    return frame_index(merge_index(range_index(a), rows_a, range_index(b), rows_b))


def frame_index(index: RangeIndex | None) -> FrameIndex | None:
    if index is None:
        return None
    return FrameIndex(start=index.start, stop=index.stop, step=index.step, name=index.name)


def range_index(index: FrameIndex | None) -> RangeIndex | None:
    return None if index is None else RangeIndex(index.start, index.stop, index.step, index.name)


class ReplaceAll(msgspec.Struct, frozen=True):
    """Overwrite: the table is these files, whatever it was before."""

    files: tuple[DataFile, ...]
    schema: BoundSchema
    index: FrameIndex | None
    last_field_id: int
    """The highest field id when the files were written: new columns must not share an id."""

    def apply(self, draft: Draft) -> Draft:
        if draft.last_field_id != self.last_field_id and self.schema.ref is None:
            raise ConflictError(
                "another commit added columns after these rows were written", hint="write the rows again"
            )
        _check_keyed(draft)
        check_key(draft.catalog.key, self.schema.spec.fields)
        schema = draft.written(self.schema)
        if schema.ref is None and schema.spec.id <= draft.last_schema_id:
            schema = BoundSchema(schema.spec.replace(id=draft.last_schema_id + 1))
        rows = sum(file.rows for file in self.files)
        before = draft.summary
        require_columns(msgspec.structs.replace(draft, schema=schema))
        return msgspec.structs.replace(
            draft,
            schema=schema,
            older_schemas=(),
            files=tuple(
                f.replace(added=draft.version, schema_id=schema.spec.id, deleted=None) for f in self.files
            ),
            manifests=(),
            index=self.index,
            summary=Summary(
                rows=rows,
                bytes=sum(f.size for f in self.files),
                files=len(self.files),
                added=before.added + rows,
                removed=before.removed + before.rows,
            ),
            changes=draft.changes.replace(replaced=True),
        )


class Restore(msgspec.Struct, frozen=True):
    """Bring back an older version's content as a new version."""

    snapshot: Snapshot
    schema: BoundSchema

    def apply(self, draft: Draft) -> Draft:
        require_version(draft, self.snapshot.version)
        old, before = self.snapshot, draft.summary
        return msgspec.structs.replace(
            draft,
            schema=self.schema,
            older_schemas=old.schemas[1:],
            files=old.files,
            manifests=old.manifests,
            index=old.index,
            summary=old.summary.replace(
                added=before.added + old.summary.rows, removed=before.removed + before.rows
            ),
            changes=Changes(replaced=True, restored=old.version),
        )


class EvolveSchema(msgspec.Struct, frozen=True):
    """Change columns and no data file. The edits are made to the columns that there are by now."""

    edits: tuple[Edit, ...]

    def apply(self, draft: Draft) -> Draft:
        current, ids = draft.schema, Ids(draft.last_field_id)
        assert current is not None
        fields, names = current.spec.fields, {}
        for edit in self.edits:
            fields = edit.apply(fields, ids)
            names.update(edit.renamed)
        if fields == current.spec.fields:
            return draft
        check_key(draft.catalog.key, fields)
        from atio.frames.pandas.notes import after_evolution

        made = BoundSchema(spec.Schema(id=draft.last_schema_id + 1, fields=fields))
        notes = after_evolution(current.public, made.public, names)
        metadata = {scalars.text(key): scalars.text(value) for key, value in notes.items()}
        made = BoundSchema(made.spec.replace(metadata=FrozenDict(metadata)))
        older = draft.older_schemas if current.ref is None else (current.ref, *draft.older_schemas)
        draft = msgspec.structs.replace(draft, schema=made, older_schemas=older)
        require_columns(draft)
        return draft


class SetTag(msgspec.Struct, frozen=True):
    name: str
    tag: Tag
    move: bool

    def apply(self, draft: Draft) -> Draft:
        require_version(draft, self.tag.version)
        known = draft.catalog.tag(self.name)
        if known is not None and known.version != self.tag.version and not self.move:
            raise ExistsError(
                f"tag {self.name!r} is there already, on version {known.version}",
                hint="untag it first, or pass move=True",
            )
        tags = {**dict(draft.catalog.tags), self.name: self.tag}
        return msgspec.structs.replace(draft, catalog=draft.catalog.replace(tags=tuple(sorted(tags.items()))))


class DropTag(msgspec.Struct, frozen=True):
    name: str

    def apply(self, draft: Draft) -> Draft:
        if draft.catalog.tag(self.name) is None:
            raise VersionNotFoundError(f"there is no tag {self.name!r}", hint=draft.catalog.described())
        tags = tuple((name, tag) for name, tag in draft.catalog.tags if name != self.name)
        return msgspec.structs.replace(draft, catalog=draft.catalog.replace(tags=tags))


class SetProperties(msgspec.Struct, frozen=True):
    """Set or (None) remove properties."""

    properties: dict[str, str | None]

    def apply(self, draft: Draft) -> Draft:
        merged = {**draft.catalog.properties, **self.properties}
        kept = FrozenDict({name: value for name, value in merged.items() if value is not None})
        return msgspec.structs.replace(draft, catalog=draft.catalog.replace(properties=kept))


class AddCheck(msgspec.Struct, frozen=True):
    """That all rows meet it is another change's to make sure of."""

    check: Check

    def apply(self, draft: Draft) -> Draft:
        checks = with_check(draft.catalog.checks, self.check)
        return msgspec.structs.replace(draft, catalog=draft.catalog.replace(checks=checks))


class DropCheck(msgspec.Struct, frozen=True):
    name: str

    def apply(self, draft: Draft) -> Draft:
        names = [check.name for check in draft.catalog.checks]
        if self.name not in names:
            known = f"checks are {', '.join(names[:10])}" if names else "the table has no checks"
            raise NotFoundError(f"there is no check {self.name!r}", hint=known)
        checks = tuple(check for check in draft.catalog.checks if check.name != self.name)
        return msgspec.structs.replace(draft, catalog=draft.catalog.replace(checks=checks))


def with_check(checks: tuple[Check, ...], check: Check) -> tuple[Check, ...]:
    """The checks and one more."""
    if any(known.name == check.name for known in checks):
        raise ExistsError(f"there is a check {check.name!r} already", hint="drop_check() removes it")
    return (*checks, check)


class SetLayout(msgspec.Struct, frozen=True):
    """How files are laid out from now on; None for what stays as it is."""

    partitioning: tuple[PartitionField, ...] | None = None
    sorting: tuple[SortField, ...] | None = None

    def apply(self, draft: Draft) -> Draft:
        catalog = draft.catalog
        if self.partitioning is not None:
            catalog = catalog.replace(partitioning=self.partitioning)
        if self.sorting is not None:
            catalog = catalog.replace(sorting=self.sorting)
        made = msgspec.structs.replace(draft, catalog=catalog)
        require_columns(made)
        return made


def require_columns(draft: Draft) -> None:
    """Raise ``SchemaError`` if a column that the catalog names is not there (any more)."""
    assert draft.schema is not None
    for check in draft.catalog.checks:
        from atio.commit.checks import rule_of

        rule_of(check, draft.schema)
    known = draft.schema.paths
    for what, fields in (("partitioning", draft.catalog.partitioning), ("sorting", draft.catalog.sorting)):
        for field in fields:
            if field.id not in known:
                before = draft.base.schema.paths if draft.base else {}
                name = ".".join(before.get(field.id, (f"(field {field.id})",)))
                raise SchemaError(
                    f"column {name!r} is part of the table's {what}",
                    column=name,
                    hint=f"call set_{what}() without it first",
                )


class Forget(msgspec.Struct, frozen=True):
    """Take versions out of the index. The newest one and tagged ones stay whatever is asked."""

    versions: frozenset[int]

    def apply(self, draft: Draft) -> Draft:
        base = draft.base
        assert base is not None
        found = {line.version for line in history.all_versions(draft.objects, base.pointer.history)}
        return msgspec.structs.replace(draft, retained=frozenset(found - (self.versions - base.tagged)))


def _check_keyed(draft: Draft) -> None:
    if draft.catalog.key and not draft.keyed:
        raise ConflictError("the table has a key, which these rows were not compared by", hint="try again")


def check_key(key: tuple[int, ...], fields: tuple[spec.Field, ...]) -> None:
    """Raise unless the key's columns are among these, and of types that are equal or not."""
    kinds = {field.id: field.type for field in fields}
    for identity in key:
        if kinds.get(identity) in (None, "halffloat", "float", "double"):
            raise SchemaError(
                "the table's key would lose a column, or a column of it would be floating",
                hint="a column of the key keeps its name and its kind of type",
            )


def require_version(draft: Draft, version: int) -> None:
    """Raise unless the version is still retained."""
    base = draft.base
    assert base is not None
    if version == base.version:
        return
    if history.find(draft.objects, base.pointer.history, version) is None:
        raise VersionNotFoundError(f"version {version} is gone: it was expired meanwhile", version=version)
