"""The forms a condition may have, and the tree they become."""

import datetime as dt
import pickle
import re
import typing
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import atio
from atio import col
from atio.errors import InputError
from atio.predicate import bind, decode, encode, parse, tree, with_columns
from atio.predicate.literals import literal


def test_the_face_exports_col() -> None:
    assert atio.col is col


TUPLES = [
    ([("x", "=", 1)], col("x") == 1),
    ([("x", "==", 1), ("y", ">", 2)], (col("x") == 1) & (col("y") > 2)),
    (
        [[("x", "=", 1)], [("y", "!=", 2), ("z", "<=", 3)]],
        (col("x") == 1) | ((col("y") != 2) & (col("z") <= 3)),
    ),
    ([("x", "in", [1, 2])], col("x").is_in([1, 2])),
    ([("x", "in", {1})], col("x").is_in([1])),
    ([("x", "NOT IN", (1, 2))], ~col("x").is_in([1, 2])),
    ([("x", "in", np.array([1, 2]))], col("x").is_in([1, 2])),
    ([("x", "in", pd.Series([1, 2]))], col("x").is_in([1, 2])),
    ([("x", "in", pa.array([1, 2]))], col("x").is_in([1, 2])),
    ([("x", "like", "a%")], col("x").like("a%")),
    ([("x", "not like", "a%")], ~col("x").like("a%")),
    (("x", ">=", 1), col("x") >= 1),
    ([("a.b", "<", 1)], col("a.b") < 1),
]


@pytest.mark.parametrize(
    ("filters", "expr"), TUPLES, ids=lambda value: value if isinstance(value, str) else None
)
def test_filter_tuples(filters: Any, expr: Any) -> None:
    assert parse(filters) == parse(expr)


@pytest.mark.parametrize(
    ("filters", "complaint"),
    [
        ([], "empty"),
        ([[]], "empty"),
        ([("x", "=", 1), []], "is no filter"),
        ([("x", "~", 1)], "no operator"),
        ([("x", "=>", 1)], "no operator"),
        ([("x", "in", "abc")], "list of values"),
        ([("x", "in", 5)], "list of values"),
        ([("x", "in", [1, None])], "None among"),
        ([("x", "=", None)], "is_null"),
        ([("x", 1)], "is no filter"),
        ([["x", "=", 1]], "is no filter"),
        ([(1, "=", 1)], "is no filter"),
        ([("x", "=", object())], "cannot be compared"),
        ([("x", "like", 1)], "no text"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wrong_filter_tuples(filters: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse(filters)


@pytest.mark.parametrize(
    "where",
    [
        None,
        1,
        True,
        b"x > 1",
        {"x": 1},
        lambda row: row,
        pc.field("x") > 1,
        pl.col("x") > 1,
        pd.Series([True]),
    ],
    ids=lambda w: type(w).__name__,
)
def test_what_is_no_condition(where: Any) -> None:
    with pytest.raises(InputError, match="is no condition"):
        parse(where)


def test_python_operators_that_cannot_work_say_so() -> None:
    x = col("x")
    with pytest.raises(InputError, match="neither true nor false"):
        bool((x > 1) and (x < 5))
    with pytest.raises(InputError, match="between"):
        1 < x < 5  # noqa: B015
    with pytest.raises(InputError):
        bool(x)
    with pytest.raises(InputError):
        x in [1, 2]  # noqa: B015
    with pytest.raises(InputError, match="is_null"):
        x == None  # noqa: B015, E711
    with pytest.raises(InputError, match="is_null"):
        x != pd.NaT  # noqa: B015
    with pytest.raises(InputError, match="iterate"):
        list(x)
    with pytest.raises(InputError, match="is_in"):
        x.is_in("abc")
    with pytest.raises(InputError, match="names of columns"):
        col()
    with pytest.raises(InputError, match="names of columns"):
        col(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        hash(x)


def test_operators() -> None:
    table = pa.table({"x": [7, -3, None]})
    x = col("x")
    for expr, expected in [
        (10 - x > 5, [False, True, None]),
        (2 * x + 1 == 15, [True, False, None]),
        (14 / x == 2, [True, False, None]),
        (10 % x == 1, [False, True, None]),
        (1 + -x < 0, [True, False, None]),
        (abs(x) == 3, [False, True, None]),
        (x.abs() == 3, [False, True, None]),
        (False | (x > 0), [True, False, None]),
        (True & (x > 0), [True, False, None]),
        ((x > 0) ^ True if False else (x > 0) & True, [True, False, None]),
    ]:
        assert bind(expr, table.schema).evaluate(table).to_pylist() == expected


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        np.int64(1),
        np.float32(1.5),
        Decimal(1),
        dt.date(2024, 1, 1),
        pd.Timestamp("2024-01-01"),
        pa.scalar(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_may_stand_on_the_left(value: Any) -> None:
    assert parse(value < col("x")) == parse(col("x") > value)
    assert parse(value == col("x")) == parse(col("x") == value)
    if not isinstance(value, dt.date):
        assert parse(value * col("x") > 1) == tree.Compare(
            ">", tree.Arithmetic("*", literal(value), tree.Column(("x",))), literal(1)
        )


def test_the_specification_lists_every_node() -> None:
    text = (Path(__file__).parents[2] / "spec" / "predicate.md").read_text(encoding="utf-8")
    nodes = {kind.__struct_config__.tag for kind in tree.Node.__subclasses__()}
    kinds = set(typing.get_args(tree.Kind))
    section = text.split("## JSON")[1].split("## Pruning")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == nodes | kinds | {"node", "kind"}


LITERALS = [
    (np.int8(5), ("int", 5)),
    (np.uint64(2**64 - 1), ("int", 2**64 - 1)),
    (np.float32(0.5), ("float", 0.5)),
    (np.float64("nan"), ("float", "nan")),
    (np.bool_(True), ("bool", True)),
    (np.str_("x"), ("string", "x")),
    (np.datetime64("2024-01-01T00:00:00.000000001"), ("timestamp", "2024-01-01T00:00:00.000000001")),
    (np.datetime64("2024-01-01"), ("timestamp", "2024-01-01")),
    (np.timedelta64(1500, "ms"), ("duration", "1.5")),
    (np.datetime64("NaT"), ("null", None)),
    (pd.Timestamp("2024-01-01 00:00:00.000000001"), ("timestamp", "2024-01-01T00:00:00.000000001")),
    (pd.Timestamp("2024-01-01", tz="Europe/Berlin"), ("timestamp", "2024-01-01T00:00:00+01:00")),
    (pd.Timedelta("1ns"), ("duration", "0.000000001")),
    (pd.NaT, ("null", None)),
    (dt.timedelta(days=-1), ("duration", "-86400")),
    (dt.timedelta(days=40, microseconds=100), ("duration", "3456000.0001")),
    (dt.time(12), ("time", "12:00:00")),
    (Decimal("1E+3"), ("decimal", "1000")),
    (Decimal("0.10"), ("decimal", "0.10")),
    (float("-inf"), ("float", "-inf")),
    (b"\x00", ("binary", "AA==")),
    (bytearray(b"a"), ("binary", "YQ==")),
    (pa.scalar(5, pa.int8()), ("int", 5)),
    (pa.scalar(1, pa.timestamp("ns", "Europe/Berlin")), ("timestamp", "1970-01-01 00:00:00.000000001Z")),
    (pa.scalar(86400000, pa.date64()), ("date", "1970-01-02")),
    (pa.scalar("x").cast(pa.dictionary(pa.int8(), pa.string())), ("string", "x")),
    (pa.scalar(None), ("null", None)),
]


@pytest.mark.parametrize(("value", "expected"), LITERALS, ids=lambda value: f"{type(value).__name__} {value}")
def test_values_of_every_library(value: Any, expected: tuple[str, Any]) -> None:
    found = literal(value)
    assert (found.kind, found.value) == expected
    assert decode(encode(found)) == found
    if found.kind != "null":
        assert (
            parse(str(tree.Compare("=", tree.Column(("x",)), found))).right
            == parse(
                str(
                    tree.Compare(
                        "=",
                        tree.Column(("x",)),
                        parse(str(tree.Compare("=", tree.Column(("x",)), found))).right,
                    )
                )
            ).right
        )  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        [1],
        {1},
        1j,
        pd.NA,
        Decimal("nan"),
        Decimal("1e2000"),
        "\ud800",
        dt.time(1, tzinfo=dt.UTC),
        pa.scalar([1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_are_no_literals(value: Any) -> None:
    with pytest.raises(InputError):
        literal(value)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "5",
        '{"node":"nothing"}',
        '{"node":"column","path":[]}',
        '{"node":"literal","kind":"int","value":"5"}',
        '{"node":"literal","kind":"int","value":true}',
        '{"node":"literal","kind":"bool","value":1}',
        '{"node":"literal","kind":"float","value":"NaN"}',
        '{"node":"literal","kind":"decimal","value":"1e99999999"}',
        '{"node":"literal","kind":"decimal","value":"inf"}',
        '{"node":"literal","kind":"binary","value":"!"}',
        '{"node":"literal","kind":"date","value":"2024-02-30"}',
        '{"node":"literal","kind":"date","value":"2024-02-01 00:00"}',
        '{"node":"literal","kind":"time","value":"24:00:00"}',
        '{"node":"literal","kind":"timestamp","value":"12:00"}',
        '{"node":"and","args":[]}',
        '{"node":"call","name":"eval","args":[{"node":"column","path":["x"]}]}',
        '{"node":"call","name":"abs","args":[]}',
        '{"node":"call","name":"abs","args":[{"node":"column","path":["x"]},{"node":"column","path":["x"]}]}',
        '{"node":"compare","op":"~","left":{"node":"column","path":["x"]},"right":{"node":"column","path":["x"]}}',
        '{"node":"like","arg":{"node":"column","path":["x"]},"pattern":"a\\\\","escape":"\\\\"}',
        '{"node":"in","arg":{"node":"column","path":["x"]},"options":[{"node":"column","path":["x"]}]}',
        '{"node":"not","arg":' * 5000 + "}" * 5000,
    ],
    ids=lambda text: text[:60],
)
def test_untrusted_json_is_checked(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)


def test_json_is_readable_and_stable() -> None:
    node = parse(((col("price") > 1.5) & ~col("name").ilike("a%")) | col("day").is_in([dt.date(2024, 1, 1)]))
    assert encode(node) == (
        b'{"node":"or","args":[{"node":"and","args":[{"node":"compare","op":">","left":{"node":"column","path":["price"]},'
        b'"right":{"node":"literal","kind":"float","value":1.5}},{"node":"not","arg":{"node":"like","arg":{"node":"column",'
        b'"path":["name"]},"pattern":"a%","ignore_case":true}}]},{"node":"in","arg":{"node":"column","path":["day"]},'
        b'"options":[{"node":"literal","kind":"date","value":"2024-01-01"}]}]}'
    )


def test_columns_can_be_renamed() -> None:
    node = parse("(a > 1 and b.c in (1, 2)) or coalesce(a, 0) between d and 5")
    names = {"a": "x", "b": "y"}
    moved = with_columns(node, lambda path: (names.get(path[0], path[0]), *path[1:]))
    assert moved == parse("(x > 1 and y.c in (1, 2)) or coalesce(x, 0) between d and 5")
    assert node.columns() == (("a",), ("b", "c"), ("d",))


def test_trees_pickle_and_hash() -> None:
    node = parse("a > 1 and b like 'x%'")
    assert pickle.loads(pickle.dumps(node)) == node
    assert len({node, parse("a > 1 and b like 'x%'")}) == 1


def test_a_large_in_is_quick() -> None:
    table = pa.table({"x": range(1000)})
    bound = bind(col("x").is_in(range(0, 200_000, 2)), table.schema)
    assert bound.filter(table).num_rows == 500
