"""What every benchmark uses: workers, interleaved laps, rows of results."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.data import CACHE, lineitem
from benchmarks.peers_env import ROOT

PEERS = ("deltalake", "lance", "pyiceberg", "arcticdb", "ducklake")


class WorkerError(Exception):
    """A worker answered with an error or died; the message is the last line of its traceback."""


class Worker:
    """A worker process. `call` asks and waits; `ask` and `answer` let several work at once."""

    def __init__(self, module: str, python: Path, *arguments: str) -> None:
        self.module = module
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.workers.{module}", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        hello = self.call("hello")
        self.name, self.syncs, self.cold, self.python = (
            hello[k] for k in ("name", "syncs", "cold", "python")
        )

    def ask(self, op: str, **params: Any) -> None:
        request = {"op": op, "params": {k: str(v) if isinstance(v, Path) else v for k, v in params.items()}}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer will say why

    def answer(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise WorkerError(_last_line(self.log.read().decode(errors="replace")) or "the worker died")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(_last_line(answer["error"]))
        return answer["ok"]

    def call(self, op: str, **params: Any) -> Any:
        self.ask(op, **params)
        return self.answer()

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(" ")]
    return lines[-1][:200] if lines else ""


@dataclass(frozen=True)
class Row:
    """One budget: atio's figure beside another of the same run. `against` None: an absolute budget."""

    what: str
    atio: float | None
    unit: str
    against: str | None = None
    other: float | None = None
    budget: float | None = None  # None: stated for information
    better: Literal["≤", "≥"] = "≤"
    by: Literal["ratio", "difference"] = "ratio"

    @property
    def measured(self) -> float | None:
        """What the budget limits: the ratio to `other`, the difference from it, or the figure itself."""
        if self.atio is None or self.against is None:
            return self.atio
        if self.other is None:
            return None
        return self.atio - self.other if self.by == "difference" else self.atio / max(self.other, 1e-12)

    @property
    def kept(self) -> bool | None:
        if self.budget is None or self.measured is None:
            return None
        return self.measured <= self.budget if self.better == "≤" else self.measured >= self.budget


@dataclass
class Report:
    """What one benchmark found: budgets, and figures by subject."""

    name: str
    rows: list[Row] = field(default_factory=list)
    subjects: dict[str, dict[str, float | str]] = field(default_factory=dict)  # name -> column -> figure
    notes: list[str] = field(default_factory=list)

    def figure(self, subject: str, column: str, value: float | str | None) -> None:
        if value is not None:
            self.subjects.setdefault(subject, {})[column] = value

    def as_json(self) -> dict[str, Any]:
        rows = [asdict(row) | {"measured": row.measured, "kept": row.kept} for row in self.rows]
        return {"name": self.name, "rows": rows, "subjects": self.subjects, "notes": self.notes}


@dataclass
class Bench:
    """The run: where it works, with what, for how long."""

    folder: Path
    quick: bool
    peers: Path | None  # the peers' interpreter
    report: Report
    replaced: int = 0
    """Bytes of all pointers that the old table ever had."""
    _old: Path | None = None

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def fresh(self, name: str) -> Path:
        """A path that does not exist yet, on the disk that everything is measured on."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder)) / "t"

    @contextmanager
    def workers(self, *modules: str, peers: tuple[str, ...] = ()) -> Iterator[dict[str, Worker]]:
        """Start workers by module (`floor:loose` passes an argument); what cannot start becomes a note."""
        started: dict[str, Worker] = {}
        wanted = [(module, Path(sys.executable)) for module in modules]
        wanted += [(module, self.peers) for module in peers if self.peers]
        try:
            for spec, python in wanted:
                module, *arguments = spec.split(":")
                with self.noting(module):
                    started[spec] = Worker(module, python, *arguments)
            yield started
        finally:
            for worker in started.values():
                worker.close()

    @contextmanager
    def noting(self, subject: str) -> Iterator[None]:
        """What a subject cannot do is a note in the report, not the end of the run."""
        try:
            yield
        except WorkerError as error:
            self.report.notes.append(f"{subject}: {error}")

    def interleave(
        self,
        rounds: int,
        laps: dict[str, Callable[[int], float | list[float]]],
    ) -> dict[str, list[float]]:
        """Run A B A B …, each given the number of the round; who fails once is left out from then on."""
        found: dict[str, list[float]] = {name: [] for name in laps}
        failed: set[str] = set()
        for number in range(rounds):
            for name, lap in laps.items():
                if name in failed:
                    continue
                try:
                    result = lap(number)
                except WorkerError as error:
                    failed.add(name)
                    self.report.notes.append(f"{name}: {error}")
                    continue
                found[name] += result if isinstance(result, list) else [result]
        return {name: values for name, values in found.items() if values and name not in failed}

    def lineitem(self, scale: float) -> Path:
        return lineitem(scale, self.peers.with_name("tpchgen-cli") if self.peers else None)

    @property
    def versions(self) -> int:
        """How many versions an old table has."""
        return self.pick(10_000, 2_000)

    def old_table(self, atio: Worker) -> Path:
        """A table with so many versions, built once for all benchmarks (`append` adds a few hundred)."""
        if self._old is None:
            root = self.fresh("old")
            for first in range(0, self.versions, 1_000):
                self.replaced += atio.call("appends", root=root, first=first, count=1_000)["replaced"]
            self._old = root
        return self._old


def median(values: dict[str, list[float]], name: str, factor: float = 1.0) -> float | None:
    """The median of what `name` measured, in seconds x `factor`; None if it measured nothing."""
    return statistics.median(values[name]) * factor if name in values else None


def files_in(root: Path) -> dict[str, int]:
    """Sizes by relative path."""
    return {str(p.relative_to(root)): p.stat().st_size for p in sorted(root.rglob("*")) if p.is_file()}


@contextmanager
def workplace(keep: bool = False) -> Iterator[Path]:
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)
