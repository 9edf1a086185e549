"""The ten scenarios of atio 2's documents, as far as they are about files and folders.

The sixth, a connection that is lost while rows go into a database, is in ``tests/databases``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import atio
from atio.errors import NotFoundError, StorageFullError
from tests.writers.conftest import Victims, hidden, version
from tests.writers.victim import frame

PYTHON = [sys.executable, "-c"]


def test_1_large_csv_writing_interrupted(tmp_path: Path) -> None:
    """The kernel ends the process in the middle of a large file: the previous one is still there."""
    path = tmp_path / "results.csv"
    pd.DataFrame({"result": range(1000)}).to_csv(path, index=False)
    before = path.read_bytes()
    code = (
        "import atio, sys, pyarrow as pa\n"
        "def rows():\n"
        "    for number in range(1_000_000):\n"
        "        yield pa.table({'result': range(10_000)})\n"
        "        if number == 20: print('written', flush=True)\n"
        "atio.write(rows(), sys.argv[1])\n"
    )
    process = subprocess.Popen([*PYTHON, code, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.kill()
    process.communicate()
    (remnant,) = hidden(tmp_path)
    assert (tmp_path / remnant).stat().st_size > 500_000
    assert path.read_bytes() == before
    atio.write(pd.DataFrame({"result": [1]}), path, index=False)
    assert path.read_text() == "result\n1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"], "the remnant was cleaned up"


def test_2_many_processes_save_the_same_json(tmp_path: Path) -> None:
    """At any instant the file parses and is one writer's."""
    path = tmp_path / "log.json"
    atio.write({"writer": -1, "values": []}, path)
    code = (
        "import atio, sys\n"
        "me = int(sys.argv[2])\n"
        "for turn in range(40):\n"
        "    atio.write({'writer': me, 'values': [me] * 1000 * (me + 1)}, sys.argv[1], durable=False)\n"
    )
    writers = [subprocess.Popen([*PYTHON, code, path, str(number)]) for number in range(4)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        found = json.loads(path.read_text())
        assert set(found["values"]) <= {found["writer"]}
        assert len(found["values"]) == 1000 * (found["writer"] + 1)
        seen.add(found["writer"])
    assert [writer.wait() for writer in writers] == [0] * 4
    assert seen > {-1}
    assert [p.name for p in tmp_path.iterdir()] == ["log.json"]


def test_3_the_next_stage_knows_when_a_file_is_complete(victims: Victims, tmp_path: Path) -> None:
    """Killed before the end: no flag. Finished: a flag that vouches for every byte."""
    path = tmp_path / "features.parquet"
    with pytest.raises(NotFoundError):
        atio.verify(path)
    chance = random.Random(3)
    complete = 0
    for number in range(1, 13):
        victims.end_one(
            path, number, after=0, pause=chance.random() * 0.03, how=signal.SIGKILL, success_flag=True
        )
        if (tmp_path / ".features.parquet._SUCCESS").exists():
            atio.verify(path)
            version(path)
            complete += 1
    atio.write(frame(0), path, success_flag=True)
    assert atio.verify(path).size == path.stat().st_size


def test_4_versions_of_data(tmp_path: Path) -> None:
    """Which model was trained on which data: every version stays readable."""
    table = tmp_path / "training"
    frames = [pd.DataFrame({"x": range(n)}) for n in (3, 5, 8)]
    for data in frames:
        atio.write_snapshot(data, table, mode="overwrite", format="parquet")
    for number, data in enumerate(frames, 1):
        assert atio.read_table(table, version=number).equals(data)


def test_5_the_disk_fills_up(small_disk: Path) -> None:
    """Nothing incomplete stays to occupy space, and old snapshots give theirs back."""
    path = small_disk / "report.csv"
    atio.write([{"a": 1}], path)
    free = shutil.disk_usage(small_disk).free
    for _ in range(5):
        with pytest.raises(StorageFullError):
            atio.write(({"a": number} for number in range(1_000_000)), path)
    assert shutil.disk_usage(small_disk).free == free
    assert path.read_text() == '"a"\n1\n'
    atio.write_snapshot([{"a": 1}], small_disk / "t")
    atio.write_snapshot([{"a": 2}], small_disk / "t")
    planned = atio.expire_snapshots(small_disk / "t", keep_for=timedelta(0), dry_run=True)
    done = atio.expire_snapshots(small_disk / "t", keep_for=timedelta(0), dry_run=False)
    assert planned.files == done.files
    assert done.files


def test_7_experiments_side_by_side(tmp_path: Path) -> None:
    """Experiments run at once; each reads back exactly its own data."""

    def experiment(number: int) -> None:
        for turn in range(3):
            rows = [{"experiment": number, "turn": turn}]
            atio.write_snapshot(rows, tmp_path / f"experiment_{number}", mode="append")

    threads = [threading.Thread(target=experiment, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        found = atio.read_table(tmp_path / f"experiment_{number}")
        assert found["experiment"].tolist() == [number] * 3
        assert found["turn"].tolist() == [0, 1, 2]


def test_8_a_stream_that_is_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed while it saves what sensors send: what was acknowledged is there, and the next run goes on."""
    code = (
        "import atio, sys\n"
        "from pathlib import Path\n"
        "table = sys.argv[1]\n"
        "next_one = atio.read_table(table)['n'].max() + 1 if Path(table, 'current').exists() else 0\n"
        "while True:\n"
        "    rows = [{'n': n} for n in range(int(next_one), int(next_one) + 5)]\n"
        "    atio.write_snapshot(rows, table, mode='append')\n"
        "    print(next_one + 4, flush=True)\n"
        "    next_one += 5\n"
    )
    table = tmp_path / "sensors"
    told = -1
    for _ in range(3):
        process = subprocess.Popen([*PYTHON, code, table], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(3):
            told = int(process.stdout.readline())
        process.kill()
        rest = process.communicate()[0].split()
        told = int(rest[-1]) if rest else told
        numbers = atio.read_table(table)["n"].tolist()
        assert numbers == list(range(len(numbers))), "none lost, none twice"
        assert len(numbers) in (told + 1, told + 6)


def test_9_more_than_memory_fails_in_the_middle(tmp_path: Path) -> None:
    """One file: the old one stays. (Finished pieces are kept by tables, which have versions.)"""
    path = tmp_path / "big.parquet"
    atio.write(pa.table({"x": [1]}), path)

    def chunks() -> Iterator[pa.Table]:
        for number in range(100):
            yield pa.table({"x": range(10_000)})
            if number == 60:
                raise MemoryError

    with pytest.raises(MemoryError):
        atio.write(chunks(), path, show_progress=True)
    assert atio.read(path, output_as="arrow").num_rows == 1
    assert [p.name for p in tmp_path.iterdir()] == ["big.parquet"]


def test_10_a_backup_that_runs_meanwhile(tmp_path: Path) -> None:
    """A backup copies every file but those its pattern leaves out: each copy is whole."""
    data, copies = tmp_path / "data", tmp_path / "copies"
    data.mkdir()
    copies.mkdir()
    path = data / "large.parquet"
    atio.write(frame(0), path)
    done = threading.Event()

    def write() -> None:
        for number in range(1, 40):
            atio.write(frame(number), path, backup=True, success_flag=number % 3 == 0, durable=False)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    ignore = shutil.ignore_patterns(".*.atio.tmp")
    copied = 0
    while not done.is_set():
        for name in set(os.listdir(data)) - ignore(str(data), os.listdir(data)):  # noqa: PTH208
            if name.endswith((".parquet", ".bak")):
                copy = copies / (name.removesuffix(".bak"))
                shutil.copy(data / name, copy)
                version(copy)
                copied += 1
    writer.join()
    assert copied > 5
    assert not hidden(data)
