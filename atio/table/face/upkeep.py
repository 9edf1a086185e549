"""Looking after a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from atio.errors import InputError
from atio.table.face.handle import Handle

if TYPE_CHECKING:
    from atio.predicate import Where
    from atio.table.compact import Compacted
    from atio.table.expire import Expired
    from atio.table.face.handle import Location
    from atio.table.ordering import SortBy
    from atio.table.repair import Repaired
    from atio.table.vacuum import Vacuumed
    from atio.table.verify import Report


class Upkeep(Handle):
    """What removes, rewrites, checks, repairs and copies."""

    def expire(
        self, older_than: timedelta | datetime | None = None, keep_last: int = 1, *, dry_run: bool = False
    ) -> Expired:
        """Forget old versions and remove the files that only they needed.

        Parameters
        ----------
        older_than
            Age, or moment, from which a version may go; by default seven days.
        keep_last
            So many of the newest versions stay whatever their age (at least 1).
        dry_run
            Only tell what would go.

        Notes
        -----
        The newest version and tagged ones always stay. Takes no version number.
        """
        from atio.table.expire import expire

        with self._located():
            return expire(self._writer.committer, older_than, keep_last, dry_run=dry_run)

    def vacuum(self, older_than: timedelta = timedelta(days=1), *, dry_run: bool = False) -> Vacuumed:
        """Remove files that no retained version needs: leftovers of killed or failed writers.

        Parameters
        ----------
        older_than
            Grace period: younger files stay, and so do those of writers known to be running. Files
            staged elsewhere must be committed within it.
        """
        from atio.table.vacuum import vacuum

        with self._located():
            return vacuum(self._writer.committer, older_than, dry_run=dry_run)

    def compact(
        self,
        where: Where | None = None,
        *,
        target_size: int | None = None,
        sort_by: SortBy | None = None,
        zorder_by: str | Sequence[str] | None = None,
        message: str | None = None,
        dry_run: bool = False,
        progress: bool = False,
    ) -> Compacted:
        """Rewrite many small data files into few, as one version with the same rows.

        Without an order, neighbouring files smaller than three quarters of the target become one where that
        makes them fewer, and all rows keep their places. With one, all files are rewritten. Of a table with
        partitions, files of one partition become one; those that were written before it had these
        partitions are parted. The order of the table, if it has one, is that within new files.

        Parameters
        ----------
        where
            Only files that may have rows for which it is true (as in :meth:`scan`). No row is left out.
        target_size
            Bytes of a file to be made; by default the property ``file.target_bytes``.
        sort_by
            Columns to sort the rows by, each ``"a"`` or ``("a", "descending")``. Nulls come last, NaN before
            them; ordered categories in their order. Equal rows keep their order.
        zorder_by
            Columns by which neighbouring rows shall be alike, all at once: rows are sorted by the Z-order
            curve through the ranks of their values.
        progress
            Show it.

        Notes
        -----
        Others may write meanwhile: what they append stays, behind the rewritten rows. If they take away
        files that were being rewritten, it starts over, a few times. Older versions keep their files until
        they expire.

        Memory is bounded by the target size, or 256 MiB if that is more, whatever the size of the data. A
        sort needs space for the decoded rows in the folder for temporary files.

        Raises
        ------
        ConflictError
            Others removed the files each time.
        """
        from atio.table.compact import Layout, compact
        from atio.table.writing import check_words

        with self._located():
            check_words(message=message)
            layout = Layout(where, target_size, sort_by, zorder_by, message)
            return compact(self._writer.committer, self.url, layout, dry_run=dry_run, progress=progress)

    def verify(self, *, deep: bool = True) -> Report:
        """Check every file that a retained version needs.

        Parameters
        ----------
        deep
            Read and hash the data files too; else only look at their sizes.
        """
        from atio.table.verify import verify

        with self._located():
            return verify(self._objects, deep=deep)

    def repair(self, *, dry_run: bool = False) -> Repaired:
        """Return to the newest intact version after ``current`` or a version was damaged.

        Never runs by itself. Nothing is deleted; what is left unreachable is for ``vacuum``.
        """
        from atio.table.repair import repair

        with self._located():
            if self.branch is not None:
                raise InputError(
                    "only the table itself can be repaired, not a branch",
                    hint="open the table without branch=; a damaged branch can be dropped",
                )
            return repair(self._writer.committer, dry_run=dry_run)

    def copy_to(
        self,
        destination: Location,
        *,
        version: int | str | None = None,
        as_of: datetime | None = None,
        storage_options: Mapping[str, object] | None = None,
        durable: bool = True,
    ) -> Self:
        """Copy the table to where there is none, on a disk or in a bucket; returns the copy.

        All retained versions, tags, tokens and properties are copied as they are. Every file is checked
        against its checksum on its way, and the copy is a table only when it is complete. After a failure
        or a kill, repeat the call: files that are there and whole are not copied again. Others may write
        to this table meanwhile: the copy is what it was at the start.

        Parameters
        ----------
        version, as_of
            Copy this one version, as for :meth:`snapshot`: it keeps its number and tags and is the only one
            of the copy, which is a table of its own.
        storage_options, durable
            Of the destination; see :meth:`open`.

        Raises
        ------
        ExistsError
            There is another table at the destination, or another state of this one; the very copy that was
            asked for is no error.
        DamagedError
            Naming a file of this table that is missing or altered.
        LockTimeoutError
            Another process is writing at the destination.
        """
        from atio.table.copy import copy

        made = type(self).open(destination, durable=durable, storage_options=storage_options)
        with self._located():
            copy(self._objects, made._writer.committer, version, as_of)  # noqa: SLF001
        return made
