"""What a table should be: plain lists, no files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One version: everything that a user may ask about it."""

    version: int
    time: int
    operation: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    added: int
    """Rows that were ever added, up to this version."""
    removed: int
    appends: int
    """Appends that the files of this version can come from: what bounds their number."""


@dataclass
class Model:
    """Versions, tags and tokens of one table."""

    lines: list[Line] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    tags: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def newest(self) -> Line:
        return self.lines[-1]

    @property
    def version(self) -> int:
        return self.newest.version if self.lines else 0

    @property
    def retained(self) -> list[Line]:
        return [line for line in self.lines if line.version not in self.gone]

    def line(self, version: int) -> Line:
        return self.lines[version - 1]

    def at(self, time: int) -> Line | None:
        """The version that was the newest at ``time``; None before the first."""
        return max((x for x in self.lines if x.time <= time), key=lambda x: x.time, default=None)

    # -- writes ------------------------------------------------------------------------------

    def append(self, now: int, rows: list[Row], columns: tuple[str, ...]) -> None:
        if not self.lines:
            self._push(now, "append", columns, tuple(rows), len(rows), 0, 1)
            return
        old = self.newest
        filled = tuple({name: row.get(name) for name in old.columns} for row in rows)
        self._push(now, "append", old.columns, old.rows + filled, len(rows), 0, old.appends + 1)

    def overwrite(self, now: int, rows: list[Row], columns: tuple[str, ...]) -> None:
        lost = len(self.newest.rows) if self.lines else 0
        self._push(now, "overwrite", columns, tuple(rows), len(rows), lost, 1)

    def restore(self, now: int, version: int) -> None:
        old = self.line(version)
        self._push(now, "restore", old.columns, old.rows, len(old.rows), len(self.newest.rows), old.appends)

    def delete(self, now: int, ids: set[Any]) -> int:
        """Without the rows of these ids; returns how many there were."""
        return self._change(now, "delete", ids, [], 0)

    def update(self, now: int, ids: set[Any], values: Row) -> int:
        """Rows of these ids get other values (or functions of themselves, twice) and go to the end."""
        found = [_assigned(row, values, row) for row in self.newest.rows if row["id"] in ids]
        return self._change(now, "update", ids, found, len(found))

    def upsert(self, now: int, rows: list[Row]) -> int:
        """Rows of the same ids are replaced; returns how many of the keys were there."""
        ids = {row["id"] for row in rows}
        known = len({row["id"] for row in self.newest.rows if row["id"] in ids})
        self._change(now, "upsert", ids, rows, len(rows), always=True)
        return known

    def replace(self, now: int, ids: set[Any], rows: list[Row]) -> int:
        """Rows take the place of those of these ids."""
        return self._change(now, "overwrite", ids, rows, len(rows), always=True)

    def merge(
        self, now: int, rows: list[Row], matched: str | Row, *, inserts: bool, deletes: bool
    ) -> tuple[int, int, int]:
        """How many rows were inserted, updated and deleted.

        ``matched`` is what becomes of those whose id is in ``rows``; a dict has values, or functions of the
        old and the new row.
        """
        source = {row["id"]: row for row in rows}
        old = self.newest.rows
        known = {row["id"] for row in old} & set(source)
        hits = [row for row in old if row["id"] in known]
        others = [row for row in old if row["id"] not in known]
        left = [] if deletes else others
        new = [row for row in rows if row["id"] not in known] if inserts else []
        counts = (len(new), 0, len(others) - len(left))
        if matched == "ignore":
            left = [*left, *hits]
        elif matched == "delete":
            counts = (len(new), 0, counts[2] + len(hits))
        elif matched == "update":
            counts = (len(new), len(known), counts[2])
            new += [source[key] for key in known]
        else:
            assert not isinstance(matched, str)
            counts = (len(new), len(hits), counts[2])
            new += [_assigned(row, matched, source[row["id"]]) for row in hits]
        if any(counts):
            kept = tuple(left)
            self._push(
                now, "merge", self.newest.columns, (*kept, *new), len(new), len(old) - len(kept),
                self.newest.appends + 1,
            )  # fmt: skip
        return counts

    def _change(
        self, now: int, operation: str, ids: set[Any], new: list[Row], added: int, *, always: bool = False
    ) -> int:
        old = self.newest
        left = tuple(row for row in old.rows if row["id"] not in ids)
        removed = len(old.rows) - len(left)
        if removed or always:
            self._push(now, operation, old.columns, (*left, *new), added, removed, old.appends + 1)
        return removed

    def compact(self, now: int, key: str | None) -> None:
        old = self.newest
        rows = old.rows if key is None else tuple(sorted(old.rows, key=lambda row: row[key]))
        self._push(now, "compact", old.columns, rows, 0, 0, old.appends)

    def _push(
        self, now: int, operation: str, columns: tuple[str, ...], rows: tuple[Row, ...],
        added: int, removed: int, appends: int,
    ) -> None:  # fmt: skip
        before = self.newest if self.lines else None
        self.lines.append(
            Line(
                version=self.version + 1,
                time=max(now, before.time + 1) if before else now,
                operation=operation,
                columns=columns,
                rows=rows,
                added=(before.added if before else 0) + added,
                removed=(before.removed if before else 0) + removed,
                appends=appends,
            )
        )

    # -- forgetting --------------------------------------------------------------------------

    def to_forget(self, moment: int, keep_last: int) -> tuple[int, ...]:
        tagged = set(self.tags.values())
        return tuple(
            x.version for x in self.retained[:-keep_last] if x.time <= moment and x.version not in tagged
        )


def _assigned(row: Row, values: Row, source: Row) -> Row:
    """Other values for a row, or what functions make of it and of the new one."""
    return {
        **row,
        **{name: value(row, source) if callable(value) else value for name, value in values.items()},
    }
