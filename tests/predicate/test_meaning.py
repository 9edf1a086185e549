"""What conditions mean, written down row by row, in every engine."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from atio import col
from atio.errors import InputError, UnsupportedError
from atio.frames import to_polars
from atio.predicate import bind
from tests.predicate.worlds import Reference

NAN, INF = float("nan"), float("inf")
FLOATS = [1.0, 0.0, -0.0, NAN, INF, -INF, None]
T, F, N = True, False, None
x, y = col("x"), col("y")


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    made = Reference()
    yield made
    made.close()


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()], ids=str)
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (x > 0, [T, F, F, T, T, F, N]),
        (x >= 0, [T, T, T, T, T, F, N]),
        (x < 1, [F, T, T, F, F, T, N]),
        (x <= INF, [T, T, T, F, T, T, N]),
        (x > INF, [F, F, F, T, F, F, N]),
        (x == 0, [F, T, T, F, F, F, N]),
        (x == -0.0, [F, T, T, F, F, F, N]),
        (x != 0, [T, F, F, T, T, T, N]),
        (x == NAN, [F, F, F, T, F, F, N]),
        (x != NAN, [T, T, T, F, T, T, N]),
        (x < NAN, [T, T, T, F, T, T, N]),
        (x <= NAN, [T, T, T, T, T, T, N]),
        (x > NAN, [F, F, F, F, F, F, N]),
        (x >= NAN, [F, F, F, T, F, F, N]),
        (x.is_nan(), [F, F, F, T, F, F, N]),
        (x.is_in([0, 1]), [T, T, T, F, F, F, N]),
        (x.is_in([-0.0, 1]), [T, T, T, F, F, F, N]),
        (x.is_in([NAN, 1]), [T, F, F, T, F, F, N]),
        (x.is_in([*range(10), NAN]), [T, T, T, T, F, F, N]),
        (x.is_in([-0.0, *range(5, 15)]), [F, T, T, F, F, F, N]),
        (~x.is_in([NAN, 0.0, INF]), [T, F, F, F, F, T, N]),
        (x == x, [T, T, T, T, T, T, N]),
        (x < x, [F, F, F, F, F, F, N]),
        (x == 1e300, [F, F, F, F, F, F, N]),
        (x < 1e300, [T, T, T, F, F, T, N]),
        (x > 1e300, [F, F, F, T, T, F, N]),
        (x > -(10**400), [T, T, T, T, T, F, N]),
        (x.between(-1, 1), [T, T, T, F, F, F, N]),
        (x.is_null(), [F, F, F, F, F, F, T]),
        (x.coalesce(NAN) == NAN, [F, F, F, T, F, F, T]),
        (abs(x) == INF, [F, F, F, F, T, T, N]),
        (1 / x > 5, [F, T, F, T, F, F, N]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_floats(reference: Reference, kind: pa.DataType, condition: Any, expected: list[Any]) -> None:
    agree(reference, pa.table({"x": pa.array(FLOATS, kind)}), condition, expected)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (x < y, [F, T, F, F, T, N, N]),
        (x <= y, [T, T, F, T, T, N, N]),
        (x > y, [F, F, T, F, F, N, N]),
        (x >= y, [T, F, T, T, F, N, N]),
        (x == y, [T, F, F, T, F, N, N]),
        (x != y, [F, T, T, F, T, N, N]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_two_floating_columns(reference: Reference, condition: Any, expected: list[Any]) -> None:
    table = pa.table({"x": [NAN, 1.0, NAN, 0.0, INF, None, NAN], "y": [NAN, NAN, 1.0, -0.0, NAN, NAN, None]})
    agree(reference, table, condition, expected)


TRUTHS = pa.table({"x": [T, T, T, F, F, F, N, N, N], "y": [T, F, N, T, F, N, T, F, N]})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (x & y, [T, F, N, F, F, F, N, F, N]),
        (x | y, [T, T, T, T, F, N, T, N, N]),
        (~x, [F, F, F, T, T, T, N, N, N]),
        (x == y, [T, F, N, F, T, N, N, N, N]),
        (x < y, [F, F, N, T, F, N, N, N, N]),
        ((x & y).is_null(), [F, F, T, F, F, F, T, F, T]),
        ((x == y).coalesce(T), [T, F, T, F, T, T, T, T, T]),
        ("x is not distinct from y", [T, F, F, F, T, F, F, F, T]),
        ("x is distinct from y", [F, T, T, T, F, T, T, T, F]),
        ("x is not true", [F, F, F, T, T, T, T, T, T]),
        ("x is false", [F, F, F, T, T, T, F, F, F]),
        ("x in (true, null)", [T, T, T, N, N, N, N, N, N]),
        ("x not in (true, null)", [F, F, F, N, N, N, N, N, N]),
        ("x and null", [N, N, N, F, F, F, N, N, N]),
        ("x or null", [T, T, T, N, N, N, N, N, N]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_three_values(reference: Reference, condition: Any, expected: list[Any]) -> None:
    agree(reference, TRUTHS, condition, expected)


def test_nanoseconds(reference: Reference) -> None:
    table = pa.table({"x": pa.array([1, 1000, 1001, None], pa.timestamp("ns"))})
    agree(reference, table, x > "1970-01-01 00:00:00.000001", [F, F, T, N])
    agree(reference, table, x == "1970-01-01 00:00:00.000001001", [F, F, T, N])
    agree(reference, table, x > dt.datetime(1970, 1, 1, 0, 0, 0, 1), [F, F, T, N])


def test_years_that_nanoseconds_do_not_reach(reference: Reference) -> None:
    table = pa.table({"x": pa.array([1, None], pa.timestamp("ns"))})
    agree(reference, table, x < "2500-01-01", [T, N])
    agree(reference, table, x == "2500-01-01", [F, N])
    agree(reference, table, x > "1500-01-01", [T, N])


def test_integers_beyond_doubles(reference: Reference) -> None:
    """DuckDB would compare in doubles, were the literal not an integer in its SQL."""
    table = pa.table({"x": [2**53, 2**53 + 1]})
    agree(reference, table, x == float(2**53), [T, F])
    agree(reference, table, x > float(2**53), [F, T])
    agree(reference, table, x.is_in([float(2**53)]), [T, F])


def test_signed_and_unsigned(reference: Reference) -> None:
    table = pa.table({"x": pa.array([2**64 - 1, 0, 5], pa.uint64()), "y": pa.array([-1, -1, 5], pa.int64())})
    agree(reference, table, x == y, [F, F, T])
    agree(reference, table, x > y, [T, T, F])


def test_decimals_to_the_last_digit(reference: Reference) -> None:
    nines = Decimal("9" * 28 + "." + "9" * 10)
    values = [nines, nines.copy_negate(), Decimal("0.1"), None]
    table = pa.table({"x": pa.array(values, pa.decimal128(38, 10))})
    agree(reference, table, x == nines, [T, F, F, N])
    agree(reference, table, x > Decimal("9" * 28 + "." + "9" * 9 + "8"), [T, F, F, N])
    agree(reference, table, x < Decimal("0.10000000001"), [F, T, T, N])
    agree(reference, table, x == 0.1, [F, F, T, N])
    agree(reference, table, -x >= 10**27, [F, T, F, N])


REMAINDERS = pa.table({"x": pa.array([7, -7, 7, -7, -8, 5, None]), "y": pa.array([3, 3, -3, -3, -1, 0, 1])})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (x % 3 == 1, [T, F, T, F, F, F, N]),
        (x % 3 == -1, [F, T, F, T, F, F, N]),
        (x % y == 1, [T, F, T, F, F, N, N]),
        (x % y == -1, [F, T, F, T, F, N, N]),
        ((x % y).is_null(), [F, F, F, F, F, T, T]),
        (x / 2 == 3.5, [T, F, T, F, F, F, N]),
        (5 / y > 0, [T, T, F, F, F, T, T]),
        ((x / 2) * 2 == x, [T, T, T, T, T, T, N]),
        (x.coalesce(0) - y == 4, [T, F, F, F, F, F, F]),
        (0.5 * y == 1.5, [T, T, F, F, F, F, F]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_arithmetic(reference: Reference, condition: Any, expected: list[Any]) -> None:
    agree(reference, REMAINDERS, condition, expected)


def test_arithmetic_overflows_nowhere_in_silence() -> None:
    table = pa.table({"x": [2**63 - 1, None]})
    for condition in (x + 1 > 0, x * 2 > 0, -2 - x > 0, 3 * x > 5):
        bound = bind(condition, table.schema)
        with pytest.raises(InputError, match="overflow"):
            bound.evaluate(table)
        with pytest.raises(pl.exceptions.InvalidOperationError):
            to_polars(table).select(bound.to_polars())


def test_bytes(reference: Reference) -> None:
    table = pa.table({"x": [b"", b"\x00", b"a", b"\xff", None]})
    agree(reference, table, x > b"\x00", [F, F, T, T, N])
    agree(reference, table, x.is_in([b"", b"\xff"]), [T, F, F, T, N])


TEXTS = pa.table({"x": ["ab", "a\nb", "a%b", "a.b", "aüb", "a😀b", "A_b", "", None]})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (x.like("a_b"), [F, T, T, T, T, T, F, F, N]),
        (x.like("a%b"), [T, T, T, T, T, T, F, F, N]),
        (x.like("a\\%b", escape="\\"), [F, F, T, F, F, F, F, F, N]),
        (x.like("a!%b", escape="!"), [F, F, T, F, F, F, F, F, N]),
        (x.like("a.b"), [F, F, F, T, F, F, F, F, N]),
        (x.ilike("A!_B", escape="!"), [F, F, F, F, F, F, T, F, N]),
        (x.ilike("_Ü_"), [F, F, F, F, T, F, F, F, N]),
        (x.like("%_%b"), [T, T, T, T, T, T, T, F, N]),
        (x.like("%"), [T, T, T, T, T, T, T, T, N]),
        (x.like(""), [F, F, F, F, F, F, F, T, N]),
        (~x.like("a%"), [F, F, F, F, F, F, T, T, N]),
        (x.starts_with("a%"), [F, F, T, F, F, F, F, F, N]),
        (x.ends_with("_b"), [F, F, F, F, F, F, T, F, N]),
        (x.contains("."), [F, F, F, T, F, F, F, F, N]),
        (x.starts_with(""), [T, T, T, T, T, T, T, T, N]),
    ],
    ids=str,
)
def test_patterns(reference: Reference, condition: Any, expected: list[Any]) -> None:
    agree(reference, TEXTS, condition, expected)


def test_letters_with_two_forms(reference: Reference) -> None:
    """Each character by itself: no other engine's special cases."""
    table = pa.table({"x": ["ΑΣ", "ασ", "ας", "İ", "i", "ß", "SS", "ﬁ", "K", "ſ"]})
    for condition in (
        x.lower() == "ασ",
        x.lower() == "i",
        x.upper() == "ẞ",
        x.upper() == "SS",
        x.ilike("s%"),
        x.ilike("k"),
        x.upper() == "ﬁ",
    ):
        agree(reference, table, condition, bind(condition, table.schema).evaluate(table).to_pylist())


def test_names_that_need_quotes(reference: Reference) -> None:
    names = ['a"b', "select", "a b", "^a$", "*", "a.b", "ü", "'"]
    table = pa.table({name: [number, None] for number, name in enumerate(names)})
    for number, name in enumerate(names):
        agree(reference, table, col(name) == number, [T, N])
    agree(
        reference,
        pa.table({"a": [{"b'c": 1, 'd"e': 2}]}),
        (col("a", "b'c") == 1) & (col("a", 'd"e') == 2),
        [T],
    )


def test_a_table_named_like_a_struct() -> None:
    """DuckDB reads "t"."x" as the column x of the table t."""
    made = Reference()
    table = pa.table({"t": [{"x": 1}], "x": [2]})
    agree(made, table, col("t", "x") == 1, [T])
    made.close()


@pytest.mark.parametrize(
    ("cast", "kind", "values", "expected"),
    [
        ("int64", pa.float64(), [0.5, 1.5, 2.5, -0.5], [0, 2, 2, 0]),
        ("int64", pa.decimal128(5, 2), [Decimal("0.50"), Decimal("-1.50")], [1, -2]),
        (
            "decimal(5, 1)",
            pa.decimal128(5, 2),
            [Decimal("0.15"), Decimal("-0.25")],
            [Decimal("0.2"), Decimal("-0.3")],
        ),
        ("decimal(5, 1)", pa.int8(), [5, -7], [Decimal("5.0"), Decimal("-7.0")]),
        ("double", pa.decimal128(5, 2), [Decimal("0.15")], [0.15]),
        ("float", pa.float64(), [0.5, NAN], [0.5, NAN]),
        ("int32", pa.bool_(), [True, False], [1, 0]),
        ("string", pa.int64(), [5, -7], ["5", "-7"]),
        ("date", pa.timestamp("us"), [dt.datetime(1969, 12, 31, 23, 59)], [dt.date(1969, 12, 31)]),
        ("timestamp[ns]", pa.date32(), [dt.date(2024, 2, 29)], [dt.datetime(2024, 2, 29)]),
    ],
)
def test_casts(
    reference: Reference, cast: str, kind: pa.DataType, values: list[Any], expected: list[Any]
) -> None:
    for value, answer in zip(values, expected, strict=True):
        agree(reference, pa.table({"x": pa.array([value], kind)}), x.cast(cast) == answer, [T], casts=True)


def agree(
    reference: Reference, table: pa.Table, condition: Any, expected: list[Any], *, casts: bool = False
) -> None:
    bound = bind(condition, table.schema)
    assert bound.evaluate(table).to_pylist() == expected
    reference.load(table)
    assert reference.answers(bound.to_sql()) == expected
    assert bind(bound.to_sql(), table.schema).evaluate(table).to_pylist() == expected
    try:
        expression = bound.to_polars()
    except UnsupportedError:
        assert casts
        return
    assert to_polars(table).with_columns(answer=expression)["answer"].to_list() == expected
