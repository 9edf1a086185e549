from __future__ import annotations

from datetime import UTC, datetime

import pytest

from atio.cli.output import clean, iso, local, plural, size, spans


def test_text_of_others_cannot_move_the_cursor() -> None:
    assert clean("plain – 한국어") == "plain – 한국어"
    assert clean("a\x1b[31mred\nline\u202e") == "a\\x1b[31mred\\nline\\u202e"
    assert clean("\udc80") == "\\udc80"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (1_400_000, "1.4 MB"), (5 * 10**15, "5,000.0 TB")],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_spans_and_plurals() -> None:
    assert spans([]) == ""
    assert spans([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert plural(1, "file") == "1 file"
    assert plural(2000, "file") == "2,000 files"


def test_times() -> None:
    moment = datetime(2026, 1, 31, 18, 0, 5, 250_000, tzinfo=UTC)
    assert iso(moment) == "2026-01-31T18:00:05.250000Z"
    assert datetime.fromisoformat(local(moment)) == moment.replace(microsecond=0)
