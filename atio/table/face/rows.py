"""Adding and changing rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from atio.errors import InputError
from atio.table.face.versions import Versions
from atio.table.snapshot import Snapshot

if TYPE_CHECKING:
    from atio.predicate import Where
    from atio.table.changing import Changed, Changer
    from atio.table.stage import Staged
    from atio.table.table import Table
    from atio.table.transaction import Transaction


class Rows(Versions):
    """What writes rows, each time as one version."""

    def append(
        self,
        data: object,
        *,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
        checkpoint_rows: int | None = None,
        schema_mode: Literal["strict", "merge"] = "strict",
        on_conflict: Literal["error", "update", "ignore"] = "error",
    ) -> Snapshot:
        """Add rows as a new version; the first write creates the table.

        Parameters
        ----------
        data
            pandas, Polars (lazy too) or Arrow data, anything with ``__arrow_c_stream__``, NumPy, a
            dict of columns, a list of records, or an iterator of any of those, which is streamed in
            bounded memory into one version. Columns are matched by name; missing nullable ones
            become null; values are cast only where nothing is lost.
        message
            Kept with the version.
        token
            Makes the call idempotent: if a version was made with this token, nothing is written and
            that version is returned.
        expected_version
            Commit only if the table is at exactly this version.
        checkpoint_rows
            Commit each so many rows as a version of their own: when a later part fails, they stay. With a
            ``token``, repeating the call with the same data skips the parts that are there and goes on. The
            last version is returned.
        schema_mode
            ``"merge"`` adds columns that the table does not have, nullable, behind its own; ``"strict"``
            refuses them.
        on_conflict
            In a table with a key, for rows whose key is there: ``"update"`` replaces that row, as
            :meth:`upsert` does; ``"ignore"`` leaves the new one out.

        Raises
        ------
        ExistsError
            A key is in the table already.
        SchemaError
            Naming the column, what was expected and what was found.
        ConflictError
            ``expected_version`` is not the newest, or other writers changed the columns.
        OutcomeUnknownError
            The commit may have landed.
        """
        if on_conflict != "error":
            with self._located():
                if on_conflict not in ("update", "ignore"):
                    raise InputError(f"on_conflict is {on_conflict!r}; it is 'error', 'update' or 'ignore'")
                if token is not None or checkpoint_rows is not None or schema_mode != "strict":
                    raise InputError(
                        "on_conflict goes without token, checkpoint_rows and schema_mode",
                        hint="repeating such an append is harmless",
                    )
                from atio.table.merging import Plan, merge

                changer = self._changer(message, expected_version)
                merge(changer, data, (), Plan.of(on_conflict, "insert", "ignore"))
                return self._snapshot(changer.made or self._state().snapshot)
        if checkpoint_rows is None:
            return self._write(
                data,
                overwrite=False,
                message=message,
                token=token,
                expected_version=expected_version,
                schema_mode=schema_mode,
            )
        from atio.table.checkpoints import append_in_parts

        with self._located():
            if expected_version is not None:
                raise InputError("checkpoint_rows makes several versions: none of them can be expected")
            return self._snapshot(
                append_in_parts(
                    self._writer, data, checkpoint_rows, message=message, token=token, schema_mode=schema_mode
                )
            )

    def overwrite(
        self,
        data: object,
        where: Where | None = None,
        *,
        partitions: bool = False,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
    ) -> Snapshot:
        """Replace all rows, and the columns, as a new version. Parameters as for :meth:`append`.

        Older versions stay readable. Columns of the same name and type keep their ids.

        Parameters
        ----------
        where
            Replace only the rows for which it is true (as in :meth:`scan`); the columns stay.
        partitions
            Replace only the partitions that the new rows are of, as the table is parted now; columns stay.
            Files whose rows all go are not read, whatever they were parted by.

        Raises
        ------
        InputError
            ``where`` is not true for one of the new rows, which is shown; or the table has no partitions.
        ConflictError
            Another commit changed the table's partitions meanwhile.
        """
        if where is not None or partitions:
            from atio.table.writing import Intent

            with self._located():
                if where is not None and partitions:
                    raise InputError("where= and partitions= both say what is replaced", hint="give one")
                intent = Intent(
                    overwrite=True, message=message, token=token, expected_version=expected_version
                )
                return self._snapshot(self._writer.replace(data, where, intent))
        return self._write(
            data, overwrite=True, message=message, token=token, expected_version=expected_version
        )

    def delete(
        self, where: Where, *, message: str | None = None, expected_version: int | None = None
    ) -> Changed:
        """Delete the rows for which ``where`` is true, as a new version.

        Costs in proportion to what is deleted: data files are not rewritten, their rows are marked. Older
        versions keep them. Makes no version if there is no such row.

        Parameters
        ----------
        where
            As in :meth:`scan`; a row for which it is unknown (null) stays.
        message, expected_version
            As for :meth:`append`.

        Raises
        ------
        InputError
            There is no such column, or the condition does not fit the columns' types.
        ConflictError
            ``expected_version`` is not the newest, or other writers rewrote the table each time.
        """
        with self._located():
            return self._changer(message, expected_version).delete(where)

    def update(
        self,
        values: Mapping[str, object],
        where: Where,
        *,
        message: str | None = None,
        expected_version: int | None = None,
    ) -> Changed:
        """Give the rows for which ``where`` is true other values, as a new version.

        The rows move to the end. Makes no version if there is no such row.

        Parameters
        ----------
        values
            By column a value, or an expression of the old columns: ``{"price": col("price") * 1.1}``.
            It becomes the column's type only where nothing is lost; ``.cast(…)`` says otherwise.
        where
            As in :meth:`scan`; a row for which it is unknown (null) stays as it is.
        message, expected_version
            As for :meth:`append`.

        Raises
        ------
        InputError
            There is no such column, or a type does not fit.
        SchemaError
            A value is none of its column's type.
        ConflictError
            As for :meth:`delete`; also if others changed the same rows each time.
        """
        with self._located():
            return self._changer(message, expected_version).update(values, where)

    def upsert(
        self,
        data: object,
        on: str | Sequence[str] | None = None,
        *,
        message: str | None = None,
        expected_version: int | None = None,
    ) -> Changed:
        """Insert rows, and replace those that have the same key, as a new version.

        Afterwards each key of the data is in the table once, at its end. Only the key's columns are read of
        what is there, and only in data files that may have such a key.

        Parameters
        ----------
        data
            As for :meth:`append`, with all columns of the table.
        on
            The column, or columns, that are the key (not floating); the table's own if not given.
        message, expected_version
            As for :meth:`append`.

        Raises
        ------
        InputError
            A key is in the data twice, or null; the rows are shown.
        SchemaError
            A column is missing, or a value is none of its column's type.
        ConflictError
            As for :meth:`delete`.
        """
        with self._located():
            names = (on,) if isinstance(on, str) else tuple(on or ())
            return self._changer(message, expected_version).upsert(data, names)

    def merge(
        self,
        data: object,
        on: str | Sequence[str] | None = None,
        *,
        when_matched: Literal["update", "delete", "ignore"] | Mapping[str, object] = "update",
        when_not_matched: Literal["insert", "ignore"] = "insert",
        when_not_matched_by_source: Literal["ignore", "delete"] = "ignore",
        message: str | None = None,
        expected_version: int | None = None,
    ) -> Changed:
        """Compare rows with the table's by key, and insert, change or delete accordingly, as one version.

        Parameters
        ----------
        data
            As for :meth:`append`, with all columns of the table where rows are inserted or replaced. Held in
            memory, except for what :meth:`upsert` does as well.
        on
            As for :meth:`upsert`.
        when_matched
            What becomes of the table's rows whose key is in the data: ``"update"`` puts the data's row in
            their place; a dict gives them other values as :meth:`update` does, where ``col("source", "qty")``
            is a column of the data's row; ``"delete"``; ``"ignore"``.
        when_not_matched
            Whether rows of the data whose key is not in the table are inserted.
        when_not_matched_by_source
            Whether the table's rows whose key is not in the data (also those without a key) are deleted.
        message, expected_version
            As for :meth:`append`.

        Raises
        ------
        InputError, SchemaError, ConflictError
            As for :meth:`upsert`.
        """
        from atio.table.merging import Plan, merge

        with self._located():
            names = (on,) if isinstance(on, str) else tuple(on or ())
            plan = Plan.of(when_matched, when_not_matched, when_not_matched_by_source)
            return merge(self._changer(message, expected_version), data, names, plan)

    def transaction(
        self, *, message: str | None = None, isolation: Literal["snapshot", "serializable"] = "snapshot"
    ) -> Transaction:
        """Several changes as one version: ``with table.transaction() as tx: tx.delete(…); tx.append(…)``.

        Reads from ``tx`` see what it changed before. An exception in the block leaves nothing.

        Parameters
        ----------
        message
            Kept with the version.
        isolation
            What is done if others commit meanwhile. ``"snapshot"``: the changes are made to what is there by
            then, conditions and keys looked up again; what was *read* in the block may be out of date.
            ``"serializable"``: ``ConflictError``, so that all that was read still held.

        Raises
        ------
        ConflictError
            At the end of the block; as above, and as for the changes themselves.
        """
        from atio.table.transaction import Transaction
        from atio.table.writing import check_words

        with self._located():
            check_words(message=message)
            return Transaction(cast("Table", self), message, isolation)

    def stage(self, data: object, *, overwrite: bool = False) -> Staged:
        """Write the data files of an append (or overwrite) and leave the commit to :meth:`commit`.

        The result serialises, so that workers on other machines can write and one process commits.
        Commit it within the grace period of ``vacuum``.
        """
        with self._located():
            return self._writer.stage(data, overwrite=overwrite)

    def commit(
        self,
        *staged: Staged,
        overwrite: bool = False,
        message: str | None = None,
        token: str | None = None,
        expected_version: int | None = None,
    ) -> Snapshot:
        """Make staged files one version, in the order given. Their files stay if this fails.

        Committing the same files again changes nothing and returns the version that has them.
        """
        from atio.table.writing import Intent

        with self._located():
            intent = Intent(
                overwrite=overwrite, message=message, token=token, expected_version=expected_version
            )
            return self._snapshot(self._writer.commit(staged, intent))

    def _write(self, data: object, **asked: Any) -> Snapshot:
        from atio.table.writing import Intent

        with self._located():
            return self._snapshot(self._writer.write(data, Intent(**asked)))

    def _changer(self, message: str | None, expected_version: int | None) -> Changer:
        from atio.table.changing import Changer
        from atio.table.writing import check_words

        check_words(message=message)
        return Changer(self._writer, message, expected_version)
