"""Every state that a power cut could leave, by a model of a POSIX file system without a journal.

On the medium is, for sure, what was synced: a file's bytes and mode by a sync of the file, a folder's names
by a sync of the folder. Of everything else any part may be there: each name that was set or removed, for
itself (so half a rename, too); of each file nothing, all, zeros in place of bytes, a part of the blocks, a
part of the writes. What a failed sync was to write may be lost even if a later sync succeeds (ATC'20, "Can
applications recover from fsync failures?").
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, product
from pathlib import Path

import xxhash

from tests.torture.traces import ROOT, Data, Entry, Event, File, Mark, Mode, Names, Size, Sync, Trace

_BLOCK = 512
Tree = dict[str, File | None]
"""Files by path in the box; None is a folder."""


# -- the disk ------------------------------------------------------------------------------------


@dataclass
class _File:
    stable: File
    pending: list[Data | Size | Mode] = field(default_factory=list)
    doomed: list[Data | Size | Mode] = field(default_factory=list)
    """A sync of these failed: later ones pass them over."""


@dataclass
class _Folder:
    stable: dict[str, int]
    pending: list[Entry] = field(default_factory=list)
    doomed: list[Entry] = field(default_factory=list)


class Disk:
    """What is on the medium for sure, and what may be."""

    def __init__(self, trace: Trace) -> None:
        self._folders: dict[int, _Folder] = {inode: _Folder({}) for inode in trace.folders}
        self._files: dict[int, _File] = {}
        for inode, found in trace.start.items():
            if isinstance(found, File):
                self._files[inode] = _File(found)
            else:
                self._folders[inode] = _Folder(dict(found.names))

    def _file(self, inode: int) -> _File:
        return self._files.setdefault(inode, _File(File(b"", 0o600)))

    def has_pending(self, inode: int) -> bool:
        """Whether a sync of it would do anything."""
        found = self._folders.get(inode) or self._file(inode)
        return bool(found.pending)

    def apply(self, event: Event) -> None:
        match event:
            case Names(_, entries):
                for entry in entries:
                    self._folders[entry.folder].pending.append(entry)
            case Data() | Size() | Mode():
                self._file(event.inode).pending.append(event)
            case Sync(inode, failed):
                self._sync(self._folders.get(inode) or self._file(inode), failed=failed)

    @staticmethod
    def _sync(found: _File | _Folder, *, failed: bool) -> None:
        if failed:
            found.doomed += found.pending  # type: ignore[arg-type]
        elif isinstance(found, _File):
            found.stable = _written(found.stable, found.pending)
        else:
            for entry in found.pending:
                _set(found.stable, entry)
        found.pending.clear()

    def choices(self) -> list[_Choice]:
        """What is open, each for itself."""
        found: list[_Choice] = []
        for folder in self._folders.values():
            found += [_Choice(entry, (True, False)) for entry in (*folder.doomed, *folder.pending)]
        for inode, file in self._files.items():
            contents = _contents(file.stable, [*file.doomed, *file.pending])
            if len(contents) > 1:
                found.append(_Choice(inode, contents))
        return found

    def tree(self, choices: Sequence[_Choice], picks: Sequence[int]) -> Tree:
        """What the next start finds."""
        names = {inode: dict(folder.stable) for inode, folder in self._folders.items()}
        files = {inode: file.stable for inode, file in self._files.items()}
        for choice, pick in zip(choices, picks, strict=True):
            if not isinstance(choice.about, Entry):
                files[choice.about] = choice.options[pick]  # type: ignore[assignment]
            elif choice.options[pick]:
                _set(names[choice.about.folder], choice.about)
        tree: Tree = {}
        todo = [("", ROOT)]
        while todo:
            path, inode = todo.pop()
            for name, target in names[inode].items():
                full = f"{path}{name}"
                if target in names:
                    tree[full] = None
                    todo.append((full + "/", target))
                else:
                    tree[full] = files.get(target, File(b"", 0o600))
        return tree


@dataclass(frozen=True)
class _Choice:
    """Whether an entry was written, or which content a file has; the first option is all of it."""

    about: Entry | int
    options: tuple[bool | File, ...]


def _set(names: dict[str, int], entry: Entry) -> None:
    if entry.target is None:
        names.pop(entry.name, None)
    else:
        names[entry.name] = entry.target


def _written(before: File, changes: Sequence[Data | Size | Mode]) -> File:
    data, mode = bytearray(before.data), before.mode
    for change in changes:
        match change:
            case Data(_, offset, piece):
                data.extend(bytes(max(offset + len(piece) - len(data), 0)))
                data[offset : offset + len(piece)] = piece
            case Size(_, size):
                data.extend(bytes(max(size - len(data), 0)))
                del data[size:]
            case Mode(_, mode):
                pass
    return File(bytes(data), mode)


def _contents(before: File, changes: Sequence[Data | Size | Mode]) -> tuple[File, ...]:
    """What may be found in a file, without doubles; all of it comes first."""
    after = _written(before, changes)
    modes = [change for change in changes if isinstance(change, Mode)]
    writes = [change for change in changes if not isinstance(change, Mode)]
    found = {after: None, before: None, _written(before, modes): None, _written(before, writes): None}
    if after.data != before.data:
        for some in _parts(writes):
            found[_written(before, [*modes, *some])] = None
    return tuple(found)


def _parts(writes: Sequence[Data | Size]) -> Iterator[Sequence[Data | Size]]:
    """Writes that came through in part."""
    if len(writes) > 1:
        for place in range(len(writes)):
            yield [*writes[:place], *writes[place + 1 :]]
            yield [writes[place]]
    damages: tuple[Callable[[bytes], bytes], ...] = (
        lambda data: bytes(len(data)),
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:_BLOCK],
        lambda data: data[:_BLOCK] + bytes(len(data[_BLOCK:])),
        lambda data: bytes(len(data[:_BLOCK])) + data[_BLOCK:],
        _every_other_block,
        lambda data: random.Random(len(data)).randbytes(len(data)),
    )
    for damage in damages:
        yield [Data(w.inode, w.offset, damage(w.data)) if isinstance(w, Data) else w for w in writes]


def _every_other_block(data: bytes) -> bytes:
    blocks = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    return b"".join(block if place % 2 else bytes(len(block)) for place, block in enumerate(blocks))


# -- the states ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """A state, and what was known by then: how many steps had begun, how many were acknowledged."""

    tree: Tree
    begun: int
    acknowledged: int
    moment: str

    def digest(self) -> bytes:
        found = xxhash.xxh3_128()
        for path, file in sorted(self.tree.items()):
            found.update(os.fsencode(path) + b"\0")
            found.update(b"\0" if file is None else b"%d %d " % (file.mode, len(file.data)) + file.data)
        return found.digest()

    def build(self, box: Path) -> None:
        """Make the state in an empty folder."""
        for path, file in sorted(self.tree.items()):
            full = box / path
            if file is None:
                full.mkdir()
            else:
                full.write_bytes(file.data)
                full.chmod(file.mode)


def states(trace: Trace, events: Sequence[Event], most: int, since: int = 0) -> Iterator[State]:
    """The states that a power cut during ``events`` could leave, ``most`` a moment, ``since`` one of them.

    Between two syncs ever more is open, so the moments are those before a sync, and the end.
    """
    disk = Disk(trace)
    begun = acknowledged = 0
    for place, event in enumerate(events):
        if isinstance(event, Sync) and place >= since:
            yield from _states_now(disk, most, begun, acknowledged, f"before the {trace.describe(event)}")
        disk.apply(event)
        if isinstance(event, Mark):
            word, _, number = event.word.partition(" ")
            if word == "begin":
                begun = int(number)
            elif word == "ack":
                acknowledged = max(acknowledged, int(number))
    yield from _states_now(disk, most, begun, acknowledged, "at the end")


def _states_now(disk: Disk, most: int, begun: int, acknowledged: int, moment: str) -> Iterator[State]:
    choices = disk.choices()
    for picks in _picks([len(choice.options) for choice in choices], most):
        yield State(disk.tree(choices, picks), begun, acknowledged, moment)


def _picks(counts: list[int], most: int) -> Iterator[tuple[int, ...]]:
    """All combinations when they are few; else a choice of them that begins with the extremes."""
    total = 1
    for count in counts:
        total *= count
    if total <= most:
        return product(*(range(count) for count in counts))
    return islice(_chosen_picks(counts), most)


def _chosen_picks(counts: list[int]) -> Iterator[tuple[int, ...]]:
    everything = [0] * len(counts)
    nothing = [1] * len(counts)
    yield tuple(everything)
    yield tuple(nothing)
    for start in (everything, nothing):
        for place, count in enumerate(counts):
            for other in range(count):
                if other != start[place]:
                    yield _changed(start, {place: other})
    for start in (everything, nothing):
        for a, b in combinations(range(len(counts)), 2):
            yield _changed(start, {a: 1 - start[a], b: 1 - start[b]})
    chance = random.Random(len(counts))
    while True:
        yield tuple(chance.randrange(count) for count in counts)


def _changed(start: list[int], changes: dict[int, int]) -> tuple[int, ...]:
    return tuple(changes.get(place, pick) for place, pick in enumerate(start))
