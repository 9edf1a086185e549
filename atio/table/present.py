"""A requirement: the files a commit adds are still there."""

from __future__ import annotations

import msgspec

from atio.commit.state import Draft
from atio.errors import ConflictError, NotFoundError
from atio.model.snapshot import DataFile


class StillThere(msgspec.Struct, frozen=True):
    """Checked under the lock that vacuum deletes under, so that no commit can refer to a vacuumed file.

    Without a lock the check would prove nothing; the grace period has to do.
    """

    files: tuple[DataFile, ...]

    def apply(self, draft: Draft) -> Draft:
        storage = draft.objects.storage
        if not storage.capabilities.lock:
            return draft
        for path in (file.path for file in self.files if file.size):
            if draft.objects.kept(path) is not None:
                continue  # yet to be written
            try:
                storage.size(path)
            except NotFoundError:
                raise ConflictError(
                    f"{path} was removed before it could be committed",
                    file=path,
                    hint="write the rows again; a vacuum with a longer grace period leaves them alone",
                ) from None
        return draft
