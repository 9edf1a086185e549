"""Patterns of LIKE, taken apart once for every engine."""

from __future__ import annotations

import enum
import re

import msgspec


class Wild(enum.Enum):
    MANY = "%"
    ONE = "_"


Pieces = tuple[str | Wild, ...]
_LIKE = re.compile(r"[\\%_]")
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


def pieces(pattern: str, escape: str | None) -> Pieces:
    """The pattern as literal texts and wildcards; ``ValueError`` if its escapes are wrong."""
    if escape is not None and len(escape) != 1:
        raise ValueError(f"escape {escape!r} is not one character")
    made: list[str | Wild] = []
    places = iter(pattern)
    for char in places:
        if char == escape:
            char = next(places, "")  # noqa: PLW2901
            if not char:
                raise ValueError(f"the pattern {pattern!r} ends with its escape character")
        elif char in "%_":
            wild = Wild(char)
            if wild is Wild.ONE or not made or made[-1] is not wild:
                made.append(wild)
            continue
        if made and isinstance(made[-1], str):
            made[-1] += char
        else:
            made.append(char)
    return tuple(made)


class Pattern(msgspec.Struct, frozen=True):
    """What a text is compared with; engines have fast ways for the simple shapes."""

    pieces: Pieces

    @property
    def prefix(self) -> str:
        """Every match begins with it."""
        return self.pieces[0] if self.pieces and isinstance(self.pieces[0], str) else ""

    @property
    def shape(self) -> tuple[str, str]:
        """``("starts", text)``, ``ends``, ``contains``, ``equals``, or ``("other", "")``."""
        match self.pieces:
            case ():
                return "equals", ""
            case (str(text),):
                return "equals", text
            case (Wild.MANY,):
                return "starts", ""
            case (str(text), Wild.MANY):
                return "starts", text
            case (Wild.MANY, str(text)):
                return "ends", text
            case (Wild.MANY, str(text), Wild.MANY):
                return "contains", text
        return "other", ""

    @property
    def regex(self) -> str:
        """For RE2 and Rust's regex alike."""
        parts = {Wild.MANY: ".*", Wild.ONE: "."}
        body = "".join(parts[piece] if isinstance(piece, Wild) else exactly(piece) for piece in self.pieces)
        return rf"(?s)\A{body}\z"

    @property
    def like(self) -> str:
        r"""The pattern again, with ``\`` as escape character."""
        return "".join(piece.value if isinstance(piece, Wild) else literal(piece) for piece in self.pieces)


def literal(text: str) -> str:
    r"""A pattern, with ``\`` as escape character, that only the text itself matches."""
    return _LIKE.sub(r"\\\g<0>", text)


def exactly(text: str) -> str:
    """A regular expression that only the text itself matches."""
    return _SPECIAL.sub(r"\\\g<0>", text)
