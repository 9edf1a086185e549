"""What a write tells while it runs: a bar on a terminal, plain lines elsewhere, steps in the log.

The logging set-up is the user's: nothing is configured here. Lines go through the logger ``atio``; where
nobody would see them, they go to standard error, since they were asked for.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

_log = logging.getLogger("atio")
_BAR_INTERVAL = 0.1
_LINE_INTERVAL = 5.0

Clock = Callable[[], float]


def say(text: str) -> None:
    """Log one line, or print it if nothing is set up to show it."""
    if _log.isEnabledFor(logging.INFO) and _log.hasHandlers():
        _log.info(text)
    elif sys.stderr is not None:
        sys.stderr.write(f"[INFO] {text}\n")


class Report:
    """The progress of one write; see :class:`atio.writers.base.Progress`.

    Parameters
    ----------
    what
        What is written, for people.
    show
        Draw how far it is.
    verbose
        Tell the steps.
    """

    def __init__(
        self, what: str, *, show: bool = False, verbose: bool = False, clock: Clock = time.perf_counter
    ) -> None:
        self.what = what
        self.rows = 0
        self.total: int | None = None
        self.verbose = verbose
        self._show = show
        self._clock = clock
        self._start = self._last = clock()
        self._size: Callable[[], int] | None = None
        self._guard = threading.Lock()
        self._ticker: _Ticker | None = None

    # -- told by writers ---------------------------------------------------------------------

    def expect(self, rows: int | None) -> None:
        self.total = rows

    def advance(self, rows: int) -> None:
        with self._guard:
            self.rows += rows

    def step(self, text: str) -> None:
        """Tell a step and how long it took since the last."""
        now = self._clock()
        took, self._last = now - self._last, now
        if self.verbose:
            say(f"{text} ({took:.4f}s)")

    def note(self, text: str) -> None:
        """Tell something that takes no time."""
        if self.verbose:
            say(text)

    def measure(self, size: Callable[[], int] | None) -> None:
        """Ask ``size`` for the bytes written so far, while it is given."""
        self._size = size

    # -- what there is to show ---------------------------------------------------------------

    @property
    def seconds(self) -> float:
        return self._clock() - self._start

    def size(self) -> int | None:
        measure = self._size
        if measure is None:
            return None
        try:
            return measure()
        except (OSError, ValueError):  # closed just now
            return None

    def figures(self) -> str:
        """Rows or bytes, rate, time; percent and remaining time where the total is known."""
        seconds = max(self.seconds, 1e-9)
        size = self.size()
        parts = []
        if self.rows:
            of = f" of {self.total:,}" if self.total else ""
            parts.append(f"{self.rows:,}{of} rows")
            parts.append(f"{self.rows / seconds:,.0f} rows/s")
        if size:
            parts.append(in_bytes(size))
            if not self.rows:
                parts.append(f"{in_bytes(size / seconds)}/s")
        if self.total and 0 < self.rows < self.total:
            parts.append(f"{self.rows / self.total:.0%}")
            parts.append(f"{in_time(seconds * (self.total - self.rows) / self.rows)} left")
        parts.append(in_time(seconds))
        return ", ".join(parts)

    # -- showing -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._show:
            self._ticker = _Ticker(_display(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticker is not None:
            self._ticker.stop(done=kind is None)


def in_bytes(count: float) -> str:
    """``1.4 MB`` of 1,400,000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.95 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"


def in_time(seconds: float) -> str:
    """``0.4 s``, ``1:05`` or ``1:02:03``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# -- displays ----------------------------------------------------------------------------------------


class _Display(Protocol):
    interval: float

    def draw(self) -> None: ...

    def end(self, *, done: bool) -> None: ...


class _Ticker:
    """Draws again and again, from a thread of its own: the library that writes does not come by."""

    def __init__(self, display: _Display) -> None:
        self._display = display
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="atio-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(self._display.interval):
            self._display.draw()

    def stop(self, *, done: bool) -> None:
        self._stopped.set()
        self._thread.join()
        self._display.end(done=done)


def _display(report: Report) -> _Display:
    # Notebooks have no terminal: rich would need widgets there.
    if sys.stderr is not None and sys.stderr.isatty():
        from rich.errors import LiveError

        try:
            return _Bar(report)
        except LiveError:  # the user's own bar is on the screen
            pass
    return _Lines(report)


class _Lines:
    """A line now and then."""

    interval = _LINE_INTERVAL

    def __init__(self, report: Report) -> None:
        self._report = report

    def draw(self) -> None:
        say(f"writing {self._report.what}: {self._report.figures()}")

    def end(self, *, done: bool) -> None:
        if done:
            say(f"wrote {self._report.what}: {self._report.figures()}")


class _Bar:
    """A bar that moves where the total is known, and pulses elsewhere."""

    interval = _BAR_INTERVAL

    def __init__(self, report: Report) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._report = report
        self._progress: Any = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=Console(stderr=True, highlight=False, markup=False, emoji=False),
            auto_refresh=False,
        )
        self._task = self._progress.add_task(report.what, total=None, figures="")
        self._progress.start()

    def draw(self) -> None:
        report = self._report
        total = report.total if report.rows else None
        self._progress.update(
            self._task, completed=report.rows, total=total, figures=report.figures(), refresh=True
        )

    def end(self, *, done: bool) -> None:
        report = self._report
        if done:
            full = report.rows or 1
            self._progress.update(self._task, completed=full, total=full, figures=report.figures())
        self._progress.stop()
