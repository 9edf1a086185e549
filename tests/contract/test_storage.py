"""Every storage of atio's own against the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atio.storage import LocalStorage, MemoryStorage, Storage
from atio.storage.conformance import StorageConformance


class TestLocal(StorageConformance):
    durable = True

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return LocalStorage(tmp_path / "table", durable=self.durable)

    def reopen(self, storage: Storage) -> Storage:
        return LocalStorage(storage.url, durable=self.durable)


class TestLocalNotDurable(TestLocal):
    durable = False


class TestMemory(StorageConformance):
    @pytest.fixture
    def storage(self, request: pytest.FixtureRequest) -> Iterator[Storage]:
        name = request.node.nodeid
        yield MemoryStorage.named(name)
        MemoryStorage.forget(name)

    def reopen(self, storage: Storage) -> Storage:
        return MemoryStorage.named(storage.url.removeprefix("memory://"))
