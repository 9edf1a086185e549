"""The storages that are elsewhere against the contract of all storages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atio.storage import Storage
from atio.storage.conformance import StorageConformance
from atio.storage.remote.objects import ObjectStorage
from tests.remote.servers import Server


class _Buckets(StorageConformance):
    scheme = ""

    @pytest.fixture(autouse=True)
    def place(self, started: Callable[[str], Server], folder: str) -> None:
        self._server = started(self.scheme)
        self._folder = folder

    @pytest.fixture
    def storage(self, place: None) -> Storage:
        return self.reopen(None)

    def reopen(self, storage: Storage | None) -> ObjectStorage:
        return self._server.storage(self._folder)


class TestS3(_Buckets):
    scheme = "s3"


class TestGCS(_Buckets):
    scheme = "gs"


class TestAzure(_Buckets):
    scheme = "az"


del _Buckets
