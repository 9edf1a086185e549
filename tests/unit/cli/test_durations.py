from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from atio.cli.durations import parse_age, parse_as_of, parse_older_than
from atio.errors import InputError


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("45s", timedelta(seconds=45)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("1.5h", timedelta(minutes=90)),
        ("0", timedelta(0)),
        (" 7d ", timedelta(days=7)),
    ],
)
def test_ages(text: str, age: timedelta) -> None:
    assert parse_age(text) == age
    assert parse_older_than(text) == age


@pytest.mark.parametrize(
    "text", ["", "7", "d", "-7d", "7 d", "7D", "7y", "1e3d", "７d", "7d,", "999999999999w"]
)
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(InputError):
        parse_age(text)


def test_older_than_a_moment() -> None:
    assert parse_older_than("2026-01-31") == datetime(2026, 1, 31)
    assert parse_older_than("2026-01-31T18:00:05+02:00") == datetime(
        2026, 1, 31, 18, 0, 5, tzinfo=timezone(timedelta(hours=2))
    )


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, 23, 59, 59, 999_999)),
        ("2026-01-31 18", datetime(2026, 1, 31, 18, 0, 59, 999_999)),
        ("2026-01-31 18:00", datetime(2026, 1, 31, 18, 0, 59, 999_999)),
        ("2026-01-31 18:00:05", datetime(2026, 1, 31, 18, 0, 5, 999_999)),
        ("2026-01-31T18:00:05.25", datetime(2026, 1, 31, 18, 0, 5, 250_000)),
        ("2026-01-31T18:00:05Z", datetime(2026, 1, 31, 18, 0, 5, 999_999, tzinfo=UTC)),
        ("2026-01-31T18:00Z", datetime(2026, 1, 31, 18, 0, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_as_of_counts_a_day_minute_or_second_to_its_end(text: str, moment: datetime) -> None:
    assert parse_as_of(text) == moment


def test_as_of_an_age_ago() -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert parse_as_of("36h", now) == datetime(2026, 1, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "0001-01-01", "99999999w", "", "2026-01-31T25:00"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InputError):
        parse_as_of(text)
