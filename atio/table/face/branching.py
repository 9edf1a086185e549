"""Lines of versions beside the table's own."""

from __future__ import annotations

from typing import Self

from atio.table.face.handle import Handle, check_name
from atio.table.snapshot import Snapshot


class Branches(Handle):
    """What makes, merges and drops branches."""

    @property
    def branches(self) -> dict[str, int]:
        """The newest version of each branch."""
        with self._located():
            return {name: branch.snapshot.version for name, branch in self._state().catalog.branches}

    def create_branch(self, name: str, version: int | str | None = None) -> Self:
        """Begin a line of versions of its own at a version, the newest by default, and return a handle on it.

        What is committed on the branch is not seen by readers of the table, and the other way round, until
        :meth:`merge_branch`. Its versions go on from the number of the one that it began with. No data is
        copied: they share files, and each line keeps what it needs. Properties and tags are the table's.

        Raises
        ------
        ExistsError
            There is a branch of that name.
        """
        from atio.table import branches
        from atio.table.writing import check_words

        with self._located():
            check_name("branch", name)
            check_words(branch=name)
            self._refuse_on_a_branch("branches")
            branches.create(self._writer.committer, name, version)
        return type(self)(self._objects.storage, branch=name, retry=self._retry, clock=self._clock)

    def merge_branch(self, name: str, *, message: str | None = None) -> Snapshot:
        """Bring what was committed on a branch to the table; returns the table's newest version.

        If the table is still at the version that the branch began with (or was last forwarded to), its own
        line takes over the versions of the branch. Else what the branch appended is appended, as one version;
        the branch must have done nothing else. Merging again adds only what is new. The branch stays.

        Raises
        ------
        ConflictError
            Both lines moved on, and the branch did more than append.
        """
        from atio.table import branches
        from atio.table.writing import check_words

        with self._located():
            check_words(message=message)
            self._refuse_on_a_branch("branches")
            return self._snapshot(branches.merge(self._writer.committer, name, message))

    def drop_branch(self, name: str) -> None:
        """Remove a branch; :meth:`vacuum` removes the files that only it needed."""
        from atio.table import branches

        with self._located():
            self._refuse_on_a_branch("branches")
            branches.drop(self._writer.committer, name)
