"""The little XML that stores speak. It comes from outside: expat (2.4.1 and later) refuses bombs itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from atio.errors import StorageError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def parsed(body: bytes) -> Element:
    from xml.etree import ElementTree as ET  # most tables never need it

    try:
        return ET.fromstring(body)  # noqa: S314 - see above
    except ET.ParseError:
        raise StorageError("the store's answer is not the XML that was expected") from None


def children(root: Element, name: str) -> Iterator[Element]:
    """Elements of that name at any depth, in whatever namespace."""
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)


def text(root: Element, name: str) -> str:
    """The text of the first element of that name, "" if there is none."""
    return next((element.text or "" for element in children(root, name)), "")


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def said(body: bytes) -> tuple[str, str]:
    """Code and message of an error's body, as far as it has them."""
    try:
        root = parsed(body)
    except StorageError:
        return "", ""
    return text(root, "Code"), text(root, "Message")
