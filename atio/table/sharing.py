"""An append as what another writer can carry out (``atio.commit.together``)."""

from __future__ import annotations

from atio.commit.build import Request
from atio.commit.changes import AddFiles, Change
from atio.model.base import Id, Model
from atio.schema.bound import BoundSchema
from atio.table.constraints import Obey
from atio.table.datafiles import FileOptions
from atio.table.merge import MergeTiny
from atio.table.present import StillThere
from atio.table.stage import Staged


class SharedAppend(Model, frozen=True, omit_defaults=True, kw_only=True):
    """What a waiting writer leaves; ``identity`` becomes the id of its snapshot."""

    identity: Id
    staged: Staged
    message: str | None = None
    merge: FileOptions | None = None


def share(staged: Staged, message: str | None, merge: FileOptions | None, identity: str) -> bytes:
    return SharedAppend(identity=identity, staged=staged, message=message, merge=merge).encode()


def understand(data: bytes) -> Request:
    """The request that a waiting writer left; ``ValueError`` if it is none."""
    shared = SharedAppend.decode(data)
    changes = append_changes((shared.staged,), shared.merge)
    return Request("append", changes, message=shared.message, identity=shared.identity)


def obey(staged: Staged, schema: BoundSchema) -> Obey:
    """The requirement that staged rows meet the constraints there are by then."""
    return Obey(frozenset(file.path for file in staged.files), staged.checked, schema)


def append_changes(staged: tuple[Staged, ...], merge: FileOptions | None) -> tuple[Change, ...]:
    changes: list[Change] = [StillThere(one.files) for one in staged]
    for one in staged:
        schema = one.bound()
        changes.append(AddFiles(one.files, schema, one.grown_from, one.index))
        changes.append(obey(one, schema))
    if merge is not None:
        changes.append(MergeTiny(merge))
    return tuple(changes)
