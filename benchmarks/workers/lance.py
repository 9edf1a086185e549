"""Lance (package `pylance`); the dataset object is kept between appends."""

import lance
import pyarrow as pa

from benchmarks.workers.base import Root, Subject, serve


class Lance(Subject):
    name = "Lance"
    syncs = "0"
    cold = "import sys, lance; assert len(lance.dataset(sys.argv[1]).to_table()) == 1"

    def open(self, root: Root) -> list[lance.LanceDataset | Root]:
        try:
            return [lance.dataset(root)]
        except ValueError:  # there is none yet
            return [root]

    def append(self, handle: list[lance.LanceDataset | Root], table: pa.Table) -> None:
        there = isinstance(handle[0], lance.LanceDataset)
        handle[0] = lance.write_dataset(table, handle[0], mode="append" if there else "create")

    def read(self, root: Root, version: int | None = None) -> pa.Table:
        return lance.dataset(root, version=version).to_table()

    def compact(self, root: Root) -> None:
        lance.dataset(root).optimize.compact_files()

    def probe(self, root: Root) -> None:
        _ = lance.dataset(root).version

    def upsert(self, handle: list[lance.LanceDataset | Root], table: pa.Table) -> None:
        merge = handle[0].merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(table)

    def delete(self, handle: list[lance.LanceDataset | Root], where: str) -> None:
        handle[0].delete(where)

    def conflict(self, error: Exception) -> bool:
        return isinstance(error, OSError) and "conflict" in str(error).lower()


if __name__ == "__main__":
    serve(Lance())
