"""Assertions of the suites that ship with the package are explained like those of the tests."""

import os

import pytest

pytest.register_assert_rewrite(
    "atio.storage.conformance", "atio.formats.conformance", "atio.writers.conformance"
)

# These attacks are being built: only `make torture` runs them yet.
collect_ignore_glob = [] if "ATIO_TORTURE_REPORT" in os.environ else ["torture/*"]
