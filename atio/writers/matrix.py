"""The page of what can be written, generated from the registry: ``python -m atio.writers.matrix``."""

from __future__ import annotations

from atio.writers.failures import EXTRAS
from atio.writers.files import FileWriter, Refused
from atio.writers.kinds import Kind
from atio.writers.registry import BUILTIN, get_writer

_PER_TABLE = 5

_HEAD = """# What can be written

Each row is a kind of object, each column a format. A cell names what does the work, and with it whose
arguments `atio.write` takes: a method of the object itself (`to_csv`), pyarrow (*Arrow*), NumPy, or a method
of pandas after a conversion (*pandas*). **Bold** cells are written piece by piece: memory does not grow with
the data. Where there is a dash, the error says which combination works. `make matrix` writes this page, and
a test goes through every cell.
"""

_KINDS = """## Kinds of objects

- A pandas or Polars *Series* is written as a frame of one column.
- *Arrow table*: `pa.Table`, `RecordBatch`, struct array. *Arrow stream*: `RecordBatchReader`, datasets, and
  anything else with `__arrow_c_stream__` or `__arrow_c_array__`.
- A *NumPy array* that is written as rows is structured (its fields are the columns) or two-dimensional (the
  columns are called `"0"`, `"1"`, …); npy, npz, bin, txt, json and hdf5 take any shape.
- *Records* are dicts, dataclasses, pydantic models or named tuples. The keys of a dict of records become the
  column `key`; JSON keeps them as they are.
- An *iterator* yields frames of any kind, or records. The first piece decides the columns; later ones are
  brought to them where no value changes, and are an error where one would.
"""


def render() -> str:
    """The page."""
    writers = [w for name in BUILTIN if isinstance(w := get_writer(name), FileWriter)]
    starts = range(0, len(writers), _PER_TABLE)
    tables = [_table(writers[start : start + _PER_TABLE]) for start in starts]
    formats = "## Formats\n\n" + "\n".join(map(_line, writers)) + "\n"
    return "\n".join([_HEAD, *tables, _KINDS, formats])


def _table(writers: list[FileWriter]) -> str:
    rows = [["", *(writer.formats[0] for writer in writers)], ["---"] * (len(writers) + 1)]
    rows += [[kind.value, *(_cell(writer, kind) for writer in writers)] for kind in Kind]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _cell(writer: FileWriter, kind: Kind) -> str:
    cell = writer.cell(kind)
    if cell is None:
        return Refused.label
    return f"**{cell.label}**" if cell.streams else cell.label


def _line(writer: FileWriter) -> str:
    name, *others = writer.formats
    suffixes = ", ".join(f"`{suffix}`" for suffix in writer.suffixes) or "no suffix: name the format"
    parts = [f"- **{name}** ({suffixes})"]
    if others:
        parts.append(f"also called {', '.join(others)}")
    parts.append(f"read as {', '.join(writer.readers)}" if writer.readers else "not read back")
    if writer.trusted:
        parts.append("only with `format=`, since reading one runs what it holds")
    if extras := dict.fromkeys(EXTRAS[library] for library in writer.needs):
        parts.append(f"needs {', '.join(f'`atio[{extra}]`' for extra in extras)}")
    return "; ".join(parts) + "."


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201
