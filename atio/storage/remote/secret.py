"""Texts that must not be shown."""

from __future__ import annotations

from collections.abc import Iterable


class Secret:
    """A text that shows itself only to who asks for it by name; for fields that a repr or log may meet."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<secret>"

    def reveal(self) -> str:
        return self._text


def redacted(text: str, secrets: Iterable[Secret]) -> str:
    for secret in secrets:
        if secret.reveal():
            text = text.replace(secret.reveal(), "<secret>")
    return text
