"""The labels of a pandas frame's rows: columns or not; and what NaN means in a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from atio.errors import InputError
from atio.writers.kinds import Kind, kind_of


def _is_pandas(obj: object) -> bool:
    return kind_of(obj) is Kind.PANDAS


def means_missing(obj: object) -> bool:
    """Whether NaN stands for a missing value, as it does in pandas."""
    if isinstance(obj, list | tuple) and obj:
        return _is_pandas(obj[0])
    return _is_pandas(obj)


def labelled(obj: Any, index: bool | None, label: str | Sequence[str] | None) -> Any:
    """The object, with or without its row labels among the columns.

    Parameters
    ----------
    index
        None: if they say more than 0, 1, 2, ….
    label
        What their columns are called; by default as pandas' own ``reset_index`` calls them.
    """
    if _is_pandas(obj):
        return _labelled(obj, index, label)
    if isinstance(obj, list | tuple) and obj and _is_pandas(obj[0]):
        obj = iter(obj)
    if isinstance(obj, Iterator):
        return (labelled(item, index, label) for item in obj)
    return obj


def _labelled(frame: Any, index: bool | None, label: str | Sequence[str] | None) -> Any:
    if index is None:
        index = label is not None or not _is_counting(frame.index)
    if not index:
        return frame.reset_index(drop=True)
    names = None if label is None else [label] if isinstance(label, str) else list(label)
    if names is not None and len(names) != frame.index.nlevels:
        raise InputError(f"index_label has {len(names)} names for {frame.index.nlevels} levels of the index")
    return frame.reset_index() if names is None else frame.reset_index(names=names)


def _is_counting(index: Any) -> bool:
    return (
        type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1 and index.name is None
    )
