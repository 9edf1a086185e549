"""Assertions of the suites that ship with the package are explained like those of the tests."""

import pytest

pytest.register_assert_rewrite(
    "atio.storage.conformance", "atio.formats.conformance", "atio.writers.conformance"
)
