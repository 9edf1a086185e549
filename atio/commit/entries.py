"""Changing entries of the list of data files where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from atio.commit.state import INLINE, Draft
from atio.metadata import manifests
from atio.model.snapshot import DataFile, ManifestRef


def replaced(
    draft: Draft, made: Mapping[str, Sequence[DataFile]]
) -> tuple[Draft, list[tuple[int, DataFile]]]:
    """Put other entries (or none) in the places of those of these paths; sets bytes and files of the summary.

    Manifests in which something changes are written anew. Returned are also the entries that were found, with
    their places among all.
    """
    old: list[tuple[int, DataFile]] = []
    # What is to be a manifest again is written last: it may be short enough for the snapshot.
    kept: list[ManifestRef | list[DataFile]] = []
    start = 0

    def changed(entries: Sequence[DataFile]) -> list[DataFile]:
        result: list[DataFile] = []
        for place, entry in enumerate(entries, start):
            if entry.path not in made:
                result.append(entry)
                continue
            old.append((place, entry))
            result += made[entry.path]
        return result

    for ref in draft.manifests:
        entries = manifests.live(draft.objects, ref)
        before = len(old)
        found = changed(entries)
        kept.append(found if len(old) > before else ref)
        start += len(entries)
    files = changed(draft.files)
    while kept:
        last = kept[-1]
        if len(files) + (len(last) if isinstance(last, list) else last.live) > INLINE:
            break
        files[:0] = last if isinstance(last, list) else manifests.live(draft.objects, last)
        kept.pop()
    written = (draft.write_manifest(tuple(one)) if isinstance(one, list) else one for one in kept if one)
    new = [file for _, entry in old for file in made[entry.path]]
    result = msgspec.structs.replace(
        draft,
        files=tuple(files),
        manifests=tuple(written),
        summary=draft.summary.replace(
            bytes=draft.summary.bytes + sum(f.size for f in new) - sum(f.size for _, f in old),
            files=draft.summary.files + len(new) - len(old),
        ),
    )
    return result, old
