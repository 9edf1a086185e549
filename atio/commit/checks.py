"""What rows must be like: the table's checks, bound to its columns (spec/constraints.md).

Brings the evaluation of conditions along: import it where there are checks.
"""

from __future__ import annotations

import msgspec

from atio.errors import InputError, NewerFormatError, SchemaError
from atio.model.pointer import Check
from atio.predicate import Bound, bind, decode, encode, with_columns
from atio.predicate.tree import AnyNode, Column, IsNull, Not, Path
from atio.predicate.where import Where
from atio.schema.bound import BoundSchema


class Rule(msgspec.Struct, frozen=True):
    """A constraint, bound to columns.

    Attributes
    ----------
    text
        In words, for messages.
    offends
        True for rows that do not meet it.
    remedy
        What takes it away.
    """

    text: str
    offends: Bound
    remedy: str


def check_made(name: str, where: Where, schema: BoundSchema) -> Check:
    """A check as the catalog keeps it, of a condition on the columns of ``schema``."""
    if not isinstance(name, str) or not name.strip() or name != name.strip() or len(name) > 200:
        raise InputError(
            f"{name!r} cannot name a check", hint="use 1 to 200 characters, no space at the ends"
        )
    tree = bind(where, schema.public).tree
    ids = {path: identity for identity, path in schema.paths.items()}
    return Check(name=name, where=encode(with_columns(tree, lambda path: (str(ids[path]),))).decode())


def rule_of(check: Check, schema: BoundSchema) -> Rule:
    """The rule that a check is for rows of these columns.

    Raises
    ------
    SchemaError
        It names a column that is not there, or whose type does not go with the condition.
    """
    tree = condition(check, schema)
    try:
        return Rule(
            f"check {check.name!r} ({tree})", bind(Not(tree), schema.public), f"drop_check({check.name!r})"
        )
    except InputError as error:
        raise SchemaError(
            f"check {check.name!r} ({tree}) does not go with the columns: {error.message}",
            hint=f"drop_check({check.name!r}) first",
        ) from error


def condition(check: Check, schema: BoundSchema) -> AnyNode:
    """The check's condition, with the names that its columns have in ``schema``."""

    def named(path: Path) -> Path:
        try:
            return schema.paths[int(path[0])]
        except (KeyError, ValueError):
            raise SchemaError(
                f"check {check.name!r} needs a column (field {path[0]}) that would be gone",
                hint=f"drop_check({check.name!r}) first",
            ) from None

    try:
        tree = decode(check.where)
    except ValueError as error:
        raise NewerFormatError(f"check {check.name!r} cannot be read: {error}", hint="upgrade atio") from None
    return with_columns(tree, named)


def not_null(column: int, schema: BoundSchema) -> Rule:
    """The rule that a column has no nulls."""
    path = schema.paths[column]
    name = ".".join(path)
    return Rule(
        f"column {name!r} may not be null",
        bind(IsNull(Column(path)), schema.public),
        f"make_nullable({name!r})",
    )
