"""What every metadata model shares: strictness, immutability, references."""

from __future__ import annotations

import os
from typing import Annotated, Any, NoReturn, Self

import msgspec

from atio.model.decoding import decoder
from atio.model.paths import check_path

FORMAT_VERSION = 1
"""The version of the specification this package writes (``spec/README.md``)."""

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$", max_length=16)]
"""XXH3-64 of a whole object, 16 hexadecimal digits."""
Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{24}$", max_length=24)]
"""96 random bits: commits, metadata files and data files."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Micros = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Microseconds since 1970-01-01 00:00 UTC."""


def new_id() -> str:
    return os.urandom(12).hex()


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed, so that a frozen model is frozen all the way down."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("metadata are immutable")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of the specification.

    Unknown members are ignored: a later minor addition must not stop an older reader. What an
    older reader may not ignore is announced as a feature in the pointer.
    """

    def encode(self) -> bytes:
        """JSON; members with default values may be left out."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes | str) -> Self:
        """Parse untrusted bytes, strictly; ``ValueError`` says what is wrong and where."""
        try:
            value: Self = decoder(cls).decode(data)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return value

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other members (given as valid values)."""
        return msgspec.structs.replace(self, **changes)

    def freeze(self, *names: str) -> None:
        """Make dict members immutable."""
        for name in names:
            msgspec.structs.force_setattr(self, name, FrozenDict(getattr(self, name)))


class Ref(Model, frozen=True, omit_defaults=True, kw_only=True):
    """A file of the table, with what proves it whole."""

    path: str
    size: Count
    hash: Hash

    def __post_init__(self) -> None:
        check_path(self.path)
