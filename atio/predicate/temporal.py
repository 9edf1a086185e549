"""Dates, times and timestamps written as text, to the nanosecond and for every year of four digits.

Python's own types end with microseconds.
"""

from __future__ import annotations

import re
from datetime import date

import msgspec

DAY = 86_400
"""Seconds."""
_EPOCH = date(1970, 1, 1).toordinal()
_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
_OFFSET = r"(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d)(?::?(?P<seconds>\d\d))?)?"
_STAMP = re.compile(rf"{_DATE}(?:[T ]{_TIME}(?: ?(?:(?P<utc>Z|UTC)|{_OFFSET}))?)?", re.ASCII)
_CLOCK = re.compile(_TIME, re.ASCII)
_ZONE = re.compile(_OFFSET, re.ASCII)


class When(msgspec.Struct, frozen=True):
    """What a text says.

    Attributes
    ----------
    day
        Since 1970-01-01; None for a time of day.
    nanos
        Nanoseconds since midnight; None for a date.
    offset
        Seconds that the zone is ahead of UTC; None without a zone.
    """

    day: int | None
    nanos: int | None
    offset: int | None = None


def when(text: str) -> When | None:
    """Read ISO 8601 (a space may stand for the T); None if ``text`` is something else."""
    if found := _CLOCK.fullmatch(text):
        nanos = _nanos(found)
        return None if nanos is None else When(None, nanos)
    found = _STAMP.fullmatch(text)
    if found is None:
        return None
    try:
        day = date(int(found["year"]), int(found["month"]), int(found["day"])).toordinal() - _EPOCH
    except ValueError:
        return None
    if found["hour"] is None:
        return When(day, None)
    nanos = _nanos(found)
    offset = 0 if found["utc"] else _seconds(found) if found["sign"] else None
    return None if nanos is None else When(day, nanos, offset)


def fixed_offset(zone: str) -> int | None:
    """Seconds ahead of UTC of a zone like ``+02:00``; None for zones with a name."""
    found = _ZONE.fullmatch(zone)
    return _seconds(found) if found else None


def _nanos(found: re.Match[str]) -> int | None:
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    return (hour * 3600 + minute * 60 + second) * 10**9 + int((found["fraction"] or "").ljust(9, "0"))


def _seconds(found: re.Match[str]) -> int:
    total = int(found["hours"]) * 3600 + int(found["minutes"] or 0) * 60 + int(found["seconds"] or 0)
    return -total if found["sign"] == "-" else total
