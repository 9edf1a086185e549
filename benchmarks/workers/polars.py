"""Polars, scanning Parquet objects in a bucket. Runs in atio's environment."""

import os
from typing import Any

import polars as pl
import pyarrow as pa

from benchmarks.workers.base import Root, Subject, lap, serve


class Polars(Subject):
    name = "polars"
    syncs = "0"

    def open(self, root: Root) -> Any:
        raise NotImplementedError

    def append(self, handle: Any, table: Any) -> None:
        raise NotImplementedError

    def read(self, root: Root, version: int | None = None) -> pa.Table:
        raise NotImplementedError

    def do_scan(self, files: list[str]) -> dict[str, float]:
        """All columns of all rows, into a frame."""
        options = {
            "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "aws_region": os.environ["AWS_REGION"],
            "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
            "aws_allow_http": "true",
        }
        seconds, frame = lap(lambda: pl.scan_parquet(files, storage_options=options).collect())
        return {"lap": seconds, "rows": frame.height}


if __name__ == "__main__":
    serve(Polars())
