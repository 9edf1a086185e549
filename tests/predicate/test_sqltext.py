"""Conditions as SQL text."""

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from atio import col
from atio.errors import InputError
from atio.predicate import bind, parse
from tests.predicate.worlds import Reference

TABLE = pa.table(
    {
        "x": pa.array([None, -7, -1, 0, 1, 2, 3, 10], pa.int64()),
        "y": pa.array([1.0, None, -1.0, 0.0, float("nan"), 2.0, 0.5, 1e10]),
        "s": pa.array(["a", "b", None, "ab", "", "a%", "A", "x"]),
        "f": pa.array([True, False, None, True, False, None, True, False]),
        "g": pa.array([None, True, True, False, False, None, None, True]),
    }
)


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    made = Reference()
    made.load(TABLE)
    yield made
    made.close()


NUMBER = st.sampled_from(["x", "y", "1", "2", "-3", "0.5", "1e0", "abs(x)", "coalesce(x, 1)", "- x"])
SUMS = st.lists(st.sampled_from(["+", "-", "*", "/", "%"]), max_size=2)
SUFFIX = st.sampled_from(["", "", "", " IS NULL", " IS NOT NULL", " IS TRUE", " IS NOT FALSE"])


@st.composite
def sums(draw: st.DrawFn) -> str:
    text = draw(NUMBER)
    for sign in draw(SUMS):
        text += f" {sign} {draw(NUMBER)}" if sign != "%" else f" % {draw(st.sampled_from(['x', '2', '3']))}"
    return text


@st.composite
def terms(draw: st.DrawFn) -> str:
    shape = draw(st.sampled_from(["compare", "compare", "flag", "between", "in", "like", "chain"]))
    if shape == "compare":
        text = f"{draw(sums())} {draw(st.sampled_from(['=', '<>', '<', '<=', '>', '>=']))} {draw(sums())}"
    elif shape == "between":
        text = (
            f"{draw(sums())} {draw(st.sampled_from(['', 'NOT ']))}BETWEEN {draw(sums())} AND {draw(sums())}"
        )
    elif shape == "in":
        text = f"{draw(sums())} {draw(st.sampled_from(['', 'NOT ']))}IN (1, {draw(sums())})"
    elif shape == "like":
        text = f"s {draw(st.sampled_from(['LIKE', 'NOT LIKE', 'ILIKE', 'NOT ILIKE']))} 'a%'"
    elif shape == "chain":
        text = f"f = {draw(st.sampled_from(['g', 'NOT g', 'g = f', 'x > 1', 'g IS NULL']))}"
    else:
        text = draw(st.sampled_from(["f", "g"]))
    return text + draw(SUFFIX)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """No parentheses anywhere: what binds closer is for the grammar to say."""
    text = draw(terms())
    for joint in draw(st.lists(st.sampled_from([" AND ", " OR "]), max_size=3)):
        text += joint + draw(st.sampled_from(["", "NOT ", "NOT NOT "])) + draw(terms())
    return draw(st.sampled_from(["", "NOT "])) + text


@settings(deadline=None, max_examples=200)
@given(text=texts())
def test_precedence_is_that_of_duckdb(reference: Reference, text: str) -> None:
    """Where both understand a text, they understand the same."""
    try:
        expected = reference.answers(text)
    except duckdb.Error:
        event("refused by DuckDB")
        return
    try:
        bound = bind(text, TABLE.schema)
    except InputError as error:
        assert "% needs integers" in str(error) or "needs parentheses" in str(error)
        event("refused")
        return
    assert bound.evaluate(TABLE).to_pylist() == expected, (text, bound)
    event("understood")


SAME = [
    ("x == 1", col("x") == 1),
    ("x <> 1 and not f", (col("x") != 1) & ~col("f")),
    ("x in (1, 2)", col("x").is_in([1, 2])),
    ("x not in (1, 2)", ~col("x").is_in([1, 2])),
    ("x between 1 and 2", col("x").between(1, 2)),
    ("s like 'a\\%%' escape '\\'", col("s").like("a\\%%", escape="\\")),
    ("s not ilike 'A_'", ~col("s").ilike("A_")),
    ("starts_with(s, 'a%')", col("s").starts_with("a%")),
    ("prefix(s, 'a')", col("s").starts_with("a")),
    ("suffix(s, 'a')", col("s").ends_with("a")),
    ("contains(s, 'a')", col("s").contains("a")),
    ("x is null or x is not null", col("x").is_null() | col("x").is_not_null()),
    ("f is true", col("f").coalesce(False)),
    ("x::bigint > 1", col("x").cast("int64") > 1),
    ("cast(x as decimal(10, 2)) > 1", col("x").cast(pa.decimal128(10, 2)) > 1),
    ("ifnull(x, 0) = 0", col("x").coalesce(0) == 0),
    ("\"s\" = 'it''s'", col("s") == "it's"),
    ("st.a = 1", col("st", "a") == 1),
    ("(st).a = 1", col("st", "a") == 1),
    ("st['a'] = 1", col("st", "a") == 1),
    ("struct_extract(st, 'a') = 1", col("st", "a") == 1),
    ("st.a.b = 1", col("st", "a", "b") == 1),
    ("x > -5", col("x") > -5),
    ("-x > 5", -col("x") > 5),
    ("x % nullif(x, 0) = 1", col("x") % col("x") == 1),
    ("x > 1 -- a comment", col("x") > 1),
    ("x = 1e0", col("x") == 1.0),
]


@pytest.mark.parametrize(("text", "expr"), SAME, ids=str)
def test_sql_and_python_say_the_same(text: str, expr: object) -> None:
    assert parse(text) == parse(expr)


REFUSED = [
    ("x >", "column"),
    ("x > 1 y", "not supported"),
    ("x > 1; drop table t", "not supported"),
    ("drop table t", "not supported"),
    ("select 1", "not supported"),
    ("x > (select 1)", "not supported"),
    ("x in (select 1)", "not supported"),
    ("x in y", "not supported"),
    ("x > any (select 1)", "not supported"),
    ("case when f then g end", "line 1, column 11"),
    ("x = 1 and\n  foo(x) = 2", "line 2, column 3"),
    ("x = ?", "not supported"),
    ("x = :name", "not supported"),
    ("x = $1", "not supported"),
    ("try_cast(s as int) = 1", "not supported"),
    ("cast(s as json) = 1", "not supported"),
    ("d > current_date", "not supported"),
    ("d > now()", "not supported"),
    ("d > interval '1 month'", "no interval of days"),
    ("count(*) > 1", "not supported"),
    ("sum(x) over () > 1", "not supported"),
    ("x between symmetric 2 and 1", ""),
    ("s like s", "text between quotes"),
    ("s like 'a' escape 'ab'", "not one character"),
    ("s like 'a\\' escape '\\'", "ends with its escape"),
    ("s collate nocase = 'a'", "not supported"),
    ("s ~ 'a'", "not supported"),
    ("s glob 'a'", "not supported"),
    ("s similar to 'a'", "not supported"),
    ("s || 'a' = 'b'", "not supported"),
    ("x // 2 = 1", "not supported"),
    ("x ** 2 = 1", "not supported"),
    ("1 < x < 5", "needs parentheses"),
    ("f = not g", "needs parentheses"),
    ("x & 1 = 1", "not supported"),
    ("(x, y) = (1, 2)", "not supported"),
    ("l[1] = 2", "not supported"),
    ("exists (select 1)", "not supported"),
    ("d = DATE '2024-02-30'", "is no date"),
    ("d = TIMESTAMP '2024-02-01 00:00:00+01:00'", "offset"),
    ("d = TIMESTAMPTZ '2024-02-01 00:00:00'", "offset"),
    ("b = 'ü'::BLOB", "no BLOB"),
    ("b = '\\xZZ'::BLOB", "no BLOB"),
    ("x = 'a' 'b'", "not supported"),
    ("", "empty"),
    ("  ", "empty"),
    ("'open", "no SQL"),
    ("(" * 5000 + "x" + ")" * 5000, "nested too deeply"),
    ("not " * 5000 + "f", "nested too deeply"),
]


@pytest.mark.parametrize(("text", "complaint"), REFUSED, ids=lambda value: value[:40])
def test_what_is_not_supported_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(text)
    assert complaint in str(raised.value)


def test_long_chains_are_no_deep_trees() -> None:
    text = " or ".join(f"x = {number}" for number in range(3000))
    assert bind(text, TABLE.schema).evaluate(TABLE).to_pylist() == [
        None,
        False,
        False,
        True,
        True,
        True,
        True,
        True,
    ]
    assert parse(str(parse(text))) == parse(text)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from atio.errors import MissingDependencyError

    monkeypatch.setitem(sys.modules, "sqlglot", None)
    with pytest.raises(MissingDependencyError, match="sqlglot"):
        parse("x > 1")
