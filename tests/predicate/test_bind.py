"""Names, types and literals: what fits is exact, what does not is an error that says so."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from atio import col
from atio.errors import AtioError, InputError
from atio.predicate import bind, bind_value

NAN = math.nan
INNER = pa.struct([("a", pa.int64()), ("b.c", pa.int64()), ("s", pa.struct([("deep", pa.string())]))])
SCHEMA = pa.schema(
    [
        ("i8", pa.int8()),
        ("u64", pa.uint64()),
        ("i64", pa.int64()),
        ("f", pa.float64()),
        ("single", pa.float32()),
        ("dec", pa.decimal128(10, 2)),
        ("neg", pa.decimal128(5, -2)),
        ("huge", pa.decimal256(60, 10)),
        ("name", pa.string()),
        ("raw", pa.binary()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us")),
        ("berlin", pa.timestamp("ms", "Europe/Berlin")),
        ("fixed", pa.timestamp("s", "+02:00")),
        ("clock", pa.time32("s")),
        ("span", pa.duration("ms")),
        ("tags", pa.list_(pa.string())),
        ("st", INNER),
        ("st.a", pa.int64()),
        ("dotted.name", pa.int64()),
        ("every", pa.month_day_nano_interval()),
        ("id", pa.uuid()),
        ("nothing", pa.null()),
    ]
)


def sql(where: Any) -> str:
    return bind(where, SCHEMA).to_sql()


EXACT = [
    (col("i8") > 1.5, '"i8" > 1'),
    (col("i8") >= 1.5, '"i8" > 1'),
    (col("i8") < 1.5, '"i8" <= 1'),
    (col("i8") < -1.5, '"i8" <= (-2)'),
    (col("i8") < 1.5, '"i8" <= 1'),
    (col("i8") == 1.5, '"i8" <> "i8"'),
    (col("i8") != 1.5, '"i8" = "i8"'),
    (col("i8") == 2.0, '"i8" = 2'),
    (col("i8") < 1000, '"i8" = "i8"'),
    (col("i8") <= 1000, '"i8" = "i8"'),
    (col("i8") != 1000, '"i8" = "i8"'),
    (col("i8") >= 1000, '"i8" <> "i8"'),
    (col("i8") > 1000, '"i8" <> "i8"'),
    (col("i8") >= -1000, '"i8" = "i8"'),
    (col("i8") == 1000, '"i8" <> "i8"'),
    (col("u64") >= -1, '"u64" = "u64"'),
    (col("u64") > 2**64 - 2, '"u64" > 18446744073709551614'),
    (col("i64") < float("inf"), '"i64" = "i64"'),
    (col("i64") < NAN, '"i64" = "i64"'),
    (col("i64") > float("-inf"), '"i64" = "i64"'),
    (col("i64") == Decimal("1E+2"), '"i64" = 100'),
    (col("i64").is_in([1, 1.5, 2.0, 2**70]), '"i64" IN (1, 2)'),
    (col("i64").is_in([1.5]), '"i64" <> "i64"'),
    (col("i64").is_in([1, 1.0]), '"i64" = 1'),
    (col("i64").is_in([]), "FALSE"),
    (~col("i64").is_in([]), "TRUE"),
    (col("dec") == 0.1, '"dec" = 0.10'),
    (col("dec") > 0.123, '"dec" > 0.12'),
    (col("dec") > Decimal("1e20"), '"dec" <> "dec"'),
    (col("f") == 1, '"f" = 1.0e0'),
    (col("f") > 10**400, '"f" > 1.7976931348623157e+308'),
    (col("f") < -(10**400), '"f" <= CAST(\'-inf\' AS DOUBLE)'),
    (col("single") == 0.1, '"single" = CAST(0.10000000149011612e0 AS REAL)'),
    (col("single") < 1e39, '"single" <= CAST(3.4028234663852886e+38 AS REAL)'),
    (col("f") <= NAN, '"f" = "f"'),
    (col("f") >= NAN, 'isnan("f")'),
    (col("day") == "2024-02-29", '"day" = DATE \'2024-02-29\''),
    (col("day") == "2024-02-29 00:00", '"day" = DATE \'2024-02-29\''),
    (col("day") > dt.datetime(2024, 2, 29, 12), '"day" > DATE \'2024-02-29\''),
    (col("day") == dt.datetime(2024, 2, 29, 12), '"day" <> "day"'),
    (col("at") == dt.date(2024, 2, 29), '"at" = TIMESTAMP \'2024-02-29 00:00:00.000000\''),
    (col("at") > "2024-02-29T12:00:00.0000005", '"at" > TIMESTAMP \'2024-02-29 12:00:00.000000\''),
    (col("berlin") == "2024-07-01", '"berlin" = TIMESTAMPTZ \'2024-06-30 22:00:00.000Z\''),
    (col("berlin") == dt.datetime(2024, 1, 1), '"berlin" = TIMESTAMPTZ \'2023-12-31 23:00:00.000Z\''),
    (col("berlin") == "2024-07-01 00:00:00Z", '"berlin" = TIMESTAMPTZ \'2024-07-01 00:00:00.000Z\''),
    (col("berlin") == "2024-07-01 00:00+02:00", '"berlin" = TIMESTAMPTZ \'2024-06-30 22:00:00.000Z\''),
    (col("berlin") == "2024-07-01 00:00:00-0130", '"berlin" = TIMESTAMPTZ \'2024-07-01 01:30:00.000Z\''),
    (col("fixed") == "2024-07-01", '"fixed" = TIMESTAMPTZ \'2024-06-30 22:00:00Z\''),
    (col("clock") > "12:00:00.5", '"clock" > TIME \'12:00:00\''),
    (col("span") < dt.timedelta(microseconds=1500), '"span" <= INTERVAL \'1000\' MICROSECOND'),
    (col("name").like("abc"), '"name" = \'abc\''),
    (col("name").like("a%%"), '"name" LIKE \'a%\' ESCAPE \'\\\''),
    (col("flag") == True, '"flag" = TRUE'),  # noqa: E712
    (col("st.a") == 1, '"st.a" = 1'),
    (col("st", "a") == 1, "struct_extract(\"st\", 'a') = 1"),
    (col("st", "b.c") == 1, "struct_extract(\"st\", 'b.c') = 1"),
    (col("st.s.deep") == "x", "struct_extract(struct_extract(\"st\", 's'), 'deep') = 'x'"),
    (col("dotted.name") == 1, '"dotted.name" = 1'),
    (
        col("tags").is_null() | col("st").is_null() | col("every").is_not_null(),
        '("tags" IS NULL) OR ("st" IS NULL) OR ("every" IS NOT NULL)',
    ),
    (col("i8") + 1 > 3, '(CAST("i8" AS BIGINT) + 1) > 3'),
    (col("single") * 0.1 > 3, '("single" * CAST(0.10000000149011612e0 AS REAL)) > CAST(3.0e0 AS REAL)'),
    (col("dec") * Decimal("1.1") > 3, '("dec" * 1.1) > 3.000'),
    (col("dec") * 1.1 > 3, '(CAST("dec" AS DOUBLE) * 1.1e0) > 3.0e0'),
    (col("u64") % 10 == 3, '("u64" % 10) = 3'),
    (col("u64") > col("i64"), 'CAST("u64" AS DECIMAL(20, 0)) > CAST("i64" AS DECIMAL(20, 0))'),
    (col("i64") < col("f"), 'CAST("i64" AS DOUBLE) < "f"'),
    (col("day") < col("at"), 'CAST("day" AS TIMESTAMP) < "at"'),
    ("i64 > 10 * 100 - 1", '"i64" > 999'),
    ("i64 > 10 * 0.25", '"i64" > 2'),
    ("1 < 2", "TRUE"),
    ("'a' < 'b' and date '2024-01-01' = '2024-01-01'", "TRUE"),
    ("nothing = 1", "NULL"),
    ("nothing", "NULL"),
    ("flag and null", '"flag" AND NULL'),
    ("null or true", "TRUE"),
    ("i64 + null > 1", "NULL"),
    (col("i64").coalesce(0) > 1.5, 'coalesce("i64", 0) > 1'),
    (col("i64").coalesce(0.5) > 1, 'coalesce(CAST("i64" AS DOUBLE), 0.5e0) > 1.0e0'),
    (col("day").coalesce("2024-01-01") > "2024-01-02",
     'coalesce("day", DATE \'2024-01-01\') > DATE \'2024-01-02\''),
    ("coalesce(null, i8, null) = 1", 'coalesce(NULL, "i8", NULL) = 1'),
    ("cast('2024-01-01' as date) = day", '"day" = DATE \'2024-01-01\''),
    ("cast(i8 as bigint) = 1", 'CAST("i8" AS BIGINT) = 1'),
    ("cast(null as int) = 1", "NULL"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "expected"), EXACT, ids=lambda value: str(value)[:60])
def test_literals_take_the_type_of_the_column(where: Any, expected: str) -> None:
    assert sql(where) == expected


WRONG = [
    (col("i46") > 1, "there is no column 'i46'", "did you mean 'i64'?"),
    (col("I64") > 1, "there is no column 'I64'", "did you mean 'i64'?"),
    (col("zzz") > 1, "there is no column 'zzz'", "columns are i8, u64"),
    (col("st", "x") > 1, "there is no field 'x'", "fields are a, b.c, s"),
    (col("st", "s", "dep") == "x", "there is no field 'dep'", "deep"),
    (col("name", "x") > 1, "name is string: it has no field 'x'", ""),
    (col("i64") > "1", "int64 does not compare with the text '1'", "column 'i64'"),
    (col("name") > 1, "string does not compare with the int 1", "column 'name'"),
    (col("name") == b"x", "does not compare with the binary", ""),
    (col("raw") == "x", "does not compare with the text", "b'…'"),
    (col("flag") == 1, "bool does not compare with the int", "col('flag')"),
    (col("flag") > "true", "bool does not compare", ""),
    (col("name") > col("i64"), "string does not compare with int64", ""),
    (col("at") > col("berlin"), "does not compare with timestamp[ms, tz=Europe/Berlin]", ""),
    (col("day") > col("berlin"), "does not compare", ""),
    (col("tags") == "x", "can only be tested for null", "column 'tags'"),
    (col("tags") == col("tags"), "can only be tested for null", ""),
    (col("st").is_in([1]), "can only be tested for null", ""),
    (col("every") > dt.timedelta(1), "can only be tested for null", ""),
    (col("i64") > dt.date(2024, 1, 1), "does not compare with the date", ""),
    (col("day") == "yesterday", "'yesterday' is no date", "2024-12-31"),
    (col("day") == "2023-02-29", "is no date", ""),
    (col("day") == "2024-02-29 12:00", "has a time of day", "TIMESTAMP"),
    (col("at") == "2024-02-29 25:00", "is no timestamp", ""),
    (col("at") == "2024-02-29 12:00Z", "the column has none", "leave the zone out"),
    (col("at") == dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "the column has none", ""),
    (col("berlin") == "2024-03-31 02:30", "not one moment in the column's zone Europe/Berlin", "+01:00"),
    (col("berlin") == "2024-10-27 02:30", "not one moment", ""),
    (col("clock") == "2024-01-01", "is no time", ""),
    (col("clock") == dt.datetime(2024, 1, 1), "does not compare", ""),
    (col("span") == "1 day", "does not compare", ""),
    (col("i64"), '"i64" is int64, not a condition', "compare it"),
    (~col("i64"), "and, or, not need bool", ""),
    (col("flag") & col("i64"), "need bool", ""),
    (col("i64").like("a"), "LIKE need text", ""),
    (col("i64").lower() == "a", "lower() need text", ""),
    (col("i64").is_nan(), "has no NaN", "is_null()"),
    (col("name").is_nan(), "has no NaN", ""),
    (col("name") + 1 > 1, "+ needs numbers", ""),
    (col("day") + 1 > "2024-01-01", "+ needs numbers", ""),
    (col("f") % 2 == 1, "% needs integers", ""),
    (abs(col("name")) == 1, "abs() needs a number", ""),
    (col("name").cast("int64") == 1, "string cannot be cast to int64", ""),
    (col("berlin").cast("date") == "2024-01-01", "cannot be cast to date32", ""),
    (col("at").cast("timestamp[s]") == "2024-01-01", "cannot be cast", ""),
    (col("huge") * 2 > 1, "38 digits", "cast"),
    (col("name").coalesce(1) == 1, "string does not compare with int64", ""),
    (col("dec") > col("huge"), "digits", ""),
]


@pytest.mark.parametrize(("where", "complaint", "hint"), WRONG, ids=lambda value: str(value)[:60])
def test_what_does_not_fit_is_an_error_that_says_so(where: Any, complaint: str, hint: str) -> None:
    with pytest.raises(InputError) as raised:
        bind(where, SCHEMA)
    assert complaint in str(raised.value)
    assert hint in str(raised.value)


def test_overflow_is_an_error_at_the_rows() -> None:
    table = pa.table({"x": pa.array([2**63 - 1], pa.int64())})
    with pytest.raises(InputError, match="overflow"):
        bind(col("x") + 1 > 0, table.schema).evaluate(table)
    with pytest.raises(InputError, match="cannot be evaluated"):
        bind(col("x").cast("int8") > 0, table.schema).evaluate(table)
    with pytest.raises(InputError, match="overflow"):
        bind("9223372036854775807 + 1 > x", table.schema)


def test_small_integers_do_not_overflow() -> None:
    table = pa.table({"x": pa.array([127, -128], pa.int8())})
    assert bind_value(col("x") * 3, table.schema).evaluate(table).to_pylist() == [381, -384]
    assert bind_value(abs(col("x")), table.schema).evaluate(table).to_pylist() == [127, 128]


def test_values_for_updates() -> None:
    table = pa.table({"price": [1.5, None], "n": pa.array([1, 2], pa.int32()), "name": ["A", None]})
    for value, kind, expected in [
        (col("price") * 2, pa.float64(), [3.0, None]),
        (col("n") + 1, pa.int64(), [2, 3]),
        (col("name").lower().coalesce("?"), pa.string(), ["a", "?"]),
        (7, pa.int64(), [7, 7]),
        (None, pa.null(), [None, None]),
        ("text", pa.string(), ["text", "text"]),
        (dt.date(2024, 1, 1), pa.date32(), [dt.date(2024, 1, 1)] * 2),
        (col("n").cast("decimal(10, 2)"), pa.decimal128(10, 2), [Decimal("1.00"), Decimal("2.00")]),
    ]:
        bound = bind_value(value, table.schema)
        assert bound.type == kind
        assert bound.evaluate(table).to_pylist() == expected


def test_remainders() -> None:
    least = -(2**63)
    table = pa.table(
        {
            "x": pa.array([7, -7, 7, least, 5, None], pa.int64()),
            "y": pa.array([3, 3, -3, -1, 0, 1], pa.int64()),
        }
    )
    bound = bind_value(col("x") % col("y"), table.schema)
    assert bound.evaluate(table).to_pylist() == [1, -1, 1, 0, None, None]


def test_columns_of_extensions_and_negative_scales() -> None:
    import uuid

    ids = [uuid.UUID(int=value).bytes for value in (1, 2)]
    table = pa.table(
        {
            "id": pa.ExtensionArray.from_storage(pa.uuid(), pa.array(ids, pa.binary(16))),
            "neg": pa.array([Decimal(100), Decimal(-1200)], pa.decimal128(5, -2)),
            "huge": pa.array([Decimal("1.5"), Decimal(10) ** 45], pa.decimal256(60, 10)),
        }
    )
    for where, expected in [
        (col("id") == ids[1], [False, True]),
        (col("neg") > 0, [True, False]),
        (col("neg") == -1200, [False, True]),
        (col("huge") > 10**40, [False, True]),
        (col("huge").is_in([1.5, 2]), [True, False]),
    ]:
        assert bind(where, table.schema).evaluate(table).to_pylist() == expected


def test_dictionaries_are_asked_once_a_value() -> None:
    values = pa.array(["a", None, "b", "unused"])
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2, 0], pa.int8()), values)
    table = pa.table({"x": pa.chunked_array([coded, pa.concat_arrays([coded.slice(3), coded, coded])])})
    for where, expected in [
        (col("x") == "a", [True, None, None, False, True, False, True]),
        (~(col("x").is_in(["b", "c"]) | col("x").like("z%")), [True, None, None, False, True, False, True]),
        (col("x").is_null(), [False, True, True, False, False, False, False]),
        (col("x").coalesce("b") == "b", [False, True, True, True, False, True, False]),
        ("(x = 'a') is null", [False, True, True, False, False, False, False]),
    ]:
        found = bind(where, table.schema).evaluate(table).to_pylist()
        assert found == expected + expected[:5] * 2, where


def test_dictionaries_of_any_values() -> None:
    indices = pa.array([0, None, 1], pa.int32())
    for values, sought in [
        (pa.array(["a", "b"], pa.string_view()), "a"),
        (pa.array([b"a", b"b"], pa.binary(1)), b"a"),
        (pa.array([Decimal("1.5"), Decimal(2)], pa.decimal32(5, 2)), 1.5),
        (pa.array([86_400_000, 0], pa.int64()).cast(pa.date64()), dt.date(1970, 1, 2)),
    ]:
        table = pa.table({"x": pa.DictionaryArray.from_arrays(indices, values)})
        for where in (col("x") == sought, col("x").coalesce(sought) == col("x")):
            assert bind(where, table.schema).evaluate(table).to_pylist()[:2] == [True, None]


def test_what_a_bound_condition_knows() -> None:
    bound = bind((col("st.a") > 1) & (col("st", "a") < col("i64")) & col("name").is_null(), SCHEMA)
    assert bound.paths == (("st.a",), ("st", "a"), ("i64",), ("name",))
    assert bound.columns == ("st.a", "st", "i64", "name")
    assert (
        bind(col("dotted.name") == 1, SCHEMA).tree
        == bind(bind(col("dotted.name") == 1, SCHEMA).tree, SCHEMA).tree
    )


def test_a_deep_tree_is_refused() -> None:
    expr = col("i64")
    for _ in range(20_000):
        expr = expr + 1
    with pytest.raises(AtioError, match="nested too deeply"):
        bind(expr > 0, SCHEMA)


def test_fields_of_one_name_are_ambiguous() -> None:
    kind = pa.struct([pa.field("a", pa.int64()), pa.field("a", pa.string())])
    with pytest.raises(InputError, match="several fields 'a'"):
        bind(col("s", "a") == 1, pa.schema([("s", kind)]))
