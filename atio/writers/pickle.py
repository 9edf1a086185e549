"""Pickles: of any object, but only when asked for, since reading one runs whatever it holds."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

from atio.writers.base import Progress
from atio.writers.cells import Function, Native
from atio.writers.failures import calling
from atio.writers.files import Cells, Draft, FileWriter, Refused
from atio.writers.kinds import Kind
from atio.writers.sources import Readers, Source, by_function


def _dump(obj: Any, draft: Draft, progress: Progress, *, protocol: int = 5) -> None:
    with calling("pickle.dump", draft.url):
        pickle.dump(obj, draft.file, protocol)
    if hasattr(obj, "__len__"):
        progress.advance(len(obj))


def _load(source: Source) -> Any:
    return pickle.load(source.file)  # noqa: S301 - only after format="pickle"


class PickleWriter(FileWriter):
    """Python pickles."""

    formats = ("pickle", "pkl")
    suffixes = (".pickle", ".pkl")
    trusted = True
    cells: ClassVar[Cells] = {
        **dict.fromkeys(Kind, Function("pickle.dump", _dump)),
        Kind.PANDAS: Native("pandas", "to_pickle", where="file", fixed={"compression": None}),
        Kind.LAZY: Refused("collect it first: lazy_frame.collect()"),
        Kind.STREAM: Refused("read it first: a stream has no rows until then"),
        Kind.ITERATOR: Refused("hand over a list: an iterator has no rows until it is asked"),
    }
    readers: ClassVar[Readers] = {"python": by_function("pickle.load", _load)}
