"""ArcticDB on LMDB. It takes pandas (converted before the clock starts) and gives Arrow.

It knows neither decimals nor dates: those columns become floats and timestamps before the clock starts.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
from arcticdb import Arctic
from arcticdb.version_store.library import Library

from benchmarks.workers.base import Subject, serve

SYMBOL = "t"


def library(root: Path) -> Library:
    store = Arctic(f"lmdb://{root}?map_size=16GB", output_format="pyarrow")
    return store.get_library("bench", create_if_missing=True)


class ArcticDB(Subject):
    name = "ArcticDB"
    syncs = "4, LMDB"
    cold = (
        "import sys; from arcticdb import Arctic; "
        "store = Arctic(f'lmdb://{sys.argv[1]}?map_size=16GB', output_format='pyarrow'); "
        "assert len(store['bench'].read('t').data) == 1"
    )

    def open(self, root: Path) -> Library:
        return library(root)

    def append(self, handle: Library, table: pd.DataFrame) -> None:
        handle.append(SYMBOL, table)

    def read(self, root: Path, version: int | None = None) -> pa.Table:
        return library(root).read(SYMBOL, as_of=None if version is None else version - 1).data

    def probe(self, root: Path) -> None:
        library(root).get_description(SYMBOL)

    def prepare(self, table: pa.Table) -> pd.DataFrame:
        def known(kind: pa.DataType) -> pa.DataType:
            if pa.types.is_decimal(kind):
                return pa.float64()
            return pa.timestamp("ns") if pa.types.is_temporal(kind) else kind

        fields = [(field.name, known(field.type)) for field in table.schema]
        return table.cast(pa.schema(fields)).to_pandas()


if __name__ == "__main__":
    serve(ArcticDB())
