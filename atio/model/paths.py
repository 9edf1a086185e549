"""The rule for every path inside a table: pure text, no look at a disk."""

from __future__ import annotations


def check_path(path: str) -> str:
    r"""Return ``path`` if it is relative, ``/``-separated and cannot leave the table.

    Refused are ``..``, ``.`` and empty parts (so also absolute paths), backslashes, NUL, colons
    (drives, alternate streams, URLs) and text that is no UTF-8 (``"\ud800"``, which JSON can spell).

    Raises
    ------
    ValueError
        Naming the path and what is wrong with it.
    """
    if not path:
        raise ValueError("a path is empty")
    if "\\" in path or "\0" in path or ":" in path:
        raise ValueError(f"path {path!r} has a backslash, NUL or colon")
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise ValueError(f"path {path!r} is absolute, or has an empty, '.' or '..' part")
    if not path.isascii():
        try:
            path.encode()
        except UnicodeEncodeError:
            raise ValueError(f"path {path!r} is not valid Unicode") from None
    return path
