"""What a commit can do to branches (spec/branches.md)."""

from __future__ import annotations

import msgspec

from atio.commit.changes import AddFiles, require_columns, require_version
from atio.commit.state import Draft, branch_of, load_schema
from atio.errors import ConflictError, ExistsError
from atio.metadata import history
from atio.model.pointer import Branch, Version
from atio.model.snapshot import Snapshot


class CreateBranch(msgspec.Struct, frozen=True):
    """Begin a line of versions at one of the table's own; None: the newest by then."""

    name: str
    version: int | None
    created: int

    def apply(self, draft: Draft) -> Draft:
        base = draft.base
        assert base is not None
        if draft.catalog.branch(self.name) is not None:
            raise ExistsError(f"there is a branch {self.name!r} already", hint="drop_branch() removes it")
        version = base.version if self.version is None else self.version
        require_version(draft, version)
        pointer, tokens = base.pointer, base.pointer.tokens
        line = pointer.snapshot
        if version != base.version:
            found = history.find(draft.objects, pointer.history, version)
            assert found is not None
            line = found
            tokens = history.tokens_before(draft.objects, draft.objects, tokens, version)
        branch = Branch(
            created=self.created,
            start=line.version,
            merged=line.version,
            snapshot=line,
            schema=draft.objects.get(line.ref, Snapshot).schema_ref,
            tokens=tokens,
        )
        return msgspec.structs.replace(draft, catalog=draft.catalog.with_branch(self.name, branch))


class DropBranch(msgspec.Struct, frozen=True):
    name: str

    def apply(self, draft: Draft) -> Draft:
        branch_of(draft.catalog, self.name)
        return msgspec.structs.replace(draft, catalog=draft.catalog.with_branch(self.name, None))


class ForwardTo(msgspec.Struct, frozen=True):
    """The table's own line, which has not moved since, takes over the versions of a branch."""

    name: str

    def apply(self, draft: Draft) -> Draft:
        branch = branch_of(draft.catalog, self.name)
        if draft.base is None or draft.base.version != branch.start:
            raise ConflictError("another commit came before the branch was merged")
        found = draft.objects.get(branch.snapshot.ref, Snapshot)
        after = branch.replace(start=found.version, merged=found.version)
        made = msgspec.structs.replace(
            draft,
            schema=load_schema(draft.objects, branch.schema),
            forward=branch,
            older_schemas=found.schemas[1:],
            files=found.files,
            manifests=found.manifests,
            catalog=draft.catalog.with_branch(self.name, after),
        )
        require_columns(made)
        return made


class AddFromBranch(msgspec.Struct, frozen=True):
    """Append what a branch appended up to its version ``newest``, as ``added`` has it."""

    name: str
    newest: Version
    added: AddFiles

    def apply(self, draft: Draft) -> Draft:
        branch = branch_of(draft.catalog, self.name)
        if branch.snapshot != self.newest:
            raise ConflictError("another commit on the branch came before it was merged")
        draft = self.added.apply(draft)
        after = branch.replace(merged=self.newest.version)
        return msgspec.structs.replace(draft, catalog=draft.catalog.with_branch(self.name, after))
