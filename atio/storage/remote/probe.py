"""Does a server heed conditions? Some say nothing and write all the same."""

from __future__ import annotations

import os

from atio.errors import AtioError, StorageError, UnsupportedError
from atio.storage.remote.bucket import Bucket, Condition, ContendedError, TakenError


def probe(bucket: Bucket, prefix: str) -> None:
    """Try every condition that commits rely on, on an object that is removed again.

    Raises
    ------
    UnsupportedError
        One is not heeded.
    """
    identity = os.urandom(12).hex()
    key = f"{prefix}data/{identity}.probe"  # Named like an orphan, so that vacuum finds it if we die.

    def written(content: bytes, condition: Condition) -> str:
        try:
            return bucket.put(key, content, condition, identity)
        except TakenError:
            found = bucket.head(key)  # Perhaps taken by ourselves: an answer was lost.
            if found is None or (found.mark, found.size) != (identity, len(content)):
                raise StorageError("another writer is at an object of our own", file=key) from None
            return found.token

    def refused(content: bytes, condition: Condition) -> bool:
        try:
            bucket.put(key, content, condition, identity)
        except (TakenError, ContendedError):
            return True
        return False

    try:
        first = written(b"1", Condition(None))
        if not refused(b"22", Condition(None)):
            raise _unheeded("that an object must not be there yet (If-None-Match)")
        if written(b"333", Condition(first)) == first:
            raise StorageError("the store gives new content an old token", file=key)
        if not refused(b"4444", Condition(first)):
            raise _unheeded("that an object must be the one that was read (If-Match)")
    finally:
        _remove(bucket, key)


def _remove(bucket: Bucket, key: str) -> None:
    try:
        bucket.delete([key])
    except AtioError:
        return  # An orphan like others.


def _unheeded(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"this server does not heed {what}: concurrent writers would overwrite each other's commits",
        hint="use a store with conditional writes; or, if nobody else ever writes to this table, say "
        "storage_options={'single_writer': True}",
    )
