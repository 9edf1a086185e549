"""delete, update, upsert and overwrite(where=): what they do, what they refuse, what they cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atio import Table, col
from atio.commit.loop import RetryPolicy
from atio.errors import AtioError, ConflictError, DamagedError, InputError, NotFoundError, SchemaError
from atio.storage import MemoryStorage
from atio.table.keys import Keys
from tests.support.reads import noted
from tests.support.tables import listing, rows


@pytest.fixture
def table() -> Table:
    made = Table(MemoryStorage())
    for start in (0, 10, 20):
        ids = range(start, start + 10)
        made.append(pa.table({"id": list(ids), "x": [i / 2 for i in ids], "s": [f"s{i % 3}" for i in ids]}))
    return made


def ids(table: Any) -> list[int]:
    return table.to_arrow()["id"].to_pylist()  # type: ignore[no-any-return]


# -- delete ----------------------------------------------------------------------------------------


def test_delete_takes_every_form_of_condition(table: Table) -> None:
    assert table.delete(col("id") == 1).deleted == 1
    assert table.delete("id = 2").deleted == 1
    assert table.delete([("id", "==", 3)]).deleted == 1
    assert ids(table) == [0, *range(4, 30)]


def test_null_does_not_match() -> None:
    table = Table(MemoryStorage())
    table.append({"id": [1, 2, None]})
    assert table.delete("id <> 1").deleted == 1
    assert ids(table) == [1, None]
    assert table.delete("id is null or id = 7").deleted == 1
    assert ids(table) == [1]


def test_delete_says_who_and_why(table: Table) -> None:
    found = table.delete("id < 5", message="too old", expected_version=3)
    assert (table.snapshot().operation, table.snapshot().message) == ("delete", "too old")
    assert (found.version, found.deleted, found.inserted, found.updated) == (4, 5, 0, 0)
    assert table.diff(3, 4).rows_removed == 5


@pytest.mark.parametrize(
    ("where", "text"),
    [("nobody = 1", "no column 'nobody'"), ("s > 1", "s"), ("id", "not a condition"), (7, "condition")],
)
def test_conditions_that_are_none(table: Table, where: Any, text: str) -> None:
    for call in (lambda: table.delete(where), lambda: table.update({"x": 1.0}, where)):
        with pytest.raises(InputError, match=text):
            call()
    assert table.version == 3


def test_a_wrong_expected_version_is_a_conflict(table: Table) -> None:
    for call in (
        lambda: table.delete("id = 1", expected_version=2),
        lambda: table.delete("id = -1", expected_version=2),
        lambda: table.update({"x": 1.0}, "id = -1", expected_version=2),
        lambda: table.update({"x": 1.0}, "id = 1", expected_version=2),
        lambda: table.upsert({"id": [1], "x": [1.0], "s": [""]}, on="id", expected_version=2),
        lambda: table.overwrite({"id": [1], "x": [1.0], "s": [""]}, "id = 1", expected_version=2),
    ):
        with pytest.raises(ConflictError, match="expected"):
            call()


def test_there_must_be_a_table() -> None:
    empty = Table(MemoryStorage())
    for call in (
        lambda: empty.delete("id = 1"),
        lambda: empty.update({"x": 1}, "id = 1"),
        lambda: empty.upsert({"id": [1]}, on="id"),
        lambda: empty.overwrite({"id": [1]}, "id = 1"),
    ):
        with pytest.raises(NotFoundError):
            call()


# -- update ----------------------------------------------------------------------------------------


def test_update_computes_from_the_old_values(table: Table) -> None:
    found = table.update({"id": col("x"), "x": col("id") * 10}, "id in (4, 6)")
    assert (found.updated, found.inserted, found.deleted) == (2, 0, 0)
    assert rows(table.snapshot())[-2:] == [{"id": 2, "x": 40.0, "s": "s1"}, {"id": 3, "x": 60.0, "s": "s0"}]
    assert len(table.snapshot()) == 30
    diff = table.diff(3, 4)
    assert (diff.rows_added, diff.rows_removed) == (2, 2)


def test_update_takes_values_of_many_types() -> None:
    table = Table(MemoryStorage())
    schema = pa.schema(
        [
            ("id", pa.int8()), ("f", pa.float32()), ("d", pa.decimal128(6, 2)), ("t", pa.timestamp("ms")),
            ("day", pa.date32()), ("b", pa.binary()), ("l", pa.list_(pa.int32())),
            ("c", pa.dictionary(pa.int8(), pa.string())),
            ("o", pa.bool_()), ("u", pa.uint64()),
        ]
    )  # fmt: skip
    values = {
        "f": 0.5, "d": Decimal("1.25"), "t": dt.datetime(2024, 1, 2, 3), "day": dt.date(2024, 1, 2),
        "b": b"x",
        "l": [1, 2], "c": "new", "o": True, "u": 2**63,
    }  # fmt: skip
    table.append(
        pa.table({name: pa.nulls(2, schema.field(name).type) for name in schema.names}, schema=schema)
    )
    table.append(
        pa.table(
            {name: [1] if name == "id" else pa.nulls(1, schema.field(name).type) for name in schema.names},
            schema=schema,
        )
    )
    table.update(values, "id = 1")
    assert rows(table.snapshot())[-1] == {"id": 1, **values}
    table.update(dict.fromkeys(values), "id = 1")
    assert rows(table.snapshot())[-1] == {"id": 1, **dict.fromkeys(values)}


@pytest.mark.parametrize(
    "values",
    [
        {"id": col("x") / 3},
        {"id": 1.5},
        {"id": "text"},
        {"s": 1},
        {"x": "0.5"},
        {"id": 2**70},
        {"s": col("id")},
    ],
)
def test_update_loses_nothing_silently(table: Table, values: dict[str, object]) -> None:
    before = listing(table._objects.storage)
    with pytest.raises(AtioError) as caught:
        table.update(values, "id = 1")
    assert isinstance(caught.value, InputError | SchemaError)
    assert caught.value.column in values
    assert listing(table._objects.storage) == before


def test_update_respects_columns_without_nulls() -> None:
    table = Table.create(
        MemoryStorage(), pa.schema([pa.field("id", pa.int64(), nullable=False), ("x", pa.int64())])
    )
    table.append({"id": [1, 2], "x": [None, 5]})
    for value in (None, col("x")):
        with pytest.raises(SchemaError, match="null"):
            table.update({"id": value}, "id = 1")
    assert table.update({"id": col("x")}, "id = 2").updated == 1


@pytest.mark.parametrize("values", [{}, None, [("id", 1)], {"nobody": 1}])
def test_update_needs_columns(table: Table, values: Any) -> None:
    with pytest.raises(InputError, match=r"dict|no column"):
        table.update(values, "id = 1")


def test_update_of_everything(table: Table) -> None:
    assert table.update({"x": 0.0}, "id >= 0").updated == 30
    assert set(table.to_arrow()["x"].to_pylist()) == {0.0}
    assert table._state().pointer.features.read == ()


# -- overwrite where -------------------------------------------------------------------------------


def test_overwrite_replaces_the_matching_part(table: Table) -> None:
    made = table.overwrite({"id": [12, 5], "x": [1.0, 2.0], "s": ["n", "n"]}, where="id < 15", message="m")
    assert (made.version, made.operation, made.message, made.rows) == (4, "overwrite", "m", 17)
    assert ids(table) == [*range(15, 30), 12, 5]


def test_overwrite_shows_rows_outside(table: Table) -> None:
    before = listing(table._objects.storage)
    for outside in (15, None):
        with pytest.raises(InputError, match=r"outside of what is replaced.*from row 1 on.*'s': 'bad'"):
            table.overwrite({"id": [12, outside], "x": [1.0, 2.0], "s": ["n", "bad"]}, where="id < 15")
    assert listing(table._objects.storage) == before


def test_overwrite_where_with_a_token_is_done_once(table: Table) -> None:
    new = {"id": [1], "x": [1.0], "s": ["n"]}
    assert table.overwrite(new, "id < 15", token="t").version == 4
    table.append({"id": [3], "x": [1.0], "s": ["n"]})
    assert table.overwrite(new, "id < 15", token="t").version == 4
    assert ids(table) == [*range(15, 30), 1, 3]


def test_overwrite_with_nothing_deletes(table: Table) -> None:
    table.overwrite(pa.table({"id": pa.array([], pa.int64())}), where="id < 15")
    assert ids(table) == list(range(15, 30))


# -- upsert ----------------------------------------------------------------------------------------


def test_upsert_replaces_and_inserts(table: Table) -> None:
    found = table.upsert(
        pd.DataFrame({"s": ["u", "v", "w"], "id": [29, 100, 3], "x": [0.0, 1.0, 2.0]}), on="id"
    )
    assert (found.version, found.updated, found.inserted, found.deleted) == (4, 2, 1, 0)
    assert ids(table) == [0, 1, 2, *range(4, 29), 29, 100, 3]
    assert table.snapshot().operation == "upsert"


def test_upsert_leaves_one_row_of_a_key() -> None:
    table = Table(MemoryStorage())
    table.append({"k": [1, 1, 2], "v": [1, 2, 3]})
    found = table.upsert({"k": [1], "v": [9]}, on=["k"])
    assert (found.updated, found.inserted) == (1, 0)
    assert rows(table.snapshot()) == [{"k": 2, "v": 3}, {"k": 1, "v": 9}]


def test_upsert_of_nothing(table: Table) -> None:
    assert table.upsert(table.to_arrow().slice(0, 0), on="id").version is None
    assert table.version == 3


def test_upsert_shows_keys_that_are_there_twice(table: Table) -> None:
    before = listing(table._objects.storage)
    with pytest.raises(InputError, match=r"2 keys are there more than once in the data, such as 5, 6"):
        table.upsert({"id": [5, 5, 6, 1, 6], "x": [0.0] * 5, "s": [""] * 5}, on="id")
    with pytest.raises(InputError, match=r"such as \(id=5, s='b'\)"):
        table.upsert({"id": [5, 5, 5], "x": [0.0] * 3, "s": ["a", "b", "b"]}, on=["id", "s"])
    with pytest.raises(InputError, match="row 1 has no key: 'id' is null"):
        table.upsert({"id": [5, None], "x": [0.0] * 2, "s": [""] * 2}, on="id")
    assert listing(table._objects.storage) == before


def test_upsert_needs_whole_rows_and_a_fit_key(table: Table) -> None:
    with pytest.raises(SchemaError, match="'x' is missing"):
        table.upsert({"id": [5], "s": [""]}, on="id")
    for on, text in (
        ("nobody", "no column"),
        ("x", "cannot be a key"),
        ([], "no key"),
        (["id", "id"], "no key"),
    ):
        with pytest.raises(InputError, match=text):
            table.upsert({"id": [5], "x": [0.0], "s": [""]}, on=on)


def test_upsert_streams(table: Table) -> None:
    def parts() -> Iterator[pa.Table]:
        for start in range(0, 60, 20):
            yield pa.table({"id": list(range(start, start + 20)), "x": [9.0] * 20, "s": ["n"] * 20})

    found = table.upsert(parts(), on="id")
    assert (found.updated, found.inserted) == (30, 30)
    assert ids(table) == list(range(60))


def test_upsert_reads_key_columns_of_candidate_files_only(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atio.table import matching

    opened: list[str] = []
    read = noted(monkeypatch)
    original = matching.open_parts
    monkeypatch.setattr(matching, "open_parts", lambda s, f, a: opened.append(f.path) or original(s, f, a))
    files = [file.path for file in table.snapshot().files()]
    table.upsert({"id": [11, 12, 1000], "x": [0.0] * 3, "s": [""] * 3}, on="id")
    assert opened == [files[1]]
    assert read == [(["id"], [0])]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.string(), ["a", "", "ß", "日本"]),
        (pa.large_binary(), [b"a", b"", b"\xff"]),
        (pa.string_view(), ["a", "b", "c" * 50]),
        (pa.dictionary(pa.int32(), pa.string()), ["a", "b", "c"]),
        (pa.decimal128(10, 2), [Decimal("1.50"), Decimal("-2.25"), Decimal(0)]),
        (pa.date32(), [dt.date(2024, 1, 1), dt.date(1969, 1, 1)]),
        (
            pa.timestamp("us", "UTC"),
            [dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(1960, 1, 1, tzinfo=dt.UTC)],
        ),
        (pa.time64("us"), [dt.time(1), dt.time(2)]),
        (pa.bool_(), [True, False]),
        (pa.uint64(), [0, 2**64 - 1]),
        (pa.int8(), [-128, 127, 0]),
    ],
    ids=str,
)
def test_keys_of_many_types(kind: pa.DataType, values: list[Any]) -> None:
    for names in (["k"], ["k", "n"]):
        table = Table(MemoryStorage())
        table.append(
            pa.table(
                {
                    "k": pa.array([*values, None], kind),
                    "n": [0] * (len(values) + 1),
                    "v": [0] * (len(values) + 1),
                }
            )
        )
        found = table.upsert(
            pa.table(
                {"k": pa.array(values[1:], kind), "n": [0] * (len(values) - 1), "v": [1] * (len(values) - 1)}
            ),
            on=names,
        )
        assert (found.updated, found.inserted) == (len(values) - 1, 0)
        assert table.to_arrow()["k"].to_pylist() == [values[0], None, *values[1:]]
        assert table.to_arrow()["v"].to_pylist() == [0, 0] + [1] * (len(values) - 1)


INTEGERS = st.sampled_from([pa.int8(), pa.uint8(), pa.int32(), pa.int64(), pa.uint64()])


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(data=st.data(), kind=INTEGERS)
def test_keys_match_like_sets(data: st.DataObject, kind: pa.DataType) -> None:
    bits = kind.bit_width
    low, high = (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if pa.types.is_signed_integer(kind) else (0, 2**bits - 1)
    )
    near = data.draw(st.sampled_from([low, high - 40, max(low, -20)]))
    value = st.one_of(st.integers(near, near + 40), st.integers(low, high))
    keys = data.draw(st.lists(value, min_size=1, max_size=30, unique=True))
    others = data.draw(st.lists(st.one_of(st.none(), st.integers(near, near + 40), value), max_size=30))
    if data.draw(st.booleans()):  # few of many in order
        others = sorted({*others, *range(near, near + 40)} - {None})
        keys = keys[:3]
    found = Keys(pa.table({"k": pa.array(keys, kind)})).matches(pa.table({"k": pa.array(others, kind)}))
    assert found.to_pylist() == [other in set(keys) for other in others]


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_pairs_match_like_sets(data: st.DataObject) -> None:
    pair = st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", "c"]), st.booleans())
    keys = data.draw(st.lists(pair, min_size=1, max_size=10, unique=True))
    others = data.draw(
        st.lists(
            st.tuples(
                *(
                    st.one_of(st.none(), s)
                    for s in (st.integers(0, 4), st.sampled_from(["a", "b", "d"]), st.booleans())
                )
            ),
            max_size=20,
        )
    )

    def frame(values: list[Any]) -> pa.Table:
        kinds = {"a": pa.int64(), "b": pa.string(), "c": pa.bool_()}
        return pa.table({n: pa.array([v[i] for v in values], k) for i, (n, k) in enumerate(kinds.items())})

    made = Keys(frame(keys))
    assert made.matches(frame(others)).to_pylist() == [other in set(keys) for other in others]
    places = [place for place in made.places(frame(others)).to_pylist() if place is not None]
    assert len(set(places)) == len({other for other in others if other in set(keys)})


# -- beside others ---------------------------------------------------------------------------------


def between(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    """Do something else between looking for rows and the commit, once."""
    from atio.table import changing

    original = changing.Changer._request
    done: list[int] = []

    def request(changer: Any, *given: Any, **more: Any) -> Any:
        if not done:
            done.append(1)
            action()
        return original(changer, *given, **more)

    monkeypatch.setattr(changing.Changer, "_request", request)


def test_rows_that_others_append_meanwhile_are_seen(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Table(table._objects.storage.handle())  # type: ignore[attr-defined]
    new = {"id": [1, 100], "x": [0.0, 0.0], "s": ["", ""]}
    for call, deleted in (
        (lambda: table.delete("id = 1").deleted, 2),
        (lambda: table.update({"x": 5.0}, "id = 100").updated, 2),
        (lambda: table.upsert({"id": [100], "x": [7.0], "s": ["u"]}, on="id").updated, 1),
    ):
        with monkeypatch.context() as patch:
            between(patch, lambda: other.append(new))
            assert call() == deleted
    assert sorted(ids(table)) == sorted([0, *range(2, 30), 1, 1, 100])
    assert table.to_arrow(where="id = 100")["x"].to_pylist() == [7.0]


def test_rows_that_others_change_meanwhile(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Table(table._objects.storage.handle())  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        between(patch, lambda: other.update({"x": col("x") + 1}, "id < 5"))
        assert table.update({"x": col("x") + 1}, "id < 3").updated == 3
    assert sorted(table.to_arrow(where="id < 5")["x"].to_pylist()) == [2.0, 2.5, 2.5, 3.0, 3.0]
    with monkeypatch.context() as patch:
        between(patch, lambda: other.compact(sort_by="id"))
        assert table.delete("id % 2 = 0").deleted == 15
    with monkeypatch.context() as patch:
        between(patch, lambda: other.drop_column("s"))
        assert table.delete("id < 10").deleted == 5
    with monkeypatch.context() as patch:
        between(patch, lambda: other.delete("id = 11"))
        assert table.delete("id = 11 or id = 13").deleted == 1
    assert ids(table) == list(range(15, 30, 2))


def test_all_rows_of_a_file_are_fewer_when_others_deleted_some(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics say that all of them match, before and after."""
    other = Table(table._objects.storage.handle())  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        between(patch, lambda: other.delete("id = 3"))
        assert table.update({"x": 9.0}, "id < 10").updated == 9
    with monkeypatch.context() as patch:
        between(patch, lambda: other.delete("id = 13"))
        done = table.merge({"id": [20, 99], "x": [0.0] * 2, "s": [""] * 2}, "id", when_matched={"x": 8.0})
        assert (done.updated, done.inserted) == (1, 1)
    with pytest.raises(ConflictError), table.transaction() as tx:
        tx.update({"x": 7.0}, "id between 14 and 19")
        tx.update({"x": 7.0}, "id between 20 and 40")
        other.delete("id = 25")
    assert sorted(ids(table)) == [n for n in range(30) if n not in (3, 13, 25)] + [99]
    assert len(table.snapshot()) == 28


def test_what_was_rewritten_is_looked_at_again_without_the_lock(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Table(table._objects.storage.handle())  # type: ignore[attr-defined]
    monkeypatch.setattr("atio.table.finding.MOST_AGAIN", 0)
    between(monkeypatch, lambda: other.compact(sort_by="id"))
    assert table.upsert({"id": [5], "x": [0.0], "s": ["u"]}, on="id").updated == 1
    assert len(table.snapshot()) == 30


def test_a_failed_change_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table.open(tmp_path / "t", durable=False)
    table.append({"id": [1, 2, 3]})
    before = listing(table._objects.storage)
    from atio.table import finding

    def fail(*_: object) -> None:
        raise ConflictError("each time")

    monkeypatch.setattr(finding.DeleteFound, "apply", fail)
    table._retry = RetryPolicy(attempts=3, sleep=lambda _: None)
    for call in (
        lambda: table.delete("id = 1"),
        lambda: table.update({"id": 7}, "id = 1"),
        lambda: table.upsert({"id": [1]}, on="id"),
    ):
        with pytest.raises(ConflictError, match="each time"):
            call()
    assert listing(table._objects.storage) == before


def test_files_that_others_expire_meanwhile_are_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update reads rows that it found; the version that it found them in may be gone by then."""
    from atio.table import changing

    table = Table.open(tmp_path / "t", durable=False)
    table.append({"id": [1, 2, 3]})
    other = Table.open(tmp_path / "t", durable=False)
    original, done = changing.Changer.rows, list[int]()

    def rows(*given: Any) -> Any:
        if not done:
            done.append(1)
            other.overwrite({"id": [1, 5]})
            other.expire(dt.timedelta(0))
        return original(*given)

    monkeypatch.setattr(changing.Changer, "rows", rows)
    assert table.update({"id": col("id") + 1}, "id < 3").updated == 1
    assert sorted(ids(table)) == [2, 5]
    damaged = next(file.path for file in table.snapshot().files())
    (tmp_path / "t" / damaged).unlink()
    with pytest.raises(DamagedError, match="missing"):
        table.update({"id": 0}, "id >= 0")
