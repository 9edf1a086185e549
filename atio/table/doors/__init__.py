"""Doors out of a scan: Polars, DuckDB, and the protocols by which dataframe libraries read from each other.

An engine reads the data files itself where its own Parquet reader gives exactly what atio would
(:mod:`.native`), once each of them was hashed; otherwise it gets the rows of a scan, restricted to what the
query needs. The libraries are optional and imported on first use.
"""
