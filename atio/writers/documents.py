"""Formats for people and other programs, written at once: Excel, HTML, XML, Markdown, Stata."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from atio.errors import InputError
from atio.writers.cells import ByPandas, Collected, Native
from atio.writers.failures import missing
from atio.writers.files import Cells, FileWriter, for_frames
from atio.writers.kinds import Kind
from atio.writers.sources import Readers, Source, by_function, by_library


def _by_pandas(
    native: Native, others: Cells | None = None, *, nullable: bool = True, **defaults: Any
) -> Cells:
    """The method of pandas for every frame; others come without numbers of rows."""
    converted = ByPandas(native, defaults=defaults, nullable=nullable)
    return for_frames(converted, {Kind.PANDAS: native, **(others or {})})


def _read_excel_as_polars(source: Source, **kwargs: Any) -> Any:
    try:
        import polars as pl
    except ImportError as error:
        raise missing("polars", "reading as polars") from error
    return pl.read_excel(io.BytesIO(source.file.read()), **kwargs)


class ExcelWriter(FileWriter):
    """Excel workbooks (.xlsx)."""

    formats = ("excel", "xlsx")
    suffixes = (".xlsx",)
    needs = ("openpyxl", "xlsxwriter", "fastexcel")
    cells: ClassVar[Cells] = _by_pandas(
        Native("pandas", "to_excel", where="memory"),
        {
            Kind.POLARS: Native("polars", "write_excel", where="memory"),
            Kind.LAZY: Collected(Native("polars", "write_excel", where="memory")),
        },
        index=False,
    )
    readers: ClassVar[Readers] = {
        "pandas": by_library("pandas", "read_excel"),
        "polars": by_function("polars.read_excel", _read_excel_as_polars),
    }


def _first_table(source: Source, **kwargs: Any) -> Any:
    import pandas as pd

    file: Any = source.file
    tables = pd.read_html(file, **{"encoding": "utf-8", **kwargs})
    if len(tables) > 1:
        raise InputError(
            f"the page has {len(tables)} tables", file=source.url, hint="say which with match= or attrs="
        )
    return tables[0]


class HtmlWriter(FileWriter):
    """HTML tables."""

    formats = ("html",)
    suffixes = (".html", ".htm")
    needs = ("lxml",)
    cells: ClassVar[Cells] = _by_pandas(Native("pandas", "to_html", where="text"), index=False)
    readers: ClassVar[Readers] = {"pandas": by_function("pandas.read_html", _first_table)}


class XmlWriter(FileWriter):
    """XML documents."""

    formats = ("xml",)
    suffixes = (".xml",)
    needs = ("lxml",)
    cells: ClassVar[Cells] = _by_pandas(Native("pandas", "to_xml", where="file"), index=False)
    readers: ClassVar[Readers] = {"pandas": by_library("pandas", "read_xml")}


class MarkdownWriter(FileWriter):
    """Markdown tables."""

    formats = ("markdown", "md")
    suffixes = (".md", ".markdown")
    needs = ("tabulate",)
    cells: ClassVar[Cells] = _by_pandas(Native("pandas", "to_markdown", where="text"), index=False)


class StataWriter(FileWriter):
    """Stata data files."""

    formats = ("stata", "dta")
    suffixes = (".dta",)
    cells: ClassVar[Cells] = _by_pandas(
        Native("pandas", "to_stata", where="file"), nullable=False, write_index=False
    )
    readers: ClassVar[Readers] = {"pandas": by_library("pandas", "read_stata")}
