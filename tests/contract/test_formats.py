"""Every format of ours passes the conformance suite."""

from atio.formats import get_format
from atio.formats.conformance import FormatConformance


class TestParquet(FormatConformance):
    format = get_format("parquet")


class TestArrow(FormatConformance):
    format = get_format("arrow")


class TestOrc(FormatConformance):
    format = get_format("orc")
    survives_flips = False


class TestJsonl(FormatConformance):
    format = get_format("jsonl")


class TestCsv(FormatConformance):
    format = get_format("csv")
