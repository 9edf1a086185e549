"""The index of older versions, and that of tokens: log-structured lists in the pointer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from atio.metadata.objects import Objects
from atio.metadata.tiers import to_merge
from atio.model.pointer import History, Piece, Token, TokenList, Tokens, Version, Versions

TAIL = 8
"""Lines kept in the pointer itself before they move to a piece."""


def push_version(objects: Objects, history: History, version: Version) -> History:
    tail = (*history.tail, version)
    if len(tail) < TAIL:
        return History(pieces=history.pieces, tail=tail)
    return History(pieces=_with_piece(objects, history.pieces, tail))


def rebuild(objects: Objects, versions: Sequence[Version]) -> History:
    """A new index of exactly these versions, oldest first."""
    whole = len(versions) - len(versions) % TAIL if len(versions) >= TAIL else 0
    pieces = (_piece(objects, versions[:whole]),) if whole else ()
    return History(pieces=pieces, tail=tuple(versions[whole:]))


def _with_piece(objects: Objects, pieces: tuple[Piece, ...], lines: tuple[Version, ...]) -> tuple[Piece, ...]:
    merge = to_merge([*(piece.lines for piece in pieces), len(lines)])
    kept = len(pieces) - max(merge - 1, 0)
    older = tuple(line for piece in pieces[kept:] for line in _lines(objects, piece))
    return (*pieces[:kept], _piece(objects, older + lines))


def _piece(objects: Objects, lines: Sequence[Version]) -> Piece:
    content = Versions(versions=tuple(lines))
    ref = objects.put("metadata", content.encode())
    objects.remember(ref, content)
    identity = ref.path.removeprefix("metadata/").removesuffix(".json")
    return Piece(
        identity, ref.size, ref.hash, len(lines), lines[0].version, lines[-1].version, lines[-1].time
    )


def _lines(objects: Objects, piece: Piece) -> tuple[Version, ...]:
    return objects.get(piece.ref, Versions).versions


def all_versions(objects: Objects, history: History) -> list[Version]:
    """Every retained older version, oldest first."""
    return [*(line for piece in history.pieces for line in _lines(objects, piece)), *history.tail]


def newest_first(objects: Objects, history: History) -> Iterator[Version]:
    yield from reversed(history.tail)
    for piece in reversed(history.pieces):
        yield from reversed(_lines(objects, piece))


def find(objects: Objects, history: History, version: int) -> Version | None:
    """The retained version of that number: at most one piece is read."""
    lines: tuple[Version, ...] = history.tail
    if not lines or version < lines[0].version:
        place = bisect_left(history.pieces, version, key=lambda piece: piece.last)
        if place == len(history.pieces):
            return None
        lines = _lines(objects, history.pieces[place])
    place = bisect_left(lines, version, key=lambda line: line.version)
    return lines[place] if place < len(lines) and lines[place].version == version else None


def find_time(objects: Objects, history: History, time: int) -> Version | None:
    """The newest retained version not later than ``time`` (microseconds)."""
    lines: tuple[Version, ...] = history.tail
    if not lines or time < lines[0].time:
        place = bisect_left(history.pieces, time, key=lambda piece: piece.time)
        lines = _lines(objects, history.pieces[place]) if place < len(history.pieces) else history.tail
        place = bisect_right(lines, time, key=lambda line: line.time)
        if place:
            return lines[place - 1]
        # The piece begins after that time: the piece before it ends before.
        before = [p for p in history.pieces if p.time <= time]
        return _lines(objects, before[-1])[-1] if before else None
    return lines[bisect_right(lines, time, key=lambda line: line.time) - 1]


# -- tokens ----------------------------------------------------------------------------------------


def push_token(objects: Objects, tokens: Tokens, token: Token) -> Tokens:
    tail = (*tokens.tail, token)
    if len(tail) < TAIL:
        return Tokens(pieces=tokens.pieces, tail=tail)
    merge = to_merge([*(piece.lines for piece in tokens.pieces), len(tail)])
    kept = len(tokens.pieces) - max(merge - 1, 0)
    lines = (*(t for piece in tokens.pieces[kept:] for t in _tokens(objects, piece)), *tail)
    return Tokens(pieces=(*tokens.pieces[:kept], _token_piece(objects, lines)))


def _token_piece(objects: Objects, lines: tuple[Token, ...]) -> Piece:
    ref = objects.put("metadata", TokenList(tokens=lines).encode())
    identity = ref.path.removeprefix("metadata/").removesuffix(".json")
    return Piece(identity, ref.size, ref.hash, len(lines), lines[0].version, lines[-1].version, 0)


def tokens_before(objects: Objects, source: Objects, tokens: Tokens, version: int) -> Tokens:
    """A new index of the tokens that made versions before this one."""
    lines = tuple(token for token in all_tokens(source, tokens) if token.version < version)
    if len(lines) < TAIL:
        return Tokens(tail=lines)
    return Tokens(pieces=(_token_piece(objects, lines),))


def find_token(objects: Objects, tokens: Tokens, token: str) -> int | None:
    """The version that a token made, newest first."""
    for line in reversed(tokens.tail):
        if line.token == token:
            return line.version
    for piece in reversed(tokens.pieces):
        for line in reversed(_tokens(objects, piece)):
            if line.token == token:
                return line.version
    return None


def all_tokens(objects: Objects, tokens: Tokens) -> list[Token]:
    """Every token, oldest first."""
    return [*(token for piece in tokens.pieces for token in _tokens(objects, piece)), *tokens.tail]


def _tokens(objects: Objects, piece: Piece) -> tuple[Token, ...]:
    return objects.get(piece.ref, TokenList).tokens
