"""Tables in databases: written whole or not at all, in one step for everybody else; queries as streams."""

from __future__ import annotations

from atio.writers.sql.read import read_sql
from atio.writers.sql.write import IfExists, write_table
from atio.writers.sql.writers import DatabaseWriter, SqlWriter

__all__ = ["DatabaseWriter", "IfExists", "SqlWriter", "read_sql", "write_table"]
