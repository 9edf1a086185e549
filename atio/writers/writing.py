"""``atio.write``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO

from atio.errors import AtioError, InputError, Located, OutcomeUnknownError, UnsupportedError, meant
from atio.storage.failures import translated, translating
from atio.writers import registry
from atio.writers.base import Writer
from atio.writers.compression import compressing
from atio.writers.failures import calling
from atio.writers.flags import Flagging, Vouched, vouch
from atio.writers.names import Name, parse
from atio.writers.places import open_target
from atio.writers.progress import Report, in_bytes
from atio.writers.streams import Forward, Hashing, buffered
from atio.writers.targets import Target, TargetDraft


def write(
    obj: Any,
    target_path: str | os.PathLike[str] | Target | None = None,
    format: str | Writer | None = None,
    show_progress: bool = False,
    verbose: bool = False,
    *,
    backup: bool = False,
    success_flag: bool = False,
    durable: bool = True,
    storage_options: Mapping[str, object] | None = None,
    **kwargs: Any,
) -> None:
    """Write an object to one file or database, whole or not at all.

    Readers see the old file or the new one at any instant, never a part and never nothing. When this
    returns, the new one survives a power cut. On any error, also Ctrl-C and a full disk, the old file is
    as it was and nothing is left behind.

    Parameters
    ----------
    obj
        pandas, Polars (lazy too), NumPy arrays, a dict of arrays, Arrow tables and streams, anything with
        ``__arrow_c_stream__``, a list or dict of records, an iterator of any of those. Lazy frames, streams
        and iterators are written piece by piece where the format can.
    target_path
        A path, ``memory://place/name``, a URL (``s3://``, ``gs://``, ``az://``, or what fsspec can write
        to), or a :class:`~atio.writers.targets.Target`. Its suffix tells the format, and a compression after
        it (``.csv.gz``). Not given for databases.
    format
        The name of the format, if the suffix does not tell; or a writer.
    show_progress
        Draw rows or bytes, rate and time; plain lines where there is no terminal.
    verbose
        Tell the steps and what they took, through the logger ``atio``.
    backup
        Keep the previous file as ``NAME.bak``.
    success_flag
        Write ``.NAME._SUCCESS``, which vouches for the file: see :func:`verify`.
    durable
        Sync file and folder before returning.
    storage_options
        For a URL: credentials and the like, as for :meth:`Table.open`.
    **kwargs
        For the library that does the work (``index=False``, ``sheet_name=``, ``orient=``); see the matrix in
        the documentation. Unknown ones are an error.

    Raises
    ------
    UnsupportedError
        The object cannot be written as this format; the hint names what can.
    InputError
        No format to be told, an unknown argument, an object that does not fit.
    MissingDependencyError
        An optional library is needed.
    NotFoundError, AccessError, StorageFullError, StorageError
        From the file system or store; nothing took effect.
    OutcomeUnknownError
        The file was replaced, but the folder could not be synced; or a store did not answer the request
        that replaces it, nor those that asked.
    """
    if target_path is None:
        _write_elsewhere(obj, format, show_progress, verbose, kwargs, backup=backup, flag=success_flag)
        return
    target = open_target(target_path, storage_options)
    with Located(file=target.url):
        name = parse(target.url)
        writer = _writer_for(name, format)
        job = _Job(target, name, writer, backup=backup, durable=durable)
        with Report(target.url, show=show_progress, verbose=verbose) as report:
            try:
                job.run(obj, kwargs, report, flag=success_flag)
            except OutcomeUnknownError:
                raise
            except BaseException as error:
                report.note(f"File writing failed, the target is as it was: {type(error).__name__}")
                raise
            report.note(f"File writing completed (total time: {report.seconds:.4f}s)")


def _write_elsewhere(
    obj: Any,
    format: str | Writer | None,
    show_progress: bool,
    verbose: bool,
    kwargs: dict[str, Any],
    *,
    backup: bool,
    flag: bool,
) -> None:
    """Write to where no path leads: databases."""
    if format is None:
        raise InputError("there is neither a target nor a format", hint='write(obj, "data.parquet")')
    writer = registry.get_writer(format)
    name = writer.formats[0]
    if writer.needs_path:
        raise InputError(f"format={name!r} needs a target_path", hint="give the path of the file")
    if backup or flag:
        raise InputError("backup= and success_flag= are for files")
    with Report(name, show=show_progress, verbose=verbose) as report:
        report.note(f"Writer to use: {writer.describe(obj)} (format: {name})")
        writer.write(obj, None, progress=report, **kwargs)
        report.note(f"Writing completed (total time: {report.seconds:.4f}s)")


def _writer_for(name: Name, format: str | Writer | None) -> Writer:
    wanted = format if format is not None else registry.format_of(name.suffix)
    if wanted is None:
        close = meant(name.suffix, registry.SUFFIXES)
        listed = f"say which with format=: {', '.join(registry.known_formats())}"
        raise UnsupportedError(
            f"the suffix {name.suffix!r} tells no format" if name.suffix else "the name tells no format",
            hint=f"{close} {listed}" if close else listed,
        )
    writer = registry.get_writer(wanted)
    if not writer.needs_path:
        raise InputError(f"format={writer.formats[0]!r} takes no target_path", hint="leave it out")
    return writer


class _Job:
    """One file to be written."""

    def __init__(self, target: Target, name: Name, writer: Writer, *, backup: bool, durable: bool) -> None:
        self._target = target
        self._name = name
        self._writer = writer
        self._backup = backup
        self._durable = durable

    def run(self, obj: Any, kwargs: dict[str, Any], report: Report, *, flag: bool) -> None:
        flagging = Flagging(self._target, durable=self._durable)
        with ExitStack() as stack:
            vouched: Vouched | None = None
            with self._target.replacing(durable=self._durable, backup=self._backup) as draft:
                hashed = _Hashed(draft) if flag and not isinstance(draft.place, str) else None
                self._encode(obj, kwargs, hashed or draft, report)
                if flag:
                    stack.enter_context(flagging.exclusive())
                    vouched = hashed.vouched() if hashed else _measured(draft)
                    flagging.announce(vouched)
            report.step(f"Synced, and moved to its place: {self._target.url}")
            if vouched is None:
                flagging.remove()
            else:
                flagging.confirm(vouched)
                report.step("_SUCCESS flag written")

    def _encode(self, obj: Any, kwargs: dict[str, Any], draft: TargetDraft, report: Report) -> None:
        if report.verbose:
            self._introduce(obj, draft, report)
        report.measure(draft.size)
        # Whoever says how to compress has the library do it.
        method = None if "compression" in kwargs else self._name.compression
        with _compressed(draft, method) as out:
            try:
                self._writer.write(obj, out, progress=report, **kwargs)
            except (InputError, OSError) as error:
                if isinstance(error, AtioError) and not isinstance(error, InputError):
                    raise
                trouble = draft.trouble()
                if isinstance(trouble, AtioError):
                    raise trouble from None
                if trouble is not None:
                    raise translated(trouble, draft.url) from error
                raise
        with calling("write", draft.url):
            draft.flush()
        size = draft.size()
        report.measure(lambda: size)
        if report.verbose:
            rows = f"{report.rows:,} rows, " if report.rows else ""
            report.step(f"Encoded {rows}{in_bytes(size)}")

    def _introduce(self, obj: Any, draft: TargetDraft, report: Report) -> None:
        if isinstance(draft.place, str):
            report.note(f"Temporary directory: {os.path.dirname(draft.place)}")  # noqa: PTH120
            report.note(f"Temporary file path: {draft.place}")
        report.note(f"Writer to use: {self._writer.describe(obj)} (format: {self._writer.formats[0]})")


@contextmanager
def _compressed(draft: TargetDraft, method: str | None) -> Iterator[Any]:
    if method is None:
        yield draft
        return
    stream = compressing(draft.file, method)
    yield _Compressed(draft.url, stream)
    with calling(method, draft.url):
        stream.close()


class _Compressed:
    """A draft whose bytes are compressed on the way."""

    def __init__(self, url: str, file: BinaryIO) -> None:
        self.url = url
        self.file = file
        self.place = file


class _Hashed:
    """A draft that cannot be read before it is in its place, hashed on the way there."""

    def __init__(self, draft: TargetDraft) -> None:
        self.url = draft.url
        self.size = draft.size
        self.trouble = draft.trouble
        self._draft = draft
        self._hashing = Hashing(draft.file)
        self.file = buffered(Forward(self._hashing))

    @property
    def place(self) -> BinaryIO:
        return self.file

    def flush(self) -> None:
        if not self.file.closed:
            self.file.flush()
        self._draft.flush()

    def vouched(self) -> Vouched:
        return Vouched(self._hashing.size, self._hashing.hexdigest(), datetime.now(UTC))


def _measured(draft: TargetDraft) -> Vouched:
    assert isinstance(draft.place, str)
    with translating(draft.url), open(draft.place, "rb") as file:  # noqa: PTH123
        return vouch(file)
