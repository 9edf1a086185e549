"""The ways to write: by a method of the object, by an encoder of Arrow tables, after a conversion.

Each is a :class:`~atio.writers.files.Cell`, so that a format is a table of them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from atio.writers import options
from atio.writers.base import Progress
from atio.writers.failures import calling
from atio.writers.files import Cell, Draft
from atio.writers.kinds import Kind, kind_of

Where = Literal["place", "file", "text", "memory", "silent"]


class Native(Cell):
    """A method of the object itself: ``DataFrame.to_csv``.

    Parameters
    ----------
    library
        Its name, for people.
    method
        The name of the method; its first argument is where to write.
    where
        What the method is given: a path where there is one, a binary file, a text file, a file in memory
        (for libraries that make a mess, or say nothing, when a disk is full), or a file that tells of its
        errors in the end only (for those that abort the process then).
    defaults
        Arguments the user may override.
    fixed
        Arguments that make the format what it is; the user cannot give them.
    check
        Called with the object and the arguments first, to refuse what the method would do badly.
    streams
        The method itself bounds its memory.
    """

    def __init__(
        self,
        library: str,
        method: str,
        *,
        where: Where = "place",
        defaults: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
        check: Callable[[Any, Mapping[str, Any]], None] | None = None,
        streams: bool = False,
    ) -> None:
        self._library = library
        self._method = method
        self._where = where
        self._defaults = dict(defaults or {})
        self._fixed = dict(fixed or {})
        self._check = check
        self.streams = streams
        self.call = f"{library}.{'LazyFrame' if method.startswith('sink') else 'DataFrame'}.{method}"
        self.label = f"`{method}`"

    def with_defaults(self, defaults: Mapping[str, Any]) -> Native:
        """Return the same with further defaults."""
        return Native(
            self._library,
            self._method,
            where=self._where,
            defaults=self._defaults | dict(defaults),
            fixed=self._fixed,
            check=self._check,
            streams=self.streams,
        )

    def write(self, obj: Any, draft: Draft, progress: Progress, kwargs: Mapping[str, Any]) -> None:
        frame = obj.to_frame() if hasattr(obj, "to_frame") and not hasattr(obj, "columns") else obj
        options.check(self.call, getattr(type(frame), self._method), kwargs, self._fixed)
        given = self._defaults | dict(kwargs) | self._fixed
        if self._check is not None:
            self._check(frame, given)
        rows = None if kind_of(frame) is Kind.LAZY else len(frame)
        progress.expect(rows)
        with calling(self.call, draft.url), _opened(draft, self._where) as out:
            getattr(frame, self._method)(out, **given)
        progress.advance(rows or 0)


@contextmanager
def _opened(draft: Draft, where: Where) -> Iterator[Any]:
    if where == "text":
        text = io.TextIOWrapper(draft.file, encoding="utf-8", newline="", write_through=True)
        yield text
        text.detach()
    elif where == "memory":
        buffer = io.BytesIO()
        yield buffer
        draft.file.write(buffer.getbuffer())
    elif where == "silent":
        from atio.formats.sink import Sink

        sink = Sink(draft.file, silent=True)
        yield sink
        if sink.error is not None:
            raise sink.error
    else:
        yield draft.place if where == "place" else draft.file


class Encoder(Protocol):
    """One file being encoded from Arrow tables."""

    def write(self, table: Any, /) -> object:
        """Encode more rows; the schema is the one it was opened with."""

    def close(self) -> object:
        """Finish the encoding."""


class Encoded(Cell):
    """Arrow tables, piece by piece, through an encoder.

    Parameters
    ----------
    call
        What encodes, for people.
    opened
        ``opened(draft, schema, **kwargs)`` returns the encoder; its keyword parameters are the user's.
    """

    label = "Arrow"
    streams = True

    def __init__(self, call: str, opened: Callable[..., Encoder]) -> None:
        self.call = call
        self._open = opened

    def write(self, obj: Any, draft: Draft, progress: Progress, kwargs: Mapping[str, Any]) -> None:
        from atio.writers.rows import rows_of

        options.check(self.call, self._open, kwargs)
        source = rows_of(obj, kind_of(obj))
        progress.expect(source.rows)
        with calling(self.call, draft.url):
            encoder = self._open(draft, source.schema, **kwargs)
        for table in source.tables:  # errors of the user's iterator pass as they are
            with calling(self.call, draft.url):
                encoder.write(table)
            progress.advance(table.num_rows)
        with calling(self.call, draft.url):
            encoder.close()


class ByPandas(Cell):
    """A method of pandas, after a conversion; the rows' numbers are not written unless asked for."""

    label = "pandas"

    def __init__(self, native: Native, *, defaults: Mapping[str, Any], nullable: bool = True) -> None:
        self._native = native.with_defaults(defaults)
        self._nullable = nullable
        self.call = native.call

    def write(self, obj: Any, draft: Draft, progress: Progress, kwargs: Mapping[str, Any]) -> None:
        self._native.write(as_pandas(obj, nullable=self._nullable), draft, progress, kwargs)


def as_pandas(obj: Any, *, nullable: bool) -> Any:
    """Convert any frame; integers and booleans with nulls stay what they are, if ``nullable``."""
    from atio.frames import to_pandas
    from atio.writers.rows import table_of

    source = table_of(obj, kind_of(obj))
    (table,) = source.tables
    frame = to_pandas(table, source.index)
    if nullable:
        import pandas as pd
        from pyarrow import types as pt

        for name, column in zip(table.column_names, table.columns, strict=True):
            if column.null_count and (pt.is_integer(column.type) or pt.is_boolean(column.type)):
                plain = str(column.type).replace("bool", "boolean")
                dtype = plain.capitalize().replace("Uint", "UInt") if plain != "boolean" else plain
                frame[name] = pd.array(column.to_pylist(), dtype=dtype)
    return frame


class Collected(Cell):
    """A lazy frame, computed whole and written as a frame of the same library."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self.call = native.call
        self.label = native.label

    def write(self, obj: Any, draft: Draft, progress: Progress, kwargs: Mapping[str, Any]) -> None:
        with calling("polars.LazyFrame.collect", draft.url):
            frame = obj.collect()
        self._native.write(frame, draft, progress, kwargs)


class Function(Cell):
    """A function of ours: ``function(obj, draft, progress, **kwargs)``.

    Its keywords are the user's; where it passes them on, ``keywords`` is the function that has them.
    """

    def __init__(
        self,
        call: str,
        function: Callable[..., None],
        *,
        label: str = "",
        streams: bool = False,
        keywords: Callable[..., None] | None = None,
    ) -> None:
        self.call = call
        self.label = label or f"`{call.rpartition('.')[2]}`"
        self.streams = streams
        self._function = function
        self._keywords = keywords or function

    def write(self, obj: Any, draft: Draft, progress: Progress, kwargs: Mapping[str, Any]) -> None:
        options.check(self.call, self._keywords, kwargs)
        self._function(obj, draft, progress, **kwargs)
