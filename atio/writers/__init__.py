"""One file, of any format, or a table of a database: written whole or not at all."""

from __future__ import annotations

from atio.writers.base import Progress, Writer
from atio.writers.files import Cell, Draft, FileWriter
from atio.writers.flags import Vouched, verify
from atio.writers.kinds import Kind
from atio.writers.reading import read
from atio.writers.registry import get_writer, register_writer
from atio.writers.targets import Target
from atio.writers.writing import write

__all__ = [
    "Cell",
    "Draft",
    "FileWriter",
    "Kind",
    "Progress",
    "Target",
    "Vouched",
    "Writer",
    "get_writer",
    "read",
    "register_writer",
    "verify",
    "write",
]
