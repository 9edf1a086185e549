"""Versions, their names, and what lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from atio.errors import InputError
from atio.table import lookup
from atio.table.face.handle import Handle, check_name
from atio.table.snapshot import Snapshot

if TYPE_CHECKING:
    from atio.table.diff import Diff


class Versions(Handle):
    """What finds versions."""

    def snapshot(self, version: int | str | None = None, *, as_of: datetime | None = None) -> Snapshot:
        """A version to read: the newest, one by number or tag, or the newest at a time.

        Parameters
        ----------
        version
            A number, or the name of a tag.
        as_of
            A moment; without a zone it is local time.

        Raises
        ------
        VersionNotFoundError
            Saying whether the version was expired or never there.
        """
        with self._located():
            return self._snapshot(self._find(version, as_of))

    def history(self, limit: int | None = None) -> list[Snapshot]:
        """The retained versions, newest first."""
        with self._located():
            found = self._read(lambda state: list(lookup.newest_first(self._objects, state, limit)))
            return [self._snapshot(model) for model in found]

    @property
    def version(self) -> int:
        """Number of the newest version."""
        with self._located():
            return self._state().version

    @property
    def schema(self) -> pa.Schema:
        """Columns of the newest version."""
        with self._located():
            return self._state().schema.public

    @property
    def tags(self) -> dict[str, int]:
        """Versions by tag."""
        with self._located():
            return {name: tag.version for name, tag in self._state().catalog.tags}

    def tag(
        self, name: str, version: int | None = None, *, message: str | None = None, move: bool = False
    ) -> None:
        """Name a version (the newest by default), which keeps it from expiring.

        Raises
        ------
        ExistsError
            The tag is on another version, and ``move`` is False.
        """
        from atio.commit.changes import SetTag
        from atio.model.pointer import Tag
        from atio.table.writing import check_words

        with self._located():
            if self.branch is not None:
                raise InputError(
                    "tags name versions of the table itself, not of a branch", hint="merge the branch first"
                )
            check_name("tag", name)
            check_words(message=message, tag=name)
            wanted = self._find(version).version
            made = Tag(version=wanted, created=self._clock(), message=message)
            self._writer.amend("tag", SetTag(name, made, move))

    def untag(self, name: str) -> None:
        """Remove a tag."""
        from atio.commit.changes import DropTag

        with self._located():
            self._writer.amend("untag", DropTag(name))

    def restore(self, version: int | str, *, message: str | None = None) -> Snapshot:
        """Make an older version's rows and columns the newest version. Nothing is copied."""
        with self._located():
            return self._snapshot(self._writer.restore(version, message))

    def changes(
        self, since: int | str, until: int | str | None = None, *, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """The rows that versions inserted, deleted and updated, one version after the other, streamed.

        Parameters
        ----------
        since
            A version or tag: what came after it. 0 for all there is.
        until
            The last version; by default the newest.
        columns
            Names, in that version; all by default. Older rows have the columns as that version has them.

        Returns
        -------
        pyarrow.RecordBatchReader
            The columns, and three more: ``_change_type`` (``insert``, ``delete``, ``update_preimage``,
            ``update_postimage``), ``_commit_version`` and ``_commit_timestamp``. Deleted rows of a version
            come before its inserted ones. Which rows an upsert or merge updated is told where the table has
            a key; elsewhere they are deleted and inserted. Compactions change no rows.

        Raises
        ------
        VersionNotFoundError
            A version of the span, or one whose rows were deleted in it, was expired.
        """
        from atio.table.feed import changes

        with self._located():
            return changes(self._objects, self.url, since, until, columns)

    def diff(self, old: int | str, new: int | str | None = None) -> Diff:
        """What changed between two versions (``new``: the newest by default)."""
        from atio.table.diff import diff

        with self._located():
            return self._read(lambda state: diff(self._objects, state, old, new))
