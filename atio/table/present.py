"""A requirement: the files a commit adds are still there."""

from __future__ import annotations

import msgspec

from atio.commit.state import Draft
from atio.errors import ConflictError, NotFoundError


class StillThere(msgspec.Struct, frozen=True):
    """Checked under the lock that vacuum deletes under, so that no commit can refer to a vacuumed file."""

    paths: tuple[str, ...]

    def apply(self, draft: Draft) -> Draft:
        for path in self.paths:
            try:
                draft.objects.storage.size(path)
            except NotFoundError:
                raise ConflictError(
                    f"{path} was removed before it could be committed",
                    file=path,
                    hint="write the rows again; a vacuum with a longer grace period leaves them alone",
                ) from None
        return draft
