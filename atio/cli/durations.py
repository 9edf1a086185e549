"""Ages and moments as people write them: ``7d``, ``1d12h``, ``2026-01-31``, ``2026-01-31T18:00``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from atio.errors import InputError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([smhdw])")
_AGE = re.compile(rf"(?:{_PART.pattern})+")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}|\d{4}-?W\d{2}(-?\d)?")
_FRACTION = re.compile(r"[:\d][.,]\d")
_TO_SECONDS = re.compile(r"T\d{2}(:\d{2}:\d{2}|\d{4})")
_HINT = "write an age (30m, 12h, 7d, 2w, 1d12h) or a moment (2026-01-31, 2026-01-31T18:00, …+02:00)"


def parse_age(text: str) -> timedelta:
    """``30m``, ``12h``, ``7d``, ``2w`` and sums such as ``1d12h``; ``0`` is no age at all."""
    text = text.strip()
    if text == "0":
        return timedelta(0)
    if not _AGE.fullmatch(text):
        raise InputError(f"{text!r} is not an age", hint="write 30m, 12h, 7d, 2w or 1d12h")
    try:
        return sum(
            (timedelta(**{_UNITS[unit]: float(number)}) for number, unit in _PART.findall(text)),
            timedelta(0),
        )
    except OverflowError:
        raise InputError(f"{text!r} is older than anything") from None


def parse_older_than(text: str) -> timedelta | datetime:
    """An age, or the moment (of a day: its beginning) before which things are old."""
    text = text.strip()
    if text == "0" or _AGE.fullmatch(text):
        return parse_age(text)
    return _moment(text)


def parse_as_of(text: str, now: datetime | None = None) -> datetime:
    """A moment, or an age: that long ago.

    A day, minute or second counts to its end, so that the times ``atio log`` prints (whole seconds)
    find the version beside them. Without a zone it is local time.
    """
    text = text.strip()
    if text == "0" or _AGE.fullmatch(text):
        try:
            return (now or datetime.now(UTC)) - parse_age(text)
        except OverflowError:
            raise InputError(f"{text!r} is older than anything") from None
    moment = _moment(text)
    if _DAY.fullmatch(text):
        return datetime.combine(moment, time.max)
    if _FRACTION.search(text):
        return moment
    moment = moment.replace(microsecond=999_999)
    return moment if _TO_SECONDS.search(text.replace(" ", "T")) else moment.replace(second=59)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment.timestamp()  # a year that local time cannot say fails here, not later
    except (ValueError, OverflowError, OSError):
        raise InputError(f"{text!r} is neither an age nor a moment", hint=_HINT) from None
    return moment
