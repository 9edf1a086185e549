"""Reading the options of a format: strings from the table's properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atio.errors import InputError

Parse = Callable[[str], Any]


def parse(name: str, given: Mapping[str, str], known: Mapping[str, Parse]) -> dict[str, Any]:
    """The given options, parsed; ``InputError`` for one that is unknown or has a bad value."""
    parsed = {}
    for key, text in given.items():
        if key not in known:
            choices = ", ".join(known) or "none"
            raise InputError(f"unknown option {name}.{key}", hint=f"the options of {name} are: {choices}")
        try:
            parsed[key] = known[key](text)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise InputError(f"bad value {text!r} for the option {name}.{key}: {error}") from error
    return parsed


def boolean(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.strip().lower()]
    except KeyError:
        raise ValueError("neither true nor false") from None


def between(low: int, high: int) -> Parse:
    """A whole number in ``low … high``."""

    def whole(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError(f"not in {low} … {high}")
        return number

    return whole


def one_of(*choices: str) -> Parse:
    def choice(text: str) -> str:
        word = text.strip().lower()
        if word not in choices:
            raise ValueError(f"not one of {', '.join(choices)}")
        return word

    return choice
