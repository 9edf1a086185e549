"""``current``: the pointer, the only file ever replaced (spec/pointer.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import msgspec
import xxhash

from atio.model.base import Count, Hash, Id, Micros, Model, Ref
from atio.model.snapshot import Parent, SchemaRef


class Version(Model, frozen=True, array_like=True, order=True):
    """One line of the index of versions, written as a JSON array."""

    version: Count
    time: Micros
    id: Id
    size: Count
    hash: Hash

    @property
    def ref(self) -> Ref:
        return Ref(path=metadata_path(self.id), size=self.size, hash=self.hash)

    @property
    def parent(self) -> Parent:
        return Parent(version=self.version, id=self.id, hash=self.hash)


class Token(Model, frozen=True, array_like=True, order=True):
    """A user's idempotency token and the version that it made."""

    token: str
    version: Count


class Piece(Model, frozen=True, array_like=True, order=True):
    """An immutable run of older lines, in a file of its own, with what a search needs to know."""

    id: Id
    size: Count
    hash: Hash
    lines: Count
    first: Count
    last: Count
    time: Micros

    @property
    def ref(self) -> Ref:
        return Ref(path=metadata_path(self.id), size=self.size, hash=self.hash)


class History(Model, frozen=True, omit_defaults=True, kw_only=True):
    """Older retained versions, oldest first: pieces, then the tail."""

    pieces: tuple[Piece, ...] = ()
    tail: tuple[Version, ...] = ()


class Tokens(Model, frozen=True, omit_defaults=True, kw_only=True):
    pieces: tuple[Piece, ...] = ()
    tail: tuple[Token, ...] = ()


class Features(Model, frozen=True, omit_defaults=True, kw_only=True):
    """What an implementation must know before it may read, or write, this table."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


NO_HISTORY, NO_TOKENS, NO_FEATURES = History(), Tokens(), Features()


class Versions(Model, frozen=True, omit_defaults=True, kw_only=True):
    """The content of a history piece."""

    versions: tuple[Version, ...]


class TokenList(Model, frozen=True, omit_defaults=True, kw_only=True):
    """The content of a token piece."""

    tokens: tuple[Token, ...]


class Tag(Model, frozen=True, omit_defaults=True, kw_only=True):
    """A name for a version, which it keeps from expiring."""

    version: Count
    created: Micros
    message: str | None = None


class Branch(Model, frozen=True, omit_defaults=True, kw_only=True):
    """A line of versions of its own: what the pointer has of the table's (spec/branches.md).

    Attributes
    ----------
    start
        The version of the table's line that it leaves from: its own have higher numbers.
    merged
        Its version up to which the table's line has the rows that it added.
    """

    created: Micros
    start: Count
    merged: Count
    snapshot: Version
    schema: SchemaRef
    history: History = NO_HISTORY
    tokens: Tokens = NO_TOKENS


class PartitionField(Model, frozen=True, omit_defaults=True, kw_only=True):
    """A column, by its id, and what makes partitions of its values: ``month``, ``bucket[16]``, …"""

    id: Count
    transform: str


class SortField(Model, frozen=True, omit_defaults=True, kw_only=True):
    """A column, by its id, that rows are sorted by."""

    id: Count
    direction: Literal["ascending", "descending"] = "ascending"


class Check(Model, frozen=True, omit_defaults=True, kw_only=True):
    """A condition that must not be false for any row: a tree as JSON, whose columns are field ids."""

    name: str
    where: str


class Catalog(Model, frozen=True, omit_defaults=True, kw_only=True):
    """``metadata/<id>.json``: what belongs to the table and to no version, such as tags and branches.

    ``key`` has the ids of the columns whose values no two rows share.
    """

    kind: Literal["catalog"]
    time: Micros
    properties: dict[str, str] = {}
    tags: tuple[tuple[str, Tag], ...] = ()
    branches: tuple[tuple[str, Branch], ...] = ()
    key: tuple[Count, ...] = ()
    partitioning: tuple[PartitionField, ...] = ()
    sorting: tuple[SortField, ...] = ()
    checks: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        self.freeze("properties")

    def tag(self, name: str) -> Tag | None:
        return next((tag for known, tag in self.tags if known == name), None)

    def branch(self, name: str) -> Branch | None:
        return next((branch for known, branch in self.branches if known == name), None)

    def with_branch(self, name: str, branch: Branch | None) -> Self:
        """The catalog with a branch as it is now; None: without it."""
        others = {known: one for known, one in self.branches if known != name}
        kept = others if branch is None else {**others, name: branch}
        return self.replace(branches=tuple(sorted(kept.items())))

    def described_branches(self) -> str:
        """The branches there are, for messages."""
        names = [name for name, _ in self.branches]
        return f"branches are {', '.join(names[:10])}" if names else "the table has no branches"

    @property
    def is_empty(self) -> bool:
        """There is nothing in it that needs a file."""
        return self == Catalog(kind="catalog", time=self.time)

    def described(self) -> str:
        """The tags there are, for messages."""
        names = [name for name, _ in self.tags]
        return f"tags are {', '.join(names[:10])}" if names else "the table has no tags"


class Pointer(Model, frozen=True, omit_defaults=True, kw_only=True):
    """The table as of its last commit.

    ``snapshot`` is the newest version; ``history`` and ``tokens`` are about older ones.
    ``first_version`` is the oldest number the table ever had: 0 for a table created empty.
    ``schema`` is the newest version's, to be read together with its snapshot, which has the last word.
    """

    format_version: Count
    features: Features = NO_FEATURES
    table_id: Id
    commit_id: Id
    snapshot: Version
    schema: SchemaRef | None = None
    catalog: Ref | None = None
    history: History = NO_HISTORY
    tokens: Tokens = NO_TOKENS
    last_schema_id: Count
    last_field_id: Count
    first_version: Count = 1

    def encode(self) -> bytes:
        """JSON on one line, its XXH3-64 on the next: a torn or altered pointer shows itself."""
        line = msgspec.json.encode(self)
        return b"%s\n%s\n" % (line, xxhash.xxh3_64_hexdigest(line).encode())

    @classmethod
    def decode(cls, data: bytes | str) -> Self:
        raw = data.encode() if isinstance(data, str) else data
        if not sealed(raw):
            raise ValueError("the checksum on its second line does not match its first")
        return super().decode(raw.partition(b"\n")[0])


def sealed(data: bytes) -> bool:
    """Whether the second line of a pointer is the checksum of its first."""
    line, _, rest = data.partition(b"\n")
    return rest == xxhash.xxh3_64_hexdigest(line).encode() + b"\n"


def metadata_path(identity: str) -> str:
    return f"metadata/{identity}.json"


def unknown(known: frozenset[str], features: Sequence[str]) -> list[str]:
    """Features that an implementation which knows ``known`` must refuse."""
    return [name for name in features if name not in known]
