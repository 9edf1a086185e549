"""A process that is killed in the middle of writes: ``python -m tests.databases.victim CON MODE …``.

Says ``ready`` once every write has sent rows, and never ends.
"""

import sys
import threading

import pyarrow as pa

from atio.writers.sql import write_table


def main() -> None:
    jobs = list(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    reached = threading.Barrier(len(jobs) + 1)
    threads = [threading.Thread(target=write, args=(*job, reached), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    reached.wait(60)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threads[0].join()


def write(con: str, mode: str, reached: threading.Barrier) -> None:
    def source():
        for start in range(1_000, 21_000, 5_000):  # more than SQLite's cache holds: it reaches the file
            yield pa.table({"id": range(start, start + 5_000), "name": ["x" * 300] * 5_000})
        reached.wait(60)
        threading.Event().wait()

    write_table(source(), "new" if mode == "fail" else "t", con, if_exists=mode, key="id")


if __name__ == "__main__":
    main()
